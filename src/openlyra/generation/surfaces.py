"""The surfaces that memory knows, as one growing set of Gaussians that can be looked at from any camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openlyra.gaussians.fit import fit_colors
from openlyra.gaussians.lift import LiftSettings, lift
from openlyra.gaussians.render import render
from openlyra.gaussians.types import Gaussians
from openlyra.generation.complete_depth import PartialView
from openlyra.generation.edges import foreground_rim
from openlyra.geometry.camera import Camera
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
        new = lift(frame, settings=self.settings)
        if new.count == 0:
            return
        mask = frame.valid
        rim = foreground_rim(frame.depth)[mask]
        flags = np.stack([rim, frame.sky[mask], np.full(len(rim), made)], 1).astype(np.float32)
        start = 0 if self.gaussians is None else self.gaussians.count
        scene = new if self.gaussians is None else Gaussians.concatenate([self.gaussians, new])
        self.gaussians = fit_colors(scene, start, frame.camera, frame.image, mask)
        self.flags = np.concatenate([self.flags, flags])

    def look(self, camera: Camera) -> Look:
        """Colour, depth and alpha from a camera."""
        assert self.gaussians is not None, "no frame was added"
        seen = render(self.gaussians, camera)
        color = seen.color / np.maximum(seen.alpha, 1e-4)[..., None]
        return Look(np.clip(color, 0, 1), seen.depth, seen.alpha)

    def shares(self, camera: Camera) -> np.ndarray:
        """(H, W, 3): part of each pixel that is foreground rim, sky, made by a generator; 0 where nothing is known."""
        assert self.gaussians is not None, "no frame was added"
        g = self.gaussians
        flagged = Gaussians.from_colors(g.means, g.quaternions, g.scales, g.opacities, self.flags)
        return np.clip(render(flagged, camera).color, 0, 1)

    def partial_view(self, camera: Camera, hole: np.ndarray, look: Look) -> PartialView:
        """What depth completion needs to know of a view."""
        shares = self.shares(camera)
        depth = np.where(look.alpha > 0.05, look.depth, 1.0).astype(np.float32)
        return PartialView(look.color, depth, hole, shares[..., 0], shares[..., 1] > 0.5)
