"""``openlyra doctor``: what this machine can do."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from openlyra.cli.console import print_json
from openlyra.runs.manifest import package_versions

EXTRAS = {
    "gsplat": "gpu", "diffusers": "lyra", "transformers": "lyra", "fastapi": "explorer",
    "tensorboard": "train", "ray": "scale",
}  # fmt: skip


@dataclass(frozen=True)
class DoctorCommand:
    """Check the installation: versions, extras, processors, GPU, disk, and a timed render. Exit status 1 if broken."""

    json: bool = False
    """Print it as JSON."""

    def run(self) -> int:
        """Run it; returns the exit status."""
        facts, broken = examine()
        if self.json:
            print_json({**facts, "problems": broken})
        else:
            for key, value in facts.items():
                print(f"{key:<22}{value}")
            print("\n".join(f"PROBLEM: {line}" for line in broken) or "all well")
        return 1 if broken else 0


def examine() -> tuple[dict[str, Any], list[str]]:
    """Facts of this machine and a list of what is broken."""
    facts: dict[str, Any] = dict(package_versions())
    broken: list[str] = []
    for package, extra in EXTRAS.items():
        installed = importlib.util.find_spec(package) is not None
        facts[package] = "installed" if installed else f"not installed (pip install 'openlyra[{extra}]')"
    facts["processors"] = os.cpu_count()
    facts["GPU"] = _gpu(broken)
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    facts["free disk here"] = f"{free:.1f} GB"
    if free < 1:
        broken.append("less than 1 GB of disk is free here; a run of 81 frames needs about 0.2 GB")
    facts["render 480x832, 400k"] = _timed_render(broken)
    return facts, broken


def _gpu(broken: list[str]) -> str:
    try:
        import torch
    except ImportError as error:
        broken.append(f"torch does not import: {error}")
        return "unknown"
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none (not needed)"


def _timed_render(broken: list[str]) -> str:
    from openlyra.gaussians.render import render
    from openlyra.gaussians.types import Gaussians
    from openlyra.geometry.camera import Camera

    rng = np.random.default_rng(0)
    count = 400_000
    means = np.stack([rng.uniform(-3, 3, count), rng.uniform(-2, 2, count), rng.uniform(2, 6, count)], 1)
    means = means.astype(np.float32)
    scene = Gaussians.from_colors(
        means, np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)), np.full((count, 3), 0.005, np.float32),
        np.full(count, 0.9, np.float32), rng.uniform(0, 1, (count, 3)).astype(np.float32),
    )  # fmt: skip
    camera = Camera.from_fov(480, 832, 1.0)
    if not np.isfinite(render(scene, camera).color).all():
        broken.append("the renderer gives values that are not finite")
    begin = time.perf_counter()
    for _ in range(5):
        render(scene, camera)
    return f"{(time.perf_counter() - begin) * 200:.0f} ms a frame"
