"""COLMAP's sparse model as a camera path. Images are taken in the order of their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.camera import Trajectory
from openlyra.geometry.colmap_model import read_model
from openlyra.geometry.poses import quaternion_from_matrix
from openlyra.geometry.trajectory_files import RawPath
from openlyra.media.atomic import write_bytes_atomic


def read_colmap(folder: Path) -> RawPath:
    """Read a sparse model in text or binary form."""
    model = read_model(folder)
    cameras = [model.cameras[image.camera] for image in model.images]
    sizes = {camera.size for camera in cameras}
    if len(sizes) > 1:
        raise InputError(
            f"{folder}: images have different sizes {sorted(sizes)[:4]} (height, width); one size is needed"
        )
    poses = np.stack([image.world_from_camera for image in model.images])
    intrinsics = np.stack([camera.intrinsics for camera in cameras])
    lenses = tuple(camera.lens for camera in cameras)
    return RawPath(poses, intrinsics, sizes.pop(), name=folder.name or "colmap", lenses=lenses)


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
