"""Rectified flow: noise levels, time shift, the 1000-entry tables and their training weights (conditioning.md 5, 8)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TABLE = 1000
"""Entries of the discrete time table."""


def shifted(sigma: Tensor, shift: float) -> Tensor:
    """Noise levels moved towards 1: s sigma / (1 + (s - 1) sigma)."""
    return shift * sigma / (1 + (shift - 1) * sigma)


def noised(data: Tensor, noise: Tensor, sigma: Tensor | float) -> Tensor:
    """Data on the straight line to the noise: (1 - sigma) data + sigma noise."""
    return (1 - sigma) * data + sigma * noise


def velocity_target(data: Tensor, noise: Tensor) -> Tensor:
    """What the network learns: noise - data."""
    return noise - data


@dataclass(frozen=True)
class FlowTable:
    """The descending table of 1000 noise levels and their loss weights; all (1000,) float32."""

    sigmas: Tensor
    """From 1 down to nearly 0."""
    weights: Tensor
    """Loss weights of mean 1: small at both ends, 0 at full noise."""

    @property
    def timesteps(self) -> Tensor:
        """(1000,) times the network is told: 1000 sigma."""
        return self.sigmas * TABLE

    @staticmethod
    def shifted(shift: float = 5.0) -> FlowTable:
        """The released table."""
        even = torch.linspace(1, 0, TABLE + 1, dtype=torch.float64)[:-1]
        sigmas = shifted(even.float(), shift)
        bell = torch.exp(-2 * ((sigmas * TABLE - TABLE / 2) / TABLE) ** 2)
        above = bell - bell.min()
        return FlowTable(sigmas, above * (TABLE / above.sum()))

    def place(self, uniform: Tensor) -> Tensor:
        """Table places (N,) of draws in [0, 1)."""
        return (uniform * TABLE).long().clamp(0, TABLE - 1)

    def nearest(self, timestep: Tensor) -> Tensor:
        """Places (N,) of the entries closest to given times; the noisier one on ties."""
        return (self.timesteps[None] - timestep.reshape(-1, 1)).abs().argmin(1)


def self_augmentation_place(table: FlowTable, timestep: Tensor, longest: int = 500) -> Tensor:
    """Places (N,) of the noise levels from which training re-makes its own history: timestep * longest / 1000,
    rounded down, at least 1."""
    scaled = torch.floor(timestep * (longest / TABLE)).clamp(min=1)
    return table.nearest(scaled)


def draw_uniform(count: int, generator: torch.Generator | None = None) -> Tensor:
    """(count,) logit-normal draws in (0, 1) from which training times are taken."""
    return torch.sigmoid(torch.randn(count, generator=generator))


def learning_rate_multiplier(
    step: int, warm_up: int = 100, cycle: int = 400_000, start: float = 1e-6, top: float = 0.99, end: float = 0.4
) -> float:
    """Linear warm-up, then linear decay; constant after the cycle."""
    if step < warm_up:
        return start + (top - start) * step / warm_up
    return end + (top - end) * max(cycle - step, 0) / (cycle - warm_up)
