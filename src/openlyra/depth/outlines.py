"""Things whose outline cuts through them get back what is theirs: the outer leaves of a tree before water or sky.

A network's outline of a tree is a smooth line through its leaves. Beside a jump in depth, the colours some way inside
either surface say how each looks; a pixel of the farther one that looks much more like the nearer is given to it. Not
the other way round: gaps cut into near things are mistakes more often than not (bright walls before a bright sky).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

from openlyra.depth.filters import opponent, shrink
from openlyra.depth.looks import cell_moments, scores
from openlyra.depth.resample import resized

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]

GRID = 120
"""About how many rows the grid has on which looks are gathered."""
JUMP = 1.2
"""Least depth ratio from one pixel to the next that is an outline."""
BAND = 5
"""So far from an outline, in cells of the grid, a pixel may change sides."""
CORE = 1
"""So far from it looks are not gathered: these pixels may be of the wrong side."""
AROUND = 7
"""Half the side of the window in which looks are gathered, in cells."""
FEWEST = 0.03
"""Part of that window that each side must cover."""
SURE = 2.0
"""Least difference of log likelihood between the sides for a change."""
MOST = 6.0
"""Greatest such difference that a pixel can have, so that none outvotes its neighbours."""
CALM = 4e-4
"""Variance that is added to each side's: noise, and shading that goes on differently."""
PASSES = 3
"""How often outlines grow at most: what one pass takes no longer blurs the looks of what is behind."""
_SKY = 1e4  # metres, for comparisons only


class _Side(NamedTuple):
    """One side of the outlines, cell by cell."""

    cover: Map
    """(h, w) part of the window around that is this side."""
    terms: Map
    """(7, h, w) what the log likelihood of a colour has of its square and of the colour, three each; the rest of it."""


def grow_outlines(depth: Map, image: NDArray[np.uint8], sky: Mask) -> tuple[Map, Mask]:
    """Depth (H, W), positive, and sky (H, W) of a photo, uint8 (H, W, 3), with near things grown by what is theirs.

    Pixels change by taking the depth of the near thing's nearest cell; all others are kept bit for bit.
    """
    colour = opponent(image)
    for _ in range(PASSES):
        before = depth
        depth, sky = _grown_once(depth, colour, sky)
        if np.array_equal(depth, before):
            break
    return depth, sky


def _grown_once(depth: Map, colour: Map, sky: Mask) -> tuple[Map, Mask]:
    height, width = depth.shape
    factor = 2 * max(1, round(height / GRID / 2))
    logs = np.log(np.where(sky, _SKY, depth)).astype(np.float32)
    edge = _highest(_edges(logs), factor) > 0
    if not edge.any():
        return depth, sky
    low = ndimage.minimum_filter(-_highest(-logs, factor), 2 * BAND + 1)
    high = ndimage.maximum_filter(_highest(logs, factor), 2 * BAND + 1)
    near = logs < _grown((low + high) / 2, height, width, factor)
    core = _repeated(~ndimage.maximum_filter(edge, 2 * CORE + 1), height, width, factor)
    thing, rest = (_side(colour, core & side, factor) for side in (near, ~near))
    band = ndimage.maximum_filter(edge, 2 * BAND + 1) & (thing.cover > FEWEST) & (rest.cover > FEWEST)
    beside = ndimage.maximum_filter(band, 3)  # what the filter below looks at
    score = scores(colour, thing.terms - rest.terms, factor, beside)
    likely = ndimage.gaussian_filter(np.clip(score, -MOST, MOST), 0.7) > SURE
    taken = _repeated(_nearest_depth(depth, core & near, factor), height, width, factor)
    change = likely & ~near & _repeated(band, height, width, factor) & (sky | (taken < depth))
    return np.where(change, taken, depth), sky & ~change


def _edges(logs: Map) -> Map:
    """1 at pixels (H, W) with a jump of log depth to a neighbour."""
    edge = np.zeros(logs.shape, np.float32)
    for axis in (0, 1):
        jump = np.abs(np.diff(logs, axis=axis)) > np.log(JUMP)
        for before in (0, 1):
            margins = [(before, 1 - before) if k == axis else (0, 0) for k in (0, 1)]
            edge = np.maximum(edge, np.pad(jump, margins))
    return edge


def _side(colour: Map, mask: Mask, factor: int) -> _Side:
    """How the pixels of a mask (H, W) look around each cell: a normal distribution for each colour of (H, W, 3)."""
    moments = cell_moments(colour, mask, factor)
    around = np.stack([ndimage.uniform_filter(cell, 2 * AROUND + 1, mode="constant") for cell in moments])
    cover = np.maximum(around[0], 1e-6)
    mean = around[1:4] / cover
    variance = np.maximum(around[4:7] / cover - mean**2, 0) + CALM
    constant = -0.5 * (mean**2 / variance + np.log(variance)).sum(0, keepdims=True)
    return _Side(around[0], np.concatenate([-0.5 / variance, mean / variance, constant]))


def _nearest_depth(depth: Map, mask: Mask, factor: int) -> Map:
    """Mean depth of a mask's pixels in each cell, or else in the nearest cell that has a quarter of them."""
    weight, sums = shrink(mask.astype(np.float32), factor), shrink(np.where(mask, depth, 0), factor)
    few = weight < 0.25
    if few.all():
        few = weight < weight.max()
    rows, columns = ndimage.distance_transform_edt(few, return_distances=False, return_indices=True)
    return np.asarray((sums / np.maximum(weight, 1e-6))[rows, columns])


def _highest(values: Map, factor: int) -> Map:
    """The greatest of each factor x factor block of (H, W)."""
    cells = F.max_pool2d(torch.from_numpy(values)[None], factor, ceil_mode=True)
    return np.asarray(cells[0].numpy())


def _repeated(values: NDArray[Any], height: int, width: int, factor: int) -> NDArray[Any]:
    """Every cell's value for all of its pixels (height, width)."""
    return values.repeat(factor, 0).repeat(factor, 1)[:height, :width]


def _grown(values: Map, height: int, width: int, factor: int) -> Map:
    """Values between the middles of cells (..., h, w) at pixels (..., height, width)."""
    rows, columns = values.shape[-2:]
    return resized(values, rows * factor, columns * factor)[..., :height, :width]
