"""Where a wide unknown region might be copied from: whole-image candidates, each a map from view pixels to the photo.

A facade goes on to the right as it does in the photo, a street goes on behind the camera as it does before it. So the
candidates are rigid: the completed surface moved along the scene's main directions, or mirrored across a plane, and
looked up in the photo (depth tells whether the surface found there is the one meant); and, for sky and whatever no
direction fits, plain shifts and mirrors of the view itself. A candidate is coherent over its whole area, so what is
copied keeps its lines and its sharpness.

Source: after the offset labels of He and Sun, Statistics of Patch Offsets for Image Completion (2012), carried from
image shifts to motions of the surface.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame

SHIFTS = np.array([-0.85, -0.65, -0.5, -0.38, -0.28, -0.2, -0.13, 0.0, 0.13, 0.2, 0.28, 0.38, 0.5, 0.65, 0.85])
"""Candidate shifts, parts of the image's width."""
MOVES = np.array([0.1, 0.15, 0.2, 0.26, 0.33, 0.41, 0.5, 0.6, 0.71, 0.83, 0.96, 1.1, 1.3, 1.6])
"""Candidate motions of the surface, parts of the width seen at the hole's border."""
MIRRORS = np.array([0.0, 0.06, 0.15, 0.3])
"""How far inside the known region a mirror stands, parts of the same."""
DEPTH_TOLERANCE = 0.12
"""Difference in log depth from which a looked-up surface counts as another one."""
OTHER_THING = 36.0
"""Squared difference, in tolerances, beyond which nothing gets worse: half or twice as far away."""


@dataclass(frozen=True)
class Copies:
    """Candidates on a grid of cells or pixels of the view."""

    places: np.ndarray
    """(K, h, w, 2) float32: row and column in the source, where pixel centres are integers."""
    ok: np.ndarray
    """(K, h, w) bool: the source may be copied there."""
    cost: np.ndarray
    """(K, h, w) float32: how ill the source's surface fits, in squared colour units."""

    def pick(self, chosen: np.ndarray) -> Copies:
        """Some of the candidates."""
        return Copies(self.places[chosen], self.ok[chosen], self.cost[chosen])


@dataclass(frozen=True)
class Target:
    """The view to complete, with depth already complete, and where copying may happen from."""

    camera: Camera
    color: np.ndarray
    """(H, W, 3) float32."""
    depth: np.ndarray
    """(H, W) float32, complete."""
    sky: np.ndarray
    """(H, W) bool, complete."""
    hole: np.ndarray
    """(H, W) bool: to be painted."""
    copyable: np.ndarray
    """(H, W) bool: known pixels that may be copied."""


@dataclass(frozen=True)
class Motion:
    """One candidate: a rigid motion or mirror of the world, or (``photo`` False) of the view's own pixels."""

    photo: bool
    matrix: np.ndarray
    """(4, 4) on world points, or (3, 3) on pixels (column, row, 1)."""
    penalty: float
    """Added to the cost everywhere."""


def motions(target: Target, photo: MemoryFrame) -> list[Motion]:
    """All candidates for a view."""
    return [*_pixel_motions(target), *_world_motions(target, photo)]


def _pixel_motions(target: Target) -> Iterator[Motion]:
    height, width = target.hole.shape
    for dx in SHIFTS * width:
        for dy in np.array([-0.4, -0.2, -0.08, 0.0, 0.08, 0.2, 0.4]) * height:
            if dx or dy:
                yield Motion(False, np.array([[1, 0, np.round(dx)], [0, 1, np.round(dy)], [0, 0, 1.0]]), 2e-3)
    rows, columns = np.nonzero(target.copyable)
    if len(rows) == 0:
        return
    for part in (0.02, 0.1, 0.25, 0.75, 0.9, 0.98):
        left, top = (2 * np.round(np.quantile(along, part)) for along in (columns, rows))
        yield Motion(False, np.array([[-1, 0, left], [0, 1, 0], [0, 0, 1.0]]), 3e-3)
        yield Motion(False, np.array([[1, 0, 0], [0, -1, top], [0, 0, 1.0]]), 3e-3)


def _world_motions(target: Target, photo: MemoryFrame) -> Iterator[Motion]:
    ring = ndimage.binary_dilation(target.hole, iterations=6) & ~target.hole & ~target.sky
    if not ring.any():
        return
    depth = float(np.median(target.depth[ring]))
    reach = depth * target.camera.width / float(np.asarray(target.camera.intrinsics)[0, 0])
    border = target.camera.unproject(target.depth)[ring]
    for direction in main_directions(photo):
        for part in np.concatenate([-MOVES[::-1], MOVES]):
            matrix = np.eye(4)
            matrix[:3, 3] = part * reach * direction
            yield Motion(True, matrix, 0.0)
        along = border @ direction
        for inside in MIRRORS * reach:
            for at in (np.quantile(along, 0.1) + inside, np.quantile(along, 0.9) - inside):
                matrix = np.eye(4)
                matrix[:3, :3] -= 2 * np.outer(direction, direction)
                matrix[:3, 3] = 2 * at * direction
                yield Motion(True, matrix, 1e-3)


