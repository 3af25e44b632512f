"""Depth of many views fused into one field: distance to the surface in a sparse grid of blocks.

Truncated signed distances after Curless and Levoy, "A volumetric method for building complex models from range images"
(SIGGRAPH 1996), in blocks near surfaces only, after Niessner et al., "Real-time 3D reconstruction at scale using voxel
hashing" (2013). Distances are those to the tangent plane of what a pixel sees, so that ground seen at a grazing angle
gets as thick a layer as walls seen face on. The truncation grows with depth, as its error does. A depth weighs as the
inverse of its square.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from openlyra.errors import InputError
from openlyra.gaussians.mesh_types import DepthView

BLOCK = 8
"""Voxels a side of a block."""
MAX_BLOCKS = 40_000
"""About 12 KB each, so half a gigabyte in all."""
MIN_TRUNCATION = 3.0
"""In voxels."""
LEAST_FACING = 0.02
"""Sine of the flattest angle between a ray and a surface that is told from flatter ones."""
_AXIS = 1 << 20


@dataclass(eq=False)
class Grid:
    """Fused views. Voxel (i, j, k) of block b lies at voxel * (BLOCK * blocks[b] + (i, j, k)) in the world."""

    voxel: float
    """Side of a voxel in scene units."""
    error: float
    """Expected error of depths, as a part of the depth: half of the truncation where that is above the least."""
    blocks: np.ndarray
    """(B, 3) int64 places of the blocks, in the order of `block_keys`."""
    distance: np.ndarray
    """(B, 8, 8, 8) float32 in units of the truncation, -1 to 1; positive in front of the surface."""
    weight: np.ndarray
    """(B, 8, 8, 8) float32; 0 where nothing was observed."""
    color: np.ndarray
    """(B, 8, 8, 8, 4) float32: weighted sum of RGB in [0, 1], and the sum of the weights."""


def block_keys(blocks: np.ndarray) -> np.ndarray:
    """(B,) int64 for whole block places (B, 3): equal only for equal places."""
    shifted = np.asarray(blocks, np.int64) + _AXIS // 2
    return (shifted[:, 0] * _AXIS + shifted[:, 1]) * _AXIS + shifted[:, 2]


def fuse(views: Sequence[DepthView], voxel: float, error: float) -> Grid:
    """The field of all views. InputError if it takes more than MAX_BLOCKS blocks, or there is no surface."""
    grid = allocate(views, voxel, error)
    for view in views:
        integrate(grid, view)
    return grid


def allocate(views: Sequence[DepthView], voxel: float, error: float) -> Grid:
    """An empty grid with the blocks that lie within the truncation of any usable depth."""
    keys = np.zeros(0, np.int64)
    for view in views:
        keys = np.union1d(keys, _blocks_of(view, voxel, error))
        if len(keys) > MAX_BLOCKS:
            raise InputError(f"voxels of {voxel:.4g} are too small: more than {MAX_BLOCKS} blocks of 8x8x8 are needed")
    if not len(keys):
        raise InputError("there is no surface in any view within the largest depth")
    blocks = np.stack([keys // _AXIS**2, keys // _AXIS % _AXIS, keys % _AXIS], 1) - _AXIS // 2
    side = (len(keys), BLOCK, BLOCK, BLOCK)
    zeros = np.zeros(side, np.float32)
    return Grid(voxel, error, blocks, zeros, zeros.copy(), np.zeros((*side, 4), np.float32))


def _blocks_of(view: DepthView, voxel: float, error: float) -> np.ndarray:
    """Sorted keys of the blocks within the truncation of the usable depths of a view."""
    normal, facing = tangent_planes(view)
    depth = view.depth.astype(np.float64)
    local = view.camera.camera_rays() * depth[..., None]
    truncation = np.maximum(MIN_TRUNCATION * voxel, 2 * error * depth * facing)
    side = BLOCK * voxel
    parts = np.linspace(-1, 1, 1 + max(2, int(np.ceil(4 * truncation[view.usable].max(initial=0) / side))))
    keys = [np.zeros(0, np.int64)]
    for points, reach in _close_together(local, normal * truncation[..., None], view, side):
        pose = view.camera.world_from_camera
        places, reach = (points @ pose[:3, :3].T + pose[:3, 3]) / voxel, reach @ pose[:3, :3].T / voxel
        if places.size and np.abs(places).max() >= BLOCK * (_AXIS // 2 - 2):
            far = voxel * np.abs(places).max()
            raise InputError(f"voxels of {voxel:.4g} are too small for a scene that reaches {far:.4g}")
        keys += [_around(places + part * reach) for part in parts]
    return np.unique(np.concatenate(keys))


def _around(places: np.ndarray) -> np.ndarray:
    """Keys of the blocks within a voxel of points (N, 3) in voxels."""
    own = block_keys(np.floor(places / BLOCK))
    found = [np.unique(own)]
    for corner in np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(-1, 3):
        keys = block_keys(np.floor((places + corner) / BLOCK))
        found.append(np.unique(keys[keys != own]))
    return np.concatenate(found)


def _close_together(
    points: np.ndarray, reach: np.ndarray, view: DepthView, side: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Usable points (N, 3) of a map (H, W, 3), and more between usable neighbours (outlines are not) that are farther
    apart than half of `side`; with `reach` (H, W, 3) likewise."""
    yield points[view.usable], reach[view.usable]
    for axis in (0, 1):
        low, high = range(view.depth.shape[axis] - 1), range(1, view.depth.shape[axis])
        first, second = np.take(points, low, axis), np.take(points, high, axis)
        joined = np.take(view.usable, low, axis) & np.take(view.usable, high, axis)
        count = np.where(joined, np.ceil(2 * np.linalg.norm(second - first, axis=-1) / side), 0)
        reached = np.take(reach, low, axis)
        for step in range(1, int(min(count.max(initial=0), 16))):
            wide = count > step
            share = (step / count[wide])[:, None]
            yield first[wide] * (1 - share) + second[wide] * share, reached[wide]


