"""Gradient-domain blending of a picture stitched of several copies."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

SCREEN = 1.0 / 30.0**2
"""Pull of the correction towards zero: corrections fade over about 30 pixels."""
MOST = 0.25
"""Largest jump that is blended away; a larger one is an edge of the scene."""


@njit(parallel=True, cache=True)
def _relax(correction, jump_y, jump_x, free, fixed, parity, screen):
    """One red-black over-relaxation step of the screened Poisson equation."""
    height, width, channels = correction.shape
    for row in prange(height):
        y = np.int64(row)  # a parallel index is unsigned, and y - 1 would wrap around
        for x in range(width):
            if not free[y, x] or (y + x) % 2 != parity:
                continue
            for c in range(channels):
                total = np.float32(0)
                count = np.float32(screen)
                if y + 1 < height and (free[y + 1, x] or fixed[y + 1, x]):
                    total += correction[y + 1, x, c] - jump_y[y, x, c]
                    count += np.float32(1)
                if y > 0 and (free[y - 1, x] or fixed[y - 1, x]):
                    total += correction[y - 1, x, c] + jump_y[y - 1, x, c]
                    count += np.float32(1)
                if x + 1 < width and (free[y, x + 1] or fixed[y, x + 1]):
                    total += correction[y, x + 1, c] - jump_x[y, x, c]
                    count += np.float32(1)
                if x > 0 and (free[y, x - 1] or fixed[y, x - 1]):
                    total += correction[y, x - 1, c] + jump_x[y, x - 1, c]
                    count += np.float32(1)
                correction[y, x, c] += np.float32(1.8) * (total / count - correction[y, x, c])


def blend(
    painted: np.ndarray, known: np.ndarray, layers: dict[int, np.ndarray], labels: np.ndarray, hole: np.ndarray,
    fixed: np.ndarray, copied: np.ndarray, steps: int = 80,
) -> np.ndarray:  # fmt: skip
    """Painted colours with their seams spread out.

    Across a seam the wanted difference of two neighbours is the mean of what either copy shows there; at the border of
    the hole it is what the copy shows.

    Args:
        painted: (H, W, 3) float32.
        layers: label -> (H, W, 3) float32, what each copy shows.
        labels: (H, W) int, the copy of each hole pixel.
        hole: (H, W) bool, painted pixels.
        fixed: (H, W) bool, known pixels to blend with.
        copied: (H, W) bool, hole pixels that are painted with what their copy shows; others become smooth.
    """
    fixed = fixed & ~hole
    values = np.where(hole[..., None], painted, known).astype(np.float32)
    jumps = [_jumps(values, layers, labels, hole, fixed, copied & hole, axis) for axis in (0, 1)]
    correction = np.zeros_like(values)
    for _ in range(steps):
        for parity in (0, 1):
            _relax(correction, jumps[0], jumps[1], hole, fixed, parity, SCREEN)
    return np.where(hole[..., None], np.clip(painted + correction, 0, 1), painted)


def _jumps(values, layers, labels, hole, fixed, copied, axis):
    """(H, W, 3): wanted minus present difference between each pixel and the next along the axis."""
    result = np.zeros_like(values)
    low, high = [slice(None)] * 2, [slice(None)] * 2
    low[axis], high[axis] = slice(0, -1), slice(1, None)
    a, b = tuple(low), tuple(high)
    present = values[b] - values[a]
    wanted = np.zeros_like(present)
    votes = np.zeros((*present.shape[:2], 1), np.float32)
    for label, layer in layers.items():
        shown = layer[b] - layer[a]
        for side in (a, b):
            mine = (copied[side] & (labels[side] == label))[..., None]
            wanted += shown * mine
            votes += mine
    seam = (copied[a] & copied[b] & (labels[a] != labels[b])) | (copied[a] & fixed[b]) | (fixed[a] & copied[b])
    jump = np.where(seam[..., None], wanted / np.maximum(votes, 1) - present, 0.0)
    loose, known = hole & ~copied, hole | fixed
    jump = np.where(((loose[a] & known[b]) | (known[a] & loose[b]))[..., None], -present, jump)
    small = np.abs(jump).max(-1, keepdims=True) < MOST
    result[a] = np.where(small, jump, 0.0)
    return result
