"""three.js' own loaders read our .glb and .spz files: the same ellipsoids and colours in its y-up axes.

Needs Node and a three.js with these loaders (0.187 or newer): `npm install --prefix DIR three`, then
OPENLYRA_THREE=DIR/node_modules/three.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from format_scenes import covariances, scene

from openlyra.formats import write_gaussians
from openlyra.formats.axes import UP

THREE = os.environ.get("OPENLYRA_THREE")
pytestmark = pytest.mark.skipif(THREE is None, reason="needs three.js (OPENLYRA_THREE)")


@pytest.mark.parametrize("degree", [0, 3])
@pytest.mark.parametrize(("name", "version"), [("a.glb", None), ("a.spz", 3), ("a.spz", 4)])
def test_loaders(tmp_path: Path, name: str, version: int | None, degree: int) -> None:
    if version == 4:
        pytest.importorskip("zstandard")
    original = scene(50, degree)
    write_gaussians(original, tmp_path / name, **({"version": version} if version else {}))
    script = Path(__file__).with_name("three_reader.mjs")
    done = subprocess.run(["node", script, THREE, tmp_path / name], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    columns = {
        key: np.array(column["values"]).reshape(-1, column["size"]) for key, column in json.loads(done.stdout).items()
    }
    # x right, y up, z backward: what three.js' camera at the origin looks at lies at negative z.
    expected = original.transformed(UP["y-up"], np.zeros(3))
    np.testing.assert_allclose(columns["position"], expected.means, atol=2e-4)
    full = covariances(expected)
    upper = full[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]]
    share = np.abs(columns["covariance"] - upper).max(1) / np.abs(upper).max(1)
    assert share.max() < (1e-4 if version is None else 0.08)  # half a step of a log scale is 3 %, squared
    rgba = np.concatenate([expected.colors, expected.opacities[:, None]], 1)
    np.testing.assert_allclose(columns["color"] / 255, np.clip(rgba, 0, 1), atol=0.007)
    packed = [columns[f"sphericalHarmonics{d}"] for d in range(1, degree + 1)]
    for index, (words, order) in enumerate(zip(packed, (3, 5, 7))):
        octets = np.ascontiguousarray(words.astype(np.uint32)).view(np.uint8).reshape(50, -1)[:, : 3 * order]
        first = (index + 1) ** 2
        harmonics = (octets.astype(np.float64) - 128) / 128
        wanted = expected.sh[:, first : first + order].reshape(50, -1)
        np.testing.assert_allclose(harmonics, wanted, atol=0.01 if version is None else 0.075)
