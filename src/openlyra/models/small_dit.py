"""The video transformer as it is trained here: the network of `lyra_dit`, but what it puts out is clean latents.

With many latent channels the noise in a token does not fit through the width of a small network; clean latents do, and
the velocity follows from them. Where the conditioning latents already show the answer (warped memory), the network only
has to say what is to be changed of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from openlyra.models.lyra_config import LyraConfig
from openlyra.models.lyra_dit import ChunkConstants, LyraDiT

PREDICTS = ("velocity", "data", "change")
"""What a network puts out: the velocity (released), clean latents, or these minus the conditioning latents."""
TIMES = 1000
"""Timesteps are noise levels times this."""
LEAST_SIGMA = 0.05
"""Below this noise level the velocity of a network that predicts data is not made any steeper."""


class DataDiT(LyraDiT):
    """Predicts `data`, or with `change` its difference to the conditioning latents."""

    def __init__(self, config: LyraConfig, change: bool = False) -> None:
        super().__init__(config)
        self.change = change

    def forward(self, latents: Tensor, timestep: Tensor, chunk: ChunkConstants) -> Tensor:
        """As `LyraDiT.forward`."""
        clean = super().forward(latents, timestep, chunk)
        new = clean.shape[2]
        noisy, sigma = latents[:, :, -new:].float(), (timestep.reshape(-1).float() / TIMES).view(-1, 1, 1, 1, 1)
        if self.change:
            # Adding the noisy latents as well (the best linear guess of both) was tried: their noise stayed.
            clean = clean + chunk.conditions[:, -self.config.latent_channels :, -new:].float()
        return (noisy - clean) / sigma.clamp_min(LEAST_SIGMA)


def no_image(batch: int, width: int) -> Tensor:
    """(B, 1, width) zeros in the place of image tokens; what they say is learned, in the biases behind them."""
    return torch.zeros(batch, 1, width)


def network_for(config: LyraConfig, predicts: str) -> LyraDiT:
    """A network without meaningful weights that predicts one of `PREDICTS`."""
    return LyraDiT(config) if predicts == "velocity" else DataDiT(config, predicts == "change")
