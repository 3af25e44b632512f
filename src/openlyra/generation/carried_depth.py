"""Depth of new frames from what is remembered alone: carried over where memory sees it, continued in the holes.

For networks that work at so small a size that no estimator sees much in their frames, and whose known regions are
warped memory anyway: there the remembered depth is the right one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from openlyra.generation.complete_depth import PartialView, complete_depth
from openlyra.generation.free_space import SeenSpace
from openlyra.generation.latent_walk import WalkState, as_image
from openlyra.generation.measured_depth import references
from openlyra.geometry.camera import Camera
from openlyra.geometry.depth_edges import foreground_rim
from openlyra.geometry.warp_types import WarpConfig
from openlyra.memory.frame import MemoryFrame


@dataclass(frozen=True)
class CarriedDepth:
    """A `latent_walk.DepthSource`."""

    far: float
    """z-depth of the sky in scene units."""
    edge_threshold: float
    """Relative depth range at which a remembered pixel is not carried over."""

    def measure(
        self, frames: Sequence[int], pixels: dict[int, Tensor], cameras: Camera, state: WalkState
    ) -> list[MemoryFrame]:
        """See `latent_walk.DepthSource`. Frames that are remembered already are not measured again."""
        done: list[MemoryFrame] = []
        before = state.last
        for index in frames:
            if index in state.memory:
                continue
            known = references(cameras[index], state.memory, before)
            before = self._frame(index, as_image(pixels[index]), cameras[index], known)
            done.append(before)
        return done

    def _frame(self, index: int, image: np.ndarray, camera: Camera, known: Sequence[MemoryFrame]) -> MemoryFrame:
        view = carried_view(image, camera, known, WarpConfig(self.edge_threshold, fill=0.0))
        completed = complete_depth(view, self.far, SeenSpace(known, camera))
        depth = np.clip(completed.depth, 1e-3, self.far).astype(np.float32)
        return MemoryFrame(index, image, depth, np.ones(depth.shape, np.bool_), completed.sky, camera)


def carried_view(image: np.ndarray, camera: Camera, frames: Sequence[MemoryFrame], config: WarpConfig) -> PartialView:
    """What remembered frames know of a camera's view; colours are those of the finished frame."""
    from openlyra.geometry.warp_numba import forward_warp_fused

    source, target = Camera.stacked([frame.camera for frame in frames]), Camera.stacked([camera])
    kinds = np.stack([np.stack([foreground_rim(f.depth), f.sky]).astype(np.float32) for f in frames])
    depth, valid = np.stack([f.depth for f in frames]), np.stack([f.valid for f in frames])
    seen = forward_warp_fused(kinds, depth, valid, source, target, config)
    hole, values = ~np.asarray(seen.mask)[0], np.asarray(seen.values)[0]
    carried = np.where(hole, np.float32(1), np.asarray(seen.depth)[0])
    return PartialView(image.astype(np.float32) / 255, carried, hole, values[0], (values[1] > 0.5) & ~hole)
