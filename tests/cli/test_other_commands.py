"""render, view, info, evaluate and doctor on a finished run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from openlyra.cli.main import main
from openlyra.media.video import probe_video
from openlyra.runs.manifest import sha256


def test_render_writes_a_video_once(toy_run: Path, tmp_path: Path) -> None:
    arguments = ["render", str(toy_run / "scene.ply"), "--path", "walk", "-o", str(tmp_path / "a.mp4"), "--frames", "3"]
    arguments += ["--size", "64x96", "--quiet"]
    assert main(arguments) == 0
    assert probe_video(tmp_path / "a.mp4").frames == 3
    assert main(arguments) == 2


def test_view_exports_a_page(toy_run: Path, tmp_path: Path) -> None:
    assert main(["view", str(toy_run), "--export", str(tmp_path / "page.html"), "--quiet"]) == 0
    assert "<html" in (tmp_path / "page.html").read_text()[:2000].lower()


@pytest.mark.parametrize(
    "part, kind", [("", "run"), ("scene.ply", "scene"), ("cameras.json", "path"), ("cameras.npz", "path")]
)
def test_info(toy_run: Path, capsys: pytest.CaptureFixture[str], part: str, kind: str) -> None:
    assert main(["info", str(toy_run / part), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == kind


def test_info_lists_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "presets"]) == 0
    assert "orbit" in capsys.readouterr().out
    assert main(["info", "nothing-here.ply"]) == 2


def test_evaluate_and_doctor(toy_run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(toy_run, tmp_path / "copy")
    assert main(["evaluate", "run", str(copy), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames_compared"] == 5 and report["photo_psnr"] > 28 and report["opaque_share"] > 0.9
    recorded = json.loads((copy / "run.json").read_text())["outputs"]["report.json"]
    assert recorded == sha256(copy / "report.json")
    assert main(["doctor"]) == 0


def test_the_package_runs_as_a_module(capfd: pytest.CaptureFixture[str]) -> None:
    assert subprocess.run([sys.executable, "-m", "openlyra", "info", "nothing.ply"], check=False).returncode == 2
    assert capfd.readouterr().err == "openlyra: nothing.ply: does not exist\n"
