"""Which pixels of a depth map lie on a smooth surface, away from depth edges. NumPy arrays and tensors alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.arrays import Array, is_torch, namespace
from openlyra.geometry.warp_types import MAX_DEPTH

WINDOW = 5
"""Side of the window in pixels."""


def reliable_depth(
    depth: Array, threshold: float, valid: Array | None = None, *, reference_compat: bool = False
) -> Array:
    """Pixels of (..., H, W) z-depth whose 5x5 window has (max - min) / mean below `threshold`; bool (..., H, W).

    By default the window holds only valid pixels inside the image: `valid` and finite, positive depth.
    With `reference_compat`, depth is cleaned (NaN = 1e4, clamped to 0 ... 1e4), all pixels count, and the mean divides
    by 25 even at the image border, which rejects border pixels more readily.
    """
    if reference_compat:
        clean = clean_depth(depth)
        mean = _window_sum(clean) / (WINDOW * WINDOW)
        used = clean > 0 if valid is None else (clean > 0) & valid
        return used & ((_window_max(clean) - _window_min(clean)) / (mean + 1e-6) < threshold)
    used = usable_depth(depth, valid)
    xp = namespace(depth)
    zero = xp.zeros_like(depth)
    mean = _window_sum(xp.where(used, depth, zero)) / xp.clip(_window_sum(xp.where(used, zero + 1, zero)), 1, None)
    spread = _window_max(xp.where(used, depth, zero - np.inf)) - _window_min(xp.where(used, depth, zero + np.inf))
    return used & (spread < threshold * mean)


def planar_depth(depth: Array, threshold: float, valid: Array | None = None) -> Array:
    """Pixels of (..., H, W) z-depth whose 5x5 window is locally one surface; bool (..., H, W).

    Inverse depth is affine in the pixel on any plane, so its second difference is 0 there however grazing the view, and
    large next to a depth edge: |w(p+d) + w(p-d) - 2 w(p)| < threshold * w(p) for all 12 opposite pairs of the window.
    Pairs with an unusable end are skipped.
    """
    used = usable_depth(depth, valid)
    xp = namespace(depth)
    nothing = xp.zeros_like(depth) + np.nan
    inverse = xp.where(used, 1 / xp.where(used, depth, nothing), nothing)
    padded = _padded(inverse, np.nan)
    result = used
    half = WINDOW // 2
    for row in range(half + 1):
        for column in range(-half if row else 1, half + 1):
            ahead = _shifted(padded, half + row, half + column, depth)
            behind = _shifted(padded, half - row, half - column, depth)
            result = result & ~(abs(ahead + behind - 2 * inverse) >= threshold * inverse)
    return result


def usable_depth(depth: Array, valid: Array | None = None) -> Array:
    """Finite, positive depth up to 1e4 where `valid`; bool, same shape."""
    good = (depth > 0) & (depth <= MAX_DEPTH)
    return good if valid is None else good & valid


def clean_depth(depth: Array) -> Array:
    """The reference's cleaning: NaN becomes 1e4, everything is clamped to 0 ... 1e4."""
    xp = namespace(depth)
    return xp.clip(xp.where(xp.isnan(depth), xp.zeros_like(depth) + MAX_DEPTH, depth), 0.0, MAX_DEPTH)


def _window_max(image: Array) -> Array:
    return _windowed(image, -np.inf, namespace(image).maximum)


def _window_min(image: Array) -> Array:
    return _windowed(image, np.inf, namespace(image).minimum)


def _window_sum(image: Array) -> Array:
    return _windowed(image, 0.0, namespace(image).add)


def _windowed(image: Array, padding: float, combine: Callable[[Any, Any], Any]) -> Array:
    """Fold a symmetric operation over the window, first along rows, then along columns: 8 passes instead of 24."""
    if image.ndim < 2:
        raise InputError(f"depth has shape {tuple(image.shape)}; (..., height, width) is needed")
    height, width = image.shape[-2:]
    padded = _padded(image, padding)
    rows = padded[..., :, :width]
    for column in range(1, WINDOW):
        rows = combine(rows, padded[..., :, column : column + width])
    result = rows[..., :height, :]
    for row in range(1, WINDOW):
        result = combine(result, rows[..., row : row + height, :])
    return result


def _padded(image: Array, value: float) -> Array:
    half = WINDOW // 2
    if is_torch(image):
        from torch.nn.functional import pad

        return pad(image, (half, half, half, half), value=value)
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + [(half, half)] * 2, constant_values=value)


def _shifted(padded: Array, row: int, column: int, like: Array) -> Array:
    height, width = like.shape[-2:]
    return padded[..., row : row + height, column : column + width]
