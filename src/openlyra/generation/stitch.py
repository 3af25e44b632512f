"""Choosing, for every cell of a hole, one of several candidate copies so that the seams do not show.

The energy is that of shift-map editing: a cost a cell for its candidate, and for every two neighbours the difference of
their candidates' colours on both sides of the seam (Kwatra et al., Graphcut Textures, 2003; Pritch et al., Shift-Map
Image Editing, 2009). It is lowered with min-sum belief propagation on the grid in checkerboard order (Felzenszwalb and
Huttenlocher 2006), which gives the same result for any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

BAD = np.float32(4.0)
"""Cost of a candidate that may not be copied."""
SEAM = np.float32(1e-2)
"""Cost of a seam, however well it matches."""
_DY = (1, -1, 0, 0)
_DX = (0, 0, 1, -1)


@njit(cache=True, inline="always")
def _pair(colors, ok, a, b, y, x, ny, nx):
    """Visibility of a seam between candidate a at (y, x) and candidate b at its neighbour."""
    if a == b:
        return np.float32(0)
    total = np.float32(0)
    for c in range(3):
        here = colors[y, x, a, c] - colors[y, x, b, c]
        there = colors[ny, nx, a, c] - colors[ny, nx, b, c]
        total += here * here + there * there
    if not ok[y, x, b]:
        total += np.float32(0.02)
    if not ok[ny, nx, a]:
        total += np.float32(0.02)
    return min(total, np.float32(0.5)) + SEAM


@njit(parallel=True, cache=True)
def _sweep(colors, ok, unary, hole, messages, parity):
    """All cells of one colour of the checkerboard send to their neighbours. ``messages`` (4, h, w, K): received."""
    height, width, count = unary.shape
    for row in prange(height):
        y = np.int64(row)  # a parallel index is unsigned, and y - 1 would wrap around
        belief = np.empty(count, np.float32)
        out = np.empty(count, np.float32)
        for x in range(width):
            if not hole[y, x] or (y + x) % 2 != parity:
                continue
            for k in range(4):
                ny, nx = y + _DY[k], x + _DX[k]
                if not (0 <= ny < height and 0 <= nx < width and hole[ny, nx]):
                    continue
                for a in range(count):
                    total = unary[y, x, a]
                    for j in range(4):
                        if j != k:
                            total += messages[j, y, x, a]
                    belief[a] = total
                low = np.float32(1e30)
                for b in range(count):
                    best = np.float32(1e30)
                    for a in range(count):
                        if belief[a] < best:
                            value = belief[a] + _pair(colors, ok, a, b, y, x, ny, nx)
                            best = min(best, value)
                    out[b] = best
                    low = min(low, best)
                opposite = k ^ 1
                for b in range(count):
                    messages[opposite, ny, nx, b] = out[b] - low


def choose_labels(
    colors: np.ndarray, ok: np.ndarray, cost: np.ndarray, hole: np.ndarray, known: np.ndarray, rounds: int = 12
) -> np.ndarray:
    """The candidate of every cell.

    Args:
        colors: (K, h, w, 3) float32, what each candidate would paint.
        ok: (K, h, w) bool.
        cost: (K, h, w) float32.
        hole: (h, w) bool, cells to label.
        known: (h, w, 3) float32, colours of the cells outside the hole.

    Returns:
        (h, w) int32; 0 outside the hole.
    """
    by_cell = np.ascontiguousarray(np.moveaxis(colors, 0, 2))
    ok_cell = np.ascontiguousarray(np.moveaxis(ok, 0, -1))
    unary = np.moveaxis(np.where(ok, cost, BAD), 0, -1) + _border_cost(by_cell, ok_cell, hole, known)
    unary = np.ascontiguousarray(unary, np.float32)
    messages = np.zeros((4, *unary.shape), np.float32)
    for _ in range(rounds):
        for parity in (0, 1):
            _sweep(by_cell, ok_cell, unary, hole, messages, parity)
    return np.where(hole, (unary + messages.sum(0)).argmin(-1), 0).astype(np.int32)


def _border_cost(colors: np.ndarray, ok: np.ndarray, hole: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(h, w, K): for cells at the hole's border, how much each candidate differs from the known cell beside them."""
    difference = np.where(ok, np.minimum(((colors - known[:, :, None]) ** 2).sum(-1), 0.5), 0.1)
    difference = np.where(hole[..., None], 0.0, difference)
    padded, outside = np.pad(difference, ((1, 1), (1, 1), (0, 0))), np.pad(~hole, 1)
    total = np.zeros_like(difference)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        window = (slice(dy, dy + hole.shape[0]), slice(dx, dx + hole.shape[1]))
        total += 2 * padded[window] * outside[window][..., None]
    return np.where(hole[..., None], total, 0.0)
