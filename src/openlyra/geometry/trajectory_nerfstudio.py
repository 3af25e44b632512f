"""nerfstudio's camera path JSON, and the transforms.json of nerfstudio and instant-ngp.

Both store camera-to-world matrices in OpenGL axes (y up, looking along -z).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.camera import Trajectory
from openlyra.geometry.lens import Lens
from openlyra.geometry.trajectory_files import (
    OPENGL_FROM_OPENCV,
    RawPath,
    as_matrix,
    as_number,
    as_side,
    pinhole,
    write_json,
)

_UNREAD = ("k5", "k6")
_PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
_FISHEYES = ("OPENCV_FISHEYE", "FISHEYE")


def read_camera_path(content: dict[str, Any], path: Path) -> RawPath:
    """A path exported by nerfstudio's viewer: a vertical field of view in degrees and a matrix for each frame."""
    kind = content.get("camera_type", "perspective")
    if kind != "perspective":
        raise InputError(f"{path}: camera_type is '{kind}'; only perspective camera paths can be read")
    frames = _frames(content, "camera_path", path)
    height = as_side(content.get("render_height"), f"{path}: render_height")
    width = as_side(content.get("render_width"), f"{path}: render_width")
    poses, intrinsics = [], []
    for index, frame in enumerate(frames):
        what = f"{path}: frame {index}"
        poses.append(_pose(frame.get("camera_to_world"), f"{what}: camera_to_world"))
        fov = as_number(frame.get("fov"), f"{what}: fov")
        if not 0 < fov < 180:
            raise InputError(f"{what}: fov is {fov:g}; it must lie between 0 and 180 degrees")
        focal = 0.5 * height / math.tan(math.radians(fov) / 2.0)
        intrinsics.append(pinhole(focal, focal, width / 2.0, height / 2.0))
    fps = as_number(content.get("fps", 24.0), f"{path}: fps")
    return RawPath(np.stack(poses), np.stack(intrinsics), (height, width), fps)


def read_transforms(content: dict[str, Any], path: Path) -> RawPath:
    """The cameras of a data set, in the order of the file."""
    frames = _frames(content, "frames", path)
    poses, intrinsics, sizes, lenses = [], [], set(), []
    for index, frame in enumerate(frames):
        what = f"{path}: frame {index}"
        fields = {**content, **frame}
        lenses.append(_lens(fields, what))
        poses.append(_pose(frame.get("transform_matrix"), f"{what}: transform_matrix"))
        size = _transforms_size(fields, what)
        sizes.add(size)
        intrinsics.append(_transforms_intrinsics(fields, size, what))
    if len(sizes) > 1:
        raise InputError(f"{path}: frames have different image sizes {sorted(map(str, sizes))[:4]}; one size is needed")
    return RawPath(np.stack(poses), np.stack(intrinsics), sizes.pop(), lenses=tuple(lenses))


def write_camera_path(trajectory: Trajectory, path: Path) -> None:
    """A path that nerfstudio's viewer and `ns-render camera-path` take. It has room for a field of view only."""
    cameras = trajectory.cameras.numpy()
    k, half = cameras.intrinsics, np.array([cameras.width, cameras.height]) / 2.0
    uneven = np.abs(k[:, 0, 0] / k[:, 1, 1] - 1.0) > 1e-3
    shifted = np.abs(k[:, :2, 2] / half - 1.0).max(-1) > 1e-3
    if (uneven | shifted).any():
        frame = int(np.argmax(uneven | shifted))
        raise InputError(
            f"{path}: frame {frame} has non-square pixels or an off-centre principal point, which a nerfstudio camera "
            "path cannot hold; write transforms.json or cameras.json"
        )
    fov = np.degrees(2.0 * np.arctan(cameras.height / (2.0 * k[:, 1, 1])))
    poses = cameras.world_from_camera @ OPENGL_FROM_OPENCV
    content = {
        "camera_type": "perspective",
        "render_height": cameras.height,
        "render_width": cameras.width,
        "fps": float(trajectory.fps),
        "seconds": len(trajectory) / float(trajectory.fps),
        "is_cycle": False,
        "smoothness_value": 0.0,
        "keyframes": [],
        "camera_path": [
            {
                "camera_to_world": (pose + 0.0).ravel().tolist(),
                "fov": float(angle),
                "aspect": cameras.width / cameras.height,
            }
            for pose, angle in zip(poses, fov, strict=True)
        ],
    }
    write_json(path, content)


