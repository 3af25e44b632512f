"""What earlier frames already saw: empty space in front of every remembered pixel, and the surface itself.

New surface may not stand where an earlier frame looked through, or the place would look different when it is visited
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame

IN_FRONT = 0.97
"""A point nearer than this part of a remembered depth stands in seen space."""
SAME = 0.03
"""Relative difference of depth up to which a point is the remembered surface."""
PUSH = 1.08
PUSHES = 40


@dataclass(frozen=True)
class SeenSpace:
    """All remembered frames, asked about points that a camera sees."""

    frames: Sequence[MemoryFrame]
    camera: Camera

    def blocked(self, depth: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """(H, W) bool: masked pixels that would, at this z-depth, hide something that an earlier frame saw."""
        return self._ask(depth, mask, lambda z, nearest, _: z < IN_FRONT * nearest)

    def known(self, depth: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """(H, W) bool: masked pixels that are, at this z-depth, a surface that an earlier frame remembers."""
        return self._ask(depth, mask, lambda z, _, at: np.abs(z / at - 1) < SAME)

    def _ask(self, depth, mask, answer):
        result = np.zeros(mask.shape, bool)
        points = self.camera.unproject(depth)[mask]
        hit = np.zeros(len(points), bool)
        for frame in self.frames:
            height, width = frame.depth.shape
            pixels, z = frame.camera.project(points)
            column, row = np.floor(pixels[:, 0]), np.floor(pixels[:, 1])
            inside = (z > 0.01) & (column >= 0) & (row >= 0) & (column < width) & (row < height)
            row, column = row[inside].astype(int), column[inside].astype(int)
            remembered = np.where(frame.valid, frame.depth, 0.0)
            nearest = ndimage.minimum_filter(remembered, 3)
            said = answer(z[inside], nearest[row, column], np.maximum(remembered[row, column], 1e-6))
            hit[inside] |= said & frame.valid[row, column]
        result[mask] = hit
        return result

    def pushed_back(self, depth: np.ndarray, mask: np.ndarray, far: float) -> np.ndarray:
        """Depth with the masked pixels moved back along their rays to the first place that hides nothing seen."""
        depth = depth.copy()
        todo = self.blocked(depth, mask)
        moved = todo.copy()
        for _ in range(PUSHES):
            todo &= depth < far
            if not todo.any():
                break
            depth[todo] = np.minimum(depth[todo] * PUSH, far)
            todo = self.blocked(depth, todo)
        smooth = ndimage.median_filter(depth, 7)
        return np.where(moved & ~self.blocked(smooth, moved), smooth, depth)
