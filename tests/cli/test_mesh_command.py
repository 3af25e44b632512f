"""mesh: of a run, of a scene with and without cameras, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from openlyra.cli.main import main

pytest.importorskip("skimage", reason="needs openlyra[mesh]")
pytest.importorskip("fast_simplification", reason="needs openlyra[mesh]")


def made(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    capsys.readouterr()
    assert main(["mesh", *[str(a) for a in arguments], "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_of_a_run_open_and_closed(toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = made(capsys, toy_run, "-o", tmp_path / "a.glb")
    assert facts["triangles"] > 500 and not facts["closed"] and facts["up"] == "y-up"
    half = made(capsys, toy_run, "-o", tmp_path / "b.ply", "--scale", "0.5", "--triangles", "400")
    assert 100 < half["triangles"] <= 410 and half["voxel"] == pytest.approx(facts["voxel"] / 2)
    closed = made(capsys, toy_run, "-o", tmp_path / "c.obj", "--collider", "--up", "z-up")
    assert closed["closed"] and 100 < closed["triangles"] <= 100_000


def test_of_a_scene(toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beside = made(capsys, toy_run / "scene.ply", "-o", tmp_path / "a.glb")
    assert beside["views"] == 5 and beside["triangles"] > 500
    scene = shutil.copy(toy_run / "scene.ply", tmp_path / "alone.ply")
    given = made(capsys, scene, "-o", tmp_path / "b.glb", "--path", toy_run / "cameras.json", "--views", 2)
    assert given["views"] == 2
    around = made(capsys, scene, "-o", tmp_path / "c.glb", "--views", 3, "--size", "64x64", "--voxel", 0.5)
    assert around["views"] == 3 and around["triangles"] > 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["RUN", "-o", "a.stl"], ".stl"),
        (["RUN", "-o", "there.glb"], "exists; replace it with --overwrite"),
        (["none.ply", "-o", "a.glb"], "none.ply"),
        (["RUN", "-o", "a.glb", "--up", "z-up"], "y-up by definition"),
        (["RUN", "-o", "a.glb", "--voxel", "-1"], "--voxel -1"),
        (["RUN", "-o", "a.glb", "--voxel", "1e-6"], "too small"),
        (["RUN", "-o", "a.glb", "--scale", "0"], "--scale 0"),
        (["RUN", "-o", "a.glb", "--collider", "--triangles", "100001"], "at most 100000"),
        (["RUN", "-o", "a.glb", "--path", "x.json"], "are for scene files"),
        (["RUN/scene.ply", "-o", "a.glb", "--path", "x.json"], "x.json"),
        (["RUN/scene.ply", "-o", "a.glb", "--views", "0"], "--views 0"),
        (["RUN", "-o", "nowhere/a.glb"], "does not exist"),
        ([".", "-o", "a.glb"], "is not a run folder"),
    ],
)
def test_refusals(
    toy_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.glb").write_text("mine")
    assert main(["mesh", *[a.replace("RUN", str(toy_run)) for a in arguments], "--quiet"]) == 2
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["there.glb"] and Path("there.glb").read_text() == "mine"
