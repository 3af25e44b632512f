"""Forward warping on the CPU: the fast twin of `warp`, NumPy in and out, multi-threaded and deterministic.

Every target pixel receives its contributions in the order of the source pixels, whatever the number of threads: threads
share out targets, and bands of rows of a target, never the points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from openlyra.geometry.camera import Camera
from openlyra.geometry.reliability import clean_depth, planar_depth, reliable_depth, usable_depth
from openlyra.geometry.warp_types import CORNER_NOISE, WarpConfig, WarpResult, check_views, check_warp

__all__ = ["WarpConfig", "WarpResult", "forward_warp", "forward_warp_fused"]

Floats = NDArray[np.floating]


def forward_warp(
    values: Floats,
    depth: Floats,
    mask: NDArray[np.bool_] | None,
    source: Camera,
    target: Camera,
    config: WarpConfig | None = None,
) -> WarpResult:
    """Warp S source views to T targets: source s to target s, or one source (S = 1) to every target.

    `values` (S, C, h, w) float, `depth` (S, h, w) z-depth, `mask` (S, h, w) bool or None (= all), `source` batch (S,)
    of size h x w, `target` batch (T,) of any size H x W; results are float32. Raises InputError for shapes that do not
    fit."""
    values, depth, mask, source, target = _as_numpy(values, depth, mask, source, target)
    views = None if mask is None else mask[:, None]
    lifted_source = Camera(source.world_from_camera[:, None], source.intrinsics[:, None], source.width, source.height)
    return _warp(values[:, None], depth[:, None], views, lifted_source, target, config or WarpConfig())


def forward_warp_fused(
    values: Floats,
    depth: Floats,
    mask: NDArray[np.bool_] | None,
    source: Camera,
    target: Camera,
    config: WarpConfig | None = None,
) -> WarpResult:
    """Fuse V source views in each of T targets; as `forward_warp` with V in the place of S."""
    values, depth, mask, source, target = _as_numpy(values, depth, mask, source, target)
    lifted_source = Camera(source.world_from_camera[None], source.intrinsics[None], source.width, source.height)
    views = None if mask is None else mask[None]
    return _warp(values[None], depth[None], views, lifted_source, target, config or WarpConfig())


def _as_numpy(
    values: Floats, depth: Floats, mask: NDArray[np.bool_] | None, source: Camera, target: Camera
) -> tuple[Floats, Floats, NDArray[np.bool_] | None, Camera, Camera]:
    values, depth = np.asarray(values, np.float32), np.asarray(depth, np.float32)
    check_views(values, source)
    return values, depth, None if mask is None else np.asarray(mask, bool), source.numpy(), target.numpy()


@dataclass(frozen=True, eq=False)
class _Job:
    """Everything the kernels need that does not depend on the group of targets."""

    values: NDArray[np.float32]  # (S, P, C), P = V*h*w
    points: Floats  # (S, P, 3) world points, unusable ones at the origin
    used: NDArray[np.bool_]  # (S, P)
    pixels: Floats  # (P, 2) source pixel coordinates
    poses: Floats  # (T, 4, 4) camera_from_world
    intrinsics: Floats  # (T, 3, 3)
    size: tuple[int, int]
    config: WarpConfig

    def land(self, start: int, stop: int) -> tuple[Floats, Floats]:
        """Landing positions and depths (stop-start, P, 3) of some targets, depth 0 if unused; the farthest depths."""
        count, points = stop - start, self.points.shape[1]
        out = np.empty((count, points, 3), self.points.dtype)
        blocks = max(1, -(-numba.get_num_threads() // count))
        farthest = np.zeros((count, blocks), self.points.dtype)
        compat = self.config.reference_compat
        _land(self.points, self.used, self.pixels, self.poses, self.intrinsics, start, self.size, compat, out, farthest)
        return out, farthest.max(axis=1)

    def paint(self, start: int, landing: Floats, farthest: Floats, result: WarpResult) -> None:
        """Splat the landed points into the result, targets from `start` on."""
        count = len(landing)
        bands = min(max(1, -(-numba.get_num_threads() // count)), self.size[0])
        _paint(
            self.values,
            landing,
            farthest,
            start,
            bands,
            (self.config.sharpness, self.config.fill, CORNER_NOISE),
            self.config.reference_compat,
            self.config.clamp,
            result.values,
            result.depth,
            result.mask,
        )


def _warp(
    values: Floats, depth: Floats, mask: NDArray[np.bool_] | None, source: Camera, target: Camera, config: WarpConfig
) -> WarpResult:
    targets, _ = check_warp(values, depth, mask, source, target)
    job = _prepare(values, depth, mask, source, target, config)
    (height, width), views = job.size, values.shape[1]
    result = WarpResult(
        np.empty((targets, values.shape[2], height, width), np.float32),
        np.empty((targets, height, width), np.float32),
        np.empty((targets, height, width), bool),
        np.empty((targets, views, 2, *values.shape[3:]), job.points.dtype) if config.with_flow else None,
    )
    # As many targets at a time as there are threads: the landing positions of all targets would not fit in memory.
    step = numba.get_num_threads()
    shared = _group_farthest(job, targets, step) if config.reference_compat else None
    for start in range(0, targets, step):
        stop = min(start + step, targets)
        landing, farthest = job.land(start, stop)
        job.paint(start, landing, farthest if shared is None else shared[start:stop], result)
        if result.flow is not None:
            result.flow[start:stop] = _flow(landing, job, views, values.shape[3:])
    return result


def _group_farthest(job: _Job, targets: int, step: int) -> Floats:
    """(T,) depth that normalises the soft z-buffer: the reference shares it within consecutive groups of targets."""
    each = np.concatenate([job.land(start, min(start + step, targets))[1] for start in range(0, targets, step)])
    group = job.config.group or targets
    for start in range(0, targets, group):
        each[start : start + group] = each[start : start + group].max()
    return each


def _flow(landing: Floats, job: _Job, views: int, size: tuple[int, ...]) -> Floats:
    """(t, V, 2, h, w) landing position minus source pixel."""
    shift = 0.0 if job.config.reference_compat else 0.5
    flow = landing[..., :2] + shift - job.pixels
    if not job.config.reference_compat:
        flow[landing[..., 2] <= 0] = 0
    return np.moveaxis(flow.reshape(len(landing), views, *size, 2), -1, 2)


def source_mask(depth: Floats, mask: NDArray[np.bool_] | None, config: WarpConfig) -> tuple[Floats, NDArray[np.bool_]]:
    """Cleaned depth and the pixels that are warped, both (..., h, w)."""
    if config.reference_compat:
        depth = clean_depth(depth)
        used = depth > 0 if mask is None else (depth > 0) & mask
        threshold = config.edge_threshold
        return depth, used if threshold is None else used & reliable_depth(depth, threshold, reference_compat=True)
    if config.edge_threshold is None:
        used = usable_depth(depth, mask)
    else:
        used = (planar_depth if config.edge_test == "planar" else reliable_depth)(depth, config.edge_threshold, mask)
    return np.where(used, depth, np.float32(0)), used


def _prepare(
    values: Floats, depth: Floats, mask: NDArray[np.bool_] | None, source: Camera, target: Camera, config: WarpConfig
) -> _Job:
    """Lift the source views to world points; precision and order of operations are those of the plain twin."""
    count, views, channels, height, width = values.shape
    depth, used = source_mask(depth, mask, config)
    dtype = np.float32 if config.reference_compat else np.float64
    offset = 0.0 if config.reference_compat else 0.5
    pixels = (np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1) + offset).astype(dtype)
    points = np.empty((count, views, height, width, 3), dtype)
    flat = np.empty((count, views, height, width, channels), np.float32)
    pose = source.world_from_camera.astype(dtype).reshape(-1, 4, 4)
    intrinsics = source.intrinsics.astype(dtype).reshape(-1, 3, 3)
    _lift(
        pixels,
        depth.astype(dtype, copy=False).reshape(-1, height, width),
        used.reshape(-1, height, width),
        values.reshape(-1, channels, height, width),
        np.ascontiguousarray(pose),
        np.ascontiguousarray(intrinsics),
        points.reshape(-1, height, width, 3),
        flat.reshape(-1, height, width, channels),
    )
    poses: Floats = np.linalg.inv(target.world_from_camera).astype(dtype)
    return _Job(
        flat.reshape(count, -1, channels),
        points.reshape(count, -1, 3),
        used.reshape(count, -1),
        np.tile(pixels.reshape(-1, 2), (views, 1)),
        poses,
        np.ascontiguousarray(target.intrinsics.astype(dtype)),
        (target.height, target.width),
        config,
    )


@numba.njit(cache=True, parallel=True, nogil=True, error_model="numpy")
def _lift(pixels, depth, used, values, pose, intrinsics, points, flat):
    """World points (V, h, w, 3) and channels-last values of source views; unusable pixels become the origin and 0."""
    views, height, width = depth.shape
    one = depth.dtype.type(1)
    for job in numba.prange(views * height):
        view, row = job // height, job % height
        k, m = intrinsics[view], pose[view]
        for column in range(width):
            if not used[view, row, column]:
                points[view, row, column] = 0
                flat[view, row, column] = 0
                continue
            z = depth[view, row, column]
            x = (pixels[row, column, 0] * (one / k[0, 0]) - k[0, 2] / k[0, 0]) * z
            y = (pixels[row, column, 1] * (one / k[1, 1]) - k[1, 2] / k[1, 1]) * z
            for axis in range(3):
                points[view, row, column, axis] = m[axis, 0] * x + m[axis, 1] * y + m[axis, 2] * z + m[axis, 3]
            for channel in range(values.shape[1]):
                flat[view, row, column, channel] = values[view, channel, row, column]


@numba.njit(cache=True, parallel=True, nogil=True, error_model="numpy")
def _land(points, used, pixels, poses, intrinsics, start, size, compat, out, farthest):
    """Project the points into targets from `start` on: (x, y, z), integers at pixel centres, z = 0 if unused."""
    count, blocks = farthest.shape
    total = points.shape[1]
    zero, one = out.dtype.type(0), out.dtype.type(1)
    half, tiny = out.dtype.type(0.5), out.dtype.type(1e-7)
    for job in numba.prange(count * blocks):
        index, block = job // blocks, job % blocks
        m, k = poses[start + index], intrinsics[start + index]
        source = 0 if points.shape[0] == 1 else start + index
        far = zero
        for p in range(block * total // blocks, (block + 1) * total // blocks):
            a, b, c = points[source, p, 0], points[source, p, 1], points[source, p, 2]
            z = m[2, 0] * a + m[2, 1] * b + m[2, 2] * c + m[2, 3]
            keep = used[source, p] and z > zero
            if not (keep or compat):
                out[index, p] = 0
                continue
            x = m[0, 0] * a + m[0, 1] * b + m[0, 2] * c + m[0, 3]
            y = m[1, 0] * a + m[1, 1] * b + m[1, 2] * c + m[1, 3]
            if compat:
                # As in the plain twin: the reference splats at flow + pixel + 1, and the rounding of the sums matters.
                u, v = pixels[p, 0], pixels[p, 1]
                x = (((k[0, 0] * x + k[0, 2] * z) / (z + tiny) - u) + u + one) - one
                y = (((k[1, 1] * y + k[1, 2] * z) / (z + tiny) - v) + v + one) - one
                far = max(far, z)
            else:
                x = (k[0, 0] * x + k[0, 2] * z) / z - half
                y = (k[1, 1] * y + k[1, 2] * z) / z - half
                keep = x > -one and x < size[1] and y > -one and y < size[0]
                if keep:
                    far = max(far, z)
            out[index, p, 0] = x
            out[index, p, 1] = y
            out[index, p, 2] = z if keep else zero
        farthest[index, block] = far


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _depth_range(farthest, compat):  # type: ignore[no-untyped-def]
    """What `_depth_weight` divides by; the same for all points of a target, and a logarithm."""
    one = type(farthest)(1)
    return np.log(one + farthest) + type(farthest)(1e-7) if compat else np.log1p(farthest)


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _depth_weight(z, depth_range, sharpness, compat):  # type: ignore[no-untyped-def]
    """Soft z-buffer weight: exp(-sharpness) at the farthest depth, 1 at the camera."""
    one = type(z)(1)
    if compat:
        exponent = type(z)(sharpness) * np.log(one + z) / depth_range
        return one / (np.exp(min(exponent, type(z)(80))) + type(z)(1e-7))
    return np.exp(-type(z)(sharpness) * np.log1p(z) / depth_range)


@numba.njit(cache=True, parallel=True, nogil=True, error_model="numpy")
def _paint(values, landing, farthest, start, bands, constants, compat, clamp, out, out_depth, out_mask):
    """Splat (t, P, 3) landed points into targets from `start` on, each in `bands` bands of rows."""
    count, total = landing.shape[:2]
    channels, height, width = out.shape[1:]
    sharpness, fill, noise = constants
    for job in numba.prange(count * bands):
        index, band = job // bands, job % bands
        first, last = band * height // bands, (band + 1) * height // bands
        source = 0 if values.shape[0] == 1 else start + index
        sums = np.zeros(((last - first) * width, channels + 2), np.float32)
        depth_range = _depth_range(farthest[index], compat)
        for p in range(total):
            x, y, z = landing[index, p, 0], landing[index, p, 1], landing[index, p, 2]
            # Also false for NaN; the margin keeps the integer conversion in range.
            if not (z > 0 and x > -1 and x < width and y > first - 1 and y < last):
                continue
            left, top = int(np.floor(x)), int(np.floor(y))
            fx, fy = x - np.floor(x), y - np.floor(y)
            # Integer positions: the reference deposits the full weight twice on the same pixel.
            double_x, double_y = compat and fx == 0, compat and fy == 0
            near = _depth_weight(z, depth_range, sharpness, compat)
            for i in range(2):
                row = top if i == 0 or double_y else top + 1
                down = 1 - fy if i == 0 or double_y else fy
                if row < first or row >= last or (not compat and down < noise):
                    continue
                for j in range(2):
                    column = left if j == 0 or double_x else left + 1
                    across = 1 - fx if j == 0 or double_x else fx
                    if column < 0 or column >= width or (not compat and across < noise):
                        continue
                    weight = np.float32(across * down * near)
                    cell = (row - first) * width + column
                    for channel in range(channels):
                        sums[cell, channel] += values[source, p, channel] * weight
                    sums[cell, channels] += np.float32(z) * weight
                    sums[cell, channels + 1] += weight
        target = start + index
        for row in range(first, last):
            for column in range(width):
                cell = (row - first) * width + column
                weight = sums[cell, channels + 1]
                hit = weight > 0
                out_mask[target, row, column] = hit
                out_depth[target, row, column] = sums[cell, channels] / weight if hit else 0
                for channel in range(channels):
                    value = sums[cell, channel] / weight if hit else fill
                    if compat and clamp:
                        value = min(max(value, -1), 1)
                    out[target, channel, row, column] = value
