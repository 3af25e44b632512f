"""Nearly planar parts of an inverse depth map made exactly planar.

A plane is linear in inverse depth, whatever the camera. Bumps of two or three percent on a facade are what makes it
melt when the camera steps aside. Planes are found one after the other by random sampling of local fits (in the spirit
of Fischler, Bolles, RANSAC, 1981); what lies within the tolerance of one is put on it, and the change fades out beside.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Map = NDArray[np.float32]

TOLERANCE = 0.05
"""Relative deviation from a plane that is taken for a bump."""
SMALLEST = 0.004
"""Smallest plane, as a part of the picture."""
MOST = 24
"""Largest number of planes."""
_WINDOW = 9
_CANDIDATES = 40
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
    random = np.random.default_rng(seed)
    result = inverse.astype(np.float32, copy=True)
    least = SMALLEST * inverse.size
    for _ in range(MOST):
        available = np.flatnonzero(seeds & free)
        if available.size < least:
            break
        best, best_count = None, 0.0
        sample = available[random.integers(available.size, size=4000)]
        sx, sy = x[0, sample % columns], y[sample // columns, 0]
        sq = inverse.ravel()[sample]
        for pick in available[random.integers(available.size, size=_CANDIDATES)]:
            i, j = divmod(int(pick), columns)
            a, b = float(slope_x[i, j]), float(slope_y[i, j])
            c = float(inverse[i, j]) - a * float(x[0, j]) - b * float(y[i, 0])
            count = float((np.abs(a * sx + b * sy + c - sq) < tolerance * sq).mean())
            if count > best_count:
                best, best_count = (i, j, a, b, c), count
        if best is None:
            break
        i, j, *plane = best
        inside = _region(inverse, x, y, plane, tolerance, free, (i, j))
        for _ in range(3):
            if inside.sum() < least:
                break
            plane = _fit(inverse, x, y, inside)
            inside = _region(inverse, x, y, plane, tolerance, free, (i, j))
        free[i, j] = False
        seeds[max(0, i - 2) : i + 3, max(0, j - 2) : j + 3] = False
        if inside.sum() < least:
            continue
        a, b, c = plane
        target = a * x + b * y + c
        rest = (inverse - target)[inside]
        result[inside] = target[inside] + rest * np.minimum(np.abs(rest) / (tolerance * inverse[inside]), 1)
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


def _region(
    inverse: Map, x: Map, y: Map, plane: list[float], tolerance: float, free: NDArray[np.bool_], start: tuple[int, int]
) -> NDArray[np.bool_]:
    """Free pixels within the tolerance of a plane that are connected to the start, (H, W)."""
    a, b, c = plane
    near = (np.abs(a * x + b * y + c - inverse) < tolerance * inverse) & free
    labels, _ = ndimage.label(near)
    label = labels[start]
    if label == 0:
        return np.zeros(inverse.shape, bool)
    return opened(labels == label)


def opened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Opening (H, W) by 3x3 pixels, nothing being outside: ten times as fast as SciPy's, and called fifty times."""
    grown = np.pad(mask, 2)
    for join in (np.logical_and, np.logical_or):
        grown = join(join(grown[:-2], grown[1:-1]), grown[2:])
        grown = join(join(grown[:, :-2], grown[:, 1:-1]), grown[:, 2:])
    return grown


def _fit(inverse: Map, x: Map, y: Map, inside: NDArray[np.bool_]) -> list[float]:
    """Least-squares plane of relative deviation over a region."""
    i, j = np.nonzero(inside)
    step = max(1, i.size // 5000)
    i, j = i[::step], j[::step]
    q = inverse[i, j].astype(np.float64)
    columns = np.stack([x[0, j] / q, y[i, 0] / q, 1.0 / q], axis=1)
    solution, *_ = np.linalg.lstsq(columns, np.ones_like(q), rcond=None)
    return [float(v) for v in solution]


def _without_steps(result: Map, inverse: Map, free: NDArray[np.bool_]) -> Map:
    """Fade the relative change made to planes out into the free pixels beside them, so that their rims do not step."""
    logs = np.log(inverse)
    change = np.where(free, 0, np.log(np.maximum(result, 1e-6)) - logs).astype(np.float32)
    joined = {axis: (np.abs(np.diff(logs, axis=axis)) < _SEAM).astype(np.float32) for axis in (0, 1)}
    for _ in range(_FADE):
        total, weight = np.zeros_like(change), np.full_like(change, 0.3)
        total[1:] += joined[0] * change[:-1]
        weight[1:] += joined[0]
        total[:-1] += joined[0] * change[1:]
        weight[:-1] += joined[0]
        total[:, 1:] += joined[1] * change[:, :-1]
        weight[:, 1:] += joined[1]
        total[:, :-1] += joined[1] * change[:, 1:]
        weight[:, :-1] += joined[1]
        change = np.where(free, total / weight, change)
    return (inverse * np.exp(change)).astype(np.float32)
