"""Objective, freezing, interruption, and a network that learns a wall by heart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from world_case import FRAMES, killed_at_step, make_walls, settings

from openlyra.cli.main import main
from openlyra.errors import InputError
from openlyra.generation.conditioning import ChunkContext, build_inputs
from openlyra.memory.spatial_memory import SpatialMemory
from openlyra.models.codec import load_codec
from openlyra.models.patch_codec import PatchCodec
from openlyra.models.small_dit import DataDiT
from openlyra.sampling.flow import FlowTable, noised
from openlyra.training import world_trainer
from openlyra.training.world_augment import draw_chunk, draw_level, draw_mode, history_with, remade_history
from openlyra.training.world_cache import CachedClip, ClipCache, conditioning
from openlyra.training.world_data import open_dataset
from openlyra.training.world_network import load_trained, new_network
from openlyra.training.world_objective import (
    Example,
    InputStore,
    candidates,
    draw_example,
    draw_retrieved,
    example_losses,
    generator,
)
from openlyra.training.world_rollout import roll_out
from openlyra.training.world_settings import WorldTraining
from openlyra.training.world_trainer import WorldTrainer, open_cache, small_videos, train_world
from openlyra.training.world_vae import codec_psnr

TABLE = FlowTable.shifted()


@pytest.fixture(scope="module")
def walls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_walls(tmp_path_factory.mktemp("data") / "walls")


@pytest.fixture(scope="module")
def codec(walls: Path) -> PatchCodec:
    return PatchCodec.fit((v.transpose(0, 1).float() / 127.5 - 1 for v in small_videos(settings(walls))), 16)


@pytest.fixture(scope="module")
def cache(walls: Path, codec: PatchCodec, tmp_path_factory: pytest.TempPathFactory) -> ClipCache:
    made = ClipCache(open_dataset(walls), codec, settings(walls), tmp_path_factory.mktemp("cache"))
    assert made.fill() == 2 and made.fill() == 0
    return made


@pytest.fixture
def trainer(walls: Path, cache: ClipCache, codec: PatchCodec) -> Callable[..., WorldTrainer]:
    return lambda **parts: WorldTrainer(settings(walls, **parts), cache.clip, len(cache), codec)


def example(clip: CachedClip, how: WorldTraining, codec: PatchCodec, chunk: int = 2, seed: int = 0) -> Example:
    return draw_example(clip, chunk, how, codec, TABLE, generator(seed, 0, 0))


def test_a_stream_continues_from_its_cached_states(cache: ClipCache, codec: PatchCodec) -> None:
    clip = cache.clip(0)
    assert clip.chunks == 4 and clip.latents.shape == (1, 16, 6 + 4, 4, 6)
    for chunk in range(clip.chunks):
        first = 1 + 4 * chunk
        pixels = torch.stack([clip.pixels(index) for index in range(first, first + 4)], 1)[None]
        torch.testing.assert_close(codec.encode_more(pixels, clip.state("encoder", chunk))[0], clip.target(chunk))
        shown = codec.decode_more(clip.target(chunk), clip.state("decoder", chunk))[0]
        torch.testing.assert_close(shown[0, :, -1].clamp(-1, 1), clip.again(first + 3), atol=1e-3, rtol=0)


def test_cached_latents_give_the_inputs_of_generation(walls: Path, cache: ClipCache, codec: PatchCodec) -> None:
    """The same retrieved frames through the plain call that a walk makes: everything encoded anew."""
    how = settings(walls, objective={"corruption_std": -1.0})
    clip = cache.clip(0)
    ours = example(clip, how, codec)
    memory = SpatialMemory()
    for index in ours.retrieved[0]:
        memory.add(clip.frames[index])
    context = ChunkContext(2, clip.until(2), clip.frames[8], clip.cameras, memory, clip.pixels)
    plain = build_inputs(context, clip.layout, codec.encode, conditioning(how), ours.retrieved[0])
    assert len(ours.retrieved[0]) == 2
    torch.testing.assert_close(ours.history, plain.history)
    torch.testing.assert_close(ours.conditions, torch.cat([plain.mask, plain.condition], 1))
    assert torch.equal(ours.rays, plain.rays) and plain.buffer is not None
    assert ours.buffer is not None and torch.equal(ours.buffer, plain.buffer)


def test_a_changed_setting_makes_the_cache_anew(walls: Path, codec: PatchCodec, tmp_path: Path) -> None:
    one = ClipCache(open_dataset(walls)[:1], codec, settings(walls), tmp_path)
    assert one.fill() == 1
    assert ClipCache(one.videos, codec, settings(walls, objective={"edge_threshold": 0.3}), tmp_path).fill() == 1


def test_remembered_frames_are_those_allowed(walls: Path, cache: ClipCache) -> None:
    clip, aim = cache.clip(0), settings(walls).objective
    assert candidates(clip, 1, aim, False) == [12, 16]
    assert candidates(clip, 1, replace(aim, memory_gap=5), False) == [16]
    assert candidates(clip, 0, aim, True) == [0]
    counts = [len(draw_retrieved(clip, 2, aim, False, np.random.default_rng(i))) for i in range(300)]
    assert min(counts) >= 0 and max(counts) == 2  # frames 4 and 16
    # One in ten loses some: one of the two half of the time, both otherwise.
    assert 0.05 < np.mean(np.array(counts) < 2) < 0.16


def test_corruption_touches_retrieved_latents_only(walls: Path, cache: ClipCache, codec: PatchCodec) -> None:
    clip = cache.clip(0)
    clean = example(clip, settings(walls, objective={"corruption_std": -1.0}), codec)
    dirty = example(clip, settings(walls), codec)
    changed = (clean.history != dirty.history).flatten(3).any(3)[0].any(0)
    assert changed.nonzero().flatten().tolist() == clip.layout.indices(spatial=True)
    assert torch.equal(dirty.conditions[:, 4:, : clip.layout.history_frames], dirty.history)


def test_loss_is_the_weighted_square_of_the_missing_velocity(walls: Path, cache: ClipCache, codec: PatchCodec) -> None:
    how = settings(walls)
    one = example(cache.clip(1), how, codec)
    network = new_network(how.network(), how)  # its last layer is zero: it says 0
    weighted, plain = example_losses(network, one, TABLE, "bell", 8)
    wrong = (one.noise - one.target).square().mean()
    torch.testing.assert_close(plain[0], wrong)
    torch.testing.assert_close(weighted[0], wrong * TABLE.weights[one.place][0])
    perfect = DataDiT(how.network())
    perfect.load_state_dict(network.state_dict())
    # A network that says the data are 0 misses, in velocity, the data over sigma.
    sigma = TABLE.sigmas[one.place]
    state = noised(one.target, one.noise, sigma.view(-1, 1, 1, 1, 1))
    said = state / sigma.clamp_min(0.05)
    _, plain = example_losses(perfect, one, TABLE, "uniform", 8)
    torch.testing.assert_close(plain[0], (said - (one.noise - one.target)).square().mean())


def test_modes_and_levels_follow_their_shares(walls: Path) -> None:
    aim = settings(walls).objective
    modes = [draw_mode(step, aim, generator(0, step)) for step in range(4000)]
    shares = {mode: modes.count(mode) / 4000 for mode in ("plain", "photo", "augmented")}
    assert shares["plain"] == 0.5 and abs(shares["photo"] - 0.15) < 0.02 and abs(shares["augmented"] - 0.35) < 0.02
    assert draw_mode(1, replace(aim, augment_every=0), generator(0, 1)) == "plain"
    assert {draw_chunk(4, "augmented", generator(0, i)) for i in range(60)} == {1, 2, 3}
    levels = torch.cat([draw_level(TABLE, aim, generator(0, i)) for i in range(2000)])
    assert levels.max() <= 0.501 and abs(levels.median() - 0.42) < 0.01  # specification, section 6
    even = replace(aim, augment_times="uniform")
    levels = torch.cat([draw_level(TABLE, even, generator(0, i)) for i in range(2000)])
    assert levels.max() <= 0.501 and abs(levels.median() - 0.25) < 0.02


def test_a_perfectly_remade_history_is_the_clean_one(cache: ClipCache, codec: PatchCodec) -> None:
    """With the true latents as the re-made chunk, what differs is what the auto-encoder loses."""
    clip = cache.clip(0)
    same = history_with(clip, 1, clip.target(1), codec, copy_history=True)
    # Decoded pixels are clamped, so the latents agree but for the few pixels at the ends of the range.
    assert same.latents.shape == clip.until(2).shape
    assert (same.latents - clip.until(2)).abs().mean() < 0.02
    assert sorted(same.pixels) == list(range(0, 9))
    torch.testing.assert_close(same.pixels[8], clip.again(8), atol=2e-3, rtol=0)
    only = history_with(clip, 1, clip.target(1), codec, copy_history=False)
    assert sorted(only.pixels) == [5, 6, 7, 8]


def test_a_remade_history_is_seen_by_the_next_chunk(walls: Path, cache: ClipCache, codec: PatchCodec) -> None:
    how, clip = settings(walls, objective={"corruption_std": -1.0}), cache.clip(0)
    network = new_network(how.network(), how)
    changes = remade_history(clip, 1, how, network, codec, TABLE, generator(0, 1, 0))
    assert torch.equal(changes.latents[:, :, :-1], clip.until(1)) and not torch.equal(changes.latents, clip.until(2))
    ours = draw_example(clip, 2, how, codec, TABLE, generator(0, 0, 0), changes=changes)
    clean = example(clip, how, codec)
    assert torch.equal(ours.target, clean.target) and ours.retrieved == clean.retrieved
    newest = clip.layout.history_frames - 1
    moved = (ours.history != clean.history).flatten(3).any(3)[0].any(0)
    assert moved[newest] and not moved[0]
    tail = slice(clip.layout.history_frames, None)
    assert not torch.equal(ours.conditions[:, :, tail], clean.conditions[:, :, tail])  # the warped last frame


def test_stored_inputs_change_nothing_and_are_bounded(walls: Path, cache: ClipCache, codec: PatchCodec) -> None:
    how, store = settings(walls), InputStore(1)
    for seed in range(6):
        for clip in (cache.clip(0), cache.clip(1)):
            kept = draw_example(clip, 2, how, codec, TABLE, generator(seed, 0, 0), store=store)
            fresh = example(clip, how, codec, seed=seed)
            assert torch.equal(kept.history, fresh.history) and torch.equal(kept.rays, fresh.rays)
    assert 1 <= len(store.kept) < 4 and store.room <= 1 << 20


def test_frozen_parameters_stay(trainer: Callable[..., WorldTrainer]) -> None:
    learner = trainer(optimiser={"train": ("blocks.*", "patch_embedding.*"), "freeze": ("blocks.*.ffn.*",)})
    before = {name: value.clone() for name, value in learner.network.state_dict().items()}
    # The last layer starts at zero and would pass no gradient on.
    torch.nn.init.normal_(learner.network.head.head.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    before["head.head.weight"] = learner.network.head.head.weight.detach().clone()
    for _ in range(2):
        learner.learn()
    moved = {name for name, value in learner.network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and all(name.startswith(("blocks.", "patch_embedding.")) and ".ffn." not in name for name in moved)
    assert "blocks.1.self_attn.q.weight" in moved and "blocks.0.buffer_encoder.0.weight" in moved
    assert learner.network.blocks[0].ffn[0].weight.grad is None
    with pytest.raises(InputError, match="leave no parameter"):
        trainer(optimiser={"freeze": ("*",)})


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_interrupted_training_ends_with_the_same_bytes(
    walls: Path, tmp_path: Path, precision: str
) -> None:
    how = settings(walls, run={"precision": precision}, objective={"photo_share": 0.0})
    train_world(how, tmp_path / "whole")
    with killed_at_step(WorldTrainer, 3):
        train_world(how, tmp_path / "parts")
    assert int(load_file(tmp_path / "parts" / world_trainer.CHECKPOINT)["step"]) == 2
    train_world(how, tmp_path / "parts")
    for name in (
        "checkpoint.safetensors",
        "transformer/model.safetensors",
        "vae/model.safetensors",
        "walk_0000004.mp4",
    ):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes(), name
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4]
    assert len(lines[-1]["by_chunk"]) == 4


def test_what_was_trained_is_read_back(walls: Path, tmp_path: Path) -> None:
    """The stored network walks as the one in training did at its end, and other settings do not go on in its folder."""
    how = settings(walls, run={"steps": 3}, objective={"predicts": "data"})
    train_world(how, tmp_path)
    network, codec, again = load_trained(tmp_path)
    assert again == how
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    clip = open_cache(how, codec, tmp_path / "cache").clip(0)
    walked = roll_out(network, codec, clip, again)
    assert [round(value, 2) for value in walked.psnr] == lines[-1]["by_chunk"]
    with pytest.raises(InputError, match=r"was begun with optimiser.rate 0.003, not 0.1"):
        train_world(replace(how, optimiser=replace(how.optimiser, rate=0.1)), tmp_path)
    with pytest.raises(InputError, match=r"run.seed"):
        train_world(replace(how, run=replace(how.run, seed=1)), tmp_path)
    train_world(replace(how, run=replace(how.run, steps=4)), tmp_path)
    assert int(load_file(tmp_path / world_trainer.CHECKPOINT)["step"]) == 4
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(InputError, match="data is missing"):
        load_trained(tmp_path)


def test_held_out_videos_are_walked_but_not_learned(
    trainer: Callable[..., WorldTrainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = trainer(data={"held_out": 1}, objective={"augment_every": 0})
    seen: list[object] = []
    clip = learner.clip
    learner.clip = lambda place: (seen.append(place), clip(place))[1]
    for step in range(8):
        learner.draw(step)
    assert set(seen) == {0}
    monkeypatch.setattr(world_trainer, "write_comparison", lambda rollout, clip, path: seen.append(clip.name))
    learner.evaluate(tmp_path)
    assert seen[-2:] == [1, "wall-1"]
    assert len(small_videos(learner.settings)) == 1
    with pytest.raises(InputError, match="held_out is 2 of 2"):
        trainer(data={"held_out": 2})


def test_gradient_checkpointing_changes_nothing(trainer: Callable[..., WorldTrainer]) -> None:
    plain, saving = trainer(), trainer(run={"gradient_checkpointing": True})
    for _ in range(2):
        assert plain.learn() == saving.learn()


def test_a_network_learns_a_wall_by_heart(walls: Path, cache: ClipCache, codec: PatchCodec) -> None:
    """The shortened overfit: the error falls to less than a sixth, and a walk comes nearer to the truth."""
    how = settings(
        walls, model={"width": 64}, run={"steps": 120, "batch": 4, "sampling_steps": 6},
        objective={"predicts": "data", "shift": 3.0, "weighting": "uniform", "augment_every": 0},
        optimiser={"rate": 4e-3, "warm_up": 10, "final": 0.02},
    )  # fmt: skip
    trainer = WorldTrainer(how, cache.clip, 1, codec)
    errors = [trainer.learn()["error"] for _ in range(how.run.steps)]
    assert np.mean(errors[-10:]) < np.mean(errors[:3]) / 6
    clip = cache.clip(0)
    trainer.learner.use_average(True)
    learned = roll_out(trainer.network, codec, clip, how)
    fresh = roll_out(new_network(how.network(), how), codec, clip, how)
    assert learned.frames.shape[0] == FRAMES and learned.whole > fresh.whole + 4


def test_the_command_trains_and_refuses(walls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = tmp_path / "tiny.toml", tmp_path / "out"
    config.write_text(
        f'[data]\nfolder = "{walls}"\nheight = 32\nwidth = 48\n[vae]\nkind = "patches"\nchannels = 4\n'
        '[model]\nwidth = 32\nheads = 2\nffn_width = 32\nblocks = 1\nlayout = "f1k1f1s1f1k1_g1"\n'
        '[run]\nsteps = 2\nprecision = "float32"\nsampling_steps = 1\n'
    )
    arguments = ["train", "world", str(config), "-o", str(out)]
    assert main(arguments) == 0
    assert "done: " in capsys.readouterr().err
    assert codec_psnr(load_codec(out / "vae"), small_videos(settings(walls))) > 15
    assert len(open_cache(settings(walls), load_codec(out / "vae"), out / "cache")) == 2
    assert main(arguments) == 2 and "--resume" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert main(["train", "world", str(config), "-o", str(tmp_path / "new"), "--resume"]) == 2
    before = config.read_text()
    config.write_text(before.replace("width = 32", "width = 64"))
    assert main([*arguments, "--resume"]) == 2 and "model.width 32, not 64" in capsys.readouterr().err
    config.write_text('[data]\nfolder = "x"\nspeed = 1\n')
    assert main([*arguments, "--resume"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("known are folder, height, width, frames, held_out")


def test_figures_go_to_tensorboard_when_it_is_there(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = world_trainer.Log(tmp_path, True)
    log.note({"step": 3, "loss": 0.5, "by_chunk": [1.0]})
    log.close()
    events = reader.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(3, 0.5)]
    assert events.Tags()["scalars"] == ["loss"]
