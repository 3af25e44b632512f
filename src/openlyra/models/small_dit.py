"""The video transformer as it is trained here: the network of `lyra_dit`, but what it puts out is clean latents.

With many latent channels the noise in a token does not fit through the width of a small network; clean latents do, and
the velocity follows from them. Where the conditioning latents already show the answer (warped memory), the network only
has to say what is to be changed of the best linear guess from these and the noisy latents, which passes by it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from openlyra.models.lyra_config import LyraConfig
from openlyra.models.lyra_dit import ChunkConstants, LyraDiT

PREDICTS = ("velocity", "data", "change")
"""What a network puts out: the velocity (released), clean latents, or these minus the linear guess."""
TIMES = 1000
"""Timesteps are noise levels times this."""
LEAST_SIGMA = 0.05
"""Below this noise level the velocity of a network that predicts data is not made any steeper."""
KNOWN_VARIANCE, UNKNOWN_VARIANCE = 0.1, 0.8
"""Mean squared difference of true latents and warped memory where it landed and in holes, as measured on worlds."""
MASK_CHANNELS = 4


class DataDiT(LyraDiT):
    """Predicts `data`, or with `change` its difference to the linear guess."""

    def __init__(self, config: LyraConfig, change: bool = False) -> None:
        super().__init__(config)
        self.change = change

    def forward(self, latents: Tensor, timestep: Tensor, chunk: ChunkConstants) -> Tensor:
        """As `LyraDiT.forward`."""
        clean = super().forward(latents, timestep, chunk)
        new = clean.shape[2]
        noisy, sigma = latents[:, :, -new:].float(), (timestep.reshape(-1).float() / TIMES).view(-1, 1, 1, 1, 1)
        if self.change:
            clean = clean + linear_guess(noisy, chunk.conditions[:, :, -new:].float(), sigma)
        return (noisy - clean) / sigma.clamp_min(LEAST_SIGMA)


def linear_guess(noisy: Tensor, conditions: Tensor, sigma: Tensor) -> Tensor:
    """Best linear estimate of clean latents x (B, C, T, h, w) from (1 - sigma) x + sigma noise and from warped memory.

    conditions (B, 4 + C, T, h, w): the share of each cell where memory landed, then its latents, which differ from x by
    a variance between the known and the unknown one."""
    share = conditions[:, :MASK_CHANNELS].mean(1, keepdim=True)
    variance = share * KNOWN_VARIANCE + (1 - share) * UNKNOWN_VARIANCE
    rest = 1 - sigma
    weight = variance * rest / (variance * rest.square() + sigma.square()).clamp_min(1e-8)
    return noisy * weight + conditions[:, MASK_CHANNELS:] * (1 - rest * weight)


def no_image(batch: int, width: int) -> Tensor:
    """(B, 1, width) zeros in the place of image tokens; what they say is learned, in the biases behind them."""
    return torch.zeros(batch, 1, width)


def network_for(config: LyraConfig, predicts: str) -> LyraDiT:
    """A network without meaningful weights that predicts one of `PREDICTS`."""
    return LyraDiT(config) if predicts == "velocity" else DataDiT(config, predicts == "change")
