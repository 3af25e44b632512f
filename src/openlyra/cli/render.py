"""``openlyra render``: a scene along a path, as a video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from openlyra.cli.console import Progress, Verbosity, print_json, say
from openlyra.errors import InputError, OutputExistsError
from openlyra.explorer.showcase import write_flight
from openlyra.formats import read_gaussians
from openlyra.gaussians.types import Gaussians
from openlyra.generation.plan import is_preset
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.presets import measure_center_depth, preset
from openlyra.geometry.trajectory_io import read_trajectory
from openlyra.world import CreateSettings


@dataclass(frozen=True)
class RenderCommand:
    """Draw a Gaussian scene along a camera path into an H.264 video.

    Example: openlyra render my-world/scene.ply --path orbit -o orbit.mp4
    """

    scene: tyro.conf.Positional[Path]
    """Scene file: .ply, .splat, .spz, .sog or .glb."""
    path: str
    """Preset (starts at the world origin, where the photo was taken) or a file with cameras."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Video file to write, .mp4."""
    frames: int = 81
    """Number of frames; for a file at most what it has."""
    size: str = "480x832"
    """Height x width in pixels."""
    strength: float | None = None
    """Strength of a preset."""
    fov: float | None = None
    """Vertical field of view of a preset in degrees; by default that of the cameras.json beside the scene, else 50."""
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Colour behind everything, red green blue from 0 to 1."""
    overwrite: bool = False
    """Replace the video if it exists."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        if self.output.exists() and not self.overwrite:
            raise OutputExistsError(f"{self.output}: exists; replace it with --overwrite")
        if self.output.suffix.lower() != ".mp4":
            raise InputError(f"{self.output}: videos are written as .mp4")
        gaussians = read_gaussians(self.scene)
        path = self._path(gaussians)
        progress = Progress(self.verbosity)
        try:
            write_flight(gaussians, path, self.output, self.background, progress)
        finally:
            progress.close()
        if self.verbosity.json:
            print_json({"video": str(self.output), "frames": len(path), "gaussians": gaussians.count})
        else:
            say(f"wrote {self.output}, {len(path)} frames", self.verbosity)
        return 0

    def _path(self, gaussians: Gaussians) -> Trajectory:
        height, width = CreateSettings(size=self.size).shape()
        if not is_preset(self.path):
            return read_trajectory(self.path).resized(height, width).head(self.frames)
        start = self._start_camera(height, width)
        pixels, depth = start.project(gaussians.means[:: max(1, gaussians.count // 100_000)])
        inside = (depth > 0.01) & (np.abs(pixels / [width, height] - 0.5) < 0.5).all(-1)
        center = measure_center_depth(depth[inside][None]) if inside.any() else 1.0
        return preset(self.path, self.frames, start, center, self.strength)

    def _start_camera(self, height: int, width: int) -> Camera:
        beside = self.scene.parent / "cameras.json"
        if self.fov is None and beside.is_file():
            return read_trajectory(beside)[0].resized(height, width)
        return Camera.from_fov(height, width, np.radians(self.fov or 50.0))
