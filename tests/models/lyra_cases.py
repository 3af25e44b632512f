"""A network of a few thousand weights in every way complete, and inputs for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from openlyra.models.lyra_config import LyraConfig
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.lyra_init import initialise
from openlyra.models.lyra_plain import plain_velocity

TINY = LyraConfig(
    width=24, heads=2, ffn_width=40, blocks=2, text_width=8, text_tokens=6, image_width=10, time_width=16,
    layout="f1k1f2s2f1s1f3k2f1k1_g2", camera_channels=12, buffer_channels=20, squeeze_width=4,
)  # fmt: skip
"""Temporal and spatial segments, one of each that has to be padded at latents of 6x10."""


@dataclass
class Inputs:
    """Random inputs of a forward pass."""

    latents: Tensor
    timestep: Tensor
    chunk: dict[str, Any]

    def fast(self, model: LyraDiT, **options: Any) -> Tensor:
        return model(self.latents, self.timestep, model.prepare_chunk(**self.chunk, **options))

    def plain(self, model: LyraDiT) -> Tensor:
        return plain_velocity(model, self.latents, self.timestep, **self.chunk)


def tiny_model(config: LyraConfig = TINY, seed: int = 0) -> LyraDiT:
    """Random weights, none of them zero: biases and norms too, so that leaving one out shows."""
    model = initialise(LyraDiT(config), seed, head_std=0.2)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


def tiny_inputs(config: LyraConfig = TINY, batch: int = 1, size: tuple[int, int] = (6, 10), seed: int = 5) -> Inputs:
    """Inputs of the configuration's shapes; three latents for a network without a layout."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator)

    frames = config.packing.total_frames if config.packing else 3
    video = (frames, *size)
    chunk = {
        "conditions": normal(config.condition_channels, *video),
        "text": normal(config.text_tokens, config.text_width),
        "image": normal(5, config.image_width),
        "rays": normal(config.camera_channels, *video) if config.camera_channels else None,
        "buffer": normal(config.buffer_channels, *video) if config.buffer_channels else None,
    }
    times = torch.linspace(900, 100, batch)[:, None]
    return Inputs(normal(config.latent_channels, *video), times, chunk)


def without(config: LyraConfig, *fields: str) -> LyraConfig:
    """The configuration with some channels taken away."""
    return replace(config, **{field: 0 for field in fields})
