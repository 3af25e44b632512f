"""Which remembered frames help to draw a view: visibility on a coarse grid, then greedy coverage (Lyra 2.0)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera


@dataclass(frozen=True)
class RetrievalConfig:
    """How frames are picked. `RetrievalConfig.reference()` gives the released behaviour."""

    slots: int = 5
    """Largest number of frames returned."""
    stride: int = 4
    """Side of a grid cell in pixels."""
    relative_tolerance: float = 0.05
    """A point sees a cell if its depth is within this fraction of the nearest depth there ..."""
    absolute_tolerance: float = 0.0
    """... plus this many scene units."""
    skip_last: int = 0
    """Ignore this many frames at the end of the memory (training)."""
    exclude_latest: bool = True
    """Count what the frame with the largest index sees as covered (its warp is given separately) if that is > 0."""
    reference_compat: bool = False
    """Points round to the nearest cell (pixel centres at integers) instead of falling into the cell that holds them."""

    def __post_init__(self) -> None:
        for name, least in (
            ("slots", 1),
            ("stride", 1),
            ("skip_last", 0),
            ("relative_tolerance", 0),
            ("absolute_tolerance", 0),
        ):
            if not getattr(self, name) >= least:
                raise InputError(f"{name} is {getattr(self, name)}; at least {least} is needed")

    @staticmethod
    def reference(slots: int = 5, absolute_tolerance: float = 0.1, skip_last: int = 0) -> RetrievalConfig:
        """The released settings: an absolute tolerance of 0.1 and integer pixel centres."""
        return RetrievalConfig(slots, 4, 0.0, absolute_tolerance, skip_last, True, True)


@dataclass(frozen=True)
class RetrievalResult:
    """Frames in the order the network wants them."""

    indices: list[int]
    """Frame indices, the best one LAST."""
    gains: list[int]
    """Cells each of them adds, in the same order."""
    covered_by: int | None
    """The frame that counts as given, or None."""
    covered_cells: int
    """Cells it sees."""


def retrieve(
    indices: Sequence[int], points: Sequence[NDArray[Any]], targets: Camera, config: RetrievalConfig | None = None
) -> RetrievalResult:
    """Pick up to `slots` frames that together see most of the target views.

    `points[i]` are the world points of frame `indices[i]`, any shape (..., 3); `targets` one camera or a batch (V,),
    whose cells are pooled. Ties go to the frame that comes first. Nothing visible gives an empty result.
    """
    config = config or RetrievalConfig()
    indices, points = _candidates(indices, points, config)
    nothing = RetrievalResult([], [], None, 0)
    if not indices:
        return nothing
    depth = nearest_depths(points, targets, config)
    nearest = depth.min(axis=0)
    if not np.isfinite(nearest).any():
        return nothing
    limit = nearest * (1 + config.relative_tolerance) + config.absolute_tolerance
    sees = np.isfinite(depth) & (depth <= limit)
    latest = int(np.argmax(indices))
    given = latest if config.exclude_latest and indices[latest] > 0 else None
    covered = np.zeros_like(sees[0]) if given is None else sees[given].copy()
    before = int(covered.sum())
    chosen, gains = _greedy(sees, covered, config.slots, given)
    return RetrievalResult(
        [indices[place] for place in reversed(chosen)], gains[::-1], None if given is None else indices[given], before
    )


def _greedy(
    sees: NDArray[np.bool_], covered: NDArray[np.bool_], slots: int, given: int | None
) -> tuple[list[int], list[int]]:
    """Repeatedly the frame with the most cells that are not covered yet; its place and its gain. Changes `covered`."""
    chosen: list[int] = []
    gains: list[int] = []
    for _ in range(min(slots, len(sees))):
        gain = (sees & ~covered).sum(axis=1)
        if given is not None:
            gain[given] = 0
        best = int(np.argmax(gain))
        if gain[best] == 0:
            break
        chosen.append(best)
        gains.append(int(gain[best]))
        covered |= sees[best]
    return chosen, gains


def owner_scores(
    indices: Sequence[int], points: Sequence[NDArray[Any]], targets: Camera, config: RetrievalConfig | None = None
) -> NDArray[np.int64]:
    """(frames,) number of cells whose nearest point each frame owns: depth within 1e-6, the first frame on ties."""
    config = config or RetrievalConfig()
    indices, points = _candidates(indices, points, config)
    if not indices:
        return np.zeros(0, np.int64)
    depth = nearest_depths(points, targets, config)
    nearest = depth.min(axis=0)
    seen = np.isfinite(nearest)
    owner = np.argmax(depth[:, seen] <= nearest[seen] + 1e-6, axis=0)
    return np.bincount(owner, minlength=len(indices)).astype(np.int64)


def best_owners(indices: Sequence[int], scores: NDArray[np.int64], slots: int) -> list[int]:
    """The frames with the highest owner scores, the best one last."""
    order = np.argsort(-scores, kind="stable")[:slots]
    return [int(indices[place]) for place in reversed(order) if scores[place] > 0]


def sampling_weights(scores: NDArray[np.int64], floor: float = 0.02) -> NDArray[np.float64]:
    """(frames,) unnormalised training weights: the score plus `floor` times the largest score."""
    return scores + floor * scores.max(initial=0).astype(np.float64)


def sample_owners(
    indices: Sequence[int], scores: NDArray[np.int64], slots: int, generator: np.random.Generator
) -> list[int]:
    """Training: frames drawn without replacement with `sampling_weights`, the first drawn one last."""
    weights = sampling_weights(scores)
    if weights.sum() <= 0:
        return []
    count = min(slots, int((weights > 0).sum()))
    drawn = generator.choice(len(indices), size=count, replace=False, p=weights / weights.sum())
    return [int(indices[place]) for place in reversed(drawn)]


def nearest_depths(points: Sequence[NDArray[Any]], targets: Camera, config: RetrievalConfig) -> NDArray[np.float64]:
    """(frames, V*cells) depth of each frame's nearest point in every cell of the target views, infinity where none."""
    targets = targets.numpy()
    views = (
        targets
        if targets.batch_shape
        else Camera(targets.world_from_camera[None], targets.intrinsics[None], targets.width, targets.height)
    )
    if len(views.batch_shape) != 1:
        raise InputError(
            f"target cameras have batch shape {views.batch_shape}; one camera or one row of cameras is needed"
        )
    rows, columns = -(-views.height // config.stride), -(-views.width // config.stride)
    result = np.full((len(points), len(views), rows * columns), np.inf)
    inverse = np.linalg.inv(views.world_from_camera)
    for frame, cloud in enumerate(points):
        flat = np.asarray(cloud, np.float64).reshape(-1, 3)
        for view in range(len(views)):
            local = flat @ inverse[view, :3, :3].T + inverse[view, :3, 3]
            _splat_nearest(local, views.intrinsics[view], rows, columns, config, result[frame, view])
    return result.reshape(len(points), -1)


def _splat_nearest(
    local: NDArray[np.float64],
    k: NDArray[np.float64],
    rows: int,
    columns: int,
    config: RetrievalConfig,
    out: NDArray[np.float64],
) -> None:
    """Lower `out` (rows*columns,) to the depths of camera-space points (N, 3)."""
    local = local[local[:, 2] > 0]
    z = local[:, 2]
    x = (k[0, 0] * local[:, 0] / z + k[0, 2]) / config.stride
    y = (k[1, 1] * local[:, 1] / z + k[1, 2]) / config.stride
    # np.rint rounds halves to even, as the reference does.
    snap = np.rint if config.reference_compat else np.floor
    column, row = snap(x), snap(y)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    cell = (row[inside] * columns + column[inside]).astype(np.int64)
    np.minimum.at(out, cell, z[inside])


def _candidates(
    indices: Sequence[int], points: Sequence[NDArray[Any]], config: RetrievalConfig
) -> tuple[list[int], list[NDArray[Any]]]:
    if len(indices) != len(points):
        raise InputError(f"{len(indices)} frame indices for {len(points)} point maps; as many of each are needed")
    kept = max(0, len(indices) - config.skip_last)
    return [int(index) for index in indices[:kept]], list(points[:kept])
