"""Compile the fast parts once, in a process of its own.

Code that was just compiled and the same code read back from the cache may differ in the last bit of a sum. So the very
first run reads its code from the cache too, and gives the same bytes as all later ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np


def compiled() -> bool:
    """Whether the compiled parts are in numba's cache."""
    import openlyra

    places = [Path(openlyra.__file__).parent, Path(os.environ.get("NUMBA_CACHE_DIR", Path.home() / ".cache" / "numba"))]
    needed = ("*match_round*.nbi", "*warp_numba._paint*.nbi")
    return all(any(next(place.rglob(name), None) for place in places if place.is_dir()) for name in needed)


def warm_up() -> None:
    """Compile everything that a run needs, in another process; its failure is not this run's."""
    subprocess.run([sys.executable, "-m", __name__], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def main() -> None:
    """Make a tiny world of a made-up picture and throw it away."""
    from openlyra.media.image import write_image
    from openlyra.world import create

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


if __name__ == "__main__":
    main()
