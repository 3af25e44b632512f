"""A network that was trained here walks in `openlyra create`: small frames inside, the photo's detail outside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from world_case import make_walls, settings

from openlyra import create
from openlyra.cli.main import main
from openlyra.generation.conditioning import cell_shares, warped_frames, warped_memory
from openlyra.geometry.camera import Camera
from openlyra.geometry.warp_types import WarpConfig
from openlyra.memory.frame import MemoryFrame
from openlyra.runs import RunFolder
from openlyra.training.world_trainer import train_world
from runs_for_tests import outputs

OPTIONS = {"generator": "lyra", "size": "64x96", "frames": 11, "depth": "layout", "path": "pan-right"}
"""Three chunks of four frames, of which the last is cut short."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    how = settings(make_walls(folder / "walls"), objective={"warped": "memory", "predicts": "change"})
    train_world(how, folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def walked(photo: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walked") / "run"
    arguments = ["--generator", "lyra", "--size", "64x96", "--frames", "11", "--depth", "layout", "--path", "pan-right"]
    assert main(["create", str(photo), "-o", str(folder), "--quiet", "--model", str(model), *arguments]) == 0
    return folder


def test_a_run_is_complete_and_keeps_the_photos_detail(photo: Path, walked: Path, tmp_path: Path) -> None:
    run = RunFolder.open(walked)
    assert run.manifest.finished and not (walked / "walk").exists()
    assert all(run.has_frame(index) for index in range(11)) and not run.has_frame(11)
    same = create(photo, tmp_path / "copied", **(OPTIONS | {"generator": "exemplar"}))
    # What the photo shows is carried in the same way by both; only the paint differs.
    difference = np.abs(run.read_frame(10).astype(int) - same.frame(10)).max(-1)
    assert np.median(difference) == 0 and difference.max() > 20
    assert any(frame.valid.sum() > 300 for frame in run.remembered()[1:])


def test_interrupted_anywhere_it_ends_with_the_same_bytes(
    photo: Path, model: Path, walked: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    for stop in (("sample", 1), ("sample", 3), ("frames", 6), ("scene", 1)):

        def advance(stage: str, done: int, total: int, stop: tuple[str, int] = stop) -> None:
            if (stage, done) == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            create(photo, folder, resume=folder.exists(), advance=advance, model=str(model), **OPTIONS)
    create(photo, folder, resume=True, model=str(model), **OPTIONS)
    assert outputs(folder) == outputs(walked)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--captions", "a wall"], "without captions"),
        (["--guidance", "3"], "no captions to lead to"),
        (["--fast"], "not distilled"),
        (["--steps", "0"], "from 1"),
    ],
)
def test_what_it_was_not_trained_for_is_refused(
    photo: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    command = ["create", str(photo), "-o", str(tmp_path / "run"), "--generator", "lyra", "--model", str(model), *more]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"height": 10**9}, "from 1 to 8192"),
        ({"predicts": "noise"}, "unknown"),
        ({"shift": -1}, "above 0"),
        ({"colour": 3}, "how to walk"),
    ],
)
def test_a_damaged_folder_gives_one_line(
    photo: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], said: str
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    (copy / "walk.json").write_text(json.dumps(json.loads((copy / "walk.json").read_text()) | change))
    command = ["create", str(photo), "-o", str(tmp_path / "run"), "--generator", "lyra", "--model", str(copy)]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def wall(index: int, shift: float, seed: int) -> MemoryFrame:
    pose = np.eye(4)
    pose[0, 3] = shift
    camera = Camera.from_fov(32, 48, 0.9, pose)
    image = np.random.default_rng(seed).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    return MemoryFrame(index, image, np.full((32, 48), 3, np.float32), np.ones((32, 48), bool),
                       np.zeros((32, 48), bool), camera)  # fmt: skip


def test_warped_memory_is_the_warped_frame_where_it_lands_and_smooth_elsewhere() -> None:
    left, right = wall(0, 0.0, 1), wall(8, 1.0, 2)
    colors = {f.index: torch.from_numpy(f.image.astype(np.float32) / 127.5 - 1).permute(2, 0, 1) for f in (left, right)}
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[:, 0, 3] = np.linspace(0.2, 0.8, 4)
    targets = Camera.from_fov(32, 48, 0.9, poses)
    config = WarpConfig(0.45)
    plain = warped_frames(left, colors[0], targets, config)
    one, landed = warped_memory([left], colors.__getitem__, targets, config)
    there = np.broadcast_to(landed[:, None], one.shape)
    np.testing.assert_array_equal(one[there], plain[there])
    assert (plain[~there] == -1).all() and 0.02 < (~landed).mean() < 0.5
    rough = np.abs(np.diff(one, axis=-1))
    inside = np.broadcast_to(~landed[:, None, :, 1:] & ~landed[:, None, :, :-1], rough.shape)
    assert rough[inside].mean() < 0.2 * rough[~inside].mean()
    _, more = warped_memory([left, right], colors.__getitem__, targets, config)
    assert more.mean() > landed.mean() and (landed <= more).all()
    shares = cell_shares(landed)
    assert shares.shape == (1, 4, 1, 4, 6)
    np.testing.assert_allclose(shares[0, 2, 0, 1, 5], landed[2, 8:16, 40:].mean())
