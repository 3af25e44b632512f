"""How either side of an outline looks, cell by cell, and which of them a pixel looks like (numba)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Map = NDArray[np.float32]


@njit(cache=True)
def cell_moments(colour: Map, mask: NDArray[np.bool_], factor: int) -> Map:
    """Means over cells of factor x factor pixels of a mask (H, W), of it times each colour (H, W, 3), and of it times
    each colour's square: (7, h, w).

    Every second pixel of every second row is enough; cells at the right and below may be smaller.
    """
    height, width = mask.shape
    rows, columns = -(-height // factor), -(-width // factor)
    moments = np.zeros((7, rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            seen = 0
            for y in range(i * factor, min(height, (i + 1) * factor), 2):
                for x in range(j * factor, min(width, (j + 1) * factor), 2):
                    seen += 1
                    if mask[y, x]:
                        moments[0, i, j] += 1
                        for c in range(3):
                            moments[1 + c, i, j] += colour[y, x, c]
                            moments[4 + c, i, j] += colour[y, x, c] ** 2
            moments[:, i, j] /= np.float32(seen)
    return moments


@njit(cache=True)
def scores(colour: Map, terms: Map, factor: int, asked: NDArray[np.bool_]) -> Map:
    """What a quadratic function of colour (H, W, 3) says of each pixel, (H, W); 0 in cells (h, w) that are not asked.

    `terms` (7, h, w) hold, for cells of factor x factor pixels, what each colour's square counts, what each colour
    counts, and a constant; between the middles of cells they change linearly.
    """
    height, width = colour.shape[:2]
    rows, columns = terms.shape[1:]
    result = np.zeros((height, width), np.float32)
    for y in range(height):
        down = min(max((y + 0.5) / factor - 0.5, 0.0), rows - 1.0)
        i = min(int(down), rows - 1)
        line = terms[:, i] + np.float32(down - i) * (terms[:, min(i + 1, rows - 1)] - terms[:, i])
        for x in range(width):
            if not asked[y // factor, x // factor]:
                continue
            right = min(max((x + 0.5) / factor - 0.5, 0.0), columns - 1.0)
            j = min(int(right), columns - 1)
            k, part = min(j + 1, columns - 1), np.float32(right - j)
            score = line[6, j] + part * (line[6, k] - line[6, j])
            for c in range(3):
                value = colour[y, x, c]
                square = line[c, j] + part * (line[c, k] - line[c, j])
                linear = line[3 + c, j] + part * (line[3 + c, k] - line[3 + c, j])
                score += value * (square * value + linear)
            result[y, x] = score
    return result
