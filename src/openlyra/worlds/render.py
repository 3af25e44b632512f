"""Look at a world: colour with exact truth, and answers to what a ray hits and what is visible from where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.worlds.draw import color_pass, gather_pass, outline_pass, spread_pass, sun_pass, truth_pass
from openlyra.worlds.kernels import INFINITY, OPTIONS
from openlyra.worlds.packed import FACES, GROUND, NO_HIT, WATER, Packed, pack_world
from openlyra.worlds.shapes import CURVED
from openlyra.worlds.spread import grid_shape
from openlyra.worlds.trace import STACK, nearest, normal_at
from openlyra.worlds.types import World

MAX_PIXELS = 64_000_000


@dataclass(frozen=True, eq=False)
class Truth:
    """What a camera sees, exactly, at the pixel centres."""

    depth: NDArray[np.float32]
    """(H, W) z-depth in metres; FAR_SKY where there is sky."""
    normal: NDArray[np.float32]
    """(H, W, 3) unit normals in camera axes, towards the camera; 0 in the sky."""
    sky: NDArray[np.bool_]
    """(H, W)."""
    plane: NDArray[np.int32]
    """(H, W) one number a flat face, 0 for curved surfaces and sky."""
    primitive: NDArray[np.int32]
    """(H, W) index into `World.primitives`; -1 sky, -2 ground, -3 water, -4 terrain."""


class Scene:
    """A world made ready for rays. Cheap to make, and reused for all frames of a video."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.packed: Packed = pack_world(world)

    def truth(self, camera: Camera) -> Truth:
        """Depth, normals, sky and planes for one camera. Raises InputError for an unusable one."""
        return self._truth(camera)[0]

    def draw(self, camera: Camera, rays: int = 4, samples: int = 3) -> tuple[NDArray[np.float32], Truth]:
        """Linear light (H, W, 3) float32, open-ended above 1, and the truth.

        `rays` gather light at every fourth pixel; `samples` are added on outlines (0 for none).
        """
        if rays < 1 or samples < 0:
            raise InputError(f"rays {rays} must be at least 1, samples {samples} at least 0")
        truth, packed_camera, depth, what, face, normal = self._truth(camera)
        height, width = depth.shape
        grid, light = np.zeros(grid_shape(height, width), np.float32), np.zeros((height, width, 3), np.float32)
        rgb, sun = np.zeros((height, width, 3)), np.zeros((height, width))
        gather_pass(self.packed, packed_camera, depth, what, normal, rays, grid)
        spread_pass(self.packed, packed_camera, depth, what, normal, grid, light)
        sun_pass(self.packed, packed_camera, depth, what, normal, sun)
        color_pass(self.packed, packed_camera, depth, what, face, normal, light, sun, rgb)
        if samples > 0:
            outline_pass(self.packed, packed_camera, depth, what, face, sun, light, samples, rgb)
        return rgb.astype(np.float32), truth

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First hits of rays: distance (N,) in metres (inf: none), primitive (N,) int32 as in `Truth`, normal (N, 3).

        `origins` (N, 3) or (3,), `directions` (N, 3) of any length but zero.
        """
        directions = np.asarray(directions, np.float64).reshape(-1, 3)
        length = np.linalg.norm(directions, axis=1)
        if not np.isfinite(directions).all() or (length == 0).any():
            raise InputError("cast: directions must be finite and not zero")
        origins = np.broadcast_to(np.asarray(origins, np.float64).reshape(-1, 3), directions.shape)
        distance, normal = np.zeros(len(directions)), np.zeros((len(directions), 3))
        primitive = np.zeros(len(directions), np.int32)
        rays = np.ascontiguousarray(np.concatenate([origins, directions / length[:, None]], 1))
        _cast(self.packed, rays, distance, primitive, normal)
        distance[primitive == NO_HIT] = np.inf
        return distance, primitive, normal

    def visible(self, points: np.ndarray, from_: np.ndarray, tolerance: float = 1e-3) -> NDArray[np.bool_]:
        """Which points (N, 3) can be seen from `from_` (3,) or (N, 3): nothing lies nearer by more than `tolerance`.

        `tolerance` is metres, or that share of the distance where it is larger.
        """
        points = np.asarray(points, np.float64).reshape(-1, 3)
        starts = np.broadcast_to(np.asarray(from_, np.float64).reshape(-1, 3), points.shape)
        free = np.zeros(len(points), np.bool_)
        _visible(self.packed, np.ascontiguousarray(starts), points, tolerance, free)
        return free

    def _truth(self, camera: Camera) -> tuple[Truth, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        camera = camera.numpy()
        if camera.batch_shape:
            raise InputError(f"one camera is drawn at a time, not batch shape {camera.batch_shape}")
        if camera.width * camera.height > MAX_PIXELS:
            raise InputError(f"an image of {camera.width}x{camera.height} is more than 64 million pixels")
        camera.validate("camera")
        packed_camera = pack_camera(camera)
        size = (camera.height, camera.width)
        depth, normal = np.zeros(size), np.zeros((*size, 3))
        what, face = np.zeros(size, np.int64), np.zeros(size, np.int64)
        truth_pass(self.packed, packed_camera, depth, what, face, normal)
        plane = np.where((face >= 0) & (face < CURVED), what * FACES + face + 1, 0)
        count = len(self.packed.primitives)
        plane[what == GROUND], plane[what == WATER] = count * FACES + 1, count * FACES + 2
        local = (normal @ camera.world_from_camera[:3, :3]).astype(np.float32)
        truth = Truth(depth.astype(np.float32), local, what == NO_HIT, plane.astype(np.int32), what.astype(np.int32))
        return truth, packed_camera, depth, what, face, normal


def pack_camera(camera: Camera) -> np.ndarray:
    """(16,) float64: the upper three rows of world_from_camera, then fx, fy, cx, cy."""
    k = np.asarray(camera.intrinsics, np.float64)
    pinhole = [k[0, 0], k[1, 1], k[0, 2], k[1, 2]]
    return np.concatenate([np.asarray(camera.world_from_camera, np.float64)[:3].ravel(), pinhole])


@njit(**OPTIONS)
def _cast(world, rays, distance, primitive, normal):  # type: ignore[no-untyped-def]
    stack = np.zeros(STACK, np.int64)
    for i in range(rays.shape[0]):
        ox, oy, oz, dx, dy, dz = rays[i]
        t, what, face = nearest(world, stack, ox, oy, oz, dx, dy, dz, 1e-6, INFINITY)
        distance[i], primitive[i] = t, what
        if what != NO_HIT:
            a, b, c = normal_at(world, what, face, ox + t * dx, oy + t * dy, oz + t * dz, dx, dy, dz)
            normal[i, 0], normal[i, 1], normal[i, 2] = a, b, c


@njit(**OPTIONS)
def _visible(world, starts, points, tolerance, free):  # type: ignore[no-untyped-def]
    stack = np.zeros(STACK, np.int64)
    for i in range(points.shape[0]):
        ox, oy, oz = starts[i]
        dx, dy, dz = points[i, 0] - ox, points[i, 1] - oy, points[i, 2] - oz
        length = (dx * dx + dy * dy + dz * dz) ** 0.5
        if length <= tolerance:
            free[i] = True
            continue
        stop = 1.0 - max(tolerance / length, tolerance)
        t, _, _ = nearest(world, stack, ox, oy, oz, dx, dy, dz, 1e-9, stop)
        free[i] = t >= stop


def visible(world: World | Scene, points: np.ndarray, from_: np.ndarray, tolerance: float = 1e-3) -> NDArray[np.bool_]:
    """Which points can be seen from `from_`; see `Scene.visible`."""
    scene = world if isinstance(world, Scene) else Scene(world)
    return scene.visible(points, from_, tolerance)
