"""The ground: where in each column the floor in front of the camera ends and something upright begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from openlyra.depth.filters import gradient_strength, shrink

_ROWS = 120  # the search runs on about this many rows
_BINS = 10
_ROUNDS = 3
_EDGE, _STEP, _JUMP = 2.0, 0.35, 6.0
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Contact:
    """Where the ground ends, for blocks of `step` columns."""

    rows: NDArray[np.float64]
    """(ceil(W / step),) first ground row in pixels; the height of the photo where a column has no ground."""
    weight: NDArray[np.float64]
    """(ceil(W / step),) trust in it, 0.2 (no edge there) to 1."""
    step: int
    """Columns a value stands for."""


def find_contact(colour: NDArray[np.float32], horizon: float, far: Mask) -> Contact:
    """Find the line at which the ground ends.

    `colour` is the opponent-colour photo (H, W, 3), `horizon` a row, `far` the pixels (H, W) that cannot be ground.
    A colour model of the ground, learnt from the foot of the photo, and one of everything above the horizon are refined
    in turns with the best contact line (dynamic programming over columns).
    """
    factor = max(1, round(colour.shape[0] / _ROWS))
    small = shrink(colour, factor)
    blocked = shrink(far.astype(np.float32), factor) > 0.5
    height, width = small.shape[:2]
    top = int(np.clip(round(horizon / factor) + 1, 1, height - 2))
    index = _palette(small, shrink(gradient_strength(colour, 1.0)[..., None], factor)[..., 0])
    edge = np.abs(ndimage.gaussian_filter(small, (1.0, 1.0, 0), order=(1, 0, 0))).max(axis=-1)
    edge = np.clip(edge / (np.percentile(edge, 95) + 1e-6), 0, 1.5)
    rows = np.arange(height, dtype=np.float32)[:, None]
    prior = 1.6 * np.clip((rows - top) / (height - top) - 0.35, -0.35, 0.65) * np.ones((1, width), np.float32)
    ground, other = _seeds(height, width, top)
    other &= ~blocked
    contact = np.full(width, top)
    for _ in range(_ROUNDS):
        score = 0.9 * _likelihood(index, ground, other) + prior
        score = np.where(blocked, -2.0, ndimage.gaussian_filter(score, 0.8))
        contact = _best_line(score, edge, top)
        ground = (rows >= contact[None, :]) & ~blocked
        other = (rows < contact[None, :]) & ~blocked
        if not ground.any() or not other.any():
            break
    strength = np.minimum(edge[np.minimum(contact, height - 1), np.arange(width)], 1.0)
    missing = contact >= height - 1
    line = np.where(missing, colour.shape[0], contact * factor).astype(np.float64)
    return Contact(line, np.where(missing, 0.5, 0.2 + 0.8 * strength).astype(np.float64), factor)


def _palette(small: NDArray[np.float32], texture: NDArray[np.float32]) -> NDArray[np.int32]:
    """Bin of brightness, colour and texture for each pixel, (h, w)."""
    scaled = np.stack([small[..., 0], small[..., 1] + 0.5, small[..., 2] + 0.5, texture * 8], axis=-1)
    index = np.clip(scaled * _BINS, 0, _BINS - 1).astype(np.int32)
    return ((index[..., 0] * _BINS + index[..., 1]) * _BINS + index[..., 2]) * _BINS + index[..., 3]


def _seeds(height: int, width: int, top: int) -> tuple[Mask, Mask]:
    """First guess: a trapezium at the foot is ground, everything above the horizon is not."""
    rows, columns = np.mgrid[:height, :width]
    depth = (rows - top) / max(height - 1 - top, 1)
    ground = (depth > 0.55) & (np.abs(columns / width - 0.5) < 0.12 + 0.3 * depth)
    return ground, rows < top


def _likelihood(index: NDArray[np.int32], ground: Mask, other: Mask) -> NDArray[np.float32]:
    """Log-ratio of the bins' frequencies, ground against other, (h, w)."""
    logs = []
    for mask in (ground, other):
        histogram = np.bincount(index[mask], minlength=_BINS**4).astype(np.float64).reshape((_BINS,) * 4)
        histogram = ndimage.gaussian_filter(histogram, 0.7, mode="nearest")
        logs.append(np.log(histogram / max(histogram.sum(), 1) + 2e-4))
    return np.clip(logs[0] - logs[1], -2.5, 2.5).astype(np.float32).reshape(-1)[index]


def _best_line(score: NDArray[np.float32], edge: NDArray[np.float32], top: int) -> NDArray[np.int64]:
    """First ground row of each column, minimising misplaced score, staying on edges and avoiding steps."""
    height, width = score.shape
    cumulated = np.cumsum(np.vstack([np.zeros((1, width)), score]), axis=0)
    states = np.arange(top, height + 1)
    above, below = cumulated[states] - cumulated[top], cumulated[height] - cumulated[states]
    unary = (above - below) * 0.5
    reward = np.vstack([edge, np.zeros((1, width))])[states]
    unary = (unary - _EDGE * reward).T
    step = np.minimum(_STEP * np.abs(states[:, None] - states[None, :]), _JUMP)
    best = np.empty((width, states.size), np.int64)
    cost = unary[0]
    for column in range(1, width):
        total = cost[:, None] + step
        best[column] = total.argmin(axis=0)
        cost = total[best[column], np.arange(states.size)] + unary[column]
    line = np.empty(width, np.int64)
    line[-1] = cost.argmin()
    for column in range(width - 1, 0, -1):
        line[column - 1] = best[column, line[column]]
    return states[line]
