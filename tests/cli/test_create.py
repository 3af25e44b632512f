"""`openlyra create` from end to end at toy size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from openlyra.cli.main import main
from openlyra.geometry.trajectory_io import read_trajectory
from openlyra.media.video import probe_video
from runs_for_tests import outputs

TOY = ("--size", "64x96", "--frames", "5", "--quiet")
FILES = {
    "run.json", "input.png", "cameras.json", "cameras.npz", "video.mp4", "frames", "memory", "scene.ply", "viewer.html",
    "contact_sheet.jpg", "report.json",
}  # fmt: skip


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Exit status 2, nothing on stdout, exactly one line on stderr; returns that line."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    return err


def test_a_run_has_all_its_files(toy_run: Path) -> None:
    assert {p.name for p in toy_run.iterdir()} == FILES
    assert len(list((toy_run / "frames").iterdir())) == 5
    video = probe_video(toy_run / "video.mp4")
    assert (video.frames, video.height, video.width, video.fps) == (5, 64, 96, 16)
    np.testing.assert_allclose(
        read_trajectory(toy_run / "cameras.json").cameras.world_from_camera[0], np.eye(4), atol=1e-12
    )


def test_json_is_one_document_and_same_seed_gives_same_bytes(photo: Path, toy_run: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "openlyra.cli.main",
        "create",
        str(photo),
        "-o",
        str(tmp_path / "w"),
        *TOY,
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["finished"] and summary["outputs"] == outputs(tmp_path / "w") == outputs(toy_run)


def test_padding_is_painted_and_survives_in_the_scene(photo: Path, tmp_path: Path) -> None:
    """Frame 0 is completed too, beside the photo that has the same camera."""
    folder = tmp_path / "w"
    assert (
        main(["create", str(photo), "-o", str(folder), "--size", "64x128", "--frames", "2", "--quiet", "--fit", "pad"])
        == 0
    )
    assert json.loads((folder / "report.json").read_text())["opaque_share"] > 0.9


def test_an_existing_folder_is_left_alone(photo: Path, toy_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = outputs(toy_run)
    assert "--resume" in fails(capsys, "create", photo, "-o", toy_run, *TOY)
    assert "seed" in fails(capsys, "create", photo, "-o", toy_run, *TOY, "--seed", 1, "--resume")
    assert outputs(toy_run) == before
    assert main(["create", str(photo), "-o", str(toy_run), *TOY, "--resume"]) == 0
    assert outputs(toy_run) == before


def test_another_photo_cannot_resume(toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (180, 120), "green").save(tmp_path / "toy.png")
    assert "photo" in fails(capsys, "create", tmp_path / "toy.png", "-o", toy_run, *TOY, "--resume")


@pytest.mark.parametrize("option", [(), ("--overwrite",), ("--resume",)])
def test_foreign_files_are_never_touched(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    fails(capsys, "create", photo, "-o", tmp_path, *TOY, *option)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


WRONG = {
    "--size 64": ("--size", "64"), "--size 0x0": ("--size", "0x0"), "--size 65x97": ("--size", "65x97"),
    "nowhere": ("--path", "nowhere"), "magic": ("--generator", "magic"), "crystal": ("--depth", "crystal"),
    "--frames 0": ("--frames", "0"), "--strength": ("--strength", "-1"), "--fov": ("--fov", "200"),
}  # fmt: skip


@pytest.mark.parametrize("word", WRONG)
def test_wrong_settings_are_one_line(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert word in fails(capsys, "create", photo, "-o", tmp_path / "w", *TOY, *WRONG[word])
    assert not (tmp_path / "w").exists()


def test_wrong_photos_are_one_line(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, cut, large, missing = (tmp_path / f"{n}.png" for n in ("text", "cut", "large", "missing"))
    text.write_text("not an image")
    cut.write_bytes(photo.read_bytes()[:2000])
    Image.new("1", (9000, 9000)).save(large)
    for path in (text, cut, large, missing, tmp_path):
        assert str(path) in fails(capsys, "create", path, "-o", tmp_path / "w", *TOY)
    assert not (tmp_path / "w").exists()


def test_a_missing_extra_is_named(photo: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "openlyra[" in fails(capsys, "create", photo, "-o", tmp_path / "w", *TOY, "--depth", "depth-anything")


def lyra_file(
    path: Path, frames: int = 5, size: tuple[int, int] = (120, 180), focal: float = 150.0
) -> dict[str, np.ndarray]:
    """A straight walk from a first camera that is not the identity; returns what was written."""
    w2c = np.tile(np.eye(4), (frames, 1, 1))
    w2c[:, :3, 3] = np.array([1.0, 2.0, 3.0]) - np.arange(frames)[:, None] * [0.0, 0.0, 0.05]
    k = np.tile(np.array([[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1.0]]), (frames, 1, 1))
    content = {"w2c": w2c, "intrinsics": k, "image_height": np.array(size[0]), "image_width": np.array(size[1])}
    np.savez(path, **content)
    return content


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_path_file_is_brought_to_the_photo(photo: Path, tmp_path: Path, strength: float) -> None:
    """120x180 to 64x128: scaled by 128/180, rows cropped."""
    lyra_file(tmp_path / "trajectory.npz")
    arguments = [
        "create",
        photo,
        "-o",
        tmp_path / "w",
        "--size",
        "64x128",
        "--frames",
        3,
        "--quiet",
        "--path",
        tmp_path / "trajectory.npz",
    ]
    assert main([str(a) for a in (*arguments, "--strength", strength)]) == 0
    cameras = read_trajectory(tmp_path / "w" / "cameras.json").cameras
    k = np.asarray(cameras.intrinsics)[0]
    np.testing.assert_allclose(np.diag(k), [150 * 128 / 180, 150 * 128 / 180, 1], rtol=0.01)
    np.testing.assert_allclose(k[:2, 2], [64, 32], atol=0.5)
    np.testing.assert_allclose(cameras.world_from_camera[0], np.eye(4), atol=1e-9)
    np.testing.assert_allclose(np.asarray(cameras.center)[2], [0, 0, 0.1 * strength], atol=1e-6)


def test_a_changed_path_cannot_resume(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lyra_file(tmp_path / "trajectory.npz")
    arguments = ("create", photo, "-o", tmp_path / "w", *TOY, "--path", tmp_path / "trajectory.npz")
    assert main([str(a) for a in arguments]) == 0
    assert main([str(a) for a in (*arguments, "--resume")]) == 0
    lyra_file(tmp_path / "trajectory.npz", focal=160.0)
    assert "path" in fails(capsys, *arguments, "--resume")


@pytest.mark.parametrize("fault", ["short", "skewed", "nan", "other shape"])
def test_wrong_path_files_are_one_line(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    path = tmp_path / "trajectory.npz"
    content = lyra_file(
        path, frames=4 if fault == "short" else 5, size=(100, 100) if fault == "other shape" else (120, 180)
    )
    if fault == "skewed":
        content["w2c"][2, 0, 1] = 0.5
    if fault == "nan":
        content["w2c"][2, 0, 3] = np.nan
    np.savez(path, **content)
    assert "trajectory.npz" in fails(capsys, "create", photo, "-o", tmp_path / "w", *TOY, "--path", path)
    assert not (tmp_path / "w").exists()
