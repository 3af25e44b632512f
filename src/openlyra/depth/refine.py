"""Soft depth transitions made into jumps at the photo's own edges.

A learned depth map blurs outlines: the blurred rim belongs to neither surface and becomes a rubber sheet in 3D. A rim's
pixels take the depth of the surface beside it from which they are reached without crossing an edge of the photo.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from openlyra.depth.filters import dilated, opponent
from openlyra.depth.flood import cheapest_way_out

Map = NDArray[np.float32]

FINEST = 240
"""About how many rows the grid has on which transitions are looked for."""
JUMP = 1.25
"""Least depth ratio across a transition."""
STEEPER = 1.1
"""How much steeper than all around a transition is."""
STRONGEST = 0.15
"""Change of colour from one pixel to the next beyond which an edge counts no more."""
STEEPEST = 0.05
"""Relative change of inverse depth from one pixel to the next beyond which steepness counts no more."""
WALK = 0.05
"""What a pixel without any edge costs. With less, far things flow a long way along the clear sky around a tree."""


def sharpen_depth(
    depth: Map, image: NDArray[np.uint8], sky: NDArray[np.bool_] | None = None, reach: float = 0.04
) -> Map:
    """Snap soft transitions of depth (H, W), positive, to edges of the photo, uint8 (H, W, 3); float32 (H, W).

    Transitions are as wide as `reach` times the image diagonal at most; no depth comes from the sky, bool (H, W).
    Everything outside transitions is kept bit for bit.
    """
    if depth.shape != image.shape[:2]:
        raise ValueError(f"depth {depth.shape} and image {image.shape[:2]} differ in size")
    inverse = (1.0 / depth).astype(np.float32)
    rim = find_transitions(inverse, reach)
    result = depth.astype(np.float32, copy=True)
    if rim.any():
        closed = np.zeros(depth.shape, bool) if sky is None else sky
        _, source = cheapest_way_out(edge_cost(opponent(image), inverse, rim), rim, closed)
        found = rim & (source >= 0)
        result[found] = depth.ravel()[source[found]]
    return result


def mend_sky_rim(inverse: Map, sky: NDArray[np.bool_], reach: int) -> Map:
    """Inverse depth (H, W) whose soft fall towards the sky, bool (H, W), beside upright things is undone.

    Along each row, pixels within `reach` of sky take the value `reach` pixels inside if that is nearer. A horizon is
    left alone: its rows have no inside.
    """
    if not sky.any():
        return inverse
    columns = sky.shape[1]
    x = np.broadcast_to(np.arange(columns), sky.shape)
    before = np.maximum.accumulate(np.where(sky, x, -1), axis=1)
    after = np.minimum.accumulate(np.where(sky, x, columns)[:, ::-1], axis=1)[:, ::-1]
    # A run that ends at the picture's border has no rim there.
    first = np.where(before >= 0, before + 1 + reach, 0)
    last = np.where(after < columns, after - 1 - reach, columns - 1)
    middle = np.clip((before + after) // 2, 0, columns - 1)
    inside = np.where(first <= last, np.clip(x, first, last), middle)
    mended = np.maximum(inverse, np.take_along_axis(inverse, inside, axis=1))
    return np.where(sky, inverse, mended).astype(np.float32)


def find_transitions(inverse: Map, reach: float) -> NDArray[np.bool_]:
    """Rims (H, W) of inverse depth: steep for less than `reach` diagonals, by more than JUMP in all.

    A slanted plane is steep too, but everywhere; an opening of the slope tells the two apart.
    """
    rows, columns = inverse.shape
    stride = max(1, rows // FINEST)
    q = inverse[::stride, ::stride]
    size = 2 * max(1, round(reach * math.hypot(*q.shape) / 2)) + 1
    slope = np.hypot(*np.gradient(q))
    steady = np.minimum(ndimage.grey_opening(slope, (1, size)), ndimage.grey_opening(slope, (size, 1)))
    high, low = ndimage.maximum_filter(q, size), ndimage.minimum_filter(q, size)
    steep = slope - STEEPER * steady > 0.03 * (JUMP - 1) * q
    rim = dilated(steep & (high > JUMP * low), 3)
    return np.asarray(rim.repeat(stride, 0).repeat(stride, 1)[:rows, :columns])


@njit(cache=True)
def edge_cost(colour, inverse, region):  # type: ignore[no-untyped-def]
    """What it costs to walk over each pixel (H, W) of a region and beside it, 0 elsewhere: how much colours (H, W, 3)
    change there, by Sobel's filters, more where inverse depth (H, W) does too."""
    height, width = inverse.shape
    result = np.zeros((height, width), np.float32)
    for i in range(height):
        above, below = max(i - 1, 0), min(i + 1, height - 1)
        for j in range(width):
            left, right = max(j - 1, 0), min(j + 1, width - 1)
            if not region[above : below + 1, left : right + 1].any():
                continue
            change = np.float32(0)
            for c in range(3):
                falling = colour[below, left, c] - colour[above, right, c]
                rising = colour[below, right, c] - colour[above, left, c]
                down = rising + falling + 2 * (colour[below, j, c] - colour[above, j, c])
                along = rising - falling + 2 * (colour[i, right, c] - colour[i, left, c])
                change += (down * down + along * along) / np.float32(64)
            slope_y = (inverse[below, j] - inverse[above, j]) / max(below - above, 1)
            slope_x = (inverse[i, right] - inverse[i, left]) / max(right - left, 1)
            slope = np.hypot(slope_x, slope_y) / inverse[i, j]
            result[i, j] = (WALK + min(np.sqrt(change), STRONGEST)) * (0.2 + min(slope / STEEPEST, 1))
    return result
