from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from openlyra.cli.main import main
from openlyra.evaluation.depth_worlds import score_view
from openlyra.models.depth_net import DepthNet
from openlyra.models.depth_weights import read_depth_net
from openlyra.training.depth import VERDICTS
from openlyra.training.depth_losses import wrong_part
from openlyra.training.depth_mining import EVEN, Wrongs, judge_shards, wrong_parts
from openlyra.worlds.sample import sample_view


def random_maps(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inverse depth said and true (1, 24, 32), alike but for noise; part of the truth is farther than 80 m."""
    random = np.random.default_rng(seed)
    true = 1 / np.exp(random.uniform(0, 5, (1, 24, 32)))
    said = 0.3 * true * np.exp(random.normal(0, 0.25, true.shape)) + 0.05
    return torch.from_numpy(said.astype(np.float32)), torch.from_numpy(true.astype(np.float32))


@pytest.mark.parametrize("seed", range(3))
def test_wrong_is_what_an_evaluation_calls_wrong(seed: int) -> None:
    said, true = random_maps(seed)
    near = true.numpy() > 1 / 80
    columns = np.stack([said.numpy()[near], np.ones(int(near.sum()))], 1)
    aligned = np.maximum(columns @ np.linalg.lstsq(columns, true.numpy()[near], rcond=None)[0], 1 / 80)
    ratio = np.maximum(aligned / true.numpy()[near], true.numpy()[near] / aligned)
    found = float(wrong_part(said, true, torch.ones(1)))
    assert 0.05 < found < 0.95
    assert found == pytest.approx((ratio >= 1.25).mean(), abs=2 / near.sum())


def test_scale_and_shift_are_not_wrong_and_an_empty_view_neither() -> None:
    true = random_maps(0)[1]
    assert float(wrong_part(3 * true + 0.2, true, torch.ones(1))) == 0
    assert float(wrong_part(true, torch.zeros_like(true), torch.ones(1))) == 0


def shard(folder: Path, number: int, views: int = 3) -> Path:
    drawn = [sample_view(100 * number + seed, "square", height=64, width=96) for seed in range(views)]
    path = folder / f"{number:06d}.safetensors"
    depth = np.stack([np.where(view.sky, 0, np.minimum(view.depth, 6e4)) for view in drawn]).astype(np.float16)
    focal = np.array([view.camera.intrinsics[1, 1] for view in drawn], np.float32)
    save_file({"rgb": np.stack([view.rgb for view in drawn]), "depth": depth, "focal": focal}, path)
    return path


def test_the_shipped_network_judges_like_the_evaluation() -> None:
    """The same views, once through `nano` and the protocol, once as a training sees them."""
    from openlyra.depth.nano import NanoDepth

    backend = NanoDepth()
    views = [sample_view(seed, kind, height=192, width=320) for seed, kind in ((1, "office"), (2, "street"))]
    scores = [1 - score_view(backend, view).delta1 for view in views]
    depth = np.stack([np.where(view.sky, 0, np.minimum(view.depth, 6e4)) for view in views]).astype(np.float16)
    focal = np.array([view.camera.intrinsics[1, 1] for view in views], np.float32)
    found = wrong_parts(backend.net, np.stack([view.rgb for view in views]), depth, focal)
    assert found.shape == (2,) and np.abs(found - scores).max() < 0.15


def test_judging_goes_on_where_it_stopped(tmp_path: Path) -> None:
    names = [shard(tmp_path, number).name for number in range(2)]
    torch.manual_seed(0)
    net, verdicts = DepthNet().eval(), tmp_path / "verdicts"
    judge_shards(net, tmp_path, names[:1], verdicts)
    save_file({"wrong": np.array([0.25, 0.5, 0.75], np.float32)}, verdicts / names[0])
    seen: list[tuple[str, int, int]] = []
    judge_shards(net, tmp_path, names, verdicts, lambda *step: seen.append(step))
    assert [step[1:] for step in seen] == [(0, 2), (1, 2)]
    assert load_file(verdicts / names[0])["wrong"].tolist() == [0.25, 0.5, 0.75]
    second = load_file(verdicts / names[1])["wrong"]
    assert second.shape == (3,) and ((second >= 0) & (second <= 1)).all() and second.max() > 0.1


@pytest.mark.parametrize("damage", ["junk", "other views", "not a number"])
def test_a_damaged_verdict_is_given_anew(tmp_path: Path, damage: str) -> None:
    name, verdicts = shard(tmp_path, 0).name, tmp_path / "verdicts"
    torch.manual_seed(0)
    net = DepthNet().eval()
    judge_shards(net, tmp_path, [name], verdicts)
    good = (verdicts / name).read_bytes()
    values = {"other views": [0.5], "not a number": [0.5, np.nan, 0.5]}.get(damage)
    if values is None:
        (verdicts / name).write_bytes(b"junk")
    else:
        save_file({"wrong": np.array(values, np.float32)}, verdicts / name)
    judge_shards(net, tmp_path, [name], verdicts)
    assert (verdicts / name).read_bytes() == good


def test_wrong_views_are_drawn_more_often(tmp_path: Path) -> None:
    for name, wrong in {"a": [0.1, 0.3], "b": [0.6, 0.0]}.items():
        save_file({"wrong": np.array(wrong, np.float32)}, tmp_path / name)
    wrongs, random, draws = Wrongs(tmp_path), np.random.default_rng(0), 8000
    assert wrongs.draw(random) is None  # nothing is known before the first look
    wrongs.refresh(["a", "b", "not judged"])
    counts = {view: 0 for view in (None, ("a", 0), ("a", 1), ("b", 0), ("b", 1))}
    for _ in range(draws):
        counts[wrongs.draw(random)] += 1
    expected = {None: EVEN, ("a", 0): 0.1 / 1.02, ("a", 1): 0.3 / 1.02, ("b", 0): 0.6 / 1.02, ("b", 1): 0.02 / 1.02}
    for view, part in expected.items():
        part = part if view is None else (1 - EVEN) * part
        assert counts[view] / draws == pytest.approx(part, abs=4 * np.sqrt(part / draws)), view


def test_the_command_judges_first_and_trains_then(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    names = [shard(data, number).name for number in range(2)]
    torch.manual_seed(3)
    save_torch(dict(DepthNet().state_dict()), tmp_path / "start.safetensors")
    command = ["train", "depth", "-o", str(out), "--data", str(data), "--shards", "0", "--batch", "1", "--steps", "1"]
    assert main([*command, "--start", str(tmp_path / "start.safetensors"), "--mine"]) == 0
    told = capsys.readouterr().err
    assert 0 <= told.index("judging views") < told.index("training from step 0") < told.index("done")
    assert sorted(path.name for path in (out / VERDICTS).iterdir()) == names
    assert read_depth_net(out / "depth_nano.safetensors") is not None
