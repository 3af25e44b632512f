"""Pinhole cameras and camera paths, batched over any leading shape, for NumPy and torch alike.

Axes are OpenCV's (x right, y down, z forward); the centre of pixel (row i, column j) is (j + 0.5, i + 0.5); depth is
z-depth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, overload

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.arrays import Array, as_float, broadcast, is_torch, like, namespace, stack, to_numpy, transpose
from openlyra.geometry.poses import invert

ORTHONORMAL_TOLERANCE = 1e-3
"""Largest entry of |R Rᵀ - 1| a rotation may have; single-precision files stay well below."""
MAX_SIDE = 65536
"""Largest image side in pixels that a camera may claim."""


@dataclass(frozen=True, eq=False)
class Camera:
    """One camera or a batch of cameras that share an image size.

    NumPy input becomes float64; tensors keep their type. `intrinsics` may have fewer leading axes than
    `world_from_camera` (or the other way round): the batch shapes are broadcast.
    """

    world_from_camera: Array
    """(..., 4, 4) rigid camera-to-world transforms."""
    intrinsics: Array
    """(..., 3, 3) in pixels of a (height, width) image, without skew."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""

    def __post_init__(self) -> None:
        pose, intrinsics = as_float(self.world_from_camera), as_float(self.intrinsics)
        if pose.shape[-2:] != (4, 4) or intrinsics.shape[-2:] != (3, 3):
            raise InputError(
                "a camera needs world_from_camera (..., 4, 4) and intrinsics (..., 3, 3), "
                f"not {tuple(pose.shape)} and {tuple(intrinsics.shape)}"
            )
        if is_torch(pose) != is_torch(intrinsics):
            pose, intrinsics = (
                (like(pose, intrinsics), intrinsics) if is_torch(intrinsics) else (pose, like(intrinsics, pose))
            )
        if pose.shape[:-2] != intrinsics.shape[:-2]:
            batch = np.broadcast_shapes(tuple(pose.shape[:-2]), tuple(intrinsics.shape[:-2]))
            pose, intrinsics = broadcast(pose, (*batch, 4, 4)), broadcast(intrinsics, (*batch, 3, 3))
        object.__setattr__(self, "world_from_camera", pose)
        object.__setattr__(self, "intrinsics", intrinsics)
        object.__setattr__(self, "width", int(self.width))
        object.__setattr__(self, "height", int(self.height))

    @staticmethod
    def stacked(cameras: Sequence[Camera]) -> Camera:
        """(N,) single cameras of one size as a batch, NumPy."""
        poses = np.stack([np.asarray(camera.world_from_camera) for camera in cameras])
        lenses = np.stack([np.asarray(camera.intrinsics) for camera in cameras])
        return Camera(poses, lenses, cameras[0].width, cameras[0].height)

    @staticmethod
    def from_fov(
        height: int, width: int, vertical_fov_radians: float, world_from_camera: Array | None = None
    ) -> Camera:
        """Square pixels, principal point in the middle; at the world origin unless told."""
        focal = height / (2.0 * math.tan(vertical_fov_radians / 2.0))
        intrinsics = np.array([[focal, 0.0, width / 2.0], [0.0, focal, height / 2.0], [0.0, 0.0, 1.0]])
        return Camera(np.eye(4) if world_from_camera is None else world_from_camera, intrinsics, width, height)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading axes; () for a single camera."""
        return tuple(self.world_from_camera.shape[:-2])

    @property
    def camera_from_world(self) -> Array:
        """(..., 4, 4), the rigid inverse."""
        return invert(self.world_from_camera)

    @property
    def center(self) -> Array:
        """(..., 3) camera centres in the world."""
        return self.world_from_camera[..., :3, 3]

    @property
    def forward(self) -> Array:
        """(..., 3) unit viewing directions in the world."""
        return self.world_from_camera[..., :3, 2]

    @property
    def vertical_fov(self) -> Array:
        """(...) full vertical field of view in radians."""
        xp = namespace(self.intrinsics)
        return 2.0 * xp.arctan(self.height / (2.0 * self.intrinsics[..., 1, 1]))

    def __len__(self) -> int:
        if not self.batch_shape:
            raise TypeError("a single camera has no length")
        return self.batch_shape[0]

    def __bool__(self) -> bool:
        """A camera is always true, so that `camera or default` works for single cameras, which have no length."""
        return True

    def __getitem__(self, index: Any) -> Camera:
        """Cameras picked along the first batch axis (an int, a slice or an index array)."""
        if not self.batch_shape:
            raise TypeError("a single camera cannot be indexed")
        return replace(self, world_from_camera=self.world_from_camera[index], intrinsics=self.intrinsics[index])

    def __iter__(self) -> Iterator[Camera]:
        return (self[index] for index in range(len(self)))

    def resized(self, height: int, width: int) -> Camera:
        """The same cameras for the image rescaled to (height, width), each axis by its own factor."""
        scale = like([width / self.width, height / self.height, 1.0], self.intrinsics)
        return replace(self, intrinsics=self.intrinsics * scale[:, None], width=width, height=height)

    def cropped(self, top: float, left: float, height: int, width: int) -> Camera:
        """The same cameras for the window that starts at (top, left); negative values mean padding."""
        shift = like([[0.0, 0.0, left], [0.0, 0.0, top], [0.0, 0.0, 0.0]], self.intrinsics)
        return replace(self, intrinsics=self.intrinsics - shift, width=width, height=height)

    def camera_rays(self) -> Array:
        """(..., H, W, 3) rays through the pixel centres in camera axes, scaled to z = 1 (z-depth * ray = point)."""
        columns = like(np.arange(self.width) + 0.5, self.intrinsics)
        rows = like(np.arange(self.height) + 0.5, self.intrinsics)
        per_camera = self.intrinsics[..., None, None, :, :]
        x = (columns[None, :] - per_camera[..., 0, 2]) / per_camera[..., 0, 0]
        y = (rows[:, None] - per_camera[..., 1, 2]) / per_camera[..., 1, 1]
        shape = (*self.batch_shape, self.height, self.width)
        return stack([broadcast(x, shape), broadcast(y, shape), namespace(x).ones_like(broadcast(x, shape))])

    def rays(self) -> tuple[Array, Array]:
        """Origins and unit directions in the world, both (..., H, W, 3), through the pixel centres."""
        local = self.camera_rays()
        directions = local @ transpose(self._rotation_per_row())
        directions = directions / (directions * directions).sum(-1)[..., None] ** 0.5
        origins = broadcast(self.center[..., None, None, :], tuple(directions.shape))
        return origins, directions

    def unproject(self, depth: Array) -> Array:
        """World points (..., H, W, 3) of a z-depth map (..., H, W), in the type of the camera.

        The batch shape of the depth is broadcast against the camera's.
        """
        depth = like(depth, self.intrinsics)
        if tuple(depth.shape[-2:]) != (self.height, self.width):
            raise InputError(f"depth is {tuple(depth.shape[-2:])}, the camera's image is {(self.height, self.width)}")
        local = self.camera_rays() * depth[..., None]
        return local @ transpose(self._rotation_per_row()) + self.center[..., None, None, :]

    def project(self, points_world: Array) -> tuple[Array, Array]:
        """Pixels (..., N, 2) and z-depths (..., N) of world points (..., N, 3).

        Pixels are meaningful where z > 0; points at z = 0 get finite but huge values, so nothing divides by zero.
        """
        points_world = like(points_world, self.intrinsics)
        rotation = self.world_from_camera[..., :3, :3]
        local = (points_world - self.center[..., None, :]) @ rotation
        z = local[..., 2]
        xp = namespace(z)
        safe = xp.where(abs(z) < 1e-12, xp.full_like(z, 1e-12), z)
        k = self.intrinsics[..., None, :, :]
        u = k[..., 0, 0] * local[..., 0] / safe + k[..., 0, 2]
        v = k[..., 1, 1] * local[..., 1] / safe + k[..., 1, 2]
        return stack([u, v]), z

    def numpy(self) -> Camera:
        """The same cameras as NumPy float64."""
        return replace(self, world_from_camera=to_numpy(self.world_from_camera), intrinsics=to_numpy(self.intrinsics))

    def torch(self, dtype: Any = None, device: Any = None) -> Camera:
        """The same cameras as torch tensors; float64 unless told."""
        import torch

        def convert(value: Array) -> Array:
            copied = value if is_torch(value) else torch.from_numpy(np.array(value))
            return copied.to(dtype=dtype, device=device)

        return replace(self, world_from_camera=convert(self.world_from_camera), intrinsics=convert(self.intrinsics))

    def validate(self, what: str) -> None:
        """Raise an InputError naming `what` and the first bad frame, unless all poses and intrinsics are usable."""
        if not (0 < self.width <= MAX_SIDE and 0 < self.height <= MAX_SIDE):
            raise InputError(
                f"{what}: image size {self.width}x{self.height} is not usable; sides must be 1 to {MAX_SIDE} pixels"
            )
        poses = to_numpy(self.world_from_camera).astype(np.float64).reshape(-1, 4, 4)
        intrinsics = to_numpy(self.intrinsics).astype(np.float64).reshape(-1, 3, 3)
        for bad, problem in chain(_pose_problems(poses), _intrinsics_problems(intrinsics)):
            if bad.any():
                frame = int(np.argmax(bad))
                where = f"frame {frame}: " if self.batch_shape else ""
                raise InputError(f"{what}: {where}{problem}")

    def _rotation_per_row(self) -> Array:
        """(..., 1, 3, 3): one rotation for all rows of an image."""
        return self.world_from_camera[..., None, :3, :3]


def _pose_problems(poses: np.ndarray) -> Iterator[tuple[Array, str]]:
    """Pairs of (which of the (N, 4, 4) poses are bad, why), checked in this order."""
    yield ~np.isfinite(poses).all((1, 2)), "the pose holds NaN or infinity; 4x4 finite numbers are needed"
    yield (np.abs(poses[:, 3] - [0, 0, 0, 1]) > 1e-4).any(-1), "the last row of the pose is not 0 0 0 1"
    rotation = poses[:, :3, :3]
    error = np.abs(rotation @ rotation.swapaxes(1, 2) - np.eye(3)).max((1, 2))
    worst = f"(largest error {error.max(initial=0.0):.2g}, at most {ORTHONORMAL_TOLERANCE:g})"
    yield error > ORTHONORMAL_TOLERANCE, f"the rotation of the pose is not orthonormal {worst}"
    yield np.linalg.det(rotation) < 0, "the rotation of the pose mirrors (its determinant is negative)"


def _intrinsics_problems(intrinsics: np.ndarray) -> Iterator[tuple[Array, str]]:
    """Pairs of (which of the (N, 3, 3) matrices are bad, why), checked in this order."""
    yield ~np.isfinite(intrinsics).all((1, 2)), "the intrinsics hold NaN or infinity; 3x3 finite numbers are needed"
    focal = np.stack([intrinsics[:, 0, 0], intrinsics[:, 1, 1]], -1)
    yield (focal <= 0).any(-1), "a focal length is not positive"
    yield np.abs(intrinsics[:, 2] - [0, 0, 1]).max(-1) > 1e-6, "the last row of the intrinsics is not 0 0 1"
    skew = np.abs(intrinsics[:, [0, 1], [1, 0]]).max(-1)
    yield skew > 1e-3 * focal.min(-1), "the intrinsics are skewed; only pinhole cameras without skew are supported"


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A camera path: F cameras and the rate at which they are meant to be shown."""

    cameras: Camera
    """Batch shape (F,)."""
    fps: float = 16.0
    """Frames a second."""
    name: str = "path"

    def __post_init__(self) -> None:
        if len(self.cameras.batch_shape) != 1 or len(self.cameras) == 0:
            raise InputError(
                f"a trajectory needs at least one camera in one row, not batch shape {self.cameras.batch_shape}"
            )

    def __len__(self) -> int:
        return len(self.cameras)

    @overload
    def __getitem__(self, index: int) -> Camera: ...
    @overload
    def __getitem__(self, index: slice) -> Trajectory: ...
    def __getitem__(self, index: int | slice) -> Camera | Trajectory:
        """A camera for an int, a shorter trajectory for a slice."""
        if isinstance(index, slice):
            return replace(self, cameras=self.cameras[index])
        return self.cameras[index]

    def __iter__(self) -> Iterator[Camera]:
        return iter(self.cameras)

    def resized(self, height: int, width: int) -> Trajectory:
        """The same path for images of another size."""
        return replace(self, cameras=self.cameras.resized(height, width))

    def head(self, frames: int) -> Trajectory:
        """The first `frames` cameras; an InputError naming both counts if there are not so many."""
        if not 1 <= frames <= len(self):
            raise InputError(f"trajectory '{self.name}' has {len(self)} frames; {frames} were asked for")
        return self[:frames]
