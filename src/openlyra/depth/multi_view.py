"""Depth of posed frames from one another: which frames to compare, over which depths, and what of it to believe.

Nothing but the cameras ties the frames together, so no structure-from-motion points are needed. A coarse sweep of
small pictures tells how far away things are; with that, each view gets neighbours that see the same surfaces under
a useful angle, and a sweep over just those depths. A depth is believed where other views, from their own sweeps,
put a surface in the same place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numba
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from openlyra.depth.plane_sweep import SweepSettings, grey, plane_sweep
from openlyra.errors import InputError
from openlyra.geometry.camera import Camera

FAR = 60.0
"""Largest depth that is tried, in units of the scene's median depth."""
JUDGES = 10
"""Views that judge a view's depth."""
COARSE_RANKS = (1, 2, 4, 7)
"""Neighbours of the coarse sweep, by nearness of the camera."""
COARSE_PLANES = 96
COARSE_SHIFT = 0.45
"""Largest shift between neighbours that the coarse sweep looks for, as a part of the picture's width."""
LEAST_POINTS = 100
"""Points in all frames together from which the range of depths is taken, rather than from the coarse sweep."""
LEAST_PARALLAX = 3.0
"""Shift in pixels, between the two views farthest apart, below which depth is only noise."""
Advance = Callable[[str, int, int], None]


@dataclass(frozen=True)
class MultiViewSettings:
    """How depth is found from posed frames."""

    neighbours: int = 4
    """Views that each view is compared with."""
    angle: float = math.radians(7.0)
    """Best angle between the rays of two views to a surface, radians: less is imprecise, more looks different."""
    shrink: int = 2
    """Depth is searched in pictures smaller by this factor."""
    coarse_side: int = 120
    """Longer side in pixels of the pictures of the coarse sweep."""
    tolerance: float = 0.015
    """Relative difference of depth at which two views agree."""
    agreeing: int = 2
    """Other views that must agree with a depth."""
    sweep: SweepSettings = field(default_factory=SweepSettings)
    """The matching of each view."""


@dataclass(frozen=True, eq=False)
class MultiViewDepth:
    """Depth of F frames at their full size."""

    depth: NDArray[np.float32]
    """(F, H, W) z-depth, positive everywhere."""
    valid: NDArray[np.bool_]
    """(F, H, W) where other views agree."""
    support: NDArray[np.uint8]
    """(F, H, W) how many."""
    far: NDArray[np.bool_]
    """(F, H, W) where no parallax was found: as far as the sky."""


