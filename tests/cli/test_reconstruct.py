"""reconstruct and evaluate reconstruction on a finished run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from colmap_files import write_binary
from openlyra.cli.main import main
from openlyra.errors import InputError
from openlyra.evaluation.metrics import psnr
from openlyra.formats import read_gaussians
from openlyra.gaussians.optimise import OptimiseSettings
from openlyra.gaussians.render import render
from openlyra.geometry.camera import Trajectory
from openlyra.geometry.lens import Lens, straight_camera
from openlyra.geometry.trajectory_io import read_trajectory, write_trajectory
from openlyra.media.image import read_image, write_image
from openlyra.media.video import VideoWriter, read_video
from openlyra.reconstruction import ReconstructSettings, reconstruct
from openlyra.reconstruction.output import FILES
from photo_room import draw_bent_room, draw_room, room_cameras, write_room

QUICK = ("--steps", "12", "--held-out", "4", "--quiet", "--backend", "cpu")


def test_a_run_becomes_a_smaller_scene(toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "small.ply"
    assert main(["reconstruct", str(toy_run), "-o", str(target), *QUICK, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    scene = read_gaussians(target)
    assert scene.count <= record["counts"]["lifted"] / 2
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


def test_a_name_without_a_suffix_makes_a_folder(
    toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "compact"
    command = ["reconstruct", str(toy_run), "-o", str(target), *QUICK, "--background", "white"]
    assert main([*command, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert sorted(p.name for p in target.iterdir()) == sorted(FILES)
    assert json.loads((target / "report.json").read_text())["counts"] == record["counts"]
    assert record["counts"]["scene"] == record["counts"]["fitted"] + record["counts"]["backdrop"]
    scene, cameras = read_gaussians(target / "scene.ply"), read_trajectory(target / "cameras.json").cameras
    assert scene.count == record["counts"]["scene"] and len(cameras) == 5
    np.testing.assert_allclose(read_trajectory(target / "cameras.npz").cameras.center, cameras.center, atol=1e-12)
    # The first flight is along the run's own path, the second starts at its middle and comes back.
    flight, beside = (list(read_video(target / name)) for name in ("flythrough.mp4", "novel_path.mp4"))
    assert len(flight) == 5 and psnr(flight[4], render(scene, cameras[4], (1, 1, 1)).color) > 25
    assert psnr(beside[0], render(scene, cameras[2], (1, 1, 1)).color) > 25 and psnr(beside[20], beside[0]) < 25
    sheet = read_image(target / "contact_sheet.jpg")
    assert sheet.shape[0] > 3 * 200 and sheet.shape[1] == 324  # one held-out frame: picture, render, difference
    assert main([*command, "--json"]) == 2
    assert "holds a reconstruction" in capsys.readouterr().err
    (target / "mine.txt").write_text("")
    assert main([*command, "--overwrite"]) == 2
    assert "holds 'mine.txt'" in capsys.readouterr().err


def test_killed_while_writing_it_goes_on(toy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a checkpoint and no report, the files that are there are its own, and the end is the same."""
    settings = ReconstructSettings(held_out=0, optimise=OptimiseSettings(steps=6, backend="cpu"))
    reconstruct(toy_run, tmp_path / "whole", settings=settings)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("openlyra.reconstruction.write_comparison", killed)
        with pytest.raises(KeyboardInterrupt):
            reconstruct(toy_run, tmp_path / "killed", settings=settings)
    assert not (tmp_path / "killed" / "report.json").exists() and (tmp_path / "killed" / "scene.ply").exists()
    other = replace(settings, optimise=replace(settings.optimise, seed=1))
    with pytest.raises(InputError, match="begin anew with --overwrite"):
        reconstruct(toy_run, tmp_path / "killed", settings=other)
    reconstruct(toy_run, tmp_path / "killed", settings=settings)
    for name in FILES[:-1]:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    reconstruct(toy_run, tmp_path / "killed", settings=other, overwrite=True)
    assert (tmp_path / "killed" / "scene.ply").read_bytes() != (tmp_path / "whole" / "scene.ply").read_bytes()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["reconstruct", "{run}", "-o", "{out}/a.obj"], "scene files end in"),
        (["reconstruct", "{out}", "-o", "{out}/a.ply"], "has no run.json, no transforms.json"),
        (["reconstruct", "{run}", "-o", "{out}/a.ply", "--held-out", "1"], "--held-out 1"),
        (["reconstruct", "{run}", "-o", "{out}/a.ply", "--share", "0"], "--share 0"),
        (["reconstruct", "{run}", "-o", "{out}/a", "--minutes", "0"], "--minutes 0"),
        (["reconstruct", "{run}", "-o", "{out}/a.txt"], "a name without a suffix makes a folder"),
        (["reconstruct", "{run}", "-o", "{run}"], "holds 'frames', not part of a reconstruction"),
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
    assert record["exposure"] and record["refine_poses"] and record["held_out_mended"]["psnr"] > 22
    assert record["figures"]["held_out"]["psnr_matched"] >= record["figures"]["held_out"]["psnr"]
    for index in range(1, 17):
        (tmp_path / "photos" / "images" / f"{index:05d}.png").unlink()
    assert main([*command, "--overwrite"]) == 2
    assert "16 of 17 photos do not exist, first" in capsys.readouterr().err


