"""A walk with a network in training along the path of a clip, beside the truth: figures and a video."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from openlyra.evaluation.metrics import psnr
from openlyra.generation.denoise import SeededNoise
from openlyra.generation.latent_walk import LatentWalk, WalkSettings, WalkState, as_image
from openlyra.generation.lyra_load import small_models
from openlyra.geometry.camera import Camera
from openlyra.media.video import VideoWriter
from openlyra.memory.frame import MemoryFrame
from openlyra.memory.retrieval import RetrievalConfig
from openlyra.memory.spatial_memory import SpatialMemory
from openlyra.models.codec import Codec
from openlyra.models.lyra_dit import LyraDiT
from openlyra.sampling import UniPC
from openlyra.training.world_cache import CachedClip, conditioning
from openlyra.training.world_settings import WorldTraining


@dataclass(frozen=True)
class TrueDepth:
    """Depth of the clip for frames that were generated: what is tried is the network alone."""

    clip: CachedClip

    def measure(
        self, frames: Sequence[int], pixels: dict[int, Tensor], cameras: Camera, state: WalkState
    ) -> list[MemoryFrame]:
        """See `latent_walk.DepthSource`."""
        return [replace(self.clip.frames[index], image=as_image(pixels[index])) for index in frames]


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
    began, layout = time.perf_counter(), settings.layout
    chunks = min(chunks or clip.chunks, clip.chunks)
    cameras = clip.cameras[: 1 + chunks * layout.new_pixel_frames]
    how = WalkSettings(UniPC(settings.run.sampling_steps, settings.objective.shift), 1.0, conditioning(settings))
    how = replace(how, depth_interval=settings.objective.memory_every)
    walk = LatentWalk(
        small_models(network, vae), how, cameras, [""] * chunks, TrueDepth(clip), SeededNoise(seed)
    )
    memory = SpatialMemory(RetrievalConfig(max(1, layout.spatial_frames), settings.objective.retrieval_stride))
    memory.add(clip.frames[0])
    state = walk.begin(clip.frames[0], clip.pixels(0), memory)
    images = [as_image(clip.pixels(0))]
    figures = []
    for chunk in range(chunks):
        state, new = walk.finish(state, walk.sample(state, walk.inputs(state)))
        made = [as_image(frame) for frame in new]
        first = 1 + chunk * layout.new_pixel_frames
        truth = clip.tensors["rgb"][first : first + len(made)].permute(0, 2, 3, 1).numpy()
        figures.append(float(psnr(np.stack(made), truth)))
        images += made
    return Rollout(np.stack(images), tuple(figures), time.perf_counter() - began)


def write_comparison(rollout: Rollout, clip: CachedClip, path: Path) -> None:
    """The walk above the truth, as a video."""
    truth = clip.tensors["rgb"].permute(0, 2, 3, 1).numpy()
    height, width = truth.shape[1:3]
    with VideoWriter(path, 16.0, (2 * height, width)) as video:
        for made, true in zip(rollout.frames, truth):
            video.write(np.concatenate([made, true]))
