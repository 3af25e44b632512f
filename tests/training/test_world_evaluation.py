"""`openlyra evaluate world` with a toy network, and what its ablations take away."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from world_case import HEIGHT, WIDTH, cameras, images, make_walls, settings

from openlyra.cli.main import main
from openlyra.evaluation.true_walk import TrueWalk
from openlyra.evaluation.world_walk import (
    ABLATIONS,
    FULL,
    WARP,
    begun,
    fused_cloud,
    generate,
    load_trained_networks,
    without_correspondences,
    without_memory,
    without_slots,
)
from openlyra.generation.conditioning import build_inputs
from openlyra.generation.lyra_load import small_models, small_walk
from openlyra.memory.spatial_memory import SpatialMemory
from openlyra.training.world_trainer import train_world


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    walls = make_walls(folder / "walls")
    train_world(settings(walls, objective={"warped": "memory", "predicts": "change"}), folder / "toy")
    return folder / "toy"


@pytest.fixture(scope="module")
def wall() -> TrueWalk:
    path = cameras(33)
    depth = np.full((len(path), HEIGHT, WIDTH), 3.0, np.float32)
    return TrueWalk("wall", np.stack(images(path, 5)), depth, np.zeros(depth.shape, bool), path)


def test_ablations_take_away_what_they_say(trained: Path, wall: TrueWalk) -> None:
    network = load_trained_networks([trained])[0]
    how, models = small_walk(network.model), small_models(network.network, network.codec)
    walk, state = begun(models, how, 2, wall.cameras, wall.frame, 0)
    for _ in range(5):
        state, _ = walk.finish(state, walk.inputs(state).condition[:, :, -1:])
    # Without the photo, which sees nearly everything, another frame is retrieved.
    memory = SpatialMemory(state.memory.config)
    for index in (8, 16):
        memory.add(state.memory.frame(index))
    state = replace(state, memory=memory)
    arguments = (walk.context(state), walk.layout, models.vae.encode, how.conditioning)
    full, bare = build_inputs(*arguments), without_memory(*arguments)
    slots, new = walk.layout.indices(spatial=True), walk.layout.new_frames
    assert full.retrieved == (8,) and not bare.retrieved and full.buffer is not None and bare.buffer is not None
    # The network is told of every retrieved frame in the slots, the buffer, the warp, and its share of the view.
    assert not torch.equal(full.history[:, :, slots], bare.history[:, :, slots])
    assert not torch.equal(full.buffer, bare.buffer)
    assert not torch.equal(full.condition[:, :, -new:], bare.condition[:, :, -new:])
    assert full.shares is not None and bare.shares is not None and full.shares.sum() > bare.shares.sum()

    thin = without_slots(*arguments)
    assert torch.equal(thin.history, bare.history) and torch.equal(thin.buffer, bare.buffer)
    assert torch.equal(thin.rays, bare.rays) and torch.equal(thin.condition[:, :, :-new], bare.condition[:, :, :-new])
    assert torch.equal(thin.condition[:, :, -new:], full.condition[:, :, -new:])
    assert torch.equal(thin.shares, full.shares)

    blind = without_correspondences(*arguments)
    assert torch.equal(blind.history, full.history) and torch.equal(blind.buffer, bare.buffer)
    assert torch.equal(blind.condition, full.condition)

    fused = fused_cloud(*arguments)
    assert torch.equal(fused.history, bare.history) and torch.equal(fused.buffer, bare.buffer)
    assert fused.shares is not None and (fused.shares >= full.shares - 1e-6).all()


def test_videos_differ_by_what_is_taken_away_and_by_seed(trained: Path, wall: TrueWalk) -> None:
    network = load_trained_networks([trained])[0]
    videos = {name: generate(network, wall, name, 0) for name in (FULL, WARP, *ABLATIONS)}
    assert all(video.shape == wall.images.shape and (video[0] == wall.images[0]).all() for video in videos.values())
    # On this wall the photo is all that is ever retrieved, and the slots hold it anyway.
    alike = videos.pop("no spatial slots")
    assert (alike == videos["no correspondences"]).all()
    assert len({video.tobytes() for video in videos.values()}) == len(videos)
    assert (generate(network, wall, FULL, 0) == videos[FULL]).all()
    assert not (generate(network, wall, FULL, 1) == videos[FULL]).all()
    # Nothing of the wall is ever unknown for long, so what is warped alone is near the truth.
    assert np.abs(videos[WARP].astype(int) - wall.images).mean() < 12


def test_the_command(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report"
    sizes = ["--videos", "1", "--loops", "2", "--chunks", "2", "--seeds", "2", "--quiet"]
    assert main(["evaluate", "world", str(trained), "-o", str(out), *sizes]) == 0
    table = capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    everything = {"toy", *ABLATIONS, WARP, "exemplar"}
    assert set(report["loops"]) == everything and all(name in table for name in everything)
    assert set(report["walk"]) == set(report["revealed"]) == {"toy", WARP, "exemplar"}
    assert set(report["sway"]) == {"toy", "toy, no memory", WARP, "exemplar"}
    assert len(report["walk"]["toy"]["mean"]["psnr"]) == 2
    assert report["loops"]["exemplar"]["2"]["mean"]["psnr_first"] == 100
    # The estimate of the motion works on the true video; a network of four steps obeys less.
    assert report["camera"]["true video"]["mean"]["reprojection"] < report["camera"]["toy"]["mean"]["reprojection"]
    assert report["loops"]["toy"]["2"]["spread"]["psnr_truth"] > 0
    assert {"drift.png", "loops.png", "walk.png", "loop.png"} <= {path.name for path in out.iterdir()}
    assert main(["evaluate", "world", str(trained), "-o", str(out), *sizes]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main(["evaluate", "world", str(tmp_path / "nothing"), "-o", str(tmp_path / "b"), *sizes]) == 2
    assert not (tmp_path / "b").exists()
