"""``openlyra mesh``: a scene or a run as triangles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from openlyra.cli.console import Progress, Verbosity, print_json, say
from openlyra.errors import InputError, OutputExistsError
from openlyra.formats import read_gaussians
from openlyra.formats.mesh_files import check_mesh_name, write_mesh
from openlyra.gaussians.mesh import MeshSettings, build_mesh, depth_view, rendered_view
from openlyra.gaussians.mesh_types import DepthView
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.poses import look_at
from openlyra.geometry.trajectory_io import read_trajectory
from openlyra.runs import RunFolder
from openlyra.world import CreateSettings


@dataclass(frozen=True)
class MeshCommand:
    """Make a triangle mesh with coloured vertices of a scene or a run, for game engines, Blender and simulators.

    Of a run, the depths it remembers are fused. Of a scene file, depth is drawn from the cameras of --path, else from
    cameras.json beside it, else from a ring of cameras around it. Sky and what is far away are left out.

    Example: openlyra mesh my-world -o world.glb

    For collisions: openlyra mesh my-world -o collider.glb --collider

    For Blender or a simulator: openlyra mesh my-world/scene.ply -o world.ply --up z-up
    """

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")]
    """Scene file or finished run folder."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Mesh to write: .glb (y up by definition), .ply or .obj."""
    settings: tyro.conf.OmitArgPrefixes[MeshSettings]
    path: Path | None = None
    """Of a scene file: cameras to draw depth from."""
    views: int = 32
    """Of a scene file: most cameras to draw depth from, evenly spread over the path."""
    size: str | None = None
    """Of a scene file: height x width of the drawn depth in pixels; by default that of the path, or 480x480."""
    up: Literal["y-up", "z-up", "y-down"] = "y-up"
    """Axes of the file. y-up: glTF, Unity, three.js; z-up: Blender, robot simulators; y-down: as the scene has it."""
    scale: float = 1.0
    """Metres a scene unit."""
    overwrite: bool = False
    """Replace the file if it exists."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        self._check()
        progress = Progress(self.verbosity)
        try:
            views = self._remembered() if self.source.is_dir() else list(self._rendered(progress))
            mesh, voxel = build_mesh(views, self.settings, progress)
        finally:
            progress.close()
        write_mesh(mesh, self.output, up=self.up, scale=self.scale, closed=self.settings.collider)
        facts = {
            "mesh": str(self.output), "triangles": len(mesh.faces), "vertices": len(mesh.vertices),
            "closed": mesh.is_closed(), "voxel": voxel * self.scale, "views": len(views), "up": self.up,
            "bytes": self.output.stat().st_size,
        }  # fmt: skip
        if self.verbosity.json:
            print_json(facts)
        else:
            kind = "closed, " if facts["closed"] else ""
            detail = f"{kind}voxels of {voxel * self.scale:.3g} m, {self.up}, metres"
            say(f"wrote {self.output}: {len(mesh.faces):,} triangles, {detail}", self.verbosity)
        return 0

    def _check(self) -> None:
        self.settings.check()
        check_mesh_name(self.output, self.up)
        if self.output.exists() and not self.overwrite:
            raise OutputExistsError(f"{self.output}: exists; replace it with --overwrite")
        if self.output.exists() and self.source.exists() and self.output.samefile(self.source):
            raise InputError(f"{self.output}: is the source itself; give another name")
        if not self.output.parent.is_dir():
            raise InputError(f"{self.output}: the folder {self.output.parent} does not exist; create it first")
        if not 0 < self.scale < np.inf:
            raise InputError(f"--scale {self.scale}: must be above 0")
        if self.views < 1:
            raise InputError(f"--views {self.views}: at least 1 is needed")
        if self.source.is_dir() and (self.path or self.size):
            raise InputError(f"--path, --size are for scene files; {self.source} is a run and has depths of its own")

    def _remembered(self) -> list[DepthView]:
        frames = RunFolder.open(self.source).remembered()
        if not frames:
            raise InputError(f"{self.source}: remembers no frames; is the run finished?")
        return [depth_view(f.camera, f.depth, f.valid & ~f.sky, f.image) for f in frames]

    def _rendered(self, progress: Progress) -> Iterator[DepthView]:
        gaussians = read_gaussians(self.source)
        path = self._cameras(gaussians)
        picks = np.unique(np.linspace(0, len(path) - 1, min(self.views, len(path))).round().astype(int))
        for number, index in enumerate(picks):
            progress("look", number, len(picks))
            yield rendered_view(gaussians, path[int(index)])

    def _cameras(self, gaussians: Gaussians) -> Trajectory:
        shape = CreateSettings(size=self.size).shape() if self.size else None
        beside = self.source.parent / "cameras.json"
        path = self.path or (beside if beside.is_file() else None)
        if path is not None:
            found = read_trajectory(path)
            return found.resized(*shape) if shape else found
        return ring(gaussians, shape or (480, 480), self.views)


def ring(gaussians: Gaussians, shape: tuple[int, int], views: int) -> Trajectory:
    """Cameras around a scene that look at its middle, from three heights. `shape` is (height, width) in pixels."""
    middle = np.median(gaussians.means, axis=0).astype(np.float64)
    radius = float(np.quantile(np.linalg.norm(gaussians.means - middle, axis=1), 0.95))
    angles = 2 * np.pi * np.arange(views) / views
    heights = np.radians([0.0, -25.0, 35.0])[np.arange(views) % 3]
    around = np.stack([np.sin(angles) * np.cos(heights), np.sin(heights), -np.cos(angles) * np.cos(heights)], 1)
    field = np.radians(50.0)
    distance = 1.1 * radius / np.sin(field / 2)
    poses = np.stack([look_at(middle + distance * a, middle) for a in around])
    return Trajectory(Camera.from_fov(*shape, field, poses), name="ring")
