"""A walk with a network in training along the path of a clip, beside the truth: figures and a video."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from openlyra.evaluation.metrics import psnr
from openlyra.evaluation.world_walk import begun, chunks_of
from openlyra.generation.latent_walk import as_image
from openlyra.generation.lyra_load import small_models, small_walk
from openlyra.media.video import VideoWriter
from openlyra.models.codec import Codec
from openlyra.models.lyra_dit import LyraDiT
from openlyra.training.world_cache import CachedClip
from openlyra.training.world_network import walk_model
from openlyra.training.world_settings import WorldTraining


@dataclass(frozen=True)
class Rollout:
    """What came out."""

    frames: np.ndarray
    """(F, H, W, 3) uint8, the photo first."""
    psnr: tuple[float, ...]
    """Decibels against the clip, a number a chunk: of the mean squared error of all its frames."""
    seconds: float

    @property
    def whole(self) -> float:
        """Decibels of all new frames together."""
        return float(-10 * np.log10(np.mean([10 ** (-value / 10) for value in self.psnr])))


@torch.no_grad()
def roll_out(
    network: LyraDiT, vae: Codec, clip: CachedClip, settings: WorldTraining, chunks: int = 0, seed: int = 0
) -> Rollout:
    """Walk from the first frame of the clip, its photo; every later frame is generated from generated ones."""
    began, new = time.perf_counter(), settings.layout.new_pixel_frames
    chunks = min(chunks or clip.chunks, clip.chunks)
    model = walk_model(settings)
    walk, state = begun(
        small_models(network, vae), small_walk(model), model.retrieval_stride, clip.cameras[: 1 + chunks * new],
        lambda index: clip.frames[index], seed,
    )  # fmt: skip
    images, figures = [as_image(clip.pixels(0))[None]], []
    for chunk, made in enumerate(chunks_of(walk, state)):
        truth = clip.tensors["rgb"][1 + chunk * new : 1 + (chunk + 1) * new].permute(0, 2, 3, 1).numpy()
        figures.append(float(psnr(made, truth)))
        images.append(made)
    return Rollout(np.concatenate(images), tuple(figures), time.perf_counter() - began)


def write_comparison(rollout: Rollout, clip: CachedClip, path: Path) -> None:
    """The walk above the truth, as a video."""
    truth = clip.tensors["rgb"].permute(0, 2, 3, 1).numpy()
    height, width = truth.shape[1:3]
    with VideoWriter(path, 16.0, (2 * height, width)) as video:
        for made, true in zip(rollout.frames, truth):
            video.write(np.concatenate([made, true]))
