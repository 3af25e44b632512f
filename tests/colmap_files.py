"""COLMAP models written for tests, by the layout of COLMAP's documentation."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from openlyra.geometry.camera import Camera
from openlyra.geometry.colmap_model import MODELS
from openlyra.geometry.poses import invert, quaternion_from_matrix

Points = dict[int, tuple[float, float, float]]


def _poses(cameras: Camera) -> list[list[float]]:
    """Quaternion and translation of each image."""
    inverse = [invert(pose) for pose in cameras.world_from_camera]
    return [[float(v) for v in (*quaternion_from_matrix(pose[:3, :3]), *pose[:3, 3])] for pose in inverse]


def _values(cameras: Camera) -> tuple[float, ...]:
    k = cameras.intrinsics[0]
    return float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2])


def write_text(
    folder: Path, cameras: Camera, model: str = "PINHOLE", values: tuple | None = None, points: Points | None = None
) -> None:
    """One camera for all images, which show all points."""
    folder.mkdir(parents=True, exist_ok=True)
    words = " ".join(repr(float(v)) for v in values or _values(cameras))
    (folder / "cameras.txt").write_text(f"# cameras\n1 {model} {cameras.width} {cameras.height} {words}\n")
    seen = " ".join(f"1.5 2.5 {number}" for number in points or {}) + " 3.5 4.5 -1"
    lines = [f"{i + 1} {' '.join(map(repr, pose))} 1 {i:05d}.png\n{seen}" for i, pose in enumerate(_poses(cameras))]
    (folder / "images.txt").write_text("# images\n" + "\n".join(reversed(lines)) + "\n")
    rows = [f"{number} {x} {y} {z} 9 9 9 0.5 1 0" for number, (x, y, z) in (points or {}).items()]
    (folder / "points3D.txt").write_text("\n".join(["# points", *rows]) + "\n")


def write_binary(
    folder: Path, cameras: Camera, model: str = "PINHOLE", values: tuple | None = None, points: Points | None = None
) -> None:
    """The same, binary."""
    folder.mkdir(parents=True, exist_ok=True)
    number = [name for name, _ in MODELS].index(model)
    numbers = np.array(values or _values(cameras), "<f8").tobytes()
    head = struct.pack("<QiiQQ", 1, 1, number, cameras.width, cameras.height)
    (folder / "cameras.bin").write_bytes(head + numbers)
    shown = b"".join(struct.pack("<ddq", 1.5, 2.5, number) for number in (*(points or {}), -1))
    tail = struct.pack("<Q", len(points or {}) + 1) + shown
    images = [
        struct.pack("<I7dI", i + 1, *pose, 1) + f"{i:05d}.png\0".encode() + tail
        for i, pose in enumerate(_poses(cameras))
    ]
    (folder / "images.bin").write_bytes(struct.pack("<Q", len(images)) + b"".join(reversed(images)))
    rows = [struct.pack("<q3d3BdQII", n, *xyz, 9, 9, 9, 0.5, 1, 1, 0) for n, xyz in (points or {}).items()]
    (folder / "points3D.bin").write_bytes(struct.pack("<Q", len(rows)) + b"".join(rows))