def test_a_colmap_project_seen_through_a_lens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lens = Lens((-0.15,))
    cameras = room_cameras(12, 72, 96)
    (tmp_path / "project" / "images").mkdir(parents=True)
    for index, camera in enumerate(cameras):
        write_image(tmp_path / "project" / "images" / f"{index:05d}.png", draw_bent_room(camera, lens))
    k = cameras.intrinsics[0]
    values = (k[0, 0], k[1, 1], k[0, 2], k[1, 2], -0.15, 0, 0, 0)
    write_binary(tmp_path / "project" / "sparse" / "0", cameras, "OPENCV", values, {1: (0.7, 0.1, 2.4)})
    target = tmp_path / "room.ply"
    command = ["reconstruct", str(tmp_path / "project"), "-o", str(target), "--steps", "40", "--share", "1"]
    assert main([*command, "--quiet", "--json", "--backend", "cpu", "--refine-poses", "False"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["figures"]["held_out"]["psnr"] > 20 and record["held_out_mended"] is None
    # The scene stands where the model's cameras are: a view of the truth, drawn without a lens, looks like it.
    straight = straight_camera(cameras[5], lens)
    assert psnr(render(read_gaussians(target), straight).color, draw_room(straight)[0]) > 20


def test_a_video_with_its_camera_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cameras = room_cameras(24, 72, 96)
    with VideoWriter(tmp_path / "walk.mp4", 10, (72, 96)) as video:
        for camera in cameras:
            video.write(draw_room(camera)[0])
    write_trajectory(Trajectory(cameras), tmp_path / "walk.json")
    command = ["reconstruct", str(tmp_path / "walk.mp4"), "-o", str(tmp_path / "walk.ply"), "--steps", "40", "--quiet"]
    with_path = [*command, "--cameras", str(tmp_path / "walk.json"), "--share", "1", "--backend", "cpu", "--json"]
    assert main(with_path) == 0
    record = json.loads(capsys.readouterr().out)
    assert 10 <= record["frames"] <= 12 and record["figures"]["held_out"]["psnr"] > 18
    assert main([*command, "--overwrite"]) == 2
    assert "--cameras FILE" in capsys.readouterr().err
    write_trajectory(Trajectory(cameras[:20]), tmp_path / "walk.json")
    assert main([*with_path, "--overwrite"]) == 2
    error = capsys.readouterr().err
    assert "holds 20 cameras" in error and "has 24 frames" in error and error.count("\n") == 1
