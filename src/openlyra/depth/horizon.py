"""Where the horizon lies: the row of the point in which the photo's receding lines meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from openlyra.depth.filters import shrink

PRIOR_ROW, PRIOR_SPREAD = 0.47, 0.13
"""Photographers hold the camera nearly level: expected horizon and its spread, in image heights."""

_TOLERANCE = np.float32(np.sin(np.radians(2.0)))
_EDGES = 3000


@dataclass(frozen=True)
class Horizon:
    """The horizon of a camera without roll."""

    row: float
    """Row in pixels."""
    column: float
    """Column of the main vanishing point in pixels."""
    confidence: float
    """0: the prior alone; 1: many lines agree."""


def find_horizon(grey: NDArray[np.float32], lowest_sky: float = 0.0) -> Horizon:
    """Horizon of a grey photo (H, W) in [0, 1]; `lowest_sky` is a row the horizon cannot lie above.

    Edge pixels vote: one supports a vanishing point if its line passes within 2 degrees of it. Upright edges say
    nothing about the horizon, level ones support every point of their own row; neither votes.
    """
    height, width = grey.shape
    small = shrink(grey, max(1, round(height / 240)))
    x, y, cosine, sine, weight = _edges(small)
    rows = np.arange(0.16, 0.80, 0.02)
    columns = np.arange(-0.2, 1.21, 0.04)
    prior = np.exp(-0.5 * ((rows - PRIOR_ROW) / PRIOR_SPREAD) ** 2)
    above_sky = np.maximum(lowest_sky / height - rows, 0.0)
    prior *= np.exp(-0.5 * (above_sky / 0.04) ** 2)
    if weight.size < 100:
        return Horizon(float(height * rows[prior.argmax()]), width / 2, 0.0)
    votes = np.zeros((rows.size, columns.size), np.float32)
    for i, row in enumerate(rows * small.shape[0]):
        for j, column in enumerate(columns * small.shape[1]):
            dx, dy = np.float32(column) - x, np.float32(row) - y
            miss = np.abs(dx * sine - dy * cosine) / (np.hypot(dx, dy) + np.float32(1e-3))
            votes[i, j] = weight @ np.maximum(1 - miss / _TOLERANCE, 0)
    votes /= weight.sum() * _TOLERANCE / np.pi
    support = np.maximum(votes - np.median(votes), 0) * (0.25 + prior[:, None])
    support[prior < 1e-3] = 0
    i, j = np.unravel_index(support.argmax(), support.shape)
    confidence = float(np.clip((votes[i, j] / max(float(np.median(votes)), 1e-6) - 1.5) / 2.0, 0, 1))
    row = confidence * rows[i] + (1 - confidence) * max(PRIOR_ROW, lowest_sky / height)
    return Horizon(float(row * height), float(columns[j] * width), confidence)


def _edges(grey: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Strongest straight slanted edges: x, y, cosine and sine of the edge's direction, weight; each (N,)."""
    gx = ndimage.gaussian_filter(grey, 1.0, order=(0, 1))
    gy = ndimage.gaussian_filter(grey, 1.0, order=(1, 0))
    xx, yy, xy = (ndimage.gaussian_filter(product, 2.0) for product in (gx * gx, gy * gy, gx * gy))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2  # direction along the edge
    coherence = np.hypot(xx - yy, 2 * xy) / (xx + yy + 1e-6)
    strength = np.sqrt(xx + yy) * coherence**3
    slanted = (np.abs(np.sin(angle)) > 0.10) & (np.abs(np.cos(angle)) > 0.20)
    border = np.zeros_like(slanted)
    border[4:-4, 4:-4] = True
    strength = np.where(slanted & border, strength, 0)
    # Only ridges of the strength vote, once a pixel of length: thick soft edges would outvote thin sharp ones.
    ridge = strength >= ndimage.maximum_filter(strength, 3) * 0.999
    candidates = np.flatnonzero(ridge & (strength > 0.01))
    best = candidates[np.argsort(strength.flat[candidates], kind="stable")[::-1][:_EDGES]]
    y, x = np.unravel_index(best, grey.shape)
    weight = np.minimum(strength.flat[best], 0.06)
    parts = (x, y, np.cos(angle.flat[best]), np.sin(angle.flat[best]), weight)
    return tuple(np.asarray(part, np.float32) for part in parts)
