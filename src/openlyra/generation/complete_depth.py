"""Depth behind what was moved aside: the background goes on, sky stays at infinity, nothing joins front and back.

The border of a hole is cut into surfaces where its depth jumps. Surfaces of the foreground (the near side of the edge
that opened the hole) do not take part; every hole pixel goes to the nearest of the others that does not turn an outline
towards it, and each surface is continued in inverse depth, where planes are linear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from openlyra.generation.free_space import SeenSpace
from openlyra.generation.membrane import membrane, nearest_labels, plate

BAND = 4
SAME_SURFACE = 0.12
SMALLEST_SURFACE = 16
NEAR_SIDE = 0.3
"""Part of a pixel from which it counts as the near side of an edge."""
ENDS = 1.2
"""How much farther than its outline a surface's seeds are where it has ended."""
RAGGED = 2.0
"""Pixels farther that do not count, since outlines are ragged."""
OTHER = 2.0
"""How much farther another surface may be to go on in its place."""
PLATE_HEIGHT = 96


@dataclass(frozen=True)
class PartialView:
    """What memory shows from a camera."""

    color: np.ndarray
    """(H, W, 3) float32 in [0, 1]."""
    depth: np.ndarray
    """(H, W) float32 z-depth where known."""
    hole: np.ndarray
    """(H, W) bool, not known."""
    foreground: np.ndarray
    """(H, W) float32 in [0, 1]: part of the pixel that is the near side of a depth edge."""
    sky: np.ndarray
    """(H, W) bool."""


@dataclass(frozen=True)
class CompletedDepth:
    """Depth and sky everywhere."""

    depth: np.ndarray
    """(H, W) float32."""
    sky: np.ndarray
    """(H, W) bool."""


def _border_band(hole: np.ndarray) -> np.ndarray:
    return ndimage.binary_dilation(hole, iterations=BAND) & ~hole


def _surfaces(depth: np.ndarray, sky: np.ndarray, band: np.ndarray) -> np.ndarray:
    """Connected parts of the band without a depth jump: labels from 0, -1 outside. (H, W) int."""
    index = np.full(band.shape, -1)
    count = int(band.sum())
    index[band] = np.arange(count)
    log_depth = np.log(np.where(band, depth, 1.0))
    starts, ends = [], []
    for axis in (0, 1):
        size = band.shape[axis]
        low, high = [np.take(index, r, axis) for r in (range(size - 1), range(1, size))]
        step = np.abs(np.diff(log_depth, axis=axis))
        same_kind = ~np.diff(sky, axis=axis)
        joined = (low >= 0) & (high >= 0) & (step < SAME_SURFACE) & same_kind
        starts.append(low[joined])
        ends.append(high[joined])
    start, end = np.concatenate(starts), np.concatenate(ends)
    graph = sparse.coo_matrix((np.ones(len(start), bool), (start, end)), (count, count))
    labels = np.full(band.shape, -1)
    labels[band] = connected_components(graph, directed=False)[1]
    return labels


