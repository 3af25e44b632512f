"""Chunks of one scene brought into one frame: similarity transforms from a graph of overlaps and loops.

An edge says that two chunks saw the same things. Rotation comes from the orientations of shared cameras, not from their
centres alone: those of a straight path leave the turn about it open. Scale and shift then come from shared points, and
all transforms are refined together, so that errors do not pile up along the path and loops close.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from openlyra.errors import InputError

ORIENTATION_WEIGHT = 1.0
"""A radian between shared cameras counts as much as a distance of this many scene sizes between shared points."""
MIN_SPREAD = 1e-6
"""Least distance between shared points, as a part of their largest coordinate, for a scale to follow from them."""
ROUNDS = 8


@dataclass(frozen=True, eq=False)
class Similarity:
    """x -> scale * rotation @ x + translation."""

    rotation: np.ndarray
    """(3, 3)."""
    translation: np.ndarray
    """(3,)."""
    scale: float = 1.0

    def apply(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) points moved."""
        return self.scale * points @ self.rotation.T + self.translation

    def after(self, other: Similarity) -> Similarity:
        """This one applied to what `other` gives."""
        return Similarity(
            self.rotation @ other.rotation, self.apply(other.translation), self.scale * other.scale
        )  # fmt: skip

    def inverse(self) -> Similarity:
        """The way back."""
        turn = self.rotation.T
        return Similarity(turn, -turn @ self.translation / self.scale, 1 / self.scale)


IDENTITY = Similarity(np.eye(3), np.zeros(3))


