"""The path of a run: a preset fitted to what the photo shows, or a file brought to the photo's frame and crop."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.collision import limit_forward_motion
from openlyra.geometry.poses import invert
from openlyra.geometry.presets import measure_center_depth, preset, resolve_name
from openlyra.geometry.trajectory_io import read_trajectory
from openlyra.media.image import FittedPhoto
from openlyra.memory.frame import MemoryFrame

SAME_ASPECT = 0.02


@dataclass(frozen=True)
class PathRequest:
    """What the user asked for, with a file already read and checked."""

    name: str
    """Preset or file."""
    frames: int
    """Number of frames."""
    strength: float | None
    """Preset strength, or factor on the translations of a file."""
    photo_size: tuple[int, int]
    """(rows, columns) of the photo before fitting."""
    fitted: FittedPhoto
    """The photo at working size."""
    from_file: Trajectory | None = field(init=False)
    """The file's path in working pixels and the first camera's frame; None for a preset."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "from_file", None if is_preset(self.name) else self._read())

    def _read(self) -> Trajectory:
        read = read_trajectory(self.name)
        if len(read) < self.frames:
            raise InputError(
                f"{self.name}: has {len(read)} frames and --frames asks for {self.frames}; ask for at most that many"
            )
        read = read.head(self.frames)
        return replace(read, cameras=_in_first_frame(self._fit(read.cameras), self.strength or 1.0))

    def _fit(self, cameras: Camera) -> Camera:
        """Intrinsics follow the resize and crop that the photo went through."""
        height, width = self.fitted.image.shape[:2]
        if (cameras.height, cameras.width) == (height, width):
            return cameras
        rows, columns = self.photo_size
        stretch = (cameras.width / cameras.height) / (columns / rows)
        if abs(stretch - 1) > SAME_ASPECT:
            raise InputError(
                f"{self.name}: its intrinsics are for {cameras.height}x{cameras.width} pixels, which is neither the "
                f"photo's shape ({rows}x{columns}) nor --size {height}x{width}"
            )
        scaled = cameras.resized(round(rows * self.fitted.scale), round(columns * self.fitted.scale))
        return scaled.cropped(-self.fitted.top, -self.fitted.left, height, width)

    def focal(self) -> float | None:
        """Focal length in working pixels, if a file gives one."""
        return None if self.from_file is None else float(np.asarray(self.from_file[0].intrinsics)[0, 0])


def is_preset(name: str) -> bool:
    """Whether a path name is a preset rather than a file. Raises InputError when it is neither."""
    try:
        resolve_name(name)
    except InputError:
        if not Path(name).exists():
            raise
        return False
    return True


def _in_first_frame(cameras: Camera, scale: float) -> Camera:
    """Poses relative to the first camera, translations times ``scale``."""
    poses = invert(cameras.world_from_camera[0]) @ cameras.world_from_camera
    poses[..., :3, 3] *= scale
    return replace(cameras, world_from_camera=poses)


def plan_path(request: PathRequest, photo: MemoryFrame) -> Trajectory:
    """The cameras of a run. Presets are held back where they would run into something; a file is followed as it is.

    Args:
        photo: the photo's depth and camera.
    """
    if request.from_file is not None:
        return request.from_file
    usable = photo.valid & ~photo.sky
    center = measure_center_depth(photo.depth, usable if usable.any() else photo.valid)
    path = preset(request.name, request.frames, photo.camera, center, request.strength)
    return limit_forward_motion(path, photo.depth, photo.valid, photo.camera)
