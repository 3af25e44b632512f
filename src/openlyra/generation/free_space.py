"""What earlier frames already saw: empty space in front of every remembered pixel, and the surface itself.

New surface may not stand where an earlier frame looked through, or the place would look different when it is visited
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
    """All frames that are remembered when it is first asked, about points that a camera sees."""

    frames: Sequence[MemoryFrame]
    camera: Camera

    def blocked(self, depth: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """(H, W) bool: masked pixels that would, at this z-depth, hide something that an earlier frame saw."""
        return self._ask(depth, mask, lambda z, nearest, _: z < IN_FRONT * nearest)

    def known(self, depth: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """(H, W) bool: masked pixels that are, at this z-depth, a surface that an earlier frame remembers."""
        return self._ask(depth, mask, lambda z, _, at: np.abs(z / at - 1) < SAME)

    @cached_property
    def _nearest(self) -> list[np.ndarray]:
        """Of each frame the depth that must not be hidden, 0 where there is none: the least among every 3 x 3 pixels,
        so that outlines close. For a coarser view it is the pixel's own, as Gaussians of such a view reach farther."""
        sizes = [3 if self.camera.height >= frame.height else 1 for frame in self.frames]
        depths = [np.where(frame.valid, frame.depth, 0.0) for frame in self.frames]
        return [ndimage.minimum_filter(depth, size) for depth, size in zip(depths, sizes)]

    @cached_property
    def _rays(self) -> np.ndarray:
        """(H, W, 3) from the camera to z-depth 1, in world axes."""
        return self.camera.unproject(np.ones((self.camera.height, self.camera.width))) - self.camera.center

    def _ask(self, depth, mask, answer):
        result = np.zeros(mask.shape, bool)
        points = self._rays[mask] * depth[mask][:, None] + self.camera.center
        hit = np.zeros(len(points), bool)
        for frame, nearest in zip(self.frames, self._nearest):
            height, width = frame.depth.shape
            pixels, z = frame.camera.project(points)
            column, row = np.floor(pixels[:, 0]), np.floor(pixels[:, 1])
            inside = (z > 0.01) & (column >= 0) & (row >= 0) & (column < width) & (row < height)
            row, column = row[inside].astype(int), column[inside].astype(int)
            measured = frame.valid[row, column]
            there = np.where(measured, frame.depth[row, column], 1e-6)
            hit[inside] |= answer(z[inside], nearest[row, column], there) & measured
        result[mask] = hit
        return result

    def pushed_back(self, depth: np.ndarray, mask: np.ndarray, far: float) -> np.ndarray:
        """Depth with the masked pixels moved back along their rays to the first place that hides nothing seen."""
        depth = depth.copy()
        todo = self.blocked(depth, mask)
        moved = todo.copy()
        if not moved.any():
            return depth
        for _ in range(PUSHES):
            todo &= depth < far
            if not todo.any():
                break
            depth[todo] = np.minimum(depth[todo] * PUSH, far)
            todo = self.blocked(depth, todo)
        smooth = depth.copy()
        smooth[moved] = medians(depth, moved)
        return np.where(moved & ~self.blocked(smooth, moved), smooth, depth)


def medians(values: np.ndarray, mask: np.ndarray, size: int = 7) -> np.ndarray:
    """(N,) median of the size x size pixels around each masked one, mirrored beyond the picture; size is odd.

    Filtering the whole picture takes sixteen times as long when a tenth of it is asked for (480x832).
    """
    padded = np.pad(values, size // 2, mode="symmetric")
    around = np.lib.stride_tricks.sliding_window_view(padded, (size, size))[mask].reshape(-1, size * size)
    return np.partition(around, size * size // 2, axis=1)[:, size * size // 2]
