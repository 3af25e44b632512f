"""Camera paths from and to files: Lyra .npz, cameras.json, nerfstudio, transforms.json, COLMAP."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openlyra.errors import InputError
from openlyra.geometry.camera import Trajectory
from openlyra.geometry.colmap_model import has_model
from openlyra.geometry.trajectory_colmap import read_colmap, write_colmap
from openlyra.geometry.trajectory_files import RawPath, finish, read_json
from openlyra.geometry.trajectory_lyra import read_lyra, write_lyra
from openlyra.geometry.trajectory_nerfstudio import (
    read_camera_path,
    read_transforms,
    write_camera_path,
    write_transforms,
)
from openlyra.geometry.trajectory_openlyra import FORMAT, read_openlyra, write_openlyra

WRITERS: dict[str, Callable[[Trajectory, Path], None]] = {
    "lyra": write_lyra,
    "openlyra": write_openlyra,
    "nerfstudio": write_camera_path,
    "transforms": write_transforms,
    "colmap": write_colmap,
}
"""Formats that can be written."""
_IN_FOLDERS = ("cameras.json", "cameras.npz", "trajectory.npz", "transforms.json", "camera_path.json")
_COLMAP_FOLDERS = (".", "sparse/0", "sparse", "colmap/sparse/0", "dense/sparse")


def read_trajectory(
    path: str | os.PathLike[str], height: int | None = None, width: int | None = None, pose_scale: float = 1.0
) -> Trajectory:
    """Read a camera path; what kind of file it is, the content says.

    If `height` and `width` are given, the result is for images of that size: intrinsics of a file that states its
    image size are rescaled, those of a file that does not are taken to be for it already. Without them, a file must
    state its size. `pose_scale` multiplies all camera centres (Lyra's own script uses 1.1). A folder may hold a
    COLMAP model or one of the usual file names. Raises InputError, naming the file and the frame, for anything
    that is not a path of valid cameras.
    """
    return finish(read_raw_path(path), Path(path), height, width, pose_scale)


def read_raw_path(path: str | os.PathLike[str]) -> RawPath:
    """A camera path as its file states it, lenses included, not yet checked: for who straightens the pictures."""
    given = Path(path)
    if not given.exists():
        raise InputError(f"{given}: no such file or folder")
    return _read(_in_folder(given) if given.is_dir() else given)


def write_trajectory(trajectory: Trajectory, path: str | os.PathLike[str], format: str | None = None) -> None:
    """Write a camera path, atomically and with equal bytes for equal paths.

    `format` is one of WRITERS; by default .npz is "lyra", transforms*.json "transforms", camera_path*.json
    "nerfstudio", any other .json "openlyra" and a name without a suffix the folder of a "colmap" model.
    """
    target = Path(path)
    chosen = format or _format_of(target)
    if chosen not in WRITERS:
        raise InputError(f"unknown camera path format '{chosen}'; available: {', '.join(WRITERS)}")
    trajectory.cameras.validate(f"trajectory '{trajectory.name}'")
    WRITERS[chosen](trajectory, target)


def _format_of(path: Path) -> str:
    name = path.name.lower()
    if name.endswith(".npz"):
        return "lyra"
    if name.endswith(".json"):
        if name.startswith("transforms"):
            return "transforms"
        return "nerfstudio" if name.startswith(("camera_path", "camera-path")) else "openlyra"
    if not path.suffix:
        return "colmap"
    raise InputError(
        f"{path}: cannot tell the camera path format from the name; use .npz, .json or a folder for COLMAP, or name "
        "the format"
    )


def _in_folder(folder: Path) -> Path:
    """The file, or the folder of the COLMAP model, that a given folder holds."""
    for name in _IN_FOLDERS:
        if (folder / name).is_file():
            return folder / name
    model = colmap_folder(folder)
    if model is not None:
        return model
    raise InputError(f"{folder}: holds no camera path ({', '.join(_IN_FOLDERS)}, or a COLMAP model)")


def colmap_folder(folder: Path) -> Path | None:
    """Where a COLMAP model lies in a folder, in the usual places."""
    return next((folder / place for place in _COLMAP_FOLDERS if has_model(folder / place)), None)


def _read(path: Path) -> RawPath:
    if path.is_dir():
        return read_colmap(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_lyra(path)
    if path.name in ("images.txt", "cameras.txt", "images.bin", "cameras.bin"):
        return read_colmap(path.parent)
    if suffix == ".json":
        return _read_json(path)
    raise InputError(
        f"{path}: not a camera path; .npz (Lyra), .json (OpenLyra, nerfstudio, transforms) or a COLMAP model is needed"
    )


def _read_json(path: Path) -> RawPath:
    content: Any = read_json(path)
    if isinstance(content, dict):
        if content.get("format") == FORMAT:
            return read_openlyra(content, path)
        if "camera_path" in content:
            return read_camera_path(content, path)
        if "frames" in content:
            return read_transforms(content, path)
    raise InputError(
        f"{path}: not a camera path (neither '{FORMAT}', nor a nerfstudio camera_path, nor transforms with frames)"
    )
