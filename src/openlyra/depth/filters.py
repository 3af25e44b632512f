"""Small image filters the geometric cues share; everything is float32 (H, W) unless stated.

The compiled ones are imported where they are used: loading numba takes longer than most commands that do not need it.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Map = NDArray[np.float32]


def opponent(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (H, W, 3) to float32 (H, W, 3): brightness, red minus green, blue minus yellow; brightness in [0, 1]."""
    from openlyra.depth.filters_numba import opponent_colours

    return np.asarray(opponent_colours(np.ascontiguousarray(image)))


def gradient_strength(image: NDArray[np.float32], sigma: float = 1.0) -> Map:
    """Largest gradient over the channels of (H, W, C), in units per pixel."""
    channels = [
        np.hypot(
            ndimage.gaussian_filter(channel, sigma, order=(0, 1)),
            ndimage.gaussian_filter(channel, sigma, order=(1, 0)),
        )
        for channel in np.moveaxis(image, -1, 0)
    ]
    return np.max(channels, axis=0).astype(np.float32)


def shrink(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Mean over factor x factor blocks of (H, W, ...); a ragged rest is padded by its edge."""
    height, width = values.shape[:2]
    margins = [(0, -height % factor), (0, -width % factor)] + [(0, 0)] * (values.ndim - 2)
    padded = np.pad(values, margins, mode="edge")
    # Sums of slices are many times as fast as a mean over two axes of a view.
    tall = reduce(np.add, [padded[k::factor] for k in range(factor)])
    blocks = reduce(np.add, [tall[:, k::factor] for k in range(factor)])
    return np.asarray(blocks / np.float32(factor**2), np.float32)


def grow(values: Map, height: int, width: int, factor: int) -> Map:
    """Bilinear inverse of `shrink`: block means (h, w) back to (height, width)."""
    rows = np.clip((np.arange(height) + 0.5) / factor - 0.5, 0, values.shape[0] - 1)
    columns = np.clip((np.arange(width) + 0.5) / factor - 0.5, 0, values.shape[1] - 1)
    r0, c0 = rows.astype(int), columns.astype(int)
    r1, c1 = np.minimum(r0 + 1, values.shape[0] - 1), np.minimum(c0 + 1, values.shape[1] - 1)
    tr, tc = (rows - r0).astype(np.float32)[:, None], (columns - c0).astype(np.float32)[None, :]
    top = values[r0[:, None], c0] * (1 - tc) + values[r0[:, None], c1] * tc
    bottom = values[r1[:, None], c0] * (1 - tc) + values[r1[:, None], c1] * tc
    return top * (1 - tr) + bottom * tr


def guided_filter(guide: NDArray[np.float32], values: Map, radius: int, epsilon: float) -> Map:
    """Smooth `values` (H, W) inside the regions of a grey guide (H, W), keeping the guide's edges.

    Source: He, Sun, Tang, Guided image filtering (2010).
    """
    from openlyra.depth.filters_numba import box_mean

    guide, values = (np.ascontiguousarray(x, np.float32) for x in (guide, values))
    mean_g, mean_v = box_mean(guide, radius), box_mean(values, radius)
    covariance = box_mean(guide * values, radius) - mean_g * mean_v
    slope = covariance / (box_mean(guide * guide, radius) - mean_g**2 + epsilon)
    return np.asarray(box_mean(slope, radius) * guide + box_mean(mean_v - slope * mean_g, radius))


def eroded(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Pixels (H, W) whose size x size neighbourhood, odd, is all in the mask, nothing being outside.

    This and the two below do what SciPy does, ten times as fast.
    """
    return _joined(np.pad(mask, size // 2), size, np.logical_and)


def dilated(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Pixels (H, W) with a pixel of the mask in their size x size neighbourhood, odd."""
    return _joined(np.pad(mask, size // 2), size, np.logical_or)


def opened(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """What size x size squares inside the mask (H, W) cover."""
    return _joined(_joined(np.pad(mask, size - 1), size, np.logical_and), size, np.logical_or)


def _joined(mask: NDArray[np.bool_], size: int, join: np.ufunc) -> NDArray[np.bool_]:
    """All size x size windows of (H, W) as one pixel each."""
    rows, columns = mask.shape[0] - size + 1, mask.shape[1] - size + 1
    mask = reduce(join, [mask[k : k + rows] for k in range(size)])
    return reduce(join, [mask[:, k : k + columns] for k in range(size)])
