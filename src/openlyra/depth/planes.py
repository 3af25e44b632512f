"""Nearly planar parts of an inverse depth map made exactly planar.

A plane is linear in inverse depth, whatever the camera. Bumps of two or three percent on a facade are what makes it
melt when the camera steps aside. Planes are found one after the other by random sampling of local fits (in the spirit
of Fischler, Bolles, RANSAC, 1981); what lies within the tolerance of one is put on it, and the change fades out beside.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from openlyra.depth.filters import opened

Map = NDArray[np.float32]

TOLERANCE = 0.05
"""Relative deviation from a plane that is taken for a bump."""
SMALLEST = 0.004
"""Smallest plane, as a part of the picture."""
MOST = 24
"""Largest number of planes."""
_WINDOW = 9
_CANDIDATES, _SAMPLE = 40, 4000
_SEAM = 0.05  # step of log depth across which nothing fades
_FADE = 10


def flatten_planes(inverse: Map, tolerance: float = TOLERANCE, seed: int = 0) -> Map:
    """Inverse depth (H, W), positive, with its nearly planar parts made planar; float32 (H, W)."""
    rows, columns = inverse.shape
    y = (np.arange(rows, dtype=np.float32)[:, None] - rows / 2) / rows
    x = (np.arange(columns, dtype=np.float32)[None, :] - columns / 2) / rows
    slope_x, slope_y, rough = _local_planes(inverse, x, y)
    free = np.ones(inverse.shape, bool)
    seeds = rough < tolerance
    order = np.random.default_rng(seed).permutation(inverse.size)
    result = inverse.astype(np.float32, copy=True)
    least = SMALLEST * inverse.size
    for turn in range(MOST):
        available = (seeds & free).ravel()
        if available.sum() < least:
            break
        # By place, not by number among the available, or the last bit of one pixel would change all that follow.
        places = np.roll(order, turn * order.size // MOST)
        start, plane = _likeliest(inverse, x, y, (slope_x, slope_y), tolerance, places[available[places]])
        inside = region_of_plane(inverse, x, y, plane, tolerance, free, start)
        for _ in range(3):
            if inside.sum() < least:
                break
            plane = _fit(inverse, x, y, inside)
            inside = region_of_plane(inverse, x, y, plane, tolerance, free, start)
        i, j = divmod(start, columns)
        free[i, j] = False
        seeds[max(0, i - 2) : i + 3, max(0, j - 2) : j + 3] = False
        if inside.sum() < least:
            continue
        target = (plane[0] * x + plane[1] * y + plane[2])[inside]
        rest = inverse[inside] - target
        result[inside] = target + rest * np.minimum(np.abs(rest) / (tolerance * inverse[inside]), 1)
        free &= ~inside
    return _without_steps(result, inverse, free)


def _local_planes(inverse: Map, x: Map, y: Map) -> tuple[Map, Map, Map]:
    """Slopes along x and y of the best plane in a window around each pixel, and its relative deviation, (H, W) each."""

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return ndimage.uniform_filter(values, _WINDOW, mode="nearest")

    step = float(x[0, 1] - x[0, 0])
    variance = (_WINDOW**2 - 1) / 12 * step**2
    q = inverse.astype(np.float64)
    m = mean(q)
    a = (mean(q * x) - m * mean(np.broadcast_to(x, q.shape).astype(np.float64))) / variance
    b = (mean(q * y) - m * mean(np.broadcast_to(y, q.shape).astype(np.float64))) / variance
    rest = mean(q * q) - m * m - (a * a + b * b) * variance
    rough = np.sqrt(np.maximum(rest, 0)) / m
    return a.astype(np.float32), b.astype(np.float32), rough.astype(np.float32)


def _likeliest(
    inverse: Map, x: Map, y: Map, slopes: tuple[Map, Map], tolerance: float, available: NDArray[np.int64]
) -> tuple[int, NDArray[np.float64]]:
    """Of the first pixels of those available the one whose local plane fits most of the others, and that plane (3,)."""
    columns = inverse.shape[1]
    picks, sample = available[:_CANDIDATES], available[:_SAMPLE]
    i, j = np.divmod(picks, columns)
    a, b = slopes[0][i, j], slopes[1][i, j]
    planes = np.stack([a, b, inverse[i, j] - a * x[0, j] - b * y[i, 0]], axis=1)
    values = inverse.ravel()[sample]
    places = np.stack([x[0, sample % columns], y[sample // columns, 0], np.ones_like(values)])
    best = int((np.abs(planes @ places - values) < tolerance * values).sum(axis=1).argmax())
    return int(picks[best]), planes[best].astype(np.float64)


def region_of_plane(
    inverse: Map, x: Map, y: Map, plane: NDArray[np.float64], tolerance: float, free: NDArray[np.bool_], start: int
) -> NDArray[np.bool_]:
    """Free pixels (H, W) within the relative tolerance of a plane that are connected to the start, a flat index.

    x (1, W) and y (H, 1) are the coordinates that the plane (3,), slopes and level, is linear in.
    """
    inside = np.zeros(inverse.shape, np.bool_)
    _grow(inverse, x[0], y[:, 0], plane, tolerance, free, start, inside)
    return opened(inside, 3)


@njit(cache=True, nogil=True)
def _grow(inverse, x, y, plane, tolerance, free, start, inside):  # type: ignore[no-untyped-def]
    """Mark inside (H, W) from the start on, over four neighbours."""
    rows, columns = inverse.shape
    # A pixel can be put on the stack by each of its neighbours.
    stack = np.empty(4 * inverse.size, np.int32)
    stack[0], count = start, 1
    while count > 0:
        count -= 1
        i, j = divmod(stack[count], columns)
        value = inverse[i, j]
        off = plane[0] * x[j] + plane[1] * y[i] + plane[2] - value
        if inside[i, j] or not free[i, j] or not abs(off) < tolerance * value:
            continue
        inside[i, j] = True
        for k in range(4):
            m, n = i + (k == 0) - (k == 1), j + (k == 2) - (k == 3)
            if 0 <= m < rows and 0 <= n < columns and not inside[m, n] and free[m, n]:
                stack[count] = m * columns + n
                count += 1


def _fit(inverse: Map, x: Map, y: Map, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Least-squares plane of relative deviation over a region, (3,): slopes along x and y, level."""
    places = np.flatnonzero(inside)
    i, j = np.divmod(places[:: max(1, places.size // 5000)], inverse.shape[1])
    q = inverse[i, j].astype(np.float64)
    columns = np.stack([x[0, j] / q, y[i, 0] / q, 1.0 / q])
    # Normal equations leave half of the digits: still more than single precision has.
    return np.asarray(np.linalg.solve(columns @ columns.T, columns.sum(axis=1)))


def _without_steps(result: Map, inverse: Map, free: NDArray[np.bool_]) -> Map:
    """Fade the relative change made to planes out into the free pixels beside them, so that their rims do not step."""
    logs = np.log(inverse)
    change = np.where(free, 0, np.log(np.maximum(result, 1e-6)) - logs).astype(np.float32)
    return (inverse * np.exp(spread_out(change, logs, free))).astype(np.float32)


@njit(cache=True, nogil=True)
def spread_out(change, logs, free):  # type: ignore[no-untyped-def]
    """A change (H, W) that spreads, less and less, into free pixels from the neighbours they are joined to."""
    rows, columns = change.shape
    after = change.copy()
    for _ in range(_FADE):
        before = after.copy()
        for i in range(rows):
            for j in range(columns):
                if not free[i, j]:
                    continue
                total, weight = np.float32(0), np.float32(0.3)
                for k in range(4):
                    m, n = i + (k == 0) - (k == 1), j + (k == 2) - (k == 3)
                    if 0 <= m < rows and 0 <= n < columns and abs(logs[m, n] - logs[i, j]) < _SEAM:
                        total += before[m, n]
                        weight += 1
                after[i, j] = total / weight
    return after
