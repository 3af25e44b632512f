from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import load_file, save_file

from openlyra.errors import InputError
from openlyra.evaluation.depth_worlds import FARTHEST
from openlyra.models.depth_net import DepthNet, DepthPrediction
from openlyra.models.depth_weights import read_depth_net
from openlyra.training.depth import DepthTrainer, train_depth
from openlyra.training.depth_data import Shards, View, as_truth, draw_batch
from openlyra.training.depth_losses import CLOSE, HOPELESS, KEPT, DepthTruth, _median, _trimmed, depth_loss
from openlyra.training.depth_settings import TrainDepthSettings
from openlyra.training.depth_start import make_trainable, plain_weights
from openlyra.training.depth_surfaces import Surfaces


def ramp_view(seed: int = 0) -> View:
    """A floor under a sky: depth falls from 8 m to 1 m over the lower half."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 80, (128, 160, 3), np.uint8)
    rgb[:64] += 120
    depth = np.zeros((128, 160), np.float32)
    depth[64:] = (1 / np.linspace(1 / 8, 1, 64))[:, None]
    return View(rgb, depth, 120.0)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(2):
        views = [ramp_view(10 * number + i) for i in range(4)]
        save_numpy(
            {"rgb": np.stack([v.rgb for v in views]), "depth": np.stack([v.depth for v in views]).astype(np.float16),
             "focal": np.array([v.focal for v in views], np.float32)},
            folder / f"{number:06d}.safetensors",
        )  # fmt: skip
    return folder


@pytest.fixture
def surfaces(tmp_path: Path) -> Path:
    """A folder with one photograph of a surface: noise."""
    folder = tmp_path / "surfaces"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    save_file(dict(DepthNet().state_dict()), tmp_path / "start.safetensors")
    return tmp_path / "start.safetensors"


def perfect(truth: DepthTruth, factor: float = 1.0) -> DepthPrediction:
    inverse = (truth.inverse * factor).clamp_min(1e-4)
    return DepthPrediction(inverse, truth.sky.float() * 20 - 10, torch.full_like(inverse, -6.0), truth.log_focal)


def test_truth_scores_best_and_a_factor_costs_only_metres() -> None:
    truth = as_truth(ramp_view())
    _, best = depth_loss(perfect(truth), truth)
    for name in ("affine", "gradient", "log", "log_gradient", "aligned", "metric", "sky", "focal"):
        assert float(best[name]) < 2e-3, name
    _, doubled = depth_loss(perfect(truth, 2.0), truth)
    assert float(doubled["metric"]) == pytest.approx(np.log(2), rel=1e-3)
    assert float(doubled["log"]) < 1e-5 and float(doubled["affine"]) < 2e-3


def test_aligned_term_is_what_an_evaluation_sees() -> None:
    """Scale and shift of inverse depth are free; what is left is the error of log depth after least squares."""
    truth = as_truth(ramp_view())
    farthest = float(truth.log_focal.exp()) / FARTHEST
    near = truth.inverse > farthest
    shifted = perfect(truth)._replace(inverse=0.4 * truth.inverse + 0.1)
    none = depth_loss(shifted, truth)[1]
    assert float(none["aligned"]) < 1e-4 and float(none["right"]) < 1e-4
    random = np.random.default_rng(1)
    wild = truth.inverse * torch.from_numpy(np.exp(random.normal(0, 0.2, truth.inverse.shape)).astype(np.float32))
    said, true = wild[near].double().numpy(), truth.inverse[near].double().numpy()
    columns = np.stack([said, np.ones_like(said)], 1)
    aligned = np.maximum(columns @ np.linalg.lstsq(columns, true, rcond=None)[0], farthest)
    errors = np.abs(np.log(aligned / true))
    assert errors.mean() > 0.1
    found = depth_loss(perfect(truth)._replace(inverse=wild), truth)[1]
    assert float(found["aligned"]) == pytest.approx(np.minimum(errors, HOPELESS).mean(), 1e-4)
    assert float(found["right"]) == pytest.approx((1 - np.exp(-0.5 * (errors / CLOSE) ** 2)).mean(), 1e-4)


def test_far_things_take_no_part_in_the_alignment() -> None:
    """However wrong what lies beyond 80 m is, the rest is aligned as if it were not there."""
    truth = as_truth(ramp_view())
    far = ~truth.sky & (truth.inverse < 0.5 * truth.inverse.max())
    beyond = replace(truth, inverse=torch.where(far, 1e-3 * truth.inverse, truth.inverse))
    wrong = perfect(truth)._replace(inverse=torch.where(far, 5.0, truth.inverse))
    assert float(depth_loss(wrong, beyond)[1]["aligned"]) < 1e-4


def test_medians_and_trimmed_means_are_those_of_the_plain_way() -> None:
    torch.manual_seed(4)
    values, mask = torch.randn(3, 60, 80).requires_grad_(), torch.rand(3, 60, 80) < 0.4
    mask[1] = False
    plain = torch.stack([v[m].median() if m.any() else v.new_zeros(()) for v, m in zip(values, mask)])
    assert torch.equal(_median(values, mask, detach=False), plain)
    slopes = [torch.autograd.grad(m.sum(), values)[0] for m in (_median(values, mask, detach=False), plain)]
    assert torch.equal(*slopes)
    sizes = values.detach().abs()
    kept = sizes[mask].sort().values[: int(KEPT * mask.sum())]
    assert float(_trimmed(sizes, mask)) == pytest.approx(float(kept.mean()), rel=0.05)
    assert float(_trimmed(sizes, torch.zeros_like(mask))) == 0


def test_bumps_on_a_plane_cost_the_plane_term() -> None:
    truth = as_truth(ramp_view())
    wave = 1 + 0.05 * torch.sin(torch.arange(160.0) / 3)
    bumpy = perfect(truth)._replace(inverse=(truth.inverse * wave).clamp_min(1e-4))
    plane = [float(depth_loss(said, truth)[1]["plane"]) for said in (perfect(truth), bumpy)]
    assert plane[1] > 20 * plane[0] and plane[1] > 0.05


def test_augmented_views_keep_their_geometry(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the floor, inverse depth along a column stays linear, whatever the crop, and its size fits the lens."""
    monkeypatch.setattr("openlyra.training.depth_data.SHARE", 0)  # nothing behind that would grow
    photos, truth = draw_batch(Shards(shards), range(6), (64, 96), (5, 0))
    assert photos.shape == (6, 3, 64, 96) and 0 <= photos.min() and photos.max() <= 1
    assert truth.sky.any() and (truth.inverse[~truth.sky] > 0).all()
    ratio = truth.log_focal.exp()
    assert (ratio > 120 / np.hypot(128, 160) - 1e-6).all()  # crops are longer lenses
    nearest = (ratio[:, None, None] / truth.inverse.clamp_min(1e-6)).amin((1, 2))
    assert ((nearest > 0.99) & (nearest < 8)).all()


