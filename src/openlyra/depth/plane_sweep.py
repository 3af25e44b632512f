"""Depth of one view from its neighbours with known cameras: a plane sweep, smoothed along scan lines.

For each of D inverse depths (equal steps) the neighbours are warped to the view as if all of it lay at that depth, and
compared with it by normalised cross-correlation in a small window (Collins 1996; Hosni et al. review windows). The cost
of a pixel at a depth is the mean over the better half of the neighbours that see it, so that a neighbour in which it is
hidden does no harm. Costs are then summed along four directions with penalties for steps of depth (semi-global
matching, Hirschmüller 2008), and the best depth is refined by a parabola. The plain twin is in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera

Float32Map = NDArray[np.float32]

UNKNOWN_COST = 0.5
"""Cost where no neighbour sees the pixel: that of a window without correlation."""
NOISE = 4.0 / 255.0
"""Standard deviation of grey values below which a window says nothing."""


_DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))


@dataclass(frozen=True)
class SweepSettings:
    """How a view is matched with its neighbours."""

    planes: int = 128
    """Number of inverse depths that are tried."""
    window: int = 2
    """Half the side of the matching window, pixels: it has 2 * window + 1."""
    small_step: float = 0.06
    """Penalty (in units of cost, 0 to 1) of a neighbouring pixel one plane away."""
    large_step: float = 0.8
    """Penalty of a larger jump, between pixels of the same grey; less across edges of the picture."""


@dataclass(frozen=True, eq=False)
class SweepResult:
    """Depth of one view."""

    inverse_depth: Float32Map
    """(H, W) 1 / z-depth, positive."""
    cost: Float32Map
    """(H, W) in [0, 1], of the best depth before smoothing: 0 for a perfect match, 0.5 for none."""


def grey(images: NDArray[np.uint8]) -> Float32Map:
    """(..., H, W) luma in [0, 1] of (..., H, W, 3) uint8."""
    return images.astype(np.float32) @ (np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255))


def plane_sweep(
    reference: Float32Map,
    camera: Camera,
    others: Float32Map,
    other_cameras: Camera,
    inverse_depths: tuple[float, float],
    settings: SweepSettings | None = None,
) -> SweepResult:
    """Match a view with its neighbours.

    Args:
        reference: (H, W) grey values in [0, 1].
        camera: its camera.
        others: (N, H, W) neighbours of the same size.
        other_cameras: (N,) their cameras.
        inverse_depths: smallest (positive) and largest 1 / z-depth that is tried.

    Raises:
        InputError: no neighbour, or an impossible range of depths.
    """
    settings = settings or SweepSettings()
    low, high = inverse_depths
    if not (0 < low < high and np.isfinite(high)) or settings.planes < 3:
        raise InputError(f"plane sweep over inverse depths {low:g} to {high:g}, {settings.planes} planes: not possible")
    if len(others) == 0:
        raise InputError("plane sweep: a view needs at least one neighbour")
    planes = np.linspace(low, high, settings.planes)
    turns, shifts = _transfer(camera, other_cameras)
    cost = np.empty((*reference.shape, settings.planes), np.uint8)
    _match(np.ascontiguousarray(reference), np.ascontiguousarray(others), turns, shifts, planes, settings.window, cost)
    total = np.zeros(cost.shape, np.uint16)
    small, large = round(255 * settings.small_step), round(255 * settings.large_step)
    for down, right in _DIRECTIONS:
        _smooth(cost, np.ascontiguousarray(reference), down, right, small, large, total)
    best, least = _choose(total, cost)
    step = (high - low) / (settings.planes - 1)
    return SweepResult((low + step * best).astype(np.float32), least)


def _transfer(camera: Camera, others: Camera) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3, 3) and (N, 3): a pixel p at inverse depth w of the view lies at turn @ p + w * shift in a neighbour."""
    view, near = camera.numpy(), others.numpy()
    relative = near.camera_from_world @ view.world_from_camera
    turns = near.intrinsics @ relative[:, :3, :3] @ np.linalg.inv(view.intrinsics)
    return turns, np.einsum("nij,nj->ni", near.intrinsics, relative[:, :3, 3])


@numba.njit(parallel=True, cache=True, fastmath=True)
def _match(reference, others, turns, shifts, planes, window, cost):  # type: ignore[no-untyped-def]
    """Fill cost (H, W, D) uint8, 255 for opposite windows."""
    height, width = reference.shape
    count, keep_of = len(others), np.empty(len(others) + 1, np.int64)
    for seen in range(count + 1):
        keep_of[seen] = (seen + 1) // 2
    own_mean, own_spread = _window_statistics(reference, window)
    for d in numba.prange(len(planes)):
        least = np.full((count, height, width), 2.0, np.float32)
        warped = np.empty((height, width), np.float32)
        product = np.empty((height, width), np.float32)
        inside = np.empty((height, width), np.bool_)
        for n in range(count):
            _warp(others[n], turns[n], shifts[n], planes[d], warped, inside)
            for i in range(height):
                for j in range(width):
                    product[i, j] = warped[i, j] * reference[i, j]
            mean, spread = _window_statistics(warped, window)
            both = _box(product, window)
            for i in range(height):
                for j in range(width):
                    if inside[i, j]:
                        covariance = both[i, j] - mean[i, j] * own_mean[i, j]
                        score = 0.5 - 0.5 * covariance / (spread[i, j] * own_spread[i, j])
                        # Insertion keeps the neighbours' costs in order.
                        k = n
                        while k > 0 and least[k - 1, i, j] > score:
                            least[k, i, j] = least[k - 1, i, j]
                            k -= 1
                        least[k, i, j] = score
        for i in range(height):
            for j in range(width):
                seen = 0
                while seen < count and least[seen, i, j] < 1.5:
                    seen += 1
                mean_cost = UNKNOWN_COST
                if seen > 0:
                    mean_cost = 0.0
                    for k in range(keep_of[seen]):
                        mean_cost += least[k, i, j]
                    mean_cost /= keep_of[seen]
                cost[i, j, d] = np.uint8(min(max(255.0 * mean_cost + 0.5, 0.0), 255.0))


