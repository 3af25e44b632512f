from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from world_case import FRAMES, HEIGHT, WIDTH, cameras, images, make_walls

from openlyra.errors import InputError, OutputExistsError
from openlyra.geometry.camera import Trajectory
from openlyra.geometry.trajectory_io import write_trajectory
from openlyra.memory.frame import MemoryFrame
from openlyra.runs import RunFolder
from openlyra.training.world_data import check_dataset, import_run, open_dataset, write_video
from openlyra.training.world_settings import read_settings


@pytest.fixture
def walls(tmp_path: Path) -> Path:
    return make_walls(tmp_path / "walls")


def test_what_was_written_comes_back(walls: Path) -> None:
    video = open_dataset(walls)[1]
    path = video.cameras()
    np.testing.assert_allclose(path.world_from_camera, cameras().world_from_camera)
    np.testing.assert_allclose(path.intrinsics, cameras().intrinsics)
    colours, frames = video.frames(path, [0, 8], HEIGHT, WIDTH)
    assert colours.shape == (FRAMES, 3, HEIGHT, WIDTH) and [frame.index for frame in frames] == [0, 8]
    truth = images(cameras(), 1)[8].astype(float)
    assert np.abs(colours[8].permute(1, 2, 0).numpy() - truth).mean() < 6  # H.264
    assert (frames[1].depth == 3).all()
    assert check_dataset(walls) == []


def test_frames_shrink_as_in_generation(walls: Path) -> None:
    video = open_dataset(walls)[0]
    colours, (frame,) = video.frames(video.cameras(), [4], 16, 32)
    assert colours.shape[2:] == (16, 32) and frame.depth.shape == (16, 32)
    np.testing.assert_allclose(frame.camera.intrinsics[0, 0], cameras().intrinsics[0, 0, 0] * 32 / WIDTH)


def test_captions_hold_from_their_frame_on(walls: Path) -> None:
    (walls / "captions").mkdir()
    save_file({"8": torch.ones(1, 8), "0": torch.zeros(1, 8)}, walls / "captions" / "wall-0.safetensors")
    assert list(open_dataset(walls)[0].captions()) == [0, 8]
    save_file({"x": torch.ones(1, 8)}, walls / "captions" / "wall-1.safetensors")
    assert "wall-1" in check_dataset(walls)[0]


def test_problems_are_named(walls: Path) -> None:
    pose, depth = walls / "pose" / "wall-0.npz", walls / "depth" / "wall-1.npz"
    values = dict(np.load(pose))
    values["data"][3, 0, 0] = np.nan
    np.savez(pose, **values)
    depth.write_bytes(depth.read_bytes()[:200])
    first, second = check_dataset(walls)
    assert "wall-0" in first and "frame 3" in first
    assert "wall-1" in second and "not a readable .npz" in second
    with pytest.raises(InputError, match=r"no all_filter\.lst"):
        open_dataset(walls / "rgb")
    (walls / "all_filter.lst").write_text("../wall-0\n../../etc/passwd\n")
    with pytest.raises(InputError, match="not a video id"):
        open_dataset(walls)


def test_an_id_is_taken_once_and_depth_is_needed(walls: Path) -> None:
    path = cameras(5)
    depth = {0: np.ones((HEIGHT, WIDTH), np.float32)}
    with pytest.raises(OutputExistsError):
        write_video(walls, "wall-0", images(path, 0), path, depth)
    write_video(walls, "few", images(path, 0), path, depth)
    with pytest.raises(InputError, match="has no frame 4"):
        open_dataset(walls)[-1].depth([0, 4])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[data]\nfolder = 'x'\n[run]\nstepz = 3", "run.stepz is unknown"),
        ("[run]\nsteps = 3", "data is missing"),
        ("[data]\nfolder = 'x'\nheight = 50", "data.height is 50; a multiple of 16"),
        ("[data]\nfolder = 'x'\n[run]\nsteps = 2.5", "run.steps is 2.5; an integer"),
        ("[data]\nfolder = 'x'\n[optimiser]\nfreeze = 'x'", "optimiser.freeze is x; a list of texts"),
        ("[data]\nfolder = 'x'\n[vae]\nkind = 'gan'", "vae.kind is 'gan'"),
        ("[data]\nfolder = 'x'\n[model]\nlayout = 'q'", "layout 'q' is not understood"),
        ("data = [", "not TOML"),
    ],
)
def test_wrong_settings_take_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "training.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"training\.toml: ") as caught:
        read_settings(path)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_settings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "training.toml"
    path.write_text("[data]\nfolder = 'x'\n[optimiser]\nrate = 1\nfreeze = ['head.*']\n[model]\nwidth = 64\nheads = 2")
    found = read_settings(path)
    assert found.optimiser.rate == 1.0 and found.optimiser.freeze == ("head.*",) and found.network().width == 64


def test_a_run_becomes_a_video(tmp_path: Path) -> None:
    path, run = cameras(9), tmp_path / "run"
    (run / "frames").mkdir(parents=True)
    (run / "memory").mkdir()
    (run / "run.json").write_text(json.dumps({"settings": {"generator": "exemplar"}, "input": {}, "format": 1}))
    write_trajectory(Trajectory(path, 16.0), run / "cameras.npz")
    source, pictures = RunFolder.open(run), images(path, 0)
    nothing = np.zeros((HEIGHT, WIDTH), bool)
    for index in (-1, 8):
        depth = np.full((HEIGHT, WIDTH), 2.0 + index, np.float32).clip(1)
        source.remember(MemoryFrame(index, pictures[max(index, 0)], depth, ~nothing, nothing, path[max(index, 0)]))
    for index in range(8):
        source.write_frame(index, pictures[index])
    with pytest.raises(InputError, match="frame 8 is missing"):
        import_run(run, tmp_path / "set", "walk")
    source.write_frame(8, pictures[8])
    video = import_run(run, tmp_path / "set", "walk")
    assert check_dataset(tmp_path / "set") == []
    np.testing.assert_allclose(video.cameras().world_from_camera, path.world_from_camera, atol=1e-12)
    assert video.depth([0, 8]).max(axis=(1, 2)).tolist() == [1.0, 10.0]