def test_ranks_draw_the_batch_that_one_would(shards: Path) -> None:
    whole, truth = draw_batch(Shards(shards), range(4), (64, 96), (0, 7))
    parts = [draw_batch(Shards(shards), places, (64, 96), (0, 7)) for places in (range(2), range(2, 4))]
    assert torch.equal(whole, torch.cat([photos for photos, _ in parts]))
    assert torch.equal(truth.inverse, torch.cat([part.inverse for _, part in parts]))


def test_some_views_come_under_photographs_and_keep_their_depth(shards: Path, surfaces: Path) -> None:
    bare, laid = Shards(shards), Shards(shards, surfaces=Surfaces(surfaces))
    changed = 0
    for seed in range(20):
        before, after = (source.draw(np.random.default_rng(seed)) for source in (bare, laid))
        assert (before.depth == after.depth).all()
        changed += bool((before.rgb != after.rgb).any())
    assert 1 <= changed <= 15


def test_parametrised_weights_compute_the_same(start: Path) -> None:
    net = DepthNet()
    net.load_state_dict(load_file(start))
    photo = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = net(photo).inverse
        make_trainable(net)
        torch.testing.assert_close(net(photo).inverse, before, rtol=1e-4, atol=1e-6)
    assert plain_weights(net).keys() == DepthNet().state_dict().keys()


