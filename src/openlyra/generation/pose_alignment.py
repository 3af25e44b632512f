"""Where a depth network also predicts cameras: bringing its unit, and if wanted its poses, to the planned path.

Source: spec conditioning.md 6 and generation.md 5.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openlyra.errors import InputError

Floats = NDArray[np.float64]

STANDSTILL = 1e-10
"""Summed variance of camera centres (scene units squared) below which the reference calls them coincident."""
ROBUST_FROM = 10
"""Views from which the fit is made robust."""
ROUNDS = 10
SEED = 42


def path_length(world_from_camera: Floats) -> float:
    """Length of the path through camera centres (V, 4, 4), in order."""
    return float(np.linalg.norm(np.diff(world_from_camera[:, :3, 3], axis=0), axis=1).sum())


def adopted_poses(predicted: Floats, given: Floats, anchor: int, counted: slice = slice(None)) -> tuple[Floats, float]:
    """Predicted poses (V, 4, 4) in the frame and unit of the given ones, and the factor for predicted depths.

    The unit comes from the path lengths over the `counted` views, the frame from the view `anchor`, whose pose stays as
    given. A first segment counts all views and is anchored at frame 0; a later one counts the views of the history and
    is anchored at the last of them. Poses are world_from_camera."""
    length = path_length(predicted[counted])
    if length <= 0:
        raise InputError("predicted cameras do not move; their unit cannot be told from the path")
    scale = path_length(given[counted]) / length
    scaled = predicted.copy()
    scaled[:, :3, 3] *= scale
    return given[anchor] @ np.linalg.inv(scaled[anchor]) @ scaled, scale


def separated(world_from_camera: Floats) -> Floats:
    """The same poses (V, 4, 4), with centres a millionth apart when all of them coincide.

    A network that fits a similarity to the centres needs them to differ."""
    if world_from_camera[:, :3, 3].var(axis=0).sum() >= STANDSTILL:
        return world_from_camera
    view = np.arange(len(world_from_camera))
    turns = 2 * np.pi * np.array([1e-5, 1.3e-5, 7e-6]) * view[:, None]
    offsets = 1e-6 * np.stack([np.sin(turns[:, 0]), np.cos(turns[:, 1]), np.sin(turns[:, 2])], 1)
    result = world_from_camera.copy()
    result[:, :3, 3] += offsets
    return result


def similarity_scale(given: Floats, predicted: Floats) -> float:
    """Scale of the similarity that maps given camera centres (V, 3) to predicted ones; predicted depth / it fits.

    From ten views on, the fit is repeated on half of the views at a time and made again on the inliers."""
    if len(given) < 2:
        raise InputError(f"{len(given)} views; a similarity needs at least 2")
    scale, residuals = _fit(given, predicted)
    if len(given) < ROBUST_FROM:
        return scale
    generator, limit = np.random.default_rng(SEED), max(float(np.median(residuals)), 1e-12)
    best = residuals <= limit
    for _ in range(ROUNDS):
        some = generator.choice(len(given), len(given) // 2, replace=False)
        _, others = _fit(given[some], predicted[some], given, predicted)
        inliers = others <= limit
        best = inliers if inliers.sum() > best.sum() else best
    return _fit(given[best], predicted[best])[0] if best.sum() >= 3 else scale


def _fit(
    source: Floats, target: Floats, all_source: Floats | None = None, all_target: Floats | None = None
) -> tuple[float, Floats]:
    """Umeyama's least-squares similarity: its scale, and the distances (N,) that it leaves for all points."""
    middle_source, middle_target = source.mean(0), target.mean(0)
    a, b = source - middle_source, target - middle_target
    u, strengths, vt = np.linalg.svd(b.T @ a)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(flip) @ vt
    spread = float((a * a).sum())
    scale = float((strengths * flip).sum() / spread) if spread > 0 else 0.0
    points, goal = (source, target) if all_source is None or all_target is None else (all_source, all_target)
    mapped = scale * (points - middle_source) @ rotation.T + middle_target
    return scale, np.linalg.norm(mapped - goal, axis=1)
