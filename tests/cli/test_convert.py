"""convert: every format from the command line, options, cameras, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from openlyra.cli.main import main
from openlyra.formats import FORMATS, read_gaussians, write_gaussians
from openlyra.formats.axes import UP
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.trajectory_io import read_trajectory


def write_scene(path: Path, count: int = 30, degree: int = 2) -> Gaussians:
    rng = np.random.default_rng(0)
    quaternions = rng.normal(size=(count, 4))
    g = Gaussians(
        means=rng.uniform([-3, -3, 1], [3, 3, 7], (count, 3)),
        quaternions=quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        scales=np.exp(rng.uniform(-4, 0, (count, 3))),
        opacities=rng.uniform(0.1, 0.9, count),
        sh=rng.uniform(-0.3, 0.3, (count, (degree + 1) ** 2, 3)),
    )
    write_gaussians(g, path)
    return g


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format(tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    if suffix.startswith(".usd"):
        pytest.importorskip("pxr", reason="needs usd-core")
    original = write_scene(tmp_path / "a.ply")
    target = tmp_path / f"out{suffix}"
    assert main(["convert", str(tmp_path / "a.ply"), str(target), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == {"Gaussians": 30, "left out": 0, "bytes": target.stat().st_size}
    if FORMATS[suffix].read is None:
        return
    assert main(["convert", str(target), str(tmp_path / "back.ply"), "--quiet"]) == 0
    back = read_gaussians(tmp_path / "back.ply")
    low, high = np.sort(back.means, 0), np.sort(original.means, 0)
    np.testing.assert_allclose(low, high, atol=0.01)
    capsys.readouterr()
    assert main(["info", str(target), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["gaussians"] == 30 and facts["sh degree"] == (0 if suffix == ".splat" else 2)


def test_up_and_source_up(tmp_path: Path) -> None:
    original = write_scene(tmp_path / "a.ply")
    assert main(["convert", str(tmp_path / "a.ply"), str(tmp_path / "b.splat"), "--up", "z-up", "--quiet"]) == 0
    stored = read_gaussians(tmp_path / "b.splat").means
    np.testing.assert_allclose(np.sort(stored, 0), np.sort(original.means @ UP["z-up"].T, 0), atol=1e-5)
    arguments = ["convert", str(tmp_path / "b.splat"), str(tmp_path / "c.ply"), "--source-up", "z-up", "--quiet"]
    assert main(arguments) == 0
    back = read_gaussians(tmp_path / "c.ply").means
    np.testing.assert_allclose(np.sort(back, 0), np.sort(original.means, 0), atol=1e-5)


def test_fewer_smaller_simpler(tmp_path: Path) -> None:
    original = write_scene(tmp_path / "a.ply", 200)
    arguments = ["convert", str(tmp_path / "a.ply"), str(tmp_path / "b.ply"), "--quiet", "--overwrite"]
    assert main([*arguments, "--max-gaussians", "20", "--sh-degree", "1"]) == 0
    kept = read_gaussians(tmp_path / "b.ply")
    assert kept.count == 20 and kept.sh_degree == 1

    def weight(g: Gaussians) -> np.ndarray:
        return g.opacities * np.sort(g.scales, 1)[:, 1:].prod(1)

    assert weight(kept).min() >= np.sort(weight(original))[-20] * 0.999
    assert main([*arguments, "--crop", "-1", "-9", "0", "1", "0", "9"]) == 0
    inside = (np.abs(original.means[:, 0]) <= 1) & (original.means[:, 1] <= 0)
    np.testing.assert_allclose(read_gaussians(tmp_path / "b.ply").means, original.means[inside])
    assert main([*arguments, "--ply-layout", "compatible"]) == 0
    assert b"property float nx" in (tmp_path / "b.ply").read_bytes()[:2000]


def test_run_folder_as_scene_and_as_cameras(toy_run: Path, tmp_path: Path) -> None:
    assert main(["convert", str(toy_run), str(tmp_path / "a.spz"), "--max-gaussians", "500", "--quiet"]) == 0
    assert read_gaussians(tmp_path / "a.spz").count == 500
    original = read_trajectory(toy_run)
    for name in ("transforms.json", "model", "b.json", "b.npz", "camera_path.json"):
        assert main(["convert", str(toy_run), str(tmp_path / name), "--quiet"]) == 0
        again = read_trajectory(tmp_path / name)
        np.testing.assert_allclose(again.cameras.world_from_camera, original.cameras.world_from_camera, atol=1e-9)
        np.testing.assert_allclose(again.cameras.intrinsics, original.cameras.intrinsics, atol=1e-6)
        assert main(["convert", str(toy_run), str(tmp_path / name), "--quiet"]) == 2
        assert main(["convert", str(toy_run), str(tmp_path / name), "--quiet", "--overwrite"]) == 0
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["cameras.txt", "images.txt", "points3D.txt"]


def test_cameras_turn_with_the_scene(toy_run: Path, tmp_path: Path) -> None:
    assert main(["convert", str(toy_run), str(tmp_path / "a.ply"), "--up", "z-up", "--quiet"]) == 0
    assert main(["convert", str(toy_run), str(tmp_path / "a.json"), "--up", "z-up", "--quiet"]) == 0
    scene = read_gaussians(tmp_path / "a.ply", up="y-down")  # as stored
    before, _ = read_trajectory(toy_run)[2].project(read_gaussians(toy_run / "scene.ply").means)
    after, _ = read_trajectory(tmp_path / "a.json")[2].project(scene.means)
    np.testing.assert_allclose(after, before, atol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.ply", "b.obj"], "'.obj' is no format"),
        (["a.ply", "a.ply"], "exists; replace it with --overwrite"),
        (["a.ply", "a.ply", "--overwrite"], "is the source itself"),
        (["none.ply", "b.spz"], "does not exist"),
        (["a.ply", "b.json"], "a.ply is a scene"),
        (["a.ply", "b.spz", "--max-gaussians", "0"], "at least 1"),
        (["a.ply", "b.spz", "--crop", "0", "0", "0", "0", "1", "1"], "first corner must be the smaller"),
        (["a.ply", "b.spz", "--crop", "90", "0", "0", "91", "1", "1"], "no Gaussian of"),
        (["a.ply", "b.spz", "--ply-layout", "compatible"], "--ply-layout is for .ply"),
        (["a.ply", "b.sog", "--spz-version", "4"], "--spz-version is for .spz"),
        (["a.ply", "b.json", "--sh-degree", "0"], "--sh-degree is for scenes"),
        (["a.ply", "b.usdc", "--up", "y-down"], "y-up or z-up"),
        (["a.ply", "nowhere/b.spz"], "does not exist"),
    ],
)
def test_refusals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_scene(tmp_path / "a.ply")
    before = (tmp_path / "a.ply").read_bytes()
    assert main(["convert", *arguments]) == 2
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1
    assert (tmp_path / "a.ply").read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.ply"]
