"""Light gathered on a coarse grid, spread to every pixel from points on the same surface (numba).

A filter that keeps edges: a point counts by how near it is in the picture, how close to the pixel's plane it lies, and
how far its normal agrees. All pixels of a row that stand the same way between their points are weighed in one loop, in
float32, which the compiler turns into vector instructions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from openlyra.worlds.kernels import LEAN, OPTIONS

STEP = 2
"""Pixels from one gathering point to the next."""
X, NORMAL, LIGHT, THERE, PLANES = 0, 3, 6, 9, 10
"""Places in a grid of points, float32 (h, PLANES, w + 2 * RIM): position from the camera, normal, light, and 1 where
there is a point."""
RIM = 2
"""Columns without points at either side of the grid, so that no loop has to ask where it ends."""
_SIDE, _SCALED, _AGREE, _AWAY, _WEIGHT, _SUMS, _ROWS = 0, 3, 7, 8, 9, 10, 14
"""Places in the scratch of a row of pixels: normal, plane in units of the distance that a point may be away, how well
a point agrees, how far it is away, its weight, and sums of red, green, blue and weight."""
_LEAST = 1e-8  # sum of weights below which no point is on the pixel's surface


def grid_shape(height: int, width: int) -> tuple[int, int, int]:
    """Of the grid of points of an image."""
    return -(-height // STEP), PLANES, -(-width // STEP) + 2 * RIM


@njit(**LEAN)
def _near(offset):  # type: ignore[no-untyped-def]
    """Four points wide with soft ends: every direction of a 4 by 4 block counts the same."""
    return np.float32(min(1.0, max(0.0, 2.5 - abs(offset))))


# The loops below read few arrays from their beginnings on and write one: else the compiler would not see that the
# arrays are apart and no index negative, and not use vectors.
@njit(**LEAN)
def _agreement(a, b, c, pa, pb, pc, agree, count):  # type: ignore[no-untyped-def]
    """Cosine between the normals of pixels and points."""
    for k in range(count):
        agree[k] = pa[k] * a[k] + pb[k] * b[k] + pc[k] * c[k]


@njit(**LEAN)
def _distance(a, b, c, d, x, y, z, away, count):  # type: ignore[no-untyped-def]
    """Of points from the planes of pixels."""
    for k in range(count):
        away[k] = x[k] * a[k] + y[k] * b[k] + z[k] * c[k] - d[k]


@njit(**LEAN)
def _weigh(agree, away, there, near, weight, count):  # type: ignore[no-untyped-def]
    zero, half, one, eighth = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(0.125)
    for k in range(count):
        same = agree[k] if agree[k] >= half else zero
        same *= same
        same *= same
        # (1 - d^2 / 8)^8 falls like exp(-d^2), to nothing at 2.8, without a call in the loop.
        fall = max(zero, one - eighth * away[k] * away[k])
        fall *= fall
        fall *= fall
        fall *= fall
        weight[k] = near * there[k] * fall * same * same


@njit(**LEAN)
def _add(sums, weight, light, count):  # type: ignore[no-untyped-def]
    for k in range(count):
        sums[k] += weight[k] * light[k]


@njit(**LEAN)
def spread_row(grid, row, pixels, out):  # type: ignore[no-untyped-def]
    """Light of the pixels of a row, into out (width, 3); negative where no point is on a pixel's surface.

    pixels: a `pixel_scratch` into which `put_pixel` has put all pixels.
    """
    width = out.shape[0]
    for odd in range(STEP):
        count, part = (width - odd + STEP - 1) // STEP, pixels[odd]
        a, b, c = part[_SIDE], part[_SIDE + 1], part[_SIDE + 2]
        e, f, g, h = part[_SCALED], part[_SCALED + 1], part[_SCALED + 2], part[_SCALED + 3]
        agree, away, weight, sums = part[_AGREE], part[_AWAY], part[_WEIGHT], part[_SUMS:]
        sums[:] = 0.0
        for i in range(max(0, row // STEP - 2), min(grid.shape[0], row // STEP + 3)):
            for offset in range(-2, 3):
                near = _near(i - row / STEP) * _near(offset - odd / STEP)
                if near == 0.0:
                    continue
                point, first = grid[i], RIM + offset
                _agreement(a, b, c, point[NORMAL, first:], point[NORMAL + 1, first:], point[NORMAL + 2, first:], agree,
                           count)  # fmt: skip
                _distance(e, f, g, h, point[X, first:], point[X + 1, first:], point[X + 2, first:], away, count)
                _weigh(agree, away, point[THERE, first:], near, weight, count)
                # The fourth, THERE, follows the light and sums the weights.
                for channel in range(4):
                    _add(sums[channel], weight, point[LIGHT + channel, first:], count)
        for k in range(count):
            total = sums[3, k]
            for channel in range(3):
                out[STEP * k + odd, channel] = sums[channel, k] / total if total > _LEAST else -1.0


@njit(**OPTIONS)
def pixel_scratch(width):  # type: ignore[no-untyped-def]
    """What `spread_row` works in."""
    return np.zeros((STEP, _ROWS, width // STEP + 1), np.float32)


@njit(**LEAN)
def put_pixel(pixels, column, x, y, z, nx, ny, nz, depth):  # type: ignore[no-untyped-def]
    """Fill in where the pixel in a column lies, from the camera, and its normal; `depth` sets how far points may be."""
    part, k = pixels[column % STEP], column // STEP
    narrow = 1.0 / (0.02 * depth + 0.01)
    part[_SIDE, k], part[_SIDE + 1, k], part[_SIDE + 2, k] = nx, ny, nz
    part[_SCALED, k], part[_SCALED + 1, k], part[_SCALED + 2, k] = narrow * nx, narrow * ny, narrow * nz
    part[_SCALED + 3, k] = narrow * (x * nx + y * ny + z * nz)
