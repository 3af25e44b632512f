"""``openlyra convert``: a scene or a camera path in another format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from openlyra.cli.console import Verbosity, print_json, say
from openlyra.errors import InputError, OutputExistsError
from openlyra.formats import FORMATS, find_format, read_gaussians, write_gaussians
from openlyra.formats.axes import up_rotation
from openlyra.gaussians.budget import within_count
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.poses import rigid
from openlyra.geometry.trajectory_io import read_trajectory, write_trajectory

Up = Literal["y-down", "y-up", "z-up"]
CAMERA_SUFFIXES = (".json", ".npz", "")
"""Of camera paths that can be written; without a suffix it is the folder of a COLMAP model."""


@dataclass(frozen=True)
class ConvertCommand:
    """Write a scene, or the cameras of a run, in another format. The suffix of TARGET says which.

    Scenes: .ply (lossless; every tool), .compressed.ply (PlayCanvas, SuperSplat), .splat (old web viewers), .spz and
    .sog (small, for the web), .glb (glTF with KHR_gaussian_splatting), .usdc .usda .usdz (OpenUSD, simulators).

    Cameras: transforms.json, a folder for a COLMAP text model, camera_path.json (nerfstudio), any other .json, .npz.

    Example: openlyra convert my-world/scene.ply world.spz

    For the web: openlyra convert my-world web.sog --max-gaussians 500000

    For Blender: openlyra convert my-world part.ply --up z-up --crop -5 -3 0 5 2 20

    For a trainer: openlyra convert my-world transforms.json
    """

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")]
    """Scene file, camera path, or run folder (its scene or its cameras, as the target wants)."""
    target: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="TARGET")]
    """File to write (a folder for COLMAP)."""
    up: Up | None = None
    """Axes of the target. y-down: x right, z forward, as COLMAP and splat viewers have it; y-up: OpenGL, three.js;
    z-up: Blender, simulators. By default what the format means: y-up for .spz, .glb and .usd*, else y-down."""
    source_up: Up | None = None
    """Axes of the source, where it does not state them and its format's usual ones are wrong."""
    max_gaussians: int | None = None
    """Keep at most this many: those that the cameras beside the scene see most of, else the largest and most opaque."""
    sh_degree: Literal[0, 1, 2, 3] | None = None
    """Cut spherical harmonics off after this degree; 0 keeps one colour from all sides."""
    crop: tuple[float, float, float, float, float, float] | None = None
    """Keep what lies in this box: smallest x y z, largest x y z, in the scene's own axes (y down, z forward)."""
    ply_layout: Literal["compact", "compatible"] | None = None
    """Of .ply: compact (default), or with normals and harmonics of degree 3 always, for loaders that insist."""
    spz_version: Literal[3, 4] | None = None
    """Of .spz: 3 (default, most widely read) or 4."""
    overwrite: bool = False
    """Replace the target if it exists."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        self._check_target()
        facts = self._convert_scene() if find_format(self.target) else self._convert_cameras()
        if self.verbosity.json:
            print_json(facts)
        else:
            say(f"wrote {self.target}: {', '.join(f'{value} {name}' for name, value in facts.items())}", self.verbosity)
        return 0

    def _check_target(self) -> None:
        suffix = self.target.suffix.lower()
        if find_format(self.target) is None and suffix not in CAMERA_SUFFIXES:
            raise InputError(
                f"{self.target}: '{suffix}' is no format that can be written; scenes are {' '.join(FORMATS)}, cameras "
                ".json, .npz or a folder (COLMAP)"
            )
        model = self.target / "images.txt"
        taken = model.exists() if self.target.is_dir() and not suffix else self.target.exists()
        if taken and not self.overwrite:
            raise OutputExistsError(f"{self.target}: exists; replace it with --overwrite")
        if taken and self.source.exists() and self.target.samefile(self.source):
            raise InputError(f"{self.target}: is the source itself; give another name")

    def _convert_scene(self) -> dict[str, Any]:
        options = self._writer_options()
        source = self.source / "scene.ply" if self.source.is_dir() else self.source
        if not source.exists():
            raise InputError(f"{source}: does not exist; give a scene file or a finished run folder")
        scene = read_gaussians(source, up=self.source_up)
        kept = self._reduced(scene, source)
        write_gaussians(kept, self.target, **options)
        return {"Gaussians": kept.count, "left out": scene.count - kept.count, "bytes": self.target.stat().st_size}

    def _writer_options(self) -> dict[str, Any]:
        given = {"up": self.up, "layout": self.ply_layout, "version": self.spz_version}
        if self.max_gaussians is not None and self.max_gaussians < 1:
            raise InputError(f"--max-gaussians is {self.max_gaussians}; at least 1 is needed")
        name = self.target.name.lower()
        if self.ply_layout and (not name.endswith(".ply") or name.endswith(".compressed.ply")):
            raise InputError(f"--ply-layout is for .ply; {self.target.name} is another format")
        if self.spz_version and not name.endswith(".spz"):
            raise InputError(f"--spz-version is for .spz; {self.target.name} is another format")
        return {key: value for key, value in given.items() if value is not None}

    def _reduced(self, scene: Gaussians, source: Path) -> Gaussians:
        if self.crop is not None:
            low, high = np.array(self.crop[:3]), np.array(self.crop[3:])
            if not (low < high).all():
                raise InputError(f"--crop {' '.join(map(str, self.crop))}: the first corner must be the smaller one")
            scene = scene.select(np.flatnonzero(((scene.means >= low) & (scene.means <= high)).all(1)))
            if not scene.count:
                raise InputError(f"--crop {' '.join(map(str, self.crop))}: no Gaussian of {source} lies in this box")
        if self.sh_degree is not None:
            scene = scene.with_sh_degree(min(self.sh_degree, scene.sh_degree))
        if self.max_gaussians is not None and scene.count > self.max_gaussians:
            cameras = source.parent / "cameras.json"
            beside = read_trajectory(cameras).cameras if cameras.is_file() else None
            scene = within_count(scene, self.max_gaussians, beside)
        return scene

    def _convert_cameras(self) -> dict[str, Any]:
        for name in ("max_gaussians", "sh_degree", "crop", "ply_layout", "spz_version"):
            if getattr(self, name) is not None:
                option = name.replace("_", "-")
                raise InputError(f"--{option} is for scenes; {self.target} is written as a camera path")
        if find_format(self.source):
            raise InputError(f"{self.target}: is written as a camera path, and {self.source} is a scene")
        path = read_trajectory(self.source)
        turn = up_rotation(self.up or "y-down") @ up_rotation(self.source_up or "y-down").T
        write_trajectory(turned_path(path, turn), self.target)
        return {"cameras": len(path)}


def turned_path(path: Trajectory, rotation: np.ndarray) -> Trajectory:
    """The path in a world turned by `rotation` (3, 3): what `Gaussians.transformed` does to a scene."""
    cameras = path.cameras.numpy()
    poses = rigid(rotation, np.zeros(3)) @ cameras.world_from_camera
    return replace(path, cameras=Camera(poses, cameras.intrinsics, cameras.width, cameras.height))
