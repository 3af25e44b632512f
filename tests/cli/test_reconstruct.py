"""reconstruct and evaluate reconstruction on a finished run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openlyra.cli.main import main
from openlyra.formats import read_gaussians
from photo_room import write_room

QUICK = ("--steps", "12", "--held-out", "4", "--quiet", "--backend", "cpu")


def test_a_run_becomes_a_smaller_scene(toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "small.ply"
    assert main(["reconstruct", str(toy_run), "-o", str(target), *QUICK, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    scene = read_gaussians(target)
    assert scene.count <= record["lifted_gaussians"] / 2
    assert record["held_out"] == [2] and record["figures"]["held_out"]["views"] == 1
    assert record["figures"]["gaussians"] == scene.count and record["figures"]["input"]["psnr"] > 20
    assert json.loads((tmp_path / "small.report.json").read_text())["figures"] == record["figures"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small.ply", "small.report.json"]
    assert main(["reconstruct", str(toy_run), "-o", str(target), *QUICK]) == 2
    assert "--overwrite" in capsys.readouterr().err

    assert main(["evaluate", "reconstruction", str(target), "--views", str(toy_run), "--held-out", "4", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["held_out"]["psnr"] == pytest.approx(record["figures"]["held_out"]["psnr"], abs=0.02)
    assert main(["evaluate", "reconstruction", str(toy_run), "--held-out", "0"]) == 0
    table = capsys.readouterr().out
    assert "psnr" in table and "off path" in table and "held out" not in table


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["reconstruct", "{run}", "-o", "{out}/a.obj"], "scene files end in"),
        (["reconstruct", "{out}", "-o", "{out}/a.ply"], "not a run folder"),
        (["reconstruct", "{run}", "-o", "{out}/a.ply", "--held-out", "1"], "--held-out 1"),
        (["reconstruct", "{run}", "-o", "{out}/a.ply", "--share", "0"], "--share 0"),
        (["evaluate", "reconstruction", "{run}/scene.ply"], "--views"),
        (["evaluate", "reconstruction", "{run}", "--features", "vgg"], "pyramid"),
    ],
)
def test_mistakes_are_one_line(
    toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main([argument.format(run=toy_run, out=tmp_path) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not list(tmp_path.glob("*"))


def test_photos_with_cameras_become_a_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_room(tmp_path / "photos", 17, 72, 96)
    target = tmp_path / "room.ply"
    command = ["reconstruct", str(tmp_path / "photos"), "-o", str(target), "--steps", "60", "--share", "1", "--quiet"]
    assert main([*command, "--json", "--backend", "cpu"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["held_out"] == [4, 12] and record["frames"] == 17
    assert record["figures"]["held_out"]["psnr"] > 22
    assert main([*command, "--overwrite", "--size", "wide"]) == 2
    assert "--size wide" in capsys.readouterr().err
    (tmp_path / "photos" / "images" / "00003.png").unlink()
    assert main([*command, "--overwrite"]) == 2
    assert "00003.png does not exist" in capsys.readouterr().err