def _background_seeds(view: PartialView, band: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Band pixels that may be continued: not the near side of an edge, and on a surface of some size. (H, W) bool."""
    seeds = band & (view.foreground < NEAR_SIDE)
    for candidate in (seeds, band):
        sizes = np.bincount(labels[candidate], minlength=labels.max() + 2) if candidate.any() else np.zeros(1)
        large = candidate & (sizes[labels] >= SMALLEST_SURFACE)
        if large.any():
            return large
    return band


def _owners(labels: np.ndarray, seeds: np.ndarray, outline: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The surface that each hole pixel continues: the nearest, but none that ends before it. (H, W) int.

    A surface ends where its outline is clearly nearer than its seeds: a branch goes on behind the trunk before it, not
    over the lake behind it. What no other surface is near to stays with the nearest.
    """
    owner = nearest_labels(labels, seeds)
    places, own = np.argwhere(hole), owner[hole]
    seeds_of, outline_of = _by_label(labels, seeds), _by_label(labels, outline)
    way, ended = np.empty(len(own)), np.zeros(len(own), bool)
    for label in np.unique(own):
        mine = own == label
        way[mine], ended[mine] = _reach(seeds_of[label], outline_of.get(label), places[mine])
    lost, best, found = places[ended], OTHER * way[ended], own[ended]
    for label, pixels in seeds_of.items() if len(lost) else ():
        way, over = _reach(pixels, outline_of.get(label), lost)
        nearer = (way < best) & ~over
        best[nearer], found[nearer] = way[nearer], label
    own[ended] = found
    owner[hole] = own
    return owner


def _by_label(labels: np.ndarray, mask: np.ndarray) -> dict[int, np.ndarray]:
    """Row and column of the pixels of a mask, (N, 2), for each label."""
    pixels, values = np.argwhere(mask), labels[mask]
    order = np.argsort(values, kind="stable")
    found, starts = np.unique(values[order], return_index=True)
    return dict(zip(found.tolist(), np.split(pixels[order], starts[1:])))


def _reach(seeds: np.ndarray, outline: np.ndarray | None, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Way of each place, (N, 2), to the seeds of a surface in pixels, and whether the surface ends before it. (N,)."""
    way = KDTree(seeds).query(places)[0]
    if outline is None:
        return way, np.zeros(len(way), bool)
    return way, way > ENDS * KDTree(outline).query(places)[0] + RAGGED


def _continue_surface(depth: np.ndarray, seeds: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Inverse depth of one surface continued from its seeds into the wanted pixels. (H, W) float64, valid in
    ``wanted``."""
    window = _window(seeds | wanted, 1)
    inverse = np.where(seeds[window], 1.0 / depth[window], 0.0)
    given, hole = seeds[window], wanted[window]
    cell = max(1, int(np.ceil(max(hole.shape[0] / PLATE_HEIGHT, np.sqrt(hole.sum() / 6000)))))
    coarse = _plate_on_cells(inverse, given, hole, cell)
    low, high = inverse[given].min(), inverse[given].max()
    coarse = np.clip(coarse, 0.5 * low, 2.0 * high)
    rest = membrane(np.where(given, inverse - coarse, 0.0), ~given)
    result = np.zeros(depth.shape)
    result[window] = np.clip(coarse + rest, 0.4 * low, 2.5 * high)
    return result


def _plate_on_cells(inverse: np.ndarray, given: np.ndarray, hole: np.ndarray, cell: int) -> np.ndarray:
    """The plate continuation solved on cells of ``cell`` pixels and interpolated back. (h, w)."""
    height, width = given.shape
    rows, columns = -(-height // cell), -(-width // cell)
    pad = ((0, rows * cell - height), (0, columns * cell - width))

    def sums(a: np.ndarray) -> np.ndarray:
        return np.pad(a.astype(np.float64), pad).reshape(rows, cell, columns, cell).sum((1, 3))

    weight = sums(given)
    known = weight > 0
    mean = sums(inverse * given) / np.maximum(weight, 1)
    wanted = (sums(hole) > 0) & ~known
    wanted |= ndimage.binary_dilation(wanted) & ~known
    filled = plate(mean, known, wanted)
    filled = np.where(known | wanted, filled, nearest_labels(filled, known | wanted))
    if cell == 1:
        return filled
    row_at = (np.arange(height) + 0.5) / cell - 0.5
    column_at = (np.arange(width) + 0.5) / cell - 0.5
    grid = np.meshgrid(row_at, column_at, indexing="ij")
    return ndimage.map_coordinates(filled, grid, order=1, mode="nearest")


def _smooth_labels(labels: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Straighter borders between surfaces inside the hole: the label with the largest blurred share wins."""
    present = np.unique(labels[hole])
    if len(present) < 2:
        return labels
    window = _window(hole, 12)  # as far as the blur reaches
    small, result = labels[window], labels.copy()
    shares = np.stack([ndimage.gaussian_filter((small == label).astype(np.float32), 3.0) for label in present])
    result[window] = np.where(hole[window], present[shares.argmax(0)], small)
    return result


def _window(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The part of the picture that holds a mask (H, W) and so many pixels around it."""
    rows, columns = np.nonzero(mask)
    top, left = max(rows.min() - margin, 0), max(columns.min() - margin, 0)
    return slice(top, rows.max() + margin + 1), slice(left, columns.max() + margin + 1)


def complete_depth(view: PartialView, far: float, seen: SeenSpace | None = None) -> CompletedDepth:
    """Depth and sky for every hole pixel; known pixels keep theirs.

    Args:
        view: the partly known view.
        far: z-depth of the sky, in scene units.
        seen: space in which nothing new may stand; what would is made sky where sky borders the hole, else moved back.
    """
    depth, sky = view.depth.astype(np.float64), view.sky.copy()
    if not view.hole.any():
        return CompletedDepth(view.depth.copy(), sky)
    if view.hole.all():
        return CompletedDepth(np.full(depth.shape, far, np.float32), np.ones(depth.shape, bool))
    band = _border_band(view.hole)
    labels = _surfaces(depth, sky, band)
    seeds = _background_seeds(view, band, labels)
    outline = band & (view.foreground >= NEAR_SIDE)
    owner = _smooth_labels(_owners(labels, seeds, outline, view.hole), view.hole)
    for label in np.unique(owner[view.hole]):
        wanted = view.hole & (owner == label)
        mine = seeds & (labels == label)
        if sky[mine].mean() > 0.5:
            depth[wanted], sky[wanted] = far, True
        else:
            depth[wanted] = 1.0 / np.maximum(_continue_surface(depth, mine, wanted)[wanted], 1.0 / far)
            sky[wanted] = False
    if seen is not None:
        depth, sky = _out_of_seen_space(depth, sky, view.hole, far, seen, seeds)
    return CompletedDepth(depth.astype(np.float32), sky)


def _out_of_seen_space(
    depth: np.ndarray, sky: np.ndarray, hole: np.ndarray, far: float, seen: SeenSpace, seeds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Depth and sky with everything moved that would hide what was seen before."""
    blocked = seen.blocked(depth, hole & ~sky)
    if (seeds & sky).any() and blocked.any():
        # Whole patches rather than single pixels become sky, or their outline would be ragged.
        to_sky_border, to_ground_border = (ndimage.distance_transform_edt(~s) for s in (seeds & sky, seeds & ~sky))
        patch = ndimage.binary_closing(blocked, iterations=3) & hole & (to_sky_border < 1.5 * to_ground_border + 12)
        to_sky = patch & ~seen.blocked(np.full(depth.shape, far), patch)
        depth, sky = np.where(to_sky, far, depth), sky | to_sky
    return seen.pushed_back(depth, hole & ~sky, far), sky
