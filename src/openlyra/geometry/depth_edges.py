"""Depth edges of a frame: where the front ends and the background goes on behind it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

JUMP = 1.10
"""Ratio of neighbouring depths from which a step can be an edge."""
BEND = 3.0
"""How many times larger than the steps before and after it an edge's step in inverse depth must be."""

FRINGE = 1 / 120
"""Largest width of a fringe, as a part of the picture's height."""
SEEN = 0.03
"""Difference of colour, in [0, 1] over three channels, from which it counts; where skies are uneven, 3 deviations."""


def jumps(depth: np.ndarray, axis: int) -> np.ndarray:
    """Edges between neighbours along an axis: a large step that the slope on neither side explains.

    Steep ground near the horizon has large ratios between rows without any edge; there the steps before and after are
    as large.

    Returns:
        bool, one shorter than ``depth`` along the axis.
    """
    inverse = 1.0 / depth.astype(np.float64)
    step = np.abs(np.diff(inverse, axis=axis))
    low, high = (np.take(depth, r, axis) for r in (range(depth.shape[axis] - 1), range(1, depth.shape[axis])))
    ratio = np.maximum(low, high) / np.minimum(low, high)
    pad = [(1, 1) if a == axis else (0, 0) for a in (0, 1)]
    padded = np.pad(step, pad, mode="edge")
    length = step.shape[axis]
    before, after = np.take(padded, range(length), axis), np.take(padded, range(2, length + 2), axis)
    return (ratio > JUMP) & (step > BEND * np.minimum(before, after))


def near_and_far_sides(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels directly in front of and directly behind a depth edge: two (H, W) bool."""
    near, far = np.zeros(depth.shape, bool), np.zeros(depth.shape, bool)
    for axis in (0, 1):
        edge = jumps(depth, axis)
        size = depth.shape[axis]
        low, high = (np.take(depth, r, axis) for r in (range(size - 1), range(1, size)))
        before = [(0, 1) if a == axis else (0, 0) for a in (0, 1)]
        after = [(1, 0) if a == axis else (0, 0) for a in (0, 1)]
        near |= np.pad(edge & (low < high), before) | np.pad(edge & (high < low), after)
        far |= np.pad(edge & (low > high), before) | np.pad(edge & (high > low), after)
    return near, far


def foreground_rim(depth: np.ndarray, width: int = 7) -> np.ndarray:
    """The outermost ``width`` pixels of every surface that stands in front of something. (H, W) bool."""
    rim = near_and_far_sides(depth)[0]
    for _ in range(width - 1):
        reach = ndimage.minimum_filter(np.where(rim, depth, np.inf), 3)
        rim = rim | ((depth < 1.15 * reach) & (depth > reach / 1.15))
    return rim


def fatten_foreground(depth: np.ndarray, sky: np.ndarray, pixels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Move every depth edge outwards, so that the mixed colours of an outline belong to the front.

    Returns:
        depth (H, W) and sky (H, W) after the move.
    """
    depth, sky = depth.copy(), sky.copy()
    for _ in range(pixels):
        near, far = near_and_far_sides(depth)
        take = far & ~near
        reach = ndimage.minimum_filter(np.where(near, depth, np.inf), 3)
        take &= np.isfinite(reach)
        depth[take] = reach[take]
        sky[take] = False
    return depth, sky


def outlines_to_front(image: np.ndarray, depth: np.ndarray, sky: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the pixels of an outline to what stands in front: one pixel of every depth edge, and fringes before the sky.

    Args:
        image: (H, W, 3) uint8.
        depth: (H, W) z-depth.
        sky: (H, W) bool.

    Returns:
        depth (H, W) and sky (H, W) after the move.
    """
    depth, sky = fatten_foreground(depth, sky)
    fringe = sky_fringe(image, sky)
    if fringe.any():
        nearest = tuple(ndimage.distance_transform_edt(sky, return_distances=False, return_indices=True))
        depth = np.where(fringe, depth[nearest], depth)
    return depth, sky & ~fringe


def sky_fringe(image: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Pixels (H, W) bool of the sky's rim, joined to what stands before it, that do not look like the sky farther away.

    Sharpening leaves a light seam beside a dark outline, and leaves and wires end in a haze of their colour. In the sky
    they would stay behind as a drawing of the outline as soon as the camera steps aside.
    """
    color = image.astype(np.float32) / 255.0
    width = max(1, round(FRINGE * sky.shape[0]))
    clear = ndimage.distance_transform_edt(sky) > width
    weight = ndimage.gaussian_filter(clear.astype(np.float32), 3 * width)

    def smooth(values: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(values * clear, 3 * width) / np.maximum(weight, 1e-6)

    usual = np.stack([smooth(color[..., channel]) for channel in range(3)], -1)
    off = ((color - usual) ** 2).sum(-1)
    odd = sky & ~clear & (weight > 1e-3) & (off > np.maximum(SEEN**2, 9 * smooth(off)))
    return ndimage.binary_dilation(~sky, iterations=width, mask=odd | ~sky) & odd