def main_directions(photo: MemoryFrame, most: int = 2) -> list[np.ndarray]:
    """Unit world directions along which the photo's upright surfaces run, and up. (3,) each."""
    rotation = np.asarray(photo.camera.world_from_camera)[:3, :3]
    up = rotation @ np.array([0.0, -1.0, 0.0])
    right = rotation @ np.array([1.0, 0.0, 0.0])
    ahead = rotation @ np.array([0.0, 0.0, 1.0])
    stride = max(1, photo.height // 120)
    points = ndimage.gaussian_filter(photo.camera.unproject(photo.depth), (3, 3, 0))[::stride, ::stride]
    normals = np.cross(np.diff(points, axis=1)[:-1], np.diff(points, axis=0)[:, :-1])
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-12
    usable = (photo.valid & ~photo.sky)[::stride, ::stride][:-1, :-1] & (np.abs(normals @ up) < 0.4)
    angles = np.arctan2(normals[usable] @ ahead, normals[usable] @ right) % np.pi
    counts = np.bincount((angles / np.pi * 36).astype(int) % 36, minlength=36).astype(float)
    smooth = ndimage.gaussian_filter1d(counts, 1.0, mode="wrap")
    found: list[np.ndarray] = []
    for _ in range(most):
        best = int(smooth.argmax())
        if smooth[best] < 0.02 * max(usable.size, 1):
            break
        angle = (best + 0.5) / 36 * np.pi
        found.append(-np.sin(angle) * right + np.cos(angle) * ahead)
        smooth[(np.arange(36) - best + 4) % 36 < 9] = 0
    if not found:
        found = [right]
    if all(abs(direction @ ahead) < 0.9 for direction in found):
        found.append(ahead)
    return [*found, up]


def copies(target: Target, photo: MemoryFrame, moved: list[Motion], points: np.ndarray) -> Copies:
    """The candidates at some pixels of the view.

    Args:
        points: (h, w, 2) row and column of the view's pixels, integers.

    Returns:
        Places in the stacked source: the view's own rows first, then a gap of one row, then the photo's.
    """
    rows, columns = points[..., 0], points[..., 1]
    height, width = target.hole.shape
    depth, sky = target.depth[rows, columns], target.sky[rows, columns]
    world = target.camera.unproject(target.depth)[rows, columns]
    pixels = np.stack([columns, rows, np.ones_like(rows)], -1).astype(np.float64)
    places, ok, cost = [], [], []
    for motion in moved:
        if motion.photo:
            at, z = photo.camera.project(world @ motion.matrix[:3, :3].T + motion.matrix[:3, 3])
            column, row = at[..., 0] - 0.5, at[..., 1] - 0.5
            source_depth, source_sky, source_ok, offset = photo.depth, photo.sky, photo.valid, height + 1
        else:
            moved_pixels = pixels @ motion.matrix.T
            column, row, z = moved_pixels[..., 0], moved_pixels[..., 1], depth
            source_depth, source_sky, source_ok, offset = target.depth, target.sky, target.copyable, 0
        inside = (row >= 1) & (column >= 1) & (row <= source_ok.shape[0] - 2) & (column <= width - 2) & (z > 1e-3)
        row, column = np.where(inside, row, 0), np.where(inside, column, 0)
        at_row, at_column = np.rint(row).astype(int), np.rint(column).astype(int)
        there = source_depth[at_row, at_column]
        gap = np.log(np.where(inside, np.maximum(z, 1e-3), 1.0) / there)
        magnified = np.maximum(np.log(np.maximum(z, 1e-3) / depth), 0) if motion.photo else np.zeros_like(depth)
        misfit = 0.3 * np.minimum((gap / DEPTH_TOLERANCE) ** 2, OTHER_THING) * 0.02 + 0.01 * magnified
        misfit = np.where(sky, 0.0, misfit) + np.where(sky != source_sky[at_row, at_column], 1.0, 0.0)
        places.append(np.stack([row + offset, column], -1).astype(np.float32))
        ok.append(inside & source_ok[at_row, at_column])
        cost.append((misfit + motion.penalty).astype(np.float32))
    return Copies(np.stack(places), np.stack(ok), np.stack(cost))