def multi_view_depth(
    images: NDArray[np.uint8],
    cameras: Camera,
    settings: MultiViewSettings | None = None,
    advance: Advance | None = None,
    points: list[NDArray[np.float64]] | None = None,
) -> MultiViewDepth:
    """Depth of each of F frames (F, H, W, 3) with cameras (F,).

    `points` are those (N, 3) of the world that each frame is known to show, as structure from motion finds them: they
    say over which depths to search, and are believed wherever the frames do not agree on a depth.

    Raises InputError for fewer than two frames, or when the camera hardly moves: then nothing tells near from far.
    """
    settings, advance = settings or MultiViewSettings(), advance or (lambda stage, done, total: None)
    if len(images) < 2:
        raise InputError(f"depth from several views: {len(images)} view; at least 2 are needed")
    height, width = images.shape[1:3]
    cameras = cameras.numpy()
    coarse, near, middle = _coarse(images, cameras, settings, advance, points)
    rows, columns = max(16, height // settings.shrink), max(16, width // settings.shrink)
    working, views = grey(_shrunk(images, rows, columns)), cameras.resized(rows, columns)
    low, high = 1 / (FAR * middle), 1 / near
    inverse = np.empty((len(images), rows, columns), np.float32)
    judges = []
    for index in range(len(images)):
        advance("depth", index, len(images))
        order = useful_neighbours(cameras, index, 1 / coarse[index], settings.angle, JUDGES)
        judges.append(order)
        others = order[: settings.neighbours]
        inverse[index] = plane_sweep(
            working[index], views[index], working[others], views[others], (low, high), settings.sweep
        ).inverse_depth
    step = (high - low) / (settings.sweep.planes - 1)
    support = agreement(inverse, views, judges, settings.tolerance, step)
    needed = min(settings.agreeing, len(images) - 1)
    for index, shown in enumerate(points or ()):
        _trust_points(inverse[index], support[index], views[index], shown, needed)
    filled = [fill_between(inverse[i], support[i] >= needed, working[i]) for i in range(len(images))]
    full = np.stack([_enlarge(filled[i], working[i], grey(images[i])) for i in range(len(images))])
    support = support[:, _places(height, rows)[:, None], _places(width, columns)]
    return MultiViewDepth((1 / full).astype(np.float32), support >= needed, support, full < 3 * low)


def _trust_points(
    inverse: NDArray[np.float32], support: NDArray[np.uint8], camera: Camera, points: NDArray[np.float64], needed: int
) -> None:
    """Put points (N, 3) that a view shows into its maps (h, w), where other views do not agree with what is there."""
    pixels, z = camera.project(points)
    inside = (z > 0) & (pixels >= 0).all(-1) & (pixels < [camera.width, camera.height]).all(-1)
    column, row = pixels[inside].astype(int).T
    depth = z[inside]
    open_ = support[row, column] < needed
    # The nearest of several in a pixel is written last.
    order = np.argsort(-depth[open_], kind="stable")
    row, column, depth = row[open_][order], column[open_][order], depth[open_][order]
    inverse[row, column] = 1 / depth
    support[row, column] = needed


def _depths_of(cameras: Camera, points: list[NDArray[np.float64]] | None) -> NDArray[np.float64]:
    """(N,) z-depths in front of the (F,) cameras of the points that each shows."""
    shown = [cameras[index].project(each)[1] for index, each in enumerate(points or ()) if len(each)]
    depths = np.concatenate(shown) if shown else np.zeros(0)
    return depths[depths > 0]


def useful_neighbours(cameras: Camera, index: int, depth: NDArray[np.float32], angle: float, most: int) -> list[int]:
    """Other views for view `index`, the best first: those that see its surfaces at about this angle, from all sides.

    Args:
        cameras: (F,) NumPy cameras.
        depth: (h, w) rough z-depth of the view, of any size.
        most: largest number of views; views that see nothing of it come last.
    """
    rows = np.linspace(0, depth.shape[0] - 1, 8).round().astype(int)
    columns = np.linspace(0, depth.shape[1] - 1, 12).round().astype(int)
    view = cameras[index].resized(*depth.shape)
    points = view.unproject(depth)[rows[:, None], columns].reshape(-1, 3)
    pixels, z = cameras.project(points)
    seen = (z > 0) & (pixels >= 0).all(-1) & (pixels < [cameras.width, cameras.height]).all(-1)
    own, theirs = points - view.center, points - cameras.center[:, None]
    cosine = (own * theirs).sum(-1) / np.maximum(np.linalg.norm(own, axis=-1) * np.linalg.norm(theirs, axis=-1), 1e-12)
    ratio = np.arccos(np.clip(cosine, -1, 1)) / angle
    score = (seen * np.exp(-0.5 * (np.log(np.maximum(ratio, 1e-3)) / 0.8) ** 2)).mean(-1)
    score[index] = -1.0
    step = cameras.center - view.center
    step = step / np.maximum(np.linalg.norm(step, axis=-1, keepdims=True), 1e-12)
    found: list[int] = []
    while len(found) < min(most, len(cameras) - 1):
        best = int(np.argmax(score))
        found.append(best)
        # One on the same side as another adds little: what hides a surface from one hides it from both.
        score *= 1 - 0.4 * np.clip(step @ step[best], 0, 1)
        score[best] = -1.0
    return found


def agreement(
    inverse_depth: NDArray[np.float32], cameras: Camera, judges: list[list[int]], tolerance: float, step: float
) -> NDArray[np.uint8]:
    """(F, H, W) in how many other views the surface of each pixel has the depth it should have there.

    Args:
        inverse_depth: (F, H, W).
        cameras: (F,) NumPy cameras of that size.
        judges: the views that each view is compared with.
        tolerance: relative difference that counts as agreement; at least 3/4 of `step`, the resolution in inverse
            depth, is granted.
    """
    support = np.zeros(inverse_depth.shape, np.uint8)
    for index, others in enumerate(judges):
        points = cameras[index].unproject(1 / inverse_depth[index].astype(np.float64)).reshape(-1, 3)
        for other in others:
            pixels, z = cameras[other].project(points)
            inside = (z > 0) & (pixels >= 0).all(-1) & (pixels < [cameras.width, cameras.height]).all(-1)
            column, row = pixels[inside].astype(int).T
            expected = 1 / z[inside]
            error = np.abs(inverse_depth[other, row, column] - expected)
            support[index].reshape(-1)[inside] += error < np.maximum(tolerance * expected, 0.75 * step)
    return support


def fill_between(
    values: NDArray[np.float32], known: NDArray[np.bool_], guide: NDArray[np.float32], reach: float = 400.0
) -> NDArray[np.float32]:
    """Values (H, W) where known, and smoothly between them elsewhere, with steps where the grey guide (H, W) has edges.

    Weighted least squares by alternating lines (the fast global smoother of Min et al. 2014), on values and on weights.
    """
    if not known.any():
        return values.copy()
    weight = known.astype(np.float64)
    total = np.where(known, values, 0).astype(np.float64)
    strength = reach
    for _ in range(4):
        for axis in (1, 0):
            edge = np.exp(-np.abs(np.diff(guide.astype(np.float64), axis=axis)) / 0.02) * strength + 1e-4
            _solve_lines(total, edge, axis)
            _solve_lines(weight, edge, axis)
        strength /= 4
    smooth = (total / np.maximum(weight, 1e-12)).astype(np.float32)
    return np.where(known, values, np.clip(smooth, values[known].min(), values[known].max()))


def _solve_lines(values: NDArray[np.float64], edge: NDArray[np.float64], axis: int) -> None:
    """Smooth values in place along an axis: (1 + L) x = values, L the Laplacian of a line with these edge weights."""
    lines, links = (values, edge) if axis == 1 else (values.T, edge.T)
    lines[...] = _tridiagonal(np.ascontiguousarray(lines), np.ascontiguousarray(links))


@numba.njit(parallel=True, cache=True)
def _tridiagonal(lines, links):  # type: ignore[no-untyped-def]
    """Thomas' algorithm on each row."""
    count, length = lines.shape
    result = np.empty_like(lines)
    for r in numba.prange(count):
        ratio = np.zeros(length)
        before = 0.0
        for k in range(length):
            left = links[r, k - 1] if k > 0 else 0.0
            right = links[r, k] if k + 1 < length else 0.0
            pivot = 1.0 + left + right - (left * ratio[k - 1] if k > 0 else 0.0)
            ratio[k] = right / pivot
            before = (lines[r, k] + left * before) / pivot
            result[r, k] = before
        for k in range(length - 2, -1, -1):
            result[r, k] += ratio[k] * result[r, k + 1]
    return result


def _coarse(
    images: NDArray[np.uint8],
    cameras: Camera,
    settings: MultiViewSettings,
    advance: Advance,
    points: list[NDArray[np.float64]] | None,
) -> tuple[NDArray[np.float32], float, float]:
    """Inverse depth (F, h, w) of small pictures, the nearest depth of the scene and its middle one."""
    scale = min(1.0, settings.coarse_side / max(images.shape[1:3]))
    rows, columns = (max(16, round(side * scale)) for side in images.shape[1:3])
    small, views = grey(_shrunk(images, rows, columns)), cameras.resized(rows, columns)
    distance = np.linalg.norm(views.center[:, None] - views.center, axis=-1)
    turned = views.forward @ views.forward.T < math.cos(math.radians(50))
    order = np.argsort(np.where(turned, distance + 10 * distance.max() + 1, distance) + np.diag([-1.0] * len(views)))
    picks = sorted({min(rank, len(views) - 1) for rank in COARSE_RANKS})
    baseline = float(np.median(distance[np.arange(len(views)), order[:, picks[len(picks) // 2]]]))
    focal = float(np.median(views.intrinsics[:, 0, 0]))
    if not baseline > 1e-9 * max(1.0, float(np.abs(views.center).max())):
        raise InputError("depth from several views: the camera does not move, so nothing tells near from far")
    high = COARSE_SHIFT * columns / (focal * baseline)
    low = high / 500
    planes = replace(settings.sweep, planes=COARSE_PLANES)
    inverse, cost = (np.empty((len(views), rows, columns), np.float32) for _ in range(2))
    for index in range(len(views)):
        advance("overview", index, len(views))
        others = order[index, picks]
        found = plane_sweep(small[index], views[index], small[others], views[others], (low, high), planes)
        inverse[index], cost[index] = found.inverse_depth, found.cost
    judges = [order[index, picks].tolist() for index in range(len(views))]
    agreed = agreement(inverse, views, judges, 2 * settings.tolerance, (high - low) / COARSE_PLANES) >= 1
    usable = inverse[agreed & (cost < 0.2) & (inverse > 3 * low)]
    widest = float(distance.max()) * focal / scale
    depths = _depths_of(cameras, points)
    if len(depths) >= LEAST_POINTS:
        usable = (1 / depths).astype(np.float32)
    if len(usable) < 50 or widest * float(np.median(usable)) < LEAST_PARALLAX:
        raise InputError(
            "depth from several views: the views have too little parallax or do not match; move the camera sideways "
            "between photos, and check that the cameras belong to these images"
        )
    return inverse, 0.8 / float(np.percentile(usable, 99.5)), 1 / float(np.median(usable))


def _shrunk(images: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """Images (F, H, W, 3) at another size, antialiased."""
    resized = [Image.fromarray(image).resize((columns, rows), Image.Resampling.BOX) for image in images]
    return np.stack([np.asarray(image) for image in resized])


def _places(size: int, of: int) -> NDArray[np.int_]:
    """(size,) which of `of` places along the same side each pixel lies in."""
    return np.minimum((np.arange(size) + 0.5) * of / size, of - 1).astype(int)


@numba.njit(parallel=True, cache=True)
def _enlarge(values, small, large):  # type: ignore[no-untyped-def]
    """Values (h, w) of a small grey picture for a large one (H, W), edges kept: of the four nearest places the one
    whose grey is most like the pixel's leads, and those that differ little from it are averaged with it."""
    height, width = large.shape
    rows, columns = small.shape
    result = np.empty((height, width), np.float32)
    for i in numba.prange(height):
        y = min(max((i + 0.5) * rows / height - 0.5, 0.0), rows - 1.0)
        b = min(int(y), rows - 2)
        for j in range(width):
            x = min(max((j + 0.5) * columns / width - 0.5, 0.0), columns - 1.0)
            a = min(int(x), columns - 2)
            lead, best = np.float32(0), -1.0
            for k in range(4):
                v, u = b + k // 2, a + k % 2
                weight = (1.0 - abs(y - v)) * (1.0 - abs(x - u)) + 1e-3
                weight *= np.exp(-20.0 * abs(small[v, u] - large[i, j]))
                if weight > best:
                    best, lead = weight, values[v, u]
            total, norm = 0.0, 0.0
            for k in range(4):
                v, u = b + k // 2, a + k % 2
                if abs(values[v, u] - lead) < 0.03 * lead:
                    weight = (1.0 - abs(y - v)) * (1.0 - abs(x - u)) + 1e-3
                    total += weight * values[v, u]
                    norm += weight
            result[i, j] = total / norm
    return result