def tangent_planes(view: DepthView) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (H, W, 3) in camera axes, and the sines (H, W) of the angles between surface and ray times the
    length of the ray at z = 1: a point (d - z) in front of a pixel's depth d is that factor nearer to its surface.

    A plane has an inverse depth that is linear over the image; its gradient is the flatter of the two one-sided ones.
    """
    k = view.camera.numpy().intrinsics
    inverse = 1.0 / view.depth.astype(np.float64)
    across, down = _flatter_step(inverse, view.usable, 1) * k[0, 0], _flatter_step(inverse, view.usable, 0) * k[1, 1]
    rays = view.camera.numpy().camera_rays()
    normal = np.stack([across, down, inverse - across * rays[..., 0] - down * rays[..., 1]], -1)
    length = np.linalg.norm(normal, axis=-1)
    return normal / length[..., None], np.maximum(inverse / length, LEAST_FACING).astype(np.float32)


def _flatter_step(values: np.ndarray, usable: np.ndarray, axis: int) -> np.ndarray:
    """Difference to the next or from the last pixel along an axis, whichever is smaller; 0 beside unusable pixels."""
    step = np.where(_pairs(usable, axis).all(-1), np.diff(_pairs(values, axis))[..., 0], np.inf)
    ahead, behind = (np.pad(step, [side if a == axis else (0, 0) for a in (0, 1)], constant_values=np.inf)
                     for side in ((0, 1), (1, 0)))  # fmt: skip
    smaller = np.where(np.abs(ahead) < np.abs(behind), ahead, behind)
    return np.where(np.isfinite(smaller), smaller, 0.0)


def _pairs(values: np.ndarray, axis: int) -> np.ndarray:
    """Neighbours along an axis, in a new last axis of 2."""
    count = values.shape[axis]
    return np.stack([np.take(values, range(count - 1), axis), np.take(values, range(1, count), axis)], -1)


def integrate(grid: Grid, view: DepthView) -> None:
    """Add one view to the grid, in place."""
    camera = view.camera.numpy()
    k = camera.intrinsics
    _integrate(
        grid.distance, grid.weight, grid.color, grid.blocks, grid.voxel, grid.error, camera.camera_from_world,
        np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]]), view.depth, view.usable, tangent_planes(view)[1], view.image,
    )  # fmt: skip


@njit(parallel=True, cache=True)
def _integrate(distance, weight, color, blocks, voxel, error, pose, lens, depth, usable, facing, image):  # type: ignore[no-untyped-def]
    height, width = depth.shape
    for b in prange(len(blocks)):
        for i in range(BLOCK):
            for j in range(BLOCK):
                for k in range(BLOCK):
                    x = voxel * (BLOCK * blocks[b, 0] + i)
                    y = voxel * (BLOCK * blocks[b, 1] + j)
                    w = voxel * (BLOCK * blocks[b, 2] + k)
                    z = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * w + pose[2, 3]
                    if z <= voxel:
                        continue
                    u = lens[0] * (pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * w + pose[0, 3]) / z + lens[2]
                    v = lens[1] * (pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * w + pose[1, 3]) / z + lens[3]
                    if not (0 <= u < width and 0 <= v < height):
                        continue
                    row, column = int(v), int(u)
                    measured = _depth_at(depth, usable, u, v)
                    if measured <= 0:
                        continue
                    slant = facing[row, column]
                    truncation = max(MIN_TRUNCATION * voxel, 2 * error * measured * slant)
                    ahead = (measured - z) * slant / truncation
                    if ahead < -1:
                        continue
                    share = 1 / (measured * measured)
                    total = weight[b, i, j, k] + share
                    distance[b, i, j, k] += (min(ahead, 1.0) - distance[b, i, j, k]) * share / total
                    weight[b, i, j, k] = total
                    if ahead < 1:
                        for c in range(3):
                            color[b, i, j, k, c] += share * image[row, column, c] / 255.0
                        color[b, i, j, k, 3] += share


@njit(cache=True)
def _depth_at(depth, usable, u, v):  # type: ignore[no-untyped-def]
    """Depth at pixel coordinates, linear in inverse depth (exact on planes) where all four pixels around are usable,
    else that of the pixel; 0 if it is not usable."""
    height, width = depth.shape
    if not usable[int(v), int(u)]:
        return 0.0
    left = min(max(int(np.floor(u - 0.5)), 0), width - 2)
    top = min(max(int(np.floor(v - 0.5)), 0), height - 2)
    if not (usable[top, left] and usable[top, left + 1] and usable[top + 1, left] and usable[top + 1, left + 1]):
        return float(depth[int(v), int(u)])
    a, b = u - 0.5 - left, v - 0.5 - top
    upper = (1 - a) / depth[top, left] + a / depth[top, left + 1]
    lower = (1 - a) / depth[top + 1, left] + a / depth[top + 1, left + 1]
    return 1 / ((1 - b) * upper + b * lower)


def integrate_plain(grid: Grid, view: DepthView) -> None:
    """The slow twin of `integrate`, in NumPy."""
    corner = np.stack(np.meshgrid(*[np.arange(BLOCK)] * 3, indexing="ij"), -1)
    points = grid.voxel * (BLOCK * grid.blocks[:, None, None, None] + corner)
    pixels, z = view.camera.numpy().project(points.reshape(-1, 3))
    depths = np.array([_depth_at.py_func(view.depth.astype(np.float64), view.usable, u, v)
                       if near > grid.voxel and 0 <= u < view.camera.width and 0 <= v < view.camera.height else 0.0
                       for (u, v), near in zip(pixels, z)])  # fmt: skip
    row = np.clip(pixels[:, 1].astype(int), 0, view.camera.height - 1)
    column = np.clip(pixels[:, 0].astype(int), 0, view.camera.width - 1)
    slant = tangent_planes(view)[1][row, column]
    ahead = (depths - z) * slant / np.maximum(MIN_TRUNCATION * grid.voxel, 2 * grid.error * depths * slant)
    share = np.where((depths > 0) & (ahead >= -1), 1 / np.maximum(depths, 1e-30) ** 2, 0).reshape(grid.weight.shape)
    ahead = ahead.reshape(share.shape)
    total = grid.weight + share
    step = (np.minimum(ahead, 1) - grid.distance) * share / np.where(total > 0, total, 1)
    grid.distance += np.where(share > 0, step, 0).astype(np.float32)
    grid.weight += share.astype(np.float32)
    seen = view.image[row, column].reshape(*share.shape, 3) / 255.0
    tint = np.where(ahead < 1, share, 0)[..., None]
    grid.color += (tint * np.concatenate([seen, np.ones_like(tint)], -1)).astype(np.float32)
