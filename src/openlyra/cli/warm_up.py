"""Compile the fast parts once, in a process of its own.

Code that was just compiled and the same code read back from the cache may differ in the last bit of a sum. So the very
first run reads its code from the cache too, and gives the same bytes as all later ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from openlyra.cli.console import Verbosity, say

NEEDED = {
    "create": (
        "*match_round*.nbi", "*warp_numba._paint*.nbi", "*flood._flood*.nbi", "*planes._grow*.nbi",
        "*planes.spread_out*.nbi", "*looks.scores*.nbi", "*refine.edge_cost*.nbi",
        "*filters_numba.opponent_colours*.nbi", "*filters_numba.box_mean*.nbi",
    ),
    "reconstruct": ("*multi_view._enlarge*.nbi", "*.blend_backward*.nbi", "*.color_backward*.nbi"),
}
"""What each command leaves in numba's cache when it was compiled for it."""


def compiled(command: str) -> bool:
    """Whether the parts that a command needs are in numba's cache."""
    import openlyra

    places = [Path(openlyra.__file__).parent, Path(os.environ.get("NUMBA_CACHE_DIR", Path.home() / ".cache" / "numba"))]
    return all(any(next(place.rglob(name), None) for place in places if place.is_dir()) for name in NEEDED[command])


def warm_up(command: str, how: Verbosity) -> None:
    """Compile everything that a command needs, once, in another process; its failure is not this run's."""
    if compiled(command):
        return
    say("first run: compiling the fast parts for this machine takes about a minute, once", how)
    words = [sys.executable, "-m", __name__, command]
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def main(commands: Sequence[str]) -> None:
    """Run commands on tiny made-up pictures and throw away what they make; all commands if none is named."""
    for command in commands or NEEDED:
        {"create": _create, "reconstruct": _reconstruct}[command]()


def _create() -> None:
    from openlyra.depth.flood import cheapest_way_out
    from openlyra.depth.looks import cell_moments, scores
    from openlyra.depth.planes import flatten_planes
    from openlyra.depth.refine import edge_cost
    from openlyra.media.image import write_image
    from openlyra.world import create

    ones = np.ones((4, 4), bool)
    # The photo below may have no outline and no plane that needs these.
    cheapest_way_out(ones.astype(np.float32), ones, ~ones)
    flatten_planes(np.ones((32, 32), np.float32))
    colour = np.ones((4, 4, 3), np.float32)
    edge_cost(colour, ones.astype(np.float32), ones)
    scores(colour, cell_moments(colour, ones, 2), 2, ones[:2, :2])
    rows = np.linspace(0, 1, 128)[:, None, None]
    noise = np.random.default_rng(0).normal(0, 12, (128, 192, 3))
    sky = np.array([130.0, 170.0, 230.0]) + 0 * noise
    ground = np.array([110.0, 100.0, 80.0]) + noise
    with tempfile.TemporaryDirectory(prefix="openlyra-warm-up-") as folder:
        photo = Path(folder) / "photo.png"
        write_image(photo, np.clip(np.where(rows < 0.45, sky, ground), 0, 255).astype(np.uint8))
        create(photo, Path(folder) / "run", size="96x160", frames=3, path="orbit", strength=15.0)
    _warp()


def _warp() -> None:
    """What the walk of a video network needs besides."""
    from openlyra.geometry.camera import Camera
    from openlyra.geometry.warp_numba import forward_warp

    home = Camera.from_fov(16, 16, 1.0, np.eye(4)[None])
    for channels in (1, 3):
        colors = np.zeros((1, channels, 16, 16), np.float32)
        forward_warp(colors, np.ones((1, 16, 16), np.float32), np.ones((1, 16, 16), bool), home, home)


def _reconstruct() -> None:
    """Views of a painted wall, each a few pixels further."""
    from openlyra.gaussians.optimise import OptimiseSettings
    from openlyra.geometry.camera import Camera, Trajectory
    from openlyra.geometry.trajectory_io import write_trajectory
    from openlyra.media.image import write_image
    from openlyra.reconstruction import ReconstructSettings, reconstruct

    wall = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    poses = np.tile(np.eye(4), (6, 1, 1))
    poses[:, 0, 3] = 0.05 * np.arange(6)
    cameras = Camera(poses, np.array([[80.0, 0, 48], [0, 80, 32], [0, 0, 1]]), 96, 64)
    with tempfile.TemporaryDirectory(prefix="openlyra-warm-up-") as folder:
        (Path(folder) / "images").mkdir()
        for index in range(6):
            write_image(Path(folder) / "images" / f"{index:05d}.png", wall[:, 4 * index : 4 * index + 96])
        write_trajectory(Trajectory(cameras), Path(folder) / "transforms.json")
        few = ReconstructSettings(held_out=3, optimise=OptimiseSettings(steps=2, sh_degree=1))
        reconstruct(folder, Path(folder) / "scene.ply", settings=few)


if __name__ == "__main__":
    main(sys.argv[1:])