@pytest.mark.parametrize("part", [0.0, 1.0])
def test_a_whole_view_keeps_its_lens(part: float, shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openlyra.training.depth_data.WHOLE", part)
    truth = as_truth(ramp_view())
    seen = draw_batch(Shards(shards), range(12), (128, 160), (0, 0))[1].log_focal
    longer = seen > truth.log_focal + 1e-4
    assert longer.all() if part == 0 else not longer.any()


def test_training_lowers_the_loss_on_a_fixed_set(shards: Path, start: Path) -> None:
    trainer = DepthTrainer(TrainDepthSettings(steps=40, warm_up=3, rate=1e-2, encoder_rate=2e-3), start)
    photos, truth = draw_batch(Shards(shards), range(2), (64, 64), (0, 0))
    losses = [trainer.learn(photos, truth)["loss"] for _ in range(14)]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:2])


def test_frozen_stages_stay_and_the_others_learn(shards: Path, start: Path) -> None:
    trainer = DepthTrainer(TrainDepthSettings(steps=40, frozen=1, warm_up=1), start)
    # An odd number of views: their pulls on the lens, all of one strength, cannot cancel.
    trainer.learn(*draw_batch(Shards(shards), range(3), (64, 64), (0, 0)))
    before, after = load_file(start), plain_weights(trainer.net)
    for name, value in before.items():
        same = torch.allclose(value, after[name], rtol=0, atol=1e-7)
        assert same == name.startswith(("encoder.stem", "encoder.stages.0")), name


def test_an_interrupted_training_ends_with_the_same_bytes(
    shards: Path, surfaces: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openlyra.training.depth_data.SMALL", ((64, 64), (32, 64)))
    monkeypatch.setattr("openlyra.training.depth_data.LARGE", ((64, 96),))
    settings = TrainDepthSettings(steps=4, batch=2, warm_up=2, surfaces=surfaces)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_depth(DepthTrainer(settings, start), shards, whole, workers=0, save_every=2, log_every=1)

    class Killed(Exception):
        pass

    def kill(net: DepthNet) -> dict[str, object]:
        raise Killed

    with pytest.raises(Killed):
        train_depth(DepthTrainer(settings, start), shards, parts, workers=0, save_every=2, watch=kill)
    again = DepthTrainer(settings, start)
    again.resume(parts / "checkpoint.safetensors")
    assert again.step == 2
    train_depth(again, shards, parts, workers=0, save_every=2)
    for name in ("checkpoint.safetensors", "depth_nano.safetensors"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name
    assert read_depth_net(whole / "depth_nano.safetensors") is not None
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4]


def test_the_log_holds_means_over_the_steps_between(
    shards: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sizes in ("SMALL", "LARGE"):
        monkeypatch.setattr(f"openlyra.training.depth_data.{sizes}", ((64, 64),))
    losses = {}
    for every in (1, 2):
        output = tmp_path / str(every)
        trainer = DepthTrainer(TrainDepthSettings(steps=4, batch=2, warm_up=2), start)
        train_depth(trainer, shards, output, workers=0, log_every=every)
        lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
        losses[every] = [line["loss"] for line in lines if "loss" in line]
    assert losses[2] == pytest.approx([np.mean(losses[1][:2]), np.mean(losses[1][2:])], abs=2e-4)
    assert losses[2] != pytest.approx(losses[1][1::2], abs=2e-4)


def test_other_files_are_no_checkpoint(start: Path, tmp_path: Path) -> None:
    trainer = DepthTrainer(TrainDepthSettings(), start)
    with pytest.raises(InputError, match="is not a checkpoint of this training"):
        trainer.resume(start)
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(InputError, match="cannot be read"):
        trainer.resume(tmp_path / "junk")


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="--batch 0"):
        TrainDepthSettings(batch=0).check()
    with pytest.raises(InputError, match="--frozen 8: must be 0 to 7"):
        TrainDepthSettings(frozen=8).check()
