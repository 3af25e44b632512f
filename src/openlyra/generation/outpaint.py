"""Painting wide unknown regions, such as what a turn or a step back brings into view: large coherent copies.

Patch matching repeats small pieces and blurs what it has to average; far from anything known it loses the scene's
structure. Here the region is stitched of a few rigid copies (`copy_maps`), chosen so that their seams are least visible
(`stitch`), sharpened from cells to pixels, and the seams are blended in the gradient domain (`seams`).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from openlyra.depth.filters import dilated
from openlyra.generation.copy_maps import Copies, Motion, Target, copies, motions
from openlyra.generation.membrane import nearest_labels
from openlyra.generation.seams import blend
from openlyra.generation.stitch import choose_labels
from openlyra.memory.frame import MemoryFrame

CELLS_HIGH = 60
"""Height in cells of the grid on which copies are chosen."""
ANOTHER, WRONG = 0.2, 0.9
"""Cost of a copy from which it shows another thing, half or twice as far away, and from which it shows sky for land."""
MOST = 40
"""Copies among which the stitching chooses."""


def outpaint(target: Target, photo: MemoryFrame) -> np.ndarray:
    """Colours for the hole of a view, (H, W, 3) float32; outside the hole the view's own.

    Args:
        target: the view with complete depth.
        photo: the first remembered frame, what is copied from.
    """
    height, width = target.hole.shape
    cell = max(2, round(height / CELLS_HIGH))
    points = _cell_centres(height, width, cell)
    source, usable = _stack(target, photo)
    small = _shrink(source, usable, cell)
    hole = target.hole[points[..., 0], points[..., 1]]
    known = _shrink(target.color, ~target.hole, cell)
    moved = motions(target, photo)
    found = copies(target, photo, moved, points)
    colors = _sample(small, found.places, cell)
    keep = _most_useful(found, colors, hole, known)
    moved = [moved[k] for k in keep]
    found, colors = found.pick(keep), colors[keep]
    # A cell at the border whose centre is known has pixels to paint too.
    labels = nearest_labels(choose_labels(colors, found.ok, found.cost, hole, known), hole)
    return _paint(target, photo, source, moved, labels, cell)


def _cell_centres(height: int, width: int, cell: int) -> np.ndarray:
    rows = np.minimum(np.arange(0, height, cell) + cell // 2, height - 1)
    columns = np.minimum(np.arange(0, width, cell) + cell // 2, width - 1)
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), -1)


def _stack(target: Target, photo: MemoryFrame) -> tuple[np.ndarray, np.ndarray]:
    """The view above the photo with a gap of a row: colours and what may be copied."""
    gap = np.zeros((1, target.hole.shape[1], 3), np.float32)
    color = np.concatenate([target.color, gap, photo.image.astype(np.float32) / 255.0])
    return color, np.concatenate([target.copyable, gap[..., 0] > 0, photo.valid])


def _shrink(color: np.ndarray, usable: np.ndarray, cell: int) -> np.ndarray:
    """Mean colour of the usable pixels of each cell."""
    height, width = usable.shape
    pad = ((0, -height % cell), (0, -width % cell))
    weight = np.pad(usable.astype(np.float32), pad)
    total = weight.reshape(weight.shape[0] // cell, cell, -1, cell).sum((1, 3))
    padded = np.pad(color * usable[..., None], (*pad, (0, 0)))
    sums = padded.reshape(total.shape[0], cell, total.shape[1], cell, 3).sum((1, 3))
    return (sums / np.maximum(total, 1e-6)[..., None]).astype(np.float32)


def _sample(image: np.ndarray, places: np.ndarray, cell: float = 1) -> np.ndarray:
    """Bilinear colours at places given in pixels of the unshrunk image. (..., 3) float32."""
    at = np.moveaxis((places.astype(np.float64) + 0.5) / cell - 0.5, -1, 0)
    bands = [ndimage.map_coordinates(image[..., c], at, order=1, mode="nearest") for c in range(3)]
    return np.stack(bands, -1).astype(np.float32)


def _most_useful(found: Copies, colors: np.ndarray, hole: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Indices of candidates that together serve the hole best: greedy on each cell's lowest cost so far.

    A candidate's cost at a cell is its own plus how ill it agrees with what is known around the hole.
    """
    ring = ndimage.binary_dilation(hole, iterations=2) & ~hole
    misfit = np.full(len(colors), 0.2)
    if ring.any():
        gap = np.minimum(((colors[:, ring] - known[ring]) ** 2).sum(-1), 0.3)
        counted = found.ok[:, ring] & (found.cost[:, ring] < 0.5)
        misfit = ((gap * counted).sum(1) + 0.1 * 8) / (counted.sum(1) + 8)
    cost = np.where(found.ok, found.cost + misfit[:, None, None], 2.0)[:, hole]
    best = np.full(cost.shape[1], 2.0)
    kept: list[int] = []
    for _ in range(min(MOST, len(cost))):
        gain = np.maximum(best - cost, 0).sum(1)
        gain[kept] = -1
        pick = int(gain.argmax())
        if gain[pick] <= 1e-3:
            break
        kept.append(pick)
        # Others that are nearly as good stay interesting: they may meet this one with a better seam.
        best = np.minimum(best, cost[pick] + 0.004)
    return np.array(kept or [0])


def _paint(
    target: Target, photo: MemoryFrame, source: np.ndarray, moved: list[Motion], labels: np.ndarray, cell: int
) -> np.ndarray:  # fmt: skip
    """Every pixel from its cell's copy, seams blended.

    Where the copy is wrong, the nearest that is right; also where it shows another thing, such as a leaf before the
    land that is meant, unless most of what it gives is such.
    """
    height, width = target.hole.shape
    full = np.kron(labels, np.ones((cell, cell), np.int32))[:height, :width]
    painted = target.color.copy()
    sampled: dict[int, np.ndarray] = {}
    bad = np.zeros(target.hole.shape, bool)
    for label in np.unique(full[target.hole]):
        mine = target.hole & (full == label)
        # Blending looks one pixel beyond.
        rows, columns = np.nonzero(dilated(mine, 3))
        found = copies(target, photo, [moved[label]], np.stack([rows, columns], -1)[None])
        sampled[int(label)] = layer = np.zeros((height, width, 3), np.float32)
        layer[rows, columns] = _sample(source, found.places[0, 0])
        painted[mine] = layer[mine]
        inside, cost = mine[rows, columns], found.cost[0, 0]
        limit = ANOTHER if (cost[inside] > ANOTHER).mean() < 0.5 else WRONG
        bad[rows, columns] |= inside & (~found.ok[0, 0] | (cost > limit))
    if bad.any():
        rows, columns = ndimage.distance_transform_edt(bad, return_distances=False, return_indices=True)
        painted = np.where(bad[..., None], painted[rows, columns], painted)
    return blend(painted, target.color, sampled, full, target.hole, target.copyable, ~bad)
