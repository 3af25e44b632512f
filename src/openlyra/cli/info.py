"""``openlyra info``: what is in a run, a scene or a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from openlyra.cli.console import print_json
from openlyra.errors import InputError
from openlyra.formats import find_format, read_gaussians
from openlyra.geometry.presets import PRESETS
from openlyra.geometry.trajectory_io import read_trajectory
from openlyra.runs import RunFolder


@dataclass(frozen=True)
class InfoCommand:
    """Say what is in a run folder, a scene or a camera path. `openlyra info presets` lists the camera paths by name."""

    source: tyro.conf.Positional[Path]
    """Run folder, scene (.ply, .compressed.ply, .splat, .spz, .sog, .glb), path file, or the word presets."""
    json: bool = False
    """Print it as JSON."""

    def run(self) -> int:
        """Run it; returns the exit status."""
        facts = describe(self.source)
        if self.json:
            print_json(facts)
        else:
            width = max(len(key) for key in facts)
            for key, value in facts.items():
                print(f"{key:<{width}}  {value}")
        return 0


def describe(source: Path) -> dict[str, Any]:
    """Facts by name. Raises InputError when it is none of the known things."""
    if str(source) == "presets" and not source.exists():
        return {
            name: f"{info.summary} (strength {info.default_strength:g} {info.unit})" for name, info in PRESETS.items()
        }
    if not source.exists():
        raise InputError(f"{source}: does not exist")
    if (source / "run.json").is_file():
        return _run_facts(RunFolder.open(source))
    if source.is_file() and find_format(source):
        return _scene_facts(source)
    return _path_facts(source)


def _run_facts(run: RunFolder) -> dict[str, Any]:
    manifest = run.manifest
    stages = {
        f"stage {name}": f"{stage['seconds']:.1f} s, peak {stage['peak_memory_mb']:.0f} MB"
        for name, stage in manifest.stages.items()
    }
    facts: dict[str, Any] = {"kind": "run", "photo": manifest.input["photo"], "finished": manifest.finished}
    facts |= {"memory frames": len(run.memory_indices()), **manifest.settings, **stages}
    facts |= {"licences of weights": manifest.licences or "none used"}
    if (run.path / "report.json").is_file():
        facts["report"] = (run.path / "report.json").read_text().replace("\n", "").strip()
    return facts


def _scene_facts(source: Path) -> dict[str, Any]:
    scene = read_gaussians(source)
    if scene.count == 0:
        return {"kind": "scene", "gaussians": 0}
    low, high = np.percentile(scene.means, [1, 99], axis=0)
    return {
        "kind": "scene", "gaussians": scene.count, "sh degree": scene.sh_degree, "bytes": source.stat().st_size,
        "x (right), 1-99 %": f"{low[0]:.3g} .. {high[0]:.3g}", "y (down), 1-99 %": f"{low[1]:.3g} .. {high[1]:.3g}",
        "z (forward), 1-99 %": f"{low[2]:.3g} .. {high[2]:.3g}",
        "median opacity": round(float(np.median(scene.opacities)), 4),
    }  # fmt: skip


def _path_facts(source: Path) -> dict[str, Any]:
    path = read_trajectory(source)
    centers = np.asarray(path.cameras.center)
    steps = np.linalg.norm(np.diff(centers, axis=0), axis=1)
    intrinsics = np.asarray(path.cameras.intrinsics)
    forward = np.asarray(path.cameras.forward)
    turns = np.degrees(np.arccos(np.clip((forward[1:] * forward[:-1]).sum(-1), -1, 1)))
    return {
        "kind": "path", "frames": len(path), "fps": path.fps, "size": f"{path.cameras.height}x{path.cameras.width}",
        "focal length px": f"{intrinsics[:, 0, 0].min():.1f} .. {intrinsics[:, 0, 0].max():.1f}",
        "length": round(float(steps.sum()), 4), "largest step": round(float(steps.max(initial=0)), 5),
        "turning, degrees": round(float(turns.sum()), 2),
    }  # fmt: skip
