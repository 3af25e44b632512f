"""How good a depth backend is on views of procedural worlds that no training has seen, where everything is known."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from openlyra.depth.base import DepthEstimator
from openlyra.worlds.sample import View, sample_view

HELD_OUT = 1_000_000_000
"""Seeds from here on are never trained on."""
FARTHEST = 80.0
"""Metres; farther things take no part in the alignment and the figures."""
SIDE_STEP = 0.3
"""Metres the camera moves sideways for the straightness of edges."""
_FACE = 0.01  # smallest flat face that counts, as a part of the picture
_RIM = 4  # pixels at the rim of a face that do not count

Map = NDArray[np.float32]


@dataclass(frozen=True)
class WorldScore:
    """Figures of one view, or their means or medians; nan where the view has nothing to measure."""

    delta1: float
    """Part of the solid pixels right within a factor of 1.25, scale and shift aligned in inverse depth."""
    absrel: float
    """Mean relative error of the same."""
    sky_iou: float
    """Sky found and sky there: intersection over union of the pixels of all views, as segmentation is measured."""
    sky_view_iou: float
    """The same within a view, mean over views; nan where neither is more than 1 % of the picture."""
    sky_both: float
    """Part of the picture that is sky and found."""
    sky_either: float
    """Part of the picture that is sky or found."""
    fov_error: float
    """Degrees, of the vertical field of view."""
    scale: float
    """Median of estimated over true depth without any alignment."""
    plane_rms: float
    """Median over flat faces of the RMS distance from the true plane, relative to depth, one factor a face aligned."""
    bump_rms: float
    """The same from the plane that fits the estimate best: bumps without tilt."""
    straight: float
    """Pixels that upright edges inside faces bend at most when the camera steps 0.3 m aside; median over edges."""
    halo: float
    """Part of the pixels beside depth edges whose depth belongs to neither side."""


def evaluate_on_worlds(
    estimator: DepthEstimator, count: int, kind: str | None = None, height: int = 480, width: int = 832
) -> list[tuple[str, WorldScore]]:
    """(kind, figures) of `count` held-out views."""
    scores = []
    for number in range(count):
        view = sample_view(HELD_OUT + number, kind, height=height, width=width)
        scores.append((view.kind, score_view(estimator, view)))
    return scores


def summary(scores: list[WorldScore]) -> WorldScore:
    """Means over views of delta1, AbsRel, sky and halo, sky_iou over all pixels, medians of the rest."""
    table = {name: np.array([getattr(score, name) for score in scores]) for name in asdict(scores[0])}
    means = ("delta1", "absrel", "sky_view_iou", "sky_both", "sky_either", "halo")
    figures = {
        name: math.nan if np.isnan(values).all() else float((np.nanmean if name in means else np.nanmedian)(values))
        for name, values in table.items()
    }
    return WorldScore(**figures | {"sky_iou": _quotient(figures["sky_both"], figures["sky_either"])})


def score_view(estimator: DepthEstimator, view: View) -> WorldScore:
    """Let a backend look at a view's picture alone, then compare."""
    result = estimator.estimate(view.rgb)
    truth = np.where(view.sky | (view.depth > FARTHEST), 0, view.depth)
    known = truth > 0
    height = truth.shape[0]
    fov = 2 * math.degrees(math.atan(height / 2 / result.focal))
    focal = float(view.camera.intrinsics[1, 1])
    scale = float(np.median(result.depth[known] / truth[known])) if known.any() else math.nan
    aligned = _aligned(1.0 / result.depth, truth) if known.sum() > 100 else result.depth
    ratio = np.maximum(aligned[known] / truth[known], truth[known] / aligned[known])
    planes, bumps = _flatness(result.depth, truth, view.plane)
    both, either = float((result.sky & view.sky).mean()), float((result.sky | view.sky).mean())
    enough = max(result.sky.mean(), view.sky.mean()) >= 0.01
    return WorldScore(
        delta1=float((ratio < 1.25).mean()) if known.any() else math.nan,
        absrel=float((np.abs(aligned - truth)[known] / truth[known]).mean()) if known.any() else math.nan,
        sky_iou=_quotient(both, either),
        sky_view_iou=_quotient(both, either) if enough else math.nan,
        sky_both=both,
        sky_either=either,
        fov_error=abs(fov - math.degrees(view.vertical_fov)),
        scale=scale,
        plane_rms=planes,
        bump_rms=bumps,
        straight=_bend(scale / result.depth, view.plane, focal),
        halo=_halo(aligned, truth),
    )


