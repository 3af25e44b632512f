"""Upright walls: straight pieces of the line where the ground ends, and the outlines between them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from openlyra.depth.filters import dilated
from openlyra.depth.ground import Contact

FloatArray = NDArray[np.floating]

_PIECE_COST = 0.055  # price of a further wall: squared misfit in image heights, summed over image widths, times 100
_NARROWEST = 0.05  # of the image's width
_REACH = 0.035  # how far an outline may wander sideways, in image widths
_JUMP = 1.5  # walls at depths closer than this ratio are joined at a corner
_OUTLINE = 0.8  # least mean strength of an outline that may part two walls, in units of a strong edge
_DIFFERENT = 0.07  # least difference of mean colour across it: one facade is not torn at its own cornice


@dataclass(frozen=True)
class Wall:
    """An upright plane whose foot is a straight line on the ground; columns and rows in pixels."""

    left: float
    right: float
    left_foot: float
    right_foot: float

    def foot(self, columns: FloatArray) -> FloatArray:
        """Row of the foot at the given columns."""
        t = (columns - self.left) / (self.right - self.left)
        return self.left_foot + t * (self.right_foot - self.left_foot)


def fit_walls(
    contact: Contact, colour: NDArray[np.float32], horizon: float, far: NDArray[np.bool_]
) -> tuple[list[Wall], NDArray[np.int32]]:
    """Walls for a contact line of the photo (H, W, C), and the wall each pixel belongs to, (H, W).

    Optimal in the sense of segmented least squares: squared error plus a price for every further wall. Neighbours are
    joined at a corner, their border upright, unless their depths differ much and an outline in the photo parts them;
    then the border follows that outline. What is `far` (H, W) belongs to no wall and has no say.
    """
    height, width = colour.shape[:2]
    lowest = horizon + 0.05 * height
    walls = _without_slivers(_straight_pieces(contact, height, width, lowest), horizon, 0.12 * width)
    across = np.where(dilated(far, 5), np.float32(0.5), _upright_edges(colour))
    floor = np.zeros(height)
    label = np.zeros((height, width), np.int32)
    centres = np.arange(width)[None, :] + 0.5
    for index in range(len(walls) - 1):
        a, b = walls[index], walls[index + 1]
        border = np.full(height, a.right)
        parted = False
        if _ratio(a.right_foot, b.left_foot, horizon) > _JUMP:
            foot = min(max(a.right_foot, b.left_foot), height)
            border, strength = _seam(across, a.right, foot, round(_REACH * width))
            parted = strength > _OUTLINE and _contrast(colour, ~far, border, foot) > _DIFFERENT
        if not parted:
            border = np.full(height, a.right)
            meet = (a.right_foot + b.left_foot) / 2
            walls[index], walls[index + 1] = replace(a, right_foot=meet), replace(b, left_foot=meet)
        floor = np.maximum(floor, border)
        label += centres >= floor[:, None]
    return walls, label


def _straight_pieces(contact: Contact, height: int, width: int, lowest: float) -> list[Wall]:
    step = contact.step
    rows, weight = contact.rows, contact.weight
    cuts = _segment(rows / height, weight, max(2, round(_NARROWEST * rows.size)))
    columns = (np.arange(rows.size) + 0.5) * step
    walls = []
    for start, stop in itertools.pairwise(cuts):
        slope, level = _line(columns[start:stop], rows[start:stop], weight[start:stop], 0.006 * height)
        left, right = float(start * step), float(min(stop * step, width))
        feet = np.clip([level + slope * left, level + slope * right], lowest, 1.25 * height)
        walls.append(Wall(left, right, float(feet[0]), float(feet[1])))
    return walls


def _without_slivers(walls: list[Wall], horizon: float, widest: float) -> list[Wall]:
    """Bridge narrow pieces that fit neither neighbour: mostly posts, shadows and bushes.

    Between neighbours at like depths the bridge is straight; otherwise the neighbour that fits better is carried on.
    """
    kept = list(walls)
    for index in range(1, len(kept) - 1):
        before, here, after = kept[index - 1 : index + 2]
        left, right = before.right_foot, after.left_foot
        fits = _ratio(here.left_foot, left, horizon) < 1.3 and _ratio(here.right_foot, right, horizon) < 1.3
        if fits or here.right - here.left > widest:
            continue
        if _ratio(left, right, horizon) > _JUMP:
            own = (here.left_foot + here.right_foot) / 2
            left = right = min(left, right, key=lambda foot: _ratio(own, foot, horizon))
        kept[index] = replace(here, left_foot=left, right_foot=right)
    return kept


def _ratio(foot: float, other: float, horizon: float) -> float:
    """Ratio of the depths of two feet, at least 1."""
    low, high = sorted((foot - horizon, other - horizon))
    return high / low


def _line(x: FloatArray, y: FloatArray, trust: FloatArray, tolerance: float) -> tuple[float, float]:
    """Least squares line, outliers beyond `tolerance` down-weighted in turns: slope, level at x = 0."""
    weight = trust
    slope, level = 0.0, float(y.mean())
    for _ in range(4):
        mx, my = np.average(x, weights=weight), np.average(y, weights=weight)
        spread = float((weight * (x - mx) ** 2).sum())
        slope = float((weight * (x - mx) * (y - my)).sum() / spread) if spread > 0 else 0.0
        level = float(my - slope * mx)
        weight = trust / np.maximum(np.abs(y - level - slope * x), tolerance)
    return slope, level


def _segment(y: FloatArray, trust: FloatArray, narrowest: int) -> list[int]:
    """Cuts [0, …, n] of a sequence into straight pieces of at least `narrowest` values."""
    n = y.size
    x = np.arange(n, dtype=np.float64)
    terms = (trust, trust * x, trust * y, trust * x * x, trust * x * y, trust * y * y)
    sums = [np.concatenate([[0.0], np.cumsum(v)]) for v in terms]
    best, previous = np.full(n + 1, np.inf), np.zeros(n + 1, int)
    best[0] = 0.0
    for stop in range(min(narrowest, n), n + 1):
        starts = np.arange(0, max(stop - narrowest, 0) + 1)
        c, sx, sy, sxx, sxy, syy = (s[stop] - s[starts] for s in sums)
        vxx, vxy, vyy = sxx - sx * sx / c, sxy - sx * sy / c, syy - sy * sy / c
        error = np.maximum(vyy - vxy**2 / np.maximum(vxx, 1e-9), 0)
        total = best[starts] + 100.0 * error / n + _PIECE_COST
        previous[stop] = starts[total.argmin()]
        best[stop] = total.min()
    cuts = [n]
    while cuts[-1] > 0:
        cuts.append(int(previous[cuts[-1]]))
    return cuts[::-1]


def _contrast(colour: NDArray[np.float32], counted: NDArray[np.bool_], border: FloatArray, foot: float) -> float:
    """Difference of the mean colours of counted pixels in strips left and right of a border (H,), above its foot."""
    width = colour.shape[1]
    rows = np.arange(0, max(int(foot), 1))[:, None]
    reach = np.arange(3, max(round(_REACH * width), 5))
    middle = border[: rows.size, None]
    means = []
    for columns in (middle - reach, middle + reach):
        index = (rows, np.clip(columns, 0, width - 1).astype(int))
        weight = counted[index]
        if weight.mean() < 0.1:
            return 0.0
        means.append(np.average(colour[index].reshape(-1, 3), axis=0, weights=weight.ravel()))
    return float(np.linalg.norm(means[0] - means[1]))


def _upright_edges(colour: NDArray[np.float32]) -> NDArray[np.float32]:
    """Strength of upright edges (H, W); 1 is a strong one."""
    across = np.abs(ndimage.gaussian_filter(colour, (3.0, 1.0, 0), order=(0, 1, 0))).max(axis=-1)
    # Flanks count less than ridges, or the cap would leave wide edges without a best column.
    ridge = across >= ndimage.maximum_filter(across, (1, 5))
    return np.minimum(across / (np.percentile(across, 92) + 1e-6), 2.0) * np.where(ridge, 1.0, 0.6)


def _seam(across: NDArray[np.float32], column: float, foot: float, reach: int) -> tuple[FloatArray, float]:
    """Outline through `column` at `foot`, upwards along strong edges: column in every row (H,), mean strength."""
    height, width = across.shape
    left = int(np.clip(column - reach, 0, max(width - 2 * reach, 0)))
    strip = across[:, left : left + 2 * reach]
    drift = np.abs(np.arange(strip.shape[1]) - (column - left)) / reach
    cost = 2.0 - strip + 0.5 * drift**2
    bottom = int(np.clip(foot, 1, height))
    total = np.empty((bottom, strip.shape[1]))
    total[0] = cost[0]
    for row in range(1, bottom):
        before = np.pad(total[row - 1], 1, constant_values=np.inf)
        total[row] = cost[row] + np.minimum(np.minimum(before[:-2], before[2:]) + 0.5, before[1:-1])
    border = np.full(height, float(column))
    position = int(total[bottom - 1].argmin())
    strength = 0.0
    for row in range(bottom - 1, -1, -1):
        border[row] = left + position
        strength += float(strip[row, position])
        if row > 0:
            near = total[row - 1, max(position - 1, 0) : position + 2].copy()
            near += 0.5 * (np.arange(near.size) + max(position - 1, 0) != position)
            position = max(position - 1, 0) + int(near.argmin())
    border[bottom:] = border[bottom - 1]
    return border, strength / bottom