@numba.njit(cache=True, fastmath=True)
def _warp(image, turn, shift, w, warped, inside):  # type: ignore[no-untyped-def]
    """Bilinear samples of a neighbour at the view's pixels, and which of them lie in it."""
    height, width = image.shape
    for i in range(height):
        y = i + 0.5
        for j in range(width):
            x = j + 0.5
            q2 = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] + w * shift[2]
            warped[i, j] = 0.0
            inside[i, j] = False
            if q2 > 1e-6:
                u = (turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] + w * shift[0]) / q2 - 0.5
                v = (turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] + w * shift[1]) / q2 - 0.5
                inside[i, j] = -0.5 <= u <= width - 0.5 and -0.5 <= v <= height - 0.5
                u, v = min(max(u, 0.0), width - 1.0), min(max(v, 0.0), height - 1.0)
                a, b = min(int(u), width - 2), min(int(v), height - 2)
                fu, fv = u - a, v - b
                top = image[b, a] * (1 - fu) + image[b, a + 1] * fu
                bottom = image[b + 1, a] * (1 - fu) + image[b + 1, a + 1] * fu
                warped[i, j] = top * (1 - fv) + bottom * fv


@numba.njit(cache=True, fastmath=True)
def _box(values, window):  # type: ignore[no-untyped-def]
    """Mean over (2 * window + 1) squared pixels, fewer at the border."""
    height, width = values.shape
    rows = np.empty((height, width), np.float32)
    for i in range(height):
        for j in range(width):
            first, last = max(0, j - window), min(width - 1, j + window)
            total = np.float32(0)
            for k in range(first, last + 1):
                total += values[i, k]
            rows[i, j] = total / (last - first + 1)
    result = np.zeros((height, width), np.float32)
    for i in range(height):
        first, last = max(0, i - window), min(height - 1, i + window)
        share = np.float32(1) / (last - first + 1)
        for k in range(first, last + 1):
            for j in range(width):
                result[i, j] += share * rows[k, j]
    return result


@numba.njit(cache=True, fastmath=True)
def _window_statistics(values, window):  # type: ignore[no-untyped-def]
    """Mean and standard deviation (with the noise's) of each window."""
    mean = _box(values, window)
    spread = _box(values * values, window)
    height, width = values.shape
    for i in range(height):
        for j in range(width):
            variance = max(spread[i, j] - mean[i, j] * mean[i, j], np.float32(0))
            spread[i, j] = np.sqrt(variance + np.float32(NOISE * NOISE))
    return mean, spread


@numba.njit(parallel=True, cache=True)
def _smooth(cost, reference, down, right, small, large, total):  # type: ignore[no-untyped-def]
    """Add to total (H, W, D) the least cost of a path that comes along one direction to each pixel and depth."""
    height, width, planes = cost.shape
    lines, length = (height, width) if down == 0 else (width, height)
    for line in numba.prange(lines):
        before = np.zeros(planes, np.int32)
        now = np.zeros(planes, np.int32)
        least_before = np.int32(0)
        grey_before = np.float32(0)
        for step in range(length):
            along = step if down + right > 0 else length - 1 - step
            i, j = (np.int64(line), along) if down == 0 else (along, np.int64(line))
            jump = np.int32(large)
            if step > 0:
                edge = abs(reference[i, j] - grey_before)
                jump = max(np.int32(large / (1 + 12 * edge)), np.int32(small + 1))
            grey_before = reference[i, j]
            least = np.int32(1 << 30)
            for d in range(planes):
                came = np.int32(0)
                if step > 0:
                    came = min(before[d], least_before + jump)
                    if d > 0:
                        came = min(came, before[d - 1] + small)
                    if d + 1 < planes:
                        came = min(came, before[d + 1] + small)
                    came -= least_before
                now[d] = cost[i, j, d] + came
                least = min(least, now[d])
                total[i, j, d] += np.uint16(now[d])
            before, now = now, before
            least_before = least


@numba.njit(parallel=True, cache=True)
def _choose(total, cost):  # type: ignore[no-untyped-def]
    """Plane with the least total, between planes by a parabola, and its own cost in [0, 1]. Two (H, W) float32."""
    height, width, planes = total.shape
    best = np.empty((height, width), np.float32)
    least = np.empty((height, width), np.float32)
    for i in numba.prange(height):
        for j in range(width):
            found = 0
            for d in range(1, planes):
                if total[i, j, d] < total[i, j, found]:
                    found = d
            place = np.float32(found)
            if 0 < found < planes - 1:
                before, middle = np.float32(total[i, j, found - 1]), np.float32(total[i, j, found])
                after = np.float32(total[i, j, found + 1])
                bend = before - 2 * middle + after
                if bend > 0:
                    place += np.float32(0.5) * (before - after) / bend
            best[i, j] = place
            least[i, j] = cost[i, j, found] / np.float32(255)
    return best, least