def _aligned(inverse: Map, truth: Map) -> Map:
    known = truth > 0
    columns = np.stack([inverse[known], np.ones(int(known.sum()), np.float32)], axis=1).astype(np.float64)
    (scale, shift), *_ = np.linalg.lstsq(columns, 1.0 / truth[known].astype(np.float64), rcond=None)
    return (1.0 / np.maximum(scale * inverse + shift, 1.0 / FARTHEST)).astype(np.float32)


def _quotient(both: float, either: float) -> float:
    return both / either if either > 0 else math.nan


def _faces(plane: NDArray[np.int32]) -> list[NDArray[np.bool_]]:
    """Masks (H, W) of the flat faces that are large enough, without their rims."""
    numbers, counts = np.unique(plane[plane > 0], return_counts=True)
    masks = []
    for number in numbers[counts > _FACE * plane.size]:
        mask = ndimage.binary_erosion(plane == number, np.ones((3, 3)), iterations=_RIM)
        if mask.sum() > 0.5 * _FACE * plane.size:
            masks.append(mask)
    return masks


def _flatness(depth: Map, truth: Map, plane: NDArray[np.int32]) -> tuple[float, float]:
    """Median over faces of the deviation from the true plane (one factor aligned) and from the best one."""
    true_deviation, bumps = [], []
    y, x = np.mgrid[: depth.shape[0], : depth.shape[1]]
    for face in _faces(np.where(truth > 0, plane, 0)):
        said, true = depth[face].astype(np.float64), truth[face].astype(np.float64)
        factor = (true * said).sum() / (said * said).sum()
        true_deviation.append(np.sqrt((((factor * said - true) / true) ** 2).mean()))
        columns = np.stack([x[face], y[face], np.ones(said.size)], axis=1) * said[:, None]
        fit, *_ = np.linalg.lstsq(columns, np.ones(said.size), rcond=None)
        bumps.append(np.sqrt(((columns @ fit - 1) ** 2).mean()))
    if not bumps:
        return math.nan, math.nan
    return float(np.median(true_deviation)), float(np.median(bumps))


def _bend(inverse: Map, plane: NDArray[np.int32], focal: float) -> float:
    """Median over upright lines inside faces of their greatest deviation from straight after a side step, in pixels."""
    bends = []
    for face in _faces(plane):
        rows = np.flatnonzero(face.any(axis=1))
        for column in np.flatnonzero(face.any(axis=0))[:: 16]:
            inside = np.flatnonzero(face[:, column])
            if inside.size < 0.15 * face.shape[0] or inside.size < 0.5 * rows.size:
                continue
            shift = focal * SIDE_STEP * inverse[inside, column]
            line = np.polyfit(inside, shift, 1)
            bends.append(float(np.abs(shift - np.polyval(line, inside)).max()))
    return float(np.median(bends)) if bends else math.nan


def _halo(aligned: Map, truth: Map) -> float:
    """Part of the pixels within 3 of a depth edge whose depth is more than 10 % from both of its sides."""
    size = 7
    high = ndimage.maximum_filter(truth, size)
    low = ndimage.minimum_filter(np.where(truth > 0, truth, np.inf), size)
    steps = np.zeros(truth.shape, bool)
    for axis in (0, 1):
        n = truth.shape[axis] - 1
        a, b = np.take(truth, range(n), axis), np.take(truth, range(1, n + 1), axis)
        jump = (np.maximum(a, b) > 1.3 * np.minimum(a, b)) & (np.minimum(a, b) > 0)
        steps |= np.pad(jump, [(0, 1) if k == axis else (0, 0) for k in (0, 1)])
    beside = ndimage.binary_dilation(steps, np.ones((size, size))) & (truth > 0)
    if beside.sum() < 100:
        return math.nan
    between = (aligned > 1.1 * low) & (aligned < high / 1.1)
    return float(between[beside].mean())
