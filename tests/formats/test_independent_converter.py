"""splat-transform, a converter by other people, reads what we write and writes what we read: the same Gaussians.

Needs Node and the tool: `npm install --prefix DIR @playcanvas/splat-transform`, then
OPENLYRA_SPLAT_TRANSFORM=DIR/node_modules/.bin/splat-transform (or the tool on the PATH).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_scenes import axis_errors, matched, scene

from openlyra.formats import read_gaussians, write_gaussians
from openlyra.gaussians.types import Gaussians

TOOL = os.environ.get("OPENLYRA_SPLAT_TRANSFORM") or shutil.which("splat-transform")
pytestmark = pytest.mark.skipif(TOOL is None, reason="needs splat-transform (OPENLYRA_SPLAT_TRANSFORM or on the PATH)")

# Largest differences of position, logarithm of scale, opacity, colour, harmonics and axes in degrees: half a step of
# each format on these scenes, plus what the converter truncates instead of rounding.
TOLERANCES = {
    ".ply": (1e-6, 1e-5, 1e-6, 1e-6, 1e-6, 0.1),
    ".compressed.ply": (0.03, 0.006, 0.002, 0.0025, 0.0157, 0.3),
    ".splat": (0.0, 1e-5, 0.002, 0.002, 1.0, 2.5),
    ".spz": (1.3e-4, 0.032, 0.002, 0.0038, 0.067, 0.3),
    ".sog": (0.0035, 0.04, 0.004, 0.003, 0.05, 1.5),
}


def original(degree: int) -> Gaussians:
    g = scene(600, degree, seed=1)
    return Gaussians(g.means, g.quaternions, np.clip(g.scales, 0.01, 1), g.opacities, g.sh)


def convert(source: Path, target: Path, *options: str) -> None:
    assert TOOL is not None
    done = subprocess.run([TOOL, "-q", "-w", *options, source, target], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def check(result: Gaussians, expected: Gaussians, suffix: str) -> None:
    position, scale, opacity, color, harmonics, degrees = TOLERANCES[suffix]
    result = matched(result, expected)
    assert np.abs(result.means - expected.means).max() <= position
    assert np.abs(np.log(result.scales / expected.scales)).max() <= scale
    assert np.abs(result.opacities - expected.opacities).max() <= opacity
    assert np.abs(result.colors - expected.colors).max() <= color
    kept = result.sh.shape[1]
    assert kept == (1 if suffix == ".splat" else expected.sh.shape[1])
    assert np.abs(result.sh[:, 1:] - expected.sh[:, 1:kept]).max(initial=0) <= harmonics
    assert axis_errors(result, expected).max() <= degrees


@pytest.mark.parametrize("degree", [0, 3])
@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".ply", {}), (".compressed.ply", {}), (".splat", {}), (".spz", {"version": 3}), (".spz", {"version": 4}),
     (".sog", {})],
)  # fmt: skip
def test_it_reads_ours(tmp_path: Path, suffix: str, options: dict[str, Any], degree: int) -> None:
    if options.get("version") == 4:
        pytest.importorskip("zstandard")
    write_gaussians(original(degree), tmp_path / f"ours{suffix}", **options)
    convert(tmp_path / f"ours{suffix}", tmp_path / "theirs.ply")
    check(read_gaussians(tmp_path / "theirs.ply"), original(degree), suffix)


@pytest.mark.parametrize("degree", [0, 3])
@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".compressed.ply", ()), (".spz", ("--spz-version", "3")), (".spz", ("--spz-version", "4")),
     (".sog", ("-g", "cpu"))],
)  # fmt: skip
def test_we_read_its_files(tmp_path: Path, suffix: str, options: tuple[str, ...], degree: int) -> None:
    if options[-1:] == ("4",):
        pytest.importorskip("zstandard")
    write_gaussians(original(degree), tmp_path / "ours.ply")
    convert(tmp_path / "ours.ply", tmp_path / f"theirs{suffix}", *options)
    # What it makes of its own file is what we must make of it.
    convert(tmp_path / f"theirs{suffix}", tmp_path / "back.ply")
    check(read_gaussians(tmp_path / f"theirs{suffix}"), read_gaussians(tmp_path / "back.ply"), suffix)
    ours = read_gaussians(tmp_path / f"theirs{suffix}")
    assert np.abs(matched(ours, original(degree)).means - original(degree).means).max() <= TOLERANCES[suffix][0]


def test_its_glb_has_our_attributes(tmp_path: Path) -> None:
    """It writes .glb but does not read it. Its axes are LUF (y up, the front towards +z): ours turned about y."""
    write_gaussians(original(3), tmp_path / "ours.ply")
    write_gaussians(original(3), tmp_path / "ours.glb")
    convert(tmp_path / "ours.ply", tmp_path / "theirs.glb")
    result = read_gaussians(tmp_path / "theirs.glb").transformed(np.diag([-1.0, 1.0, -1.0]), np.zeros(3))
    check(result, original(3), ".ply")

    def names(path: Path) -> set[str]:
        data = path.read_bytes()
        content = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
        return set(content["meshes"][0]["primitives"][0]["attributes"])

    assert names(tmp_path / "ours.glb") == names(tmp_path / "theirs.glb")