@dataclass(frozen=True, eq=False)
class Edge:
    """What two chunks share, each in its own frame: N points (camera centres and surface points), M orientations."""

    first: int
    second: int
    points_first: np.ndarray
    """(N, 3), N at least 2."""
    points_second: np.ndarray
    """(N, 3)."""
    rotations_first: np.ndarray
    """(M, 3, 3) of world_from_camera, M at least 1."""
    rotations_second: np.ndarray
    """(M, 3, 3)."""

    def __post_init__(self) -> None:
        what = f"edge between chunks {self.first} and {self.second}"
        if self.points_first.shape != self.points_second.shape or self.points_first.ndim != 2:
            raise InputError(f"{what}: points have shapes {self.points_first.shape} and {self.points_second.shape}")
        if self.rotations_first.shape != self.rotations_second.shape or self.rotations_first.shape[1:] != (3, 3):
            raise InputError(
                f"{what}: rotations have shapes {self.rotations_first.shape} and {self.rotations_second.shape}"
            )
        if len(self.points_first) < 2 or not len(self.rotations_first):
            raise InputError(f"{what}: at least two shared points and one shared camera are needed")
        parts = (self.points_first, self.points_second, self.rotations_first, self.rotations_second)
        if not all(np.isfinite(part).all() for part in parts):
            raise InputError(f"{what}: holds values that are not finite")


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where the chunks lie in the frame of the first."""

    transforms: list[Similarity]
    """One a chunk: from its frame to that of the first."""
    residuals: list[float]
    """One an edge: median distance between shared points after alignment, in units of the first chunk."""
    conditioning: float
    """Smallest over largest singular value of the system; near 0 some direction is not determined."""


def similarity_between(edge: Edge) -> Similarity:
    """From the frame of the second chunk to that of the first; far points do not count (iteratively reweighted).

    InputError when the shared points lie in one spot, so that no scale follows from them.
    """
    rotation = Rotation.from_matrix(edge.rotations_first @ edge.rotations_second.swapaxes(1, 2)).mean().as_matrix()
    turned, fixed = edge.points_second @ rotation.T, edge.points_first
    # A start that a third of wrong points cannot move: medians of lengths between points, then of shifts.
    steps = range(1, min(len(turned), 12))
    length, wanted = (np.concatenate([np.linalg.norm(p - np.roll(p, k, 0), axis=1) for k in steps])
                      for p in (turned, fixed))  # fmt: skip
    if np.median(length) <= MIN_SPREAD * max(1e-12, float(np.abs(turned).max())):
        raise InputError(
            f"chunks {edge.first} and {edge.second}: what they share lies in one spot, so their scales cannot be "
            "compared; move the camera more, or let them share surface points"
        )
    scale = float(np.median(wanted[length > 0] / length[length > 0]))
    shift = np.median(fixed - scale * turned, axis=0)
    for _ in range(ROUNDS):
        off = np.linalg.norm(scale * turned + shift - fixed, axis=1)
        share = _trust(off)[:, None] / _trust(off).sum()
        middle, target = (share * turned).sum(0), (share * fixed).sum(0)
        away = turned - middle
        scale = float((share * away * (fixed - target)).sum() / max((share * away * away).sum(), 1e-300))
        shift = target - scale * middle
    if not scale > 0:
        raise InputError(f"chunks {edge.first} and {edge.second}: what they share does not fit together")
    return Similarity(rotation, shift, scale)


def align_chunks(count: int, edges: Sequence[Edge]) -> Alignment:
    """Transforms of `count` chunks into the frame of chunk 0 that fit all edges best (robust: soft L1).

    InputError when a chunk hangs together with no other.
    """
    start = _spanning(count, edges)
    if count == 1 or not edges:
        return Alignment(start, [], 1.0)
    sizes = [float(np.median(np.linalg.norm(e.points_first - np.median(e.points_first, 0), axis=1))) for e in edges]
    size = max(1e-12, float(np.median([s * start[e.first].scale for s, e in zip(sizes, edges)])))

    # Points are judged within their edge: what drift does to all alike is not held against one that closes a loop.
    trust = [np.sqrt(_trust(np.linalg.norm(e.points_first - similarity_between(e).apply(e.points_second), axis=1)))
             for e in edges]  # fmt: skip

    def residuals(values: np.ndarray) -> np.ndarray:
        found, parts = _unpacked(values, start), []
        for edge, trusted in zip(edges, trust):
            a, b = found[edge.first], found[edge.second]
            # Errors are measured in units of what is shared, or shrinking everything would be best.
            unit = size * np.sqrt(a.scale * b.scale / (start[edge.first].scale * start[edge.second].scale))
            apart = (a.apply(edge.points_first) - b.apply(edge.points_second)) / unit
            turn = (a.rotation @ edge.rotations_first) @ (b.rotation @ edge.rotations_second).swapaxes(1, 2)
            angle = ORIENTATION_WEIGHT * Rotation.from_matrix(turn).as_rotvec()
            parts.append((trusted[:, None] * apart).ravel() / np.sqrt((trusted**2).sum()))
            parts.append(angle.ravel() / np.sqrt(len(angle)))
        return np.concatenate(parts)

    solved = least_squares(residuals, np.zeros(7 * (count - 1)), loss="soft_l1", f_scale=0.1, x_scale="jac")
    found = _unpacked(solved.x, start)
    singular = np.linalg.svd(solved.jac, compute_uv=False)
    off = [
        float(np.median(np.linalg.norm(
            found[e.first].apply(e.points_first) - found[e.second].apply(e.points_second), axis=1)))
        for e in edges
    ]  # fmt: skip
    return Alignment(found, off, float(singular[-1] / singular[0]))


def _trust(off: np.ndarray) -> np.ndarray:
    """(N,) in (0, 1]: the weights of points that are `off` by these distances (Cauchy's, at three times the median)."""
    return 1 / (1 + (off / (3 * np.median(off) + 1e-12)) ** 2)


def _spanning(count: int, edges: Sequence[Edge]) -> list[Similarity]:
    """Transforms along the first edges that reach each chunk from chunk 0."""
    known: dict[int, Similarity] = {0: IDENTITY}
    for edge in edges:
        if not (0 <= edge.first < count and 0 <= edge.second < count and edge.first != edge.second):
            raise InputError(f"edge between chunks {edge.first} and {edge.second}: there are chunks 0 to {count - 1}")
    progress = True
    while progress:
        progress = False
        for edge in edges:
            if (edge.first in known) == (edge.second in known):
                continue
            step = similarity_between(edge)
            if edge.first in known:
                known[edge.second] = known[edge.first].after(step)
            else:
                known[edge.first] = known[edge.second].after(step.inverse())
            progress = True
    lost = [chunk for chunk in range(count) if chunk not in known]
    if lost:
        raise InputError(f"chunk {lost[0]} shares nothing with the others; give it an overlap with its neighbours")
    return [known[chunk] for chunk in range(count)]


def _unpacked(values: np.ndarray, start: Sequence[Similarity]) -> list[Similarity]:
    """Small changes (rotation vector, shift, log scale) a chunk, applied in the chunk's own place; chunk 0 stays."""
    found = [start[0]]
    for change, begin in zip(values.reshape(-1, 7), start[1:]):
        turn = Rotation.from_rotvec(change[:3]).as_matrix() @ begin.rotation
        found.append(Similarity(turn, begin.translation + change[3:6], begin.scale * float(np.exp(change[6]))))
    return found
