"""OpenLyra's own `cameras.json`: the path as a person would write it down.

    {"format": "openlyra-cameras", "version": 1, "axes": "...", "width": 832, "height": 480, "fps": 16.0, "name":
    "walk", "frames": [{"world_from_camera": [[4 numbers] x 4], "intrinsics": [[3 numbers] x 3]}, ...]}

"intrinsics" may stand once at the top instead of in every frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.camera import Trajectory
from openlyra.geometry.trajectory_files import RawPath, as_matrix, as_number, as_side, write_json

FORMAT = "openlyra-cameras"
VERSION = 1
AXES = "OpenCV: x right, y down, z forward; world_from_camera takes camera points to the world; pixel centres at +0.5"


def read_openlyra(content: dict[str, Any], path: Path) -> RawPath:
    """Parse the content of a cameras.json."""
    if content.get("version") != VERSION:
        raise InputError(
            f"{path}: version {content.get('version')!r} of {FORMAT} cannot be read; this program knows {VERSION}"
        )
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise InputError(f"{path}: 'frames' must be a list of at least one camera")
    size = tuple(as_side(content[key], f"{path}: {key}") for key in ("height", "width") if key in content)
    if len(size) == 1:
        raise InputError(f"{path}: states only one of height and width; both are needed, or neither")
    poses = [
        as_matrix(f.get("world_from_camera"), ((4, 4),), f"{path}: frame {i}: world_from_camera")
        for i, f in enumerate(frames)
    ]
    shared = content.get("intrinsics")
    intrinsics = [
        as_matrix(f.get("intrinsics", shared), ((3, 3),), f"{path}: frame {i}: intrinsics")
        for i, f in enumerate(frames)
    ]
    return RawPath(
        np.stack(poses),
        np.stack(intrinsics),
        (size[0], size[1]) if size else None,
        as_number(content.get("fps", 16.0), f"{path}: fps"),
        str(content["name"]) if content.get("name") else None,
    )


def write_openlyra(trajectory: Trajectory, path: Path) -> None:
    """Numbers are written in full, so reading gives back exactly the same path."""
    cameras = trajectory.cameras.numpy()
    shared = bool((cameras.intrinsics == cameras.intrinsics[0]).all())
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "axes": AXES,
        "width": cameras.width,
        "height": cameras.height,
        "fps": float(trajectory.fps),
        "name": trajectory.name,
    }
    if shared:
        content["intrinsics"] = cameras.intrinsics[0].tolist()
    content["frames"] = [
        {"world_from_camera": camera.world_from_camera.tolist()}
        | ({} if shared else {"intrinsics": camera.intrinsics.tolist()})
        for camera in cameras
    ]
    write_json(path, content)
