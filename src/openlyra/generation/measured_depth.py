"""Depth of a walk's new frames, from any estimator, in the units of the path and consistent with what is remembered.

An estimator that takes several posed views also says where it believes their cameras are: the similarity between the
planned and the predicted camera centres gives its unit (spec generation.md 5.2). When the camera hardly moves that unit
is noise, and an estimator of single views has none: then depth is scaled against the remembered depth seen from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from openlyra.depth.base import DepthEstimator, DepthResult, PosedDepthEstimator
from openlyra.generation.latent_walk import WalkState, as_image
from openlyra.generation.pose_alignment import separated, similarity_scale
from openlyra.geometry.camera import Camera
from openlyra.geometry.warp_types import WarpConfig
from openlyra.memory.frame import MemoryFrame
from openlyra.memory.spatial_memory import SpatialMemory

LEAST_MOTION = 0.01
"""Extent of the camera centres, as a part of the scene's median depth, below which their similarity says nothing."""
LEAST_OVERLAP = 0.01
"""Part of a frame that remembered depth must cover to scale by it."""
LEAST_PIXELS = 32
REFERENCES = 3
"""Remembered frames a new one is compared with, besides the one before it."""
NEAREST = 1e-3


@dataclass(frozen=True)
class MeasuredDepth:
    """The `DepthSource` of a walk."""

    estimator: DepthEstimator
    """Measures frames in its own unit."""
    far: float
    """z-depth of the sky in scene units."""

    def measure(
        self, frames: Sequence[int], pixels: dict[int, Tensor], cameras: Camera, state: WalkState
    ) -> list[MemoryFrame]:
        """See `latent_walk.DepthSource`. Remembered frames are measured again only where the estimator wants views."""
        if isinstance(self.estimator, PosedDepthEstimator):
            return self._together(self.estimator, list(frames), pixels, cameras, state)
        done = []
        before, scale = state.last, 1.0
        for index in frames:
            if index in state.memory:
                continue
            image, camera = as_image(pixels[index]), cameras[index]
            result = self.estimator.estimate(image, float(np.asarray(camera.intrinsics)[0, 0]))
            result.validate()
            known = known_depth(camera, references(camera, state.memory, before))
            found = scale_to(result, known)
            scale = scale if found is None else found
            before = self._frame(index, image, result, scale, camera)
            done.append(before)
        return done

    def _together(
        self, estimator: PosedDepthEstimator, frames: list[int], pixels: dict[int, Tensor], cameras: Camera,
        state: WalkState,
    ) -> list[MemoryFrame]:  # fmt: skip
        """All views at once: one scale for all of them."""
        images, views = [as_image(pixels[index]) for index in frames], cameras[frames]
        given = np.asarray(views.world_from_camera, np.float64)
        posed = Camera(separated(given), views.intrinsics, views.width, views.height)
        results, predicted = estimator.estimate_posed(images, posed)
        for result in results:
            result.validate()
        scale = self._joint_scale(results, given, predicted, views, state)
        return [
            self._frame(index, image, result, scale, camera)
            for index, image, result, camera in zip(frames, images, results, views)
        ]

    def _joint_scale(
        self, results: list[DepthResult], given: NDArray[np.float64], predicted: NDArray[np.float64], views: Camera,
        state: WalkState,
    ) -> float:  # fmt: skip
        if moves(given, state.last):
            unit = similarity_scale(given[:, :3, 3], predicted[:, :3, 3])
            if unit > 0:
                return 1 / unit
        found = [
            scale_to(result, known_depth(camera, references(camera, state.memory, state.last)))
            for result, camera in zip(results, views)
        ]
        scales = [scale for scale in found if scale is not None]
        return float(np.median(scales)) if scales else 1.0

    def _frame(
        self, index: int, image: NDArray[np.uint8], result: DepthResult, scale: float, camera: Camera
    ) -> MemoryFrame:
        depth = np.clip(result.depth * np.float32(scale), NEAREST, 0.8 * self.far)
        depth = np.where(result.sky, self.far, depth).astype(np.float32)
        return MemoryFrame(index, image, depth, result.valid, result.sky, camera)


def moves(world_from_camera: NDArray[np.float64], frame: MemoryFrame) -> bool:
    """Whether cameras (V, 4, 4) are far enough apart, compared with the depth of a frame they are near to."""
    centers = world_from_camera[:, :3, 3]
    extent = float(np.linalg.norm(centers - centers.mean(0), axis=1).max())
    near = frame.depth[frame.valid & ~frame.sky]
    return len(centers) > 2 and extent >= LEAST_MOTION * float(np.median(near if near.size else frame.depth))


def references(camera: Camera, memory: SpatialMemory, before: MemoryFrame) -> list[MemoryFrame]:
    """Frames with known depth that see what a camera sees: the one before it, and retrieved ones."""
    found = [memory.frame(index) for index in memory.retrieve(camera, REFERENCES)] if len(memory) else []
    return [before, *(frame for frame in found if frame.index != before.index)]


def known_depth(camera: Camera, frames: Sequence[MemoryFrame]) -> NDArray[np.float32]:
    """(H, W) remembered z-depth seen from a camera, 0 where nothing is known; the sky does not count."""
    from openlyra.geometry.warp_numba import forward_warp

    config, result = WarpConfig(edge_test="planar"), np.zeros((camera.height, camera.width), np.float32)
    target = Camera(camera.world_from_camera[None], camera.intrinsics[None], camera.width, camera.height)
    for frame in frames:
        own = frame.camera
        source = Camera(own.world_from_camera[None], own.intrinsics[None], own.width, own.height)
        nothing = np.zeros((1, 1, own.height, own.width), np.float32)
        seen = forward_warp(nothing, frame.depth[None], (frame.valid & ~frame.sky)[None], source, target, config)
        depth = np.asarray(seen.depth)[0]
        result = np.where((depth > 0) & ((result == 0) | (depth < result)), depth, result)
    return result


def scale_to(result: DepthResult, known: NDArray[np.float32]) -> float | None:
    """Median of known over estimated depth (H, W), None when they share too few pixels."""
    both = result.valid & ~result.sky & (known > 0)
    if both.sum() < max(LEAST_PIXELS, LEAST_OVERLAP * both.size):
        return None
    return float(np.exp(np.median(np.log(known[both] / result.depth[both]))))
