"""Spark, a viewer of its own, opens the files we write: the same picture as our renderer's, upright and unmirrored.

Needs a Chromium and the viewer's packages (`npm ci` in viewer/).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openlyra.formats import write_gaussians
from openlyra.gaussians import Gaussians, render
from openlyra.geometry.camera import Camera

VIEWER = Path(__file__).parents[2] / "viewer"
BACKGROUND = (11 / 255, 13 / 255, 16 / 255)
CAMERA = Camera.from_fov(240, 320, 0.9)
PAGE = """<!doctype html><meta charset="utf-8"><style>body, #stage {{ margin: 0; width: 100vw; height: 100vh }}
canvas {{ display: block }}</style>
<div id="stage"></div><script id="info" type="application/json">{info}</script><script type="module">{code}</script>"""


def scene(degree: int) -> Gaussians:
    """Eight leaning ellipsoids of different colours: no turn or mirror image looks the same."""
    rng = np.random.default_rng(5)
    count = 8
    quaternions = rng.normal(size=(count, 4))
    sh = rng.uniform(-0.3, 0.3, (count, (degree + 1) ** 2, 3))
    sh[:, 0] = rng.uniform(-1.5, 1.7, (count, 3))
    return Gaussians(
        means=rng.uniform([-1.05, -1.0, 2.5], [1.35, 0.8, 4.5], (count, 3)),
        quaternions=quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        scales=rng.uniform(0.06, 0.35, (count, 3)) * [1.0, 0.4, 1.0],
        opacities=rng.uniform(0.6, 0.95, count),
        sh=sh,
    )


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of the page, bundled."""
    modules = VIEWER / "node_modules"
    if shutil.which("node") is None or not (modules / "esbuild").is_dir():
        pytest.skip("needs Node and the viewer's packages (npm ci in viewer/)")
    bundle = tmp_path_factory.mktemp("bundle") / "page.js"
    subprocess.run(
        ["node", modules / "esbuild/bin/esbuild", Path(__file__).with_name("spark_page.js"), "--bundle",
         "--format=esm", "--log-level=error", f"--outfile={bundle}"],
        check=True, timeout=120, env={**os.environ, "NODE_PATH": str(modules)},
    )  # fmt: skip
    return bundle.read_text().replace("</script", "<\\/script").replace("<!--", "<\\!--")


def show(page: Any, code: str, file: Path, up: str, folder: Path) -> np.ndarray:
    k = CAMERA.intrinsics
    intrinsics = {"fx": k[0, 0], "fy": k[1, 1], "cx": k[0, 2], "cy": k[1, 2]}
    info = {
        "intrinsics": intrinsics | {"width": CAMERA.width, "height": CAMERA.height},
        "pose": CAMERA.world_from_camera.ravel().tolist(),
        "up": up,
        "name": file.name,
        "file": base64.b64encode(file.read_bytes()).decode(),
    }
    (folder / "page.html").write_text(PAGE.format(info=json.dumps(info), code=code), "utf-8")
    assert page.open(folder / "page.html", CAMERA.width, CAMERA.height), page.evaluate("window.openlyra.error")
    assert page.evaluate("window.openlyra.count") == 8
    return page.screenshot()


@pytest.mark.parametrize(
    ("name", "up", "degree", "mean", "options"),
    [
        ("a.ply", "y-down", 0, 0.3, {}),
        ("a.ply", "y-down", 3, 0.7, {"layout": "compatible"}),
        ("a.ply", "y-up", 2, 0.7, {}),
        ("a.compressed.ply", "y-down", 0, 0.3, {}),
        ("a.compressed.ply", "y-down", 3, 0.7, {}),
        ("a.splat", "y-down", 0, 0.3, {}),
        ("a.spz", "y-up", 0, 0.4, {}),
        ("a.spz", "y-up", 3, 1.0, {}),
        ("a.sog", "y-down", 0, 0.3, {}),
        ("a.sog", "y-down", 3, 0.7, {}),
    ],
)
def test_same_picture(
    page: Any, code: str, tmp_path: Path, name: str, up: str, degree: int, mean: float, options: dict[str, str]
) -> None:
    write_gaussians(scene(degree), tmp_path / name, up=up, **options)
    image = show(page, code, tmp_path / name, up, tmp_path)
    ours = np.clip(render(scene(degree), CAMERA, background=BACKGROUND).color, 0, 1) * 255
    difference = np.abs(ours - image)[:-8]  # some headless browsers do not draw the lowest rows
    assert difference.mean() < mean
    # The comparison would notice any turn or mirroring.
    for other in (ours[::-1], ours[:, ::-1], ours[::-1, ::-1]):
        assert np.abs(other - image)[:-8].mean() > 5
