"""COLMAP's text model: cameras.txt and images.txt in one folder. Images are taken in the order of their names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.camera import Trajectory
from openlyra.geometry.poses import invert, matrix_from_quaternion, quaternion_from_matrix, rigid
from openlyra.geometry.trajectory_files import MAX_FRAMES, RawPath, pinhole, read_text
from openlyra.media.atomic import write_bytes_atomic

_MODELS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
}
"""Models with a pinhole at their core; the last three only with all distortion equal to zero."""


def read_colmap(folder: Path) -> RawPath:
    """Read a sparse model in text form."""
    cameras = _cameras(folder / "cameras.txt")
    images = _images(folder / "images.txt", cameras)
    sizes = {cameras[image.camera][1] for image in images}
    if len(sizes) > 1:
        raise InputError(
            f"{folder}: images have different sizes {sorted(sizes)[:4]} (height, width); one size is needed"
        )
    intrinsics = np.stack([cameras[image.camera][0] for image in images])
    return RawPath(
        np.stack([image.world_from_camera for image in images]), intrinsics, sizes.pop(), name=folder.name or "colmap"
    )


def write_colmap(trajectory: Trajectory, folder: Path, image_pattern: str = "{:05d}.png") -> None:
    """Write cameras.txt, images.txt and an empty points3D.txt into `folder`, which is made if it is missing.

    One PINHOLE camera for each different set of intrinsics; images are named `image_pattern`.format(frame number).
    COLMAP's pixel centres lie at half integers, as ours do, and its cameras look along +z with y down, as ours do.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; a COLMAP model is a folder")
    if not folder.parent.is_dir():
        raise InputError(f"{folder}: the folder {folder.parent} does not exist; create it first")
    folder.mkdir(exist_ok=True)
    cameras = trajectory.cameras.numpy()
    ids: dict[tuple[float, ...], int] = {}
    lines = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME; the second line would list image points"]
    for index, (pose, k) in enumerate(zip(cameras.camera_from_world, cameras.intrinsics, strict=True)):
        camera = ids.setdefault((k[0, 0], k[1, 1], k[0, 2], k[1, 2]), len(ids) + 1)
        numbers = _numbers(*quaternion_from_matrix(pose[:3, :3]), *pose[:3, 3])
        lines += [f"{index + 1} {numbers} {camera} {image_pattern.format(index)}", ""]
    sizes = [f"{n} PINHOLE {cameras.width} {cameras.height} {_numbers(*values)}" for values, n in ids.items()]
    files = {
        "cameras.txt": ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, FX, FY, CX, CY", *sizes],
        "images.txt": lines,
        "points3D.txt": ["# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[]"],
    }
    for name, content in files.items():
        write_bytes_atomic(folder / name, ("\n".join(content) + "\n").encode())


def _numbers(*values: float) -> str:
    return " ".join(repr(float(value) + 0.0) for value in values)


class _Image:
    def __init__(self, name: str, camera: int, world_from_camera: np.ndarray) -> None:
        self.name, self.camera, self.world_from_camera = name, camera, world_from_camera

    @property
    def order(self) -> list[tuple[int, str]]:
        """Names compared with their numbers as numbers: frame_9 comes before frame_10."""
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", self.name)]


def _cameras(path: Path) -> dict[int, tuple[np.ndarray, tuple[int, int]]]:
    """Camera id -> intrinsics (3, 3) and (height, width)."""
    result = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        what, words = f"{path}: line {number}", line.split()
        if len(words) < 4:
            raise InputError(f"{what}: CAMERA_ID, MODEL, WIDTH, HEIGHT and parameters are needed")
        width, height = _whole(words[2], what), _whole(words[3], what)
        result[_whole(words[0], what)] = _intrinsics(words[1], words[4:], what), (height, width)
    if not result:
        raise InputError(f"{path}: holds no camera")
    return result


def _intrinsics(model: str, words: list[str], what: str) -> np.ndarray:
    if model not in _MODELS:
        raise InputError(
            f"{what}: camera model {model} is not supported; undistort to PINHOLE (colmap image_undistorter) first"
        )
    names = _MODELS[model]
    if len(words) != len(names):
        raise InputError(f"{what}: {model} has {len(names)} parameters ({' '.join(names)}), not {len(words)}")
    values = dict(zip(names, (_real(word, what) for word in words), strict=True))
    bent = [name for name in names if name[0] in "kp" and values[name] != 0.0]
    if bent:
        raise InputError(
            f"{what}: lens distortion {bent[0]} = {values[bent[0]]:g}; undistort (colmap image_undistorter) first"
        )
    fx, fy = (values["f"], values["f"]) if "f" in values else (values["fx"], values["fy"])
    return pinhole(fx, fy, values["cx"], values["cy"])


def _images(path: Path, cameras: dict[int, tuple[np.ndarray, tuple[int, int]]]) -> list[_Image]:
    result: list[_Image] = []
    points_follow = False
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        if points_follow:  # The second line of an image lists its points; it may well be empty.
            points_follow = False
            continue
        if line.strip():
            result.append(_image(line, cameras, f"{path}: line {number}"))
            points_follow = True
        if len(result) > MAX_FRAMES:
            raise InputError(f"{path}: more than {MAX_FRAMES} images")
    if not result:
        raise InputError(f"{path}: holds no image")
    return sorted(result, key=lambda image: image.order)


def _image(line: str, cameras: dict[int, tuple[np.ndarray, tuple[int, int]]], what: str) -> _Image:
    words = line.split(maxsplit=9)
    if len(words) < 10:
        raise InputError(f"{what}: IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID and NAME are needed")
    values = np.array([_real(word, what) for word in words[1:8]])
    if not np.isfinite(values).all() or abs(np.linalg.norm(values[:4]) - 1.0) > 1e-2:
        raise InputError(f"{what}: the pose of {words[9].strip()} is not a unit quaternion and a finite translation")
    camera = _whole(words[8], what)
    if camera not in cameras:
        raise InputError(f"{what}: camera {camera} is not in cameras.txt")
    return _Image(words[9].strip(), camera, invert(rigid(matrix_from_quaternion(values[:4]), values[4:])))


def _real(word: str, what: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise InputError(f"{what}: '{word[:40]}' is not a number") from None


def _whole(word: str, what: str) -> int:
    if not word.isdecimal() or len(word) > 12:
        raise InputError(f"{what}: '{word[:40]}' is not a whole number")
    return int(word)
