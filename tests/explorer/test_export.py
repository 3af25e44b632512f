"""The exported page as a file: what is in it, that it is always the same, and what is refused."""

from __future__ import annotations

import base64
import gzip
import html
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openlyra.errors import InputError
from openlyra.explorer.payload import encode
from openlyra.explorer.viewer import export_viewer, focus_distance, open_viewer
from openlyra.formats import write_gaussians
from openlyra.formats.ply import read_ply
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera, Trajectory

CAMERA = Camera.from_fov(240, 416, math.radians(50))


def scene(count: int = 20, degree: int = 0, seed: int = 0) -> Gaussians:
    rng = np.random.default_rng(seed)
    quaternions = rng.normal(size=(count, 4))
    return Gaussians(
        means=rng.normal(size=(count, 3)) * np.exp(rng.uniform(-6, 6, (count, 1))),
        quaternions=quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        scales=np.exp(rng.uniform(-12, 4, (count, 3))),
        opacities=rng.uniform(0, 1, count),
        sh=rng.uniform(-1.7, 1.7, size=(count, (degree + 1) ** 2, 3)),
    )


def trajectory(frames: int = 3) -> Trajectory:
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 3] = np.linspace(0, 1, frames)
    return Trajectory(Camera(poses, CAMERA.intrinsics, CAMERA.width, CAMERA.height), fps=24.0)


def tag(page: str, name: str) -> str:
    found = re.search(rf'<script id="openlyra-{name}"[^>]*>(.*?)</script>', page, re.S)
    assert found is not None
    return found[1]


