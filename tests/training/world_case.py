"""A tiny data set that needs no renderer: a textured wall three metres away, seen from a camera that slides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from openlyra.geometry.camera import Camera
from openlyra.training.world_data import open_dataset, write_video
from openlyra.training.world_settings import (
    DataSettings,
    ModelSettings,
    ObjectiveSettings,
    OptimiserSettings,
    RunSettings,
    VaeSettings,
    WorldTraining,
)
from openlyra.training.world_trainer import WorldTrainer


@contextmanager
def killed_at_step(trainer: type[WorldTrainer], step: int) -> Iterator[None]:
    """A training inside the context dies, like from a signal, when it is about to do that step."""
    learn = trainer.learn

    def dies(self: WorldTrainer) -> dict[str, float]:
        if self.step == step:
            raise KeyboardInterrupt
        return learn(self)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer, "learn", dies)
        yield


HEIGHT, WIDTH, FRAMES = 32, 48, 17
LAYOUT = "f1k1f1s2f1s1f2k2f1k1_g1"
"""Chunks of four frames, so that the short videos have four of them."""


def cameras(count: int = FRAMES) -> Camera:
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 0, 3] = 0.05 * np.minimum(np.arange(count), count - 1 - np.arange(count))
    return Camera.from_fov(HEIGHT, WIDTH, 0.9, poses)


def images(path: Camera, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    phase, tint = rng.uniform(0, 6, 3), rng.uniform(0.3, 1, 3)
    found = []
    for camera in path:
        points = camera.unproject(np.full((HEIGHT, WIDTH), 3.0))
        waves = np.sin(points[..., :1] * (2, 3, 4) + points[..., 1:2] * (3, 1, 2) + phase)
        found.append(np.clip(128 + 100 * tint * waves, 0, 255).astype(np.uint8))
    return found


def make_walls(folder: Path, count: int = 2) -> Path:
    path = cameras()
    depth = {index: np.full((HEIGHT, WIDTH), 3.0, np.float32) for index in range(FRAMES)}
    for seed in range(count):
        write_video(folder, f"wall-{seed}", images(path, seed), path, depth)
    assert len(open_dataset(folder)) == count
    return folder


def settings(folder: Path, **parts: dict[str, object]) -> WorldTraining:
    """Patches of 16 channels, a network of two narrow blocks, a few steps; `parts` change single values."""
    plain = WorldTraining(
        DataSettings(str(folder), HEIGHT, WIDTH),
        VaeSettings("patches", channels=16),
        ModelSettings(48, 2, 96, 2, LAYOUT, squeeze_width=4),
        ObjectiveSettings(memory_every=4, memory_gap=0, retrieval_stride=2, edge_threshold=0.45),
        OptimiserSettings(rate=3e-3, warm_up=3, clip=1.0, average=0.9),
        RunSettings(steps=4, batch=2, precision="float32", log_every=1, save_every=2, sampling_steps=2),
    )
    changed = {name: replace(getattr(plain, name), **values) for name, values in parts.items()}  # type: ignore[arg-type]
    return replace(plain, **changed)  # type: ignore[arg-type]
