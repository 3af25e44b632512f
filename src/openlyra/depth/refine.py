"""Soft depth transitions made into jumps at the photo's own edges.

A learned depth map blurs outlines: the blurred rim belongs to neither surface and becomes a halo in 3D. Pixels in such
a rim take the depth of the one side whose colour they share.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from openlyra.depth.filters import opponent

Map = NDArray[np.float32]


def sharpen_depth(
    depth: Map, image: NDArray[np.uint8], radius: int = 6, ratio: float = 1.12, colour_sigma: float = 0.06
) -> Map:
    """Snap soft transitions of depth (H, W), positive, to edges of the photo, uint8 (H, W, 3); float32 (H, W).

    `radius` is the widest half transition in pixels, `ratio` the least depth ratio across it that counts as a jump,
    `colour_sigma` the colour difference at which a pixel stops being alike. Everything outside transitions is kept
    bit for bit.
    """
    if depth.shape != image.shape[:2]:
        raise ValueError(f"depth {depth.shape} and image {image.shape[:2]} differ in size")
    inverse = (1.0 / depth).astype(np.float32)
    rim = find_transitions(inverse, radius, ratio)
    rows, columns = np.nonzero(rim)
    if rows.size == 0:
        return depth.astype(np.float32, copy=True)
    result = depth.astype(np.float32, copy=True)
    snapped = _snap(inverse, opponent(image), rim, rows, columns, 2 * radius, colour_sigma, ratio)
    result[rows, columns] = 1.0 / snapped
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


def find_transitions(inverse: Map, radius: int, ratio: float) -> NDArray[np.bool_]:
    """Rims (H, W) of inverse depth: steep for at most 2 radius pixels, by more than `ratio` in all.

    A slanted plane is steep too, but everywhere; an opening of the slope tells the two apart.
    """
    slope = np.hypot(*np.gradient(inverse))
    size = 2 * radius + 1
    steady = np.minimum(ndimage.grey_opening(slope, (1, size)), ndimage.grey_opening(slope, (size, 1)))
    high = ndimage.maximum_filter(inverse, size)
    low = ndimage.minimum_filter(inverse, size)
    excess = slope - 1.5 * steady
    rim = (excess > 0.1 * (ratio - 1) * inverse) & (high > ratio * low)
    return np.asarray(ndimage.binary_dilation(rim, np.ones((3, 3))))


def _snap(
    inverse: Map,
    colour: NDArray[np.float32],
    rim: NDArray[np.bool_],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    reach: int,
    colour_sigma: float,
    ratio: float,
) -> Map:
    """Inverse depth of the rim's pixels (N,): the near or the far side of their window, whichever looks alike."""
    height, width = inverse.shape
    own, colours = inverse[rows, columns], colour[rows, columns]
    offsets = [
        (dy, dx)
        for dy in range(-reach, reach + 1, 2)
        for dx in range(-reach, reach + 1, 2)
        if 0 < dy * dy + dx * dx <= reach * reach
    ]
    near, far = np.full(own.size, -np.inf, np.float32), np.full(own.size, np.inf, np.float32)
    samples = []
    for dy, dx in offsets:
        y, x = np.clip(rows + dy, 0, height - 1), np.clip(columns + dx, 0, width - 1)
        usable = ~rim[y, x]
        value = inverse[y, x]
        near = np.maximum(near, np.where(usable, value, -np.inf))
        far = np.minimum(far, np.where(usable, value, np.inf))
        samples.append((y, x, usable, value, np.float32(np.exp(-(dy * dy + dx * dx) / (0.5 * reach * reach)))))
    two_sided = (near > ratio * far) & np.isfinite(near) & np.isfinite(far)
    middle = (np.where(two_sided, near, 0) + np.where(two_sided, far, 0)) / 2
    totals = np.full((2, own.size), 1e-12, np.float32)
    sums = np.zeros((2, own.size), np.float32)
    for y, x, usable, value, closeness in samples:
        difference = ((colour[y, x] - colours) ** 2).sum(axis=-1)
        weight = usable * closeness * (np.exp(-difference / (2 * colour_sigma**2)) + np.float32(1e-4))
        for side, mask in enumerate((value < middle, value >= middle)):
            totals[side] += weight * mask
            sums[side] += weight * mask * value
    # Colours that fit neither side better: the nearer value in depth decides.
    bias = np.where(own >= middle, 1.02, 1 / 1.02)
    side = (totals[1] * bias > totals[0]).astype(np.intp)
    picked = np.arange(own.size)
    snapped = sums[side, picked] / totals[side, picked]
    return np.where(two_sided & (snapped > 0), snapped, own).astype(np.float32)