def decode_planes(data: bytes, count: int) -> Gaussians:
    """What viewer/src/payload.js does, one Gaussian at a time."""
    planes = np.frombuffer(data, np.uint8).reshape(23, count)
    out: dict[str, list[object]] = {name: [] for name in ("means", "quaternions", "scales", "opacities", "colors")}
    for octets in planes.T:
        words = [bytes([*octets[3 * i : 3 * i + 3], 0]) for i in range(3)]
        out["means"].append([np.frombuffer(word, ">f4")[0] for word in words])
        steps = [256 * int(octets[9 + 2 * i]) + int(octets[10 + 2 * i]) for i in range(3)]
        out["scales"].append([math.exp(step / 64 - 20) for step in steps])
        word = int.from_bytes(octets[15:19].tobytes(), "big")
        fields = [((word >> shift & 1023) / 511 - 1) / math.sqrt(2) for shift in (20, 10, 0)]
        fields.insert(word >> 30, math.sqrt(1 - sum(f * f for f in fields)))
        out["quaternions"].append(fields)
        out["colors"].append(octets[19:22] / 255)
        out["opacities"].append(octets[22] / 255)
    return Gaussians.from_colors(**{name: np.array(values) for name, values in out.items()})


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(0, 999))
def test_planes_keep_what_the_eye_sees(count: int, seed: int) -> None:
    original = scene(count, seed=seed)
    payload = encode(original)
    assert payload.encoding == "planes"
    result = decode_planes(gzip.decompress(payload.data), count)
    np.testing.assert_allclose(result.means, original.means, rtol=2.0**-16)
    np.testing.assert_allclose(result.scales, original.scales, rtol=0.008)
    np.testing.assert_allclose(result.colors, np.clip(original.colors, 0, 1), atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(result.opacities, original.opacities, atol=0.5 / 255 + 1e-6)
    assert (np.abs((result.quaternions * original.quaternions).sum(1)) > 1 - 4e-6).all()  # within a third of a degree


def test_quaternion_signs_and_ties() -> None:
    half = np.full(4, 0.5)
    cases = np.array(
        [[1, 0, 0, 0], [-1, 0, 0, 0], [0, 0, 0, -1], half, -half, half * [1, -1, 1, -1], [0, -0.6, 0.8, 0]]
    )
    n = len(cases)
    original = Gaussians.from_colors(np.ones((n, 3)), cases, np.ones((n, 3)), np.full(n, 0.5), np.zeros((n, 3)))
    result = decode_planes(gzip.decompress(encode(original).data), n)
    assert (np.abs((result.quaternions * cases).sum(1)) > 1 - 4e-6).all()


def test_harmonics_travel_as_ply(tmp_path: Path) -> None:
    original = scene(12, degree=2)
    payload = encode(original)
    assert payload.encoding == "ply"
    (tmp_path / "a.ply").write_bytes(gzip.decompress(payload.data))
    result = read_ply(tmp_path / "a.ply")
    np.testing.assert_array_equal(result.means, original.means)
    np.testing.assert_allclose(result.sh, original.sh, rtol=2.0**-8)


def test_page_holds_everything_and_is_reproducible(tmp_path: Path) -> None:
    title = 'Café </script> & "{{bundle}}"'
    for name in "ab":
        export_viewer(scene(), tmp_path / f"{name}.html", trajectory(), title=title, focus=2.5)
    page = (tmp_path / "a.html").read_text("utf-8")
    assert page == (tmp_path / "b.html").read_text("utf-8")
    assert f"<title>{html.escape(title)}</title>" in page
    assert page.count("</script>") == 3
    info = json.loads(tag(page, "info"))
    assert info["count"] == 20 and info["focus"] == 2.5 and info["path"]["fps"] == 24
    assert (info["path"]["width"], info["path"]["height"]) == (416, 240)
    assert [frame["pose"][3] for frame in info["path"]["frames"]] == [0, 0.5, 1]
    assert info["path"]["frames"][0]["k"][2:] == [208, 120]
    data = gzip.decompress(base64.b64decode(tag(page, "scene")))
    assert decode_planes(data, 20).count == 20
    assert "Permission is hereby granted" in page, "the licences of the bundled libraries must travel with the page"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_nothing_is_fetched_by_the_markup(tmp_path: Path) -> None:
    export_viewer(scene(), tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text("utf-8")
    markup = page[: page.index('<script type="module">')]
    assert not re.search(r"\b(src|href)\s*=|url\(|@import", markup)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', markup)
    assert policy is not None and "default-src 'none'" in policy[1] and "http" not in policy[1]


def test_focus_is_the_median_depth_ahead() -> None:
    means = np.array([[0, 0, 2.0], [0, 0, 4.0], [0.1, 0, 6.0], [40, 0, 9.0], [0, 0, -3.0]])
    g = Gaussians.from_colors(
        means, np.tile([1.0, 0, 0, 0], (5, 1)), np.ones((5, 3)), np.full(5, 0.9), np.zeros((5, 3))
    )
    assert focus_distance(g, CAMERA) == 4.0
    assert focus_distance(g.select(slice(3, 5)), CAMERA) == 3.0


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    with pytest.raises(InputError, match=r"a\.html: the scene holds no Gaussians"):
        export_viewer(Gaussians.empty(), path)
    bad = scene(3)
    with pytest.raises(InputError, match="means of Gaussian 0"):
        export_viewer(Gaussians(bad.means * np.nan, bad.quaternions, bad.scales, bad.opacities, bad.sh), path)
    with pytest.raises(InputError, match="focus is -1"):
        export_viewer(scene(), path, focus=-1.0)
    with pytest.raises(InputError, match="fps is 0"):
        export_viewer(scene(), path, Trajectory(trajectory().cameras, fps=0.0))
    assert not path.exists()


def test_open_viewer_writes_beside_the_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    write_gaussians(scene(), tmp_path / "scene.ply")
    page = open_viewer(tmp_path / "scene.ply")
    assert page == tmp_path / "scene.html" and opened == [page.resolve().as_uri()]
    page.unlink()
    assert open_viewer(tmp_path, launch=False) == page and page.exists()
    assert open_viewer(page, launch=False) == page and len(opened) == 1
    page.rename(tmp_path / "viewer.html")
    assert open_viewer(tmp_path, launch=False) == tmp_path / "viewer.html" and not page.exists()
    with pytest.raises(InputError, match="does not exist; give a run folder"):
        open_viewer(tmp_path / "scene.splat", launch=False)
