"""merge on parts of a run that is taken apart."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from openlyra.cli.main import main
from openlyra.evaluation.metrics import psnr
from openlyra.formats import read_gaussians, write_gaussians
from openlyra.gaussians.render import contributions, render
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.poses import rigid, so3_exp
from openlyra.geometry.trajectory_io import read_trajectory, write_trajectory
from openlyra.reconstruction.merging import read_chunk

TURN, SHIFT, SCALE = so3_exp(np.array([0.1, 0.7, -0.2])), np.array([0.4, -1.0, 2.0]), 0.6


def moved(cameras: Camera) -> Camera:
    centers = SCALE * cameras.center @ TURN.T + SHIFT
    return replace(cameras, world_from_camera=rigid(TURN @ cameras.world_from_camera[:, :3, :3], centers))


@pytest.fixture(scope="module")
def parts(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What cameras 0 to 2 and 2 to 4 of the run see: `a` a folder, `b` a file in the same world, `c` in another."""
    folder = tmp_path_factory.mktemp("parts")
    scene, cameras = read_gaussians(toy_run / "scene.ply"), read_trajectory(toy_run / "cameras.json").cameras
    (folder / "a").mkdir()
    for places, file in ((range(3), folder / "a" / "scene.ply"), (range(2, 5), folder / "b.ply")):
        seen = sum(contributions(scene, cameras[i]) for i in places) > 0.01
        write_gaussians(scene.select(np.flatnonzero(seen)), file)
    write_trajectory(Trajectory(cameras[:3]), folder / "a" / "cameras.json")
    write_trajectory(Trajectory(cameras[2:]), folder / "b.cameras.json")
    write_gaussians(read_gaussians(folder / "b.ply").transformed(TURN, SHIFT, SCALE), folder / "c.ply")
    write_trajectory(Trajectory(moved(cameras[2:])), folder / "c.cameras.json")
    return folder


def test_scenes_of_one_world(parts: Path, toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "both"
    command = ["merge", str(parts / "a"), str(parts / "b.ply"), "-o", str(target)]
    assert main([*command, "--no-consistency"]) == 0
    printed = capsys.readouterr().err
    assert "in all scenes together" in printed and "seen nearest" in printed and "looked through" not in printed
    assert sorted(p.name for p in target.iterdir()) == ["cameras.json", "report.json", "scene.ply"]
    counts = json.loads((target / "report.json").read_text())["counts"]
    whole = read_gaussians(toy_run / "scene.ply")
    assert f"{counts['all']:,}" in printed and counts["owned"] < 0.7 * counts["all"]
    cameras, found = read_trajectory(target / "cameras.json").cameras, read_gaussians(target / "scene.ply")
    assert len(cameras) == 6 and found.count == counts["owned"]
    for camera in cameras:
        assert psnr(render(found, camera).color, render(whole, camera).color) > 30
    before = (target / "scene.ply").read_bytes()
    assert main(command) == 2 and "--overwrite" in capsys.readouterr().err
    assert (target / "scene.ply").read_bytes() == before
    assert main([*command, "--overwrite", "--budget", "500", "--quiet"]) == 0
    assert read_gaussians(target / "scene.ply").count == 500


def test_scenes_that_share_frames(
    parts: Path, toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["merge", str(parts / "a"), str(parts / "c.ply"), "-o", str(tmp_path / "both.ply"), "--overlap", "1"]
    assert main([*command, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["alignment"]["scales"][1] == pytest.approx(1 / SCALE, rel=1e-3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["both.cameras.json", "both.ply", "both.report.json"]
    found, truth = (read_trajectory(p).cameras for p in (tmp_path / "both.cameras.json", toy_run / "cameras.json"))
    np.testing.assert_allclose(found.center[3:], truth.center[2:], atol=1e-3 * np.abs(truth.center).max())


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["{parts}/a", "-o", "{out}/x.ply"], "1 scene to merge"),
        (["{parts}/a", "{parts}/b.ply", "-o", "{out}/x.obj"], "scene files end in"),
        (["{parts}/a", "{parts}/b.ply", "-o", "{out}/x.ply", "--overlap", "9"], "has 3 cameras, so no overlap of 9"),
        (["{parts}/a", "{parts}/b.ply", "-o", "{out}/x.ply", "--loop"], "--overlap 0"),
        (["{parts}/a", "{parts}/nothing.ply", "-o", "{out}/x.ply"], "nothing.ply: does not exist"),
        (["{parts}/a", "{out}/lone.ply", "-o", "{out}/x.ply"], "no lone.cameras.json or cameras.json beside it"),
        (["{parts}/a", "{parts}/b.ply", "-o", "{out}/x.ply", "--views", "0"], "--views 0"),
    ],
)
def test_mistakes_are_one_line(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    shutil.copy(parts / "b.ply", tmp_path / "lone.ply")
    assert main(["merge", *(argument.format(parts=parts, out=tmp_path) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["lone.ply"]


def test_what_is_sky(toy_run: Path, parts: Path, tmp_path: Path) -> None:
    """A run remembers where its sky is; a reconstruction's report says how many at the end are its backdrop."""
    run = read_chunk(toy_run)
    assert run.sky is not None and 0 < run.sky.sum() < run.gaussians.count
    far = np.linalg.norm(run.gaussians.means, axis=1)
    assert far[run.sky].min() > np.median(far[~run.sky])
    # Nor does any of the sky stay behind, as its backing that reaches behind the land.
    assert far[~run.sky].max() < np.median(far[run.sky])
    assert read_chunk(parts / "b.ply").sky is None
    folder = shutil.copytree(parts / "a", tmp_path / "a")
    count = read_gaussians(folder / "scene.ply").count
    (folder / "report.json").write_text(json.dumps({"counts": {"backdrop": 7, "scene": count}}))
    sky = read_chunk(folder).sky
    assert sky is not None and np.flatnonzero(sky).tolist() == list(range(count - 7, count))
