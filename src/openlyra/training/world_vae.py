"""Training of a narrow causal video auto-encoder of the Wan kind (diffusers' AutoencoderKLWan) on the videos of a set.

Reconstruction error (square and absolute) of short clips, through latents that carry a little noise and are kept small;
afterwards the latents' means and deviations are measured, which is what normalises them. Clips are taken anywhere; the
state of the convolutions is empty at the first frame of a clip, as it is at the first frame of a video.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openlyra.models.codec import Codec
from openlyra.models.patch_codec import PatchCodec
from openlyra.models.video_vae import TEMPORAL, VideoVae, build_network
from openlyra.training.precision import computing_type
from openlyra.training.world_learner import Learner
from openlyra.training.world_settings import OptimiserSettings, WorldTraining

ABSOLUTE_SHARE = 0.1
"""Weight of the absolute error beside the squared one."""
MEASURED_CLIPS = 64
"""Clips on which latents are measured at the end."""

Note = Callable[[dict[str, object]], None]


class VaeTrainer:
    """Network, optimiser and step count of one training. Videos are uint8 (T, 3, H, W)."""

    def __init__(self, settings: WorldTraining, videos: Sequence[Tensor]) -> None:
        own = settings.vae
        self.settings, self.videos = settings, list(videos)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.run.seed)
            self.network: Any = build_network(settings.vae_config()).train()
        how = OptimiserSettings(
            own.rate,
            0.9,
            0.99,
            weight_decay=0.0,
            clip=1.0,
            warm_up=min(100, own.steps // 10 + 1),
            final=0.02,
            average=0.0,
        )
        self.learner = Learner(self.network, how, own.steps, alone=True)

    def clips(self, step: int) -> Tensor:
        """(B, 3, frames, H, W) in [-1, 1]: the clips of a step."""
        own, random = self.settings.vae, np.random.default_rng([self.settings.run.seed, step, 1 << 20])
        chosen = []
        for _ in range(own.batch):
            video = self.videos[int(random.integers(len(self.videos)))]
            length = min(own.frames, (len(video) - 1) // TEMPORAL * TEMPORAL + 1)
            first = int(random.integers(len(video) - length + 1))
            chosen.append(video[first : first + length].transpose(0, 1).float() / 127.5 - 1)
        return torch.stack(chosen)

    def learn(self) -> dict[str, float]:
        """One step; returns the figures of its clips."""
        own, step = self.settings.vae, self.learner.step
        clips = self.clips(step)
        lower = computing_type(self.settings.run.precision) == torch.bfloat16
        random = np.random.default_rng([self.settings.run.seed, step, 1 << 21])
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            latents = encode_mean(self.network, clips, self.settings.vae.channels)
            noise = torch.from_numpy(random.standard_normal(tuple(latents.shape), np.float32))
            spread = latents.detach().float().std()
            shown = decode_all(self.network, latents.float() + own.noise * spread * noise)
        wrong = shown.float() - clips
        square = wrong.square().mean()
        loss = square + ABSOLUTE_SHARE * wrong.abs().mean() + own.latent_penalty * latents.float().square().mean()
        norm = self.learner.learn(loss)
        decibels = -10 * np.log10(max(float(square.detach()) / 4, 1e-10))
        return {"vae_loss": round(float(loss.detach()), 5), "norm": round(norm, 4), "psnr": round(decibels, 2)}

    def finished(self) -> VideoVae:
        """The auto-encoder with measured latents."""
        config = self.settings.vae_config()
        vae = VideoVae(self.network, config)
        latents = torch.cat(
            [vae.encode(self.clips(step)).movedim(1, 0).flatten(1) for step in range(MEASURED_CLIPS)], 1
        )
        mean, deviation = latents.mean(1), latents.std(1).clamp_min(1e-3)
        return VideoVae(
            self.network, replace(config, latent_mean=tuple(mean.tolist()), latent_std=tuple(deviation.tolist()))
        )


def encode_mean(network: Any, video: Tensor, channels: int) -> Tensor:
    """(B, 3, 4n+1, H, W) -> means of the latents (B, channels, n+1, h, w), with gradients."""
    caches: list[Any] = [None] * _count(network, "_enc_feat_map")
    pieces = video.split([1] + [TEMPORAL] * (video.shape[2] // TEMPORAL), dim=2)
    features = torch.cat([network.encoder(piece, feat_cache=caches, feat_idx=[0]) for piece in pieces], 2)
    means: Tensor = network.quant_conv(features)[:, :channels]
    return means


def decode_all(network: Any, latents: Tensor) -> Tensor:
    """(B, C, n+1, h, w) -> pixels (B, 3, 4n+1, H, W), with gradients."""
    caches: list[Any] = [None] * _count(network, "_feat_map")
    values = network.post_quant_conv(latents)
    pieces = [network.decoder(piece, feat_cache=caches, feat_idx=[0]) for piece in values.split(1, dim=2)]
    return torch.cat(pieces, 2)


def _count(network: Any, slot: str) -> int:
    network.clear_cache()
    return len(getattr(network, slot))


def train_vae(settings: WorldTraining, videos: Sequence[Tensor], checkpoint: Path, note: Note) -> Codec:
    """Fit the codec of the settings; goes on from the checkpoint when it is there."""
    if settings.vae.kind == "patches":
        whole = [video[: (len(video) - 1) // TEMPORAL * TEMPORAL + 1] for video in videos]
        return PatchCodec.fit((video.transpose(0, 1).float() / 127.5 - 1 for video in whole), settings.vae.channels)
    trainer = VaeTrainer(settings, videos)
    if checkpoint.is_file():
        trainer.learner.resume(checkpoint)
    while trainer.learner.step < settings.vae.steps:
        values = trainer.learn()
        if trainer.learner.step % settings.run.log_every == 0:
            note({"vae_step": trainer.learner.step, **values})
        if trainer.learner.step % settings.run.save_every == 0 or trainer.learner.step == settings.vae.steps:
            trainer.learner.save(checkpoint)
    return trainer.finished()


def codec_psnr(vae: Codec, videos: Sequence[Tensor]) -> float:
    """Decibels of whole videos (T, 3, H, W) uint8 after the auto-encoder, of the mean squared error of all."""
    errors = []
    for video in videos:
        length = (len(video) - 1) // TEMPORAL * TEMPORAL + 1
        pixels = video[:length].transpose(0, 1)[None].float() / 127.5 - 1
        errors.append(float((vae.decode(vae.encode(pixels)).clamp(-1, 1) - pixels).square().mean()) / 4)
    return float(-10 * np.log10(max(float(np.mean(errors)), 1e-10)))
