"""The surfaces that memory knows, as one growing set of Gaussians that can be looked at from any camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openlyra.gaussians.fit import fit_colors
from openlyra.gaussians.lift import LiftSettings, lift, lift_backing
from openlyra.gaussians.render import render
from openlyra.gaussians.types import Gaussians
from openlyra.generation.complete_depth import PartialView
from openlyra.geometry.camera import Camera
from openlyra.geometry.depth_edges import foreground_rim, near_and_far_sides
from openlyra.memory.frame import MemoryFrame

KNOWN_ALPHA = 0.9


@dataclass(frozen=True)
class Look:
    """Memory seen from a camera."""

    color: np.ndarray
    """(H, W, 3) float32, not premultiplied."""
    depth: np.ndarray
    """(H, W) float32 z-depth; meaningless where alpha is 0."""
    alpha: np.ndarray
    """(H, W) float32 in [0, 1]."""


class Surfaces:
    """All remembered surfaces. Frames are added in order; the same frames give the same Gaussians, bit for bit."""

    def __init__(self, settings: LiftSettings | None = None) -> None:
        self.settings = settings or LiftSettings()
        self.gaussians: Gaussians | None = None
        self.flags = np.zeros((0, 3), np.float32)
        """A Gaussian's (foreground rim, sky, made by a generator), each 0 or 1."""

    def add(self, frame: MemoryFrame, made: bool) -> None:
        """Lift the valid pixels of a frame and fit their colours so that they render as its image."""
        mask = frame.valid
        skin = lift(frame, settings=self.settings)
        backing, behind_is_sky = lift_backing(frame, settings=self.settings)
        if skin.count == 0:
            return
        flags = np.zeros((backing.count + skin.count, 3), np.float32)
        flags[backing.count :, 0] = foreground_rim(frame.depth)[mask]
        flags[backing.count :, 1] = frame.sky[mask]
        flags[: backing.count, 1] = behind_is_sky
        flags[:, 2] = made
        outline = np.logical_or(*near_and_far_sides(frame.depth))
        parts = [backing, skin] if self.gaussians is None else [self.gaussians, backing, skin]
        scene = Gaussians.concatenate(parts)
        self.gaussians = fit_colors(scene, scene.count - skin.count, frame.camera, frame.image, mask, outline)
        self.flags = np.concatenate([self.flags, flags])

    def look(self, camera: Camera) -> Look:
        """Colour, depth and alpha from a camera."""
        assert self.gaussians is not None, "no frame was added"
        seen = render(self.gaussians, camera)
        color = seen.color / np.maximum(seen.alpha, 1e-4)[..., None]
        return Look(np.clip(color, 0, 1), seen.depth, seen.alpha)

    def known_depths(self, camera: Camera) -> np.ndarray:
        """(N,) z-depths of what a camera sees of memory."""
        look = self.look(camera)
        return look.depth[look.alpha >= KNOWN_ALPHA]

    def shares(self, camera: Camera) -> np.ndarray:
        """(H, W, 3): part of each pixel that is foreground rim, sky, made by a generator; 0 where nothing is known."""
        return np.clip(self._render_values(camera, self.flags), 0, 1)

    def _render_values(self, camera: Camera, values: np.ndarray) -> np.ndarray:
        """Composite any three numbers a Gaussian. (H, W, 3)."""
        assert self.gaussians is not None, "no frame was added"
        g = self.gaussians
        return render(Gaussians.from_colors(g.means, g.quaternions, g.scales, g.opacities, values), camera).color

    def partial_view(self, camera: Camera, hole: np.ndarray, look: Look) -> PartialView:
        """What depth completion needs to know of a view.

        Depth is the inverse of the mean inverse depth: at an outline before the sky the mean depth would lie far behind
        both.
        """
        assert self.gaussians is not None, "no frame was added"
        z = np.maximum(np.asarray(camera.project(self.gaussians.means.astype(np.float64))[1]), 0.01)
        values = np.concatenate([self.flags[:, :2], (1.0 / z)[:, None].astype(np.float32)], 1)
        rim, sky, inverse = np.moveaxis(self._render_values(camera, values), -1, 0)
        inverse = inverse / np.maximum(look.alpha, 1e-4)
        depth = np.where(look.alpha > 0.05, 1.0 / np.maximum(inverse, 1e-6), 1.0).astype(np.float32)
        return PartialView(look.color, depth, hole, np.clip(rim, 0, 1), sky > 0.5)
