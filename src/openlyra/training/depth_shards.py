"""Shards of rendered views: what the depth network reads. A data set is a list of seeds; this draws them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from openlyra.media.atomic import atomic_path
from openlyra.worlds.sample import sample_view

VIEWS = 16
"""Views a shard."""
LANDSCAPE, PORTRAIT = (272, 400), (400, 288)
"""Heights and widths; every sixth shard is portrait."""


def shard_seeds(number: int) -> range:
    """Seeds of the views in shard `number`."""
    return range(number * VIEWS, (number + 1) * VIEWS)


def write_shard(folder: Path, number: int, kind: str | None = None, first: int = 0) -> Path:
    """Draw the views of a shard, seeds from `first` on, unless it is there. Returns its file."""
    path = folder / f"{number:06d}.safetensors"
    if path.exists():
        return path
    height, width = PORTRAIT if number % 6 == 5 else LANDSCAPE
    views = [sample_view(first + seed, kind, height=height, width=width) for seed in shard_seeds(number)]
    depth = np.stack([np.where(view.sky, 0, np.minimum(view.depth, 6e4)) for view in views]).astype(np.float16)
    focal = np.array([view.camera.intrinsics[1, 1] for view in views], np.float32)
    with atomic_path(path) as part:
        save_file({"rgb": np.stack([view.rgb for view in views]), "depth": depth, "focal": focal}, part)
    return path


def fill(folder: Path, count: int, window: int = 0) -> None:
    """Draw shards, going on where an earlier call stopped; keep only the newest `window` (0: all)."""
    folder.mkdir(parents=True, exist_ok=True)
    there = sorted(int(path.stem) for path in folder.glob("[0-9]*.safetensors"))
    for number in range(there[-1] + 1 if there else 0, count):
        write_shard(folder, number)
        if window and number >= window:
            (folder / f"{number - window:06d}.safetensors").unlink(missing_ok=True)


def main(folder: str, count: str, window: str = "0", niceness: str = "15") -> None:
    """`fill` on one core at low priority, beside a training that reads the folder."""
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    if hasattr(os, "nice"):
        os.nice(int(niceness))
    fill(Path(folder), int(count), int(window))


if __name__ == "__main__":
    main(*sys.argv[1:])