def write_transforms(trajectory: Trajectory, path: Path, image_pattern: str = "images/{:05d}.png") -> None:
    """A transforms.json whose frames name the images `image_pattern`.format(frame number)."""
    cameras = trajectory.cameras.numpy()
    poses = cameras.world_from_camera @ OPENGL_FROM_OPENCV
    shared = bool((cameras.intrinsics == cameras.intrinsics[0]).all())
    content: dict[str, Any] = {"camera_model": "PINHOLE", "w": cameras.width, "h": cameras.height}
    if shared:
        content |= _named(cameras.intrinsics[0])
    content["frames"] = [
        {"file_path": image_pattern.format(index), "transform_matrix": (pose + 0.0).tolist()}
        | ({} if shared else _named(matrix))
        for index, (pose, matrix) in enumerate(zip(poses, cameras.intrinsics, strict=True))
    ]
    write_json(path, content)


def _named(matrix: np.ndarray) -> dict[str, float]:
    return {
        "fl_x": float(matrix[0, 0]),
        "fl_y": float(matrix[1, 1]),
        "cx": float(matrix[0, 2]),
        "cy": float(matrix[1, 2]),
    }


def _frames(content: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    frames = content.get(key)
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise InputError(f"{path}: '{key}' must be a list of at least one camera")
    return frames


def _pose(value: Any, what: str) -> np.ndarray:
    matrix = as_matrix(value, ((16,), (4, 4), (3, 4)), what)
    if matrix.shape == (3, 4):
        matrix = np.vstack([matrix, [0.0, 0.0, 0.0, 1.0]])
    return matrix.reshape(4, 4) @ OPENGL_FROM_OPENCV


def _lens(fields: dict[str, Any], what: str) -> Lens:
    """k1 to k4 of the even powers of the radius (of the angle for a fisheye), p1 and p2."""
    model = str(fields.get("camera_model", "OPENCV")).upper()
    fisheye = model in _FISHEYES or fields.get("is_fisheye") is True
    if model not in _PINHOLES and not fisheye:
        raise InputError(f"{what}: camera_model {model} is not supported; undistort the images to PINHOLE first")

    def number(key: str) -> float:
        return as_number(fields[key], f"{what}: {key}") if fields.get(key) is not None else 0.0

    unread = [key for key in _UNREAD if number(key) != 0.0]
    if unread:
        raise InputError(f"{what}: lens distortion {unread[0]} = {fields[unread[0]]:g} is not supported")
    radial = (number("k1"), number("k2"), number("k3"), number("k4"))
    return Lens(radial, (0.0, 0.0) if fisheye else (number("p1"), number("p2")), (), fisheye)


def _transforms_size(fields: dict[str, Any], what: str) -> tuple[int, int] | None:
    if "w" in fields and "h" in fields:
        return as_side(fields["h"], f"{what}: h"), as_side(fields["w"], f"{what}: w")
    return None


def _transforms_intrinsics(fields: dict[str, Any], size: tuple[int, int] | None, what: str) -> np.ndarray:
    def optional(key: str) -> float | None:
        return as_number(fields[key], f"{what}: {key}") if key in fields else None

    fx, fy = optional("fl_x"), optional("fl_y")
    if fx is None and size is not None and (angle := optional("camera_angle_x")) is not None:
        fx = 0.5 * size[1] / math.tan(_opening(angle, f"{what}: camera_angle_x") / 2.0)
    if fy is None and size is not None and (angle := optional("camera_angle_y")) is not None:
        fy = 0.5 * size[0] / math.tan(_opening(angle, f"{what}: camera_angle_y") / 2.0)
    focal_x, focal_y = fx if fx is not None else fy, fy if fy is not None else fx
    if focal_x is None or focal_y is None:
        raise InputError(f"{what}: no focal length; fl_x, or camera_angle_x together with w and h, is needed")
    cx, cy = optional("cx"), optional("cy")
    if (cx is None or cy is None) and size is None:
        raise InputError(f"{what}: neither an image size (w, h) nor a principal point (cx, cy) is stated")
    if cx is None or cy is None:
        assert size is not None
        cx, cy = cx if cx is not None else size[1] / 2.0, cy if cy is not None else size[0] / 2.0
    return pinhole(focal_x, focal_y, cx, cy)


def _opening(angle: float, what: str) -> float:
    if not 0 < angle < math.pi:
        raise InputError(f"{what} is {angle:g}; it must lie between 0 and pi radians")
    return angle
