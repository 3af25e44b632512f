from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from openlyra.cli.main import main
from openlyra.models.depth_net import DepthNet
from openlyra.models.threads import torch_threads
from openlyra.training import depth_shards
from openlyra.training.depth import DepthTrainer
from openlyra.training.depth_data import Shards, draw_batch


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth_shards, "VIEWS", 2)
    monkeypatch.setattr(depth_shards, "LANDSCAPE", (64, 96))


def test_shards_are_their_seeds(small: None, tmp_path: Path) -> None:
    depth_shards.fill(tmp_path / "a", 2)
    depth_shards.fill(tmp_path / "b", 1)
    depth_shards.fill(tmp_path / "b", 2)  # goes on
    for name in ("000000.safetensors", "000001.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    one = load_file(tmp_path / "a" / "000001.safetensors")
    assert one["rgb"].shape == (2, 64, 96, 3) and one["rgb"].dtype == np.uint8
    assert one["depth"].dtype == np.float16 and np.isfinite(one["depth"]).all() and (one["focal"] > 0).all()
    view = Shards(tmp_path / "a").draw(np.random.default_rng(0))
    assert view.depth.shape == (64, 96)


def test_a_window_keeps_the_newest(small: None, tmp_path: Path) -> None:
    depth_shards.fill(tmp_path, 3, window=2)
    assert Shards(tmp_path).names == ["000001.safetensors", "000002.safetensors"]
    assert Shards(tmp_path, window=1).names == ["000002.safetensors"]


def test_the_command_trains_on_shards_that_are_there(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("openlyra.training.depth_data.SMALL", ((64, 64),))
    monkeypatch.setattr("openlyra.training.depth_data.LARGE", ((64, 64),))
    depth_shards.fill(tmp_path / "data", 1)
    save_file(dict(DepthNet().state_dict()), tmp_path / "start.safetensors")
    command = ["train", "depth", "-o", str(tmp_path / "run"), "--shards", "0", "--data", str(tmp_path / "data"),
               "--start", str(tmp_path / "start.safetensors"), "--steps", "2", "--batch", "2", "--quiet"]  # fmt: skip
    with torch_threads(3):
        assert main(command) == 0
        assert torch.get_num_threads() == 3, "a training gives the threads back"
    assert (tmp_path / "run" / "depth_nano.safetensors").is_file()
    assert main(command) == 2 and "--resume" in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    assert main([*command[:3], str(tmp_path / "new"), *command[4:7], str(tmp_path / "none"), *command[8:]]) == 2
    assert "holds no shards" in capsys.readouterr().err
    (tmp_path / "start.safetensors").write_bytes(b"junk")
    assert main([*command[:3], str(tmp_path / "bad"), *command[4:]]) == 2
    assert "start.safetensors: not a readable safetensors file" in capsys.readouterr().err


@pytest.mark.parametrize("saved", [False, True])
def test_what_an_interrupted_training_says_is_what_works(
    saved: bool, small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    depth_shards.fill(tmp_path / "data", 1)
    save_file(dict(DepthNet().state_dict()), tmp_path / "start.safetensors")
    command = ["train", "depth", "-o", str(tmp_path / "run"), "--shards", "0", "--data", str(tmp_path / "data"),
               "--start", str(tmp_path / "start.safetensors"), "--steps", "2", "--batch", "1"]  # fmt: skip

    def interrupt(trainer: DepthTrainer, data: Path, output: Path, **options: object) -> None:
        output.mkdir()
        if saved:
            trainer.learn(*draw_batch(Shards(data), range(1), (64, 64), (0, 0)))
            trainer.save(output / "checkpoint.safetensors")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("openlyra.training.depth.train_depth", interrupt)
        assert main(command) == 130
    assert ("continue with --resume" in capsys.readouterr().err) == saved
    assert main([*command, "--resume"] if saved else command) == 0


def test_two_ranks_share_a_training(small: None, tmp_path: Path) -> None:
    depth_shards.fill(tmp_path / "data", 1)
    save_file(dict(DepthNet().state_dict()), tmp_path / "start.safetensors")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--", "openlyra",
        "train", "depth", "-o", str(tmp_path / "run"), "--shards", "0", "--data", str(tmp_path / "data"),
        "--start", str(tmp_path / "start.safetensors"), "--steps", "1", "--batch", "2", "--quiet",
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "depth_nano.safetensors").is_file()
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0]  # one rank alone writes, and only every 50 steps
