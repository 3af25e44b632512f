"""The distilled sampler: four fixed noise levels, estimate the clean latents, noise them again (generation.md 10.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from openlyra.errors import InputError
from openlyra.sampling.base import SamplerState
from openlyra.sampling.flow import TABLE, noised, shifted


@dataclass(frozen=True)
class FewStep:
    """Sampler settings. Guidance must be 1: the distilled network knows only the guided branch."""

    steps: int = 4
    """Network calls; a divisor of 1000."""
    shift: float = 5.0
    """Shift of the table whose entries are used."""

    def __post_init__(self) -> None:
        if self.steps < 1 or TABLE % self.steps:
            raise InputError(f"few-step sampling in {self.steps} steps; a divisor of {TABLE} is needed, such as 4")

    def table(self) -> Tensor:
        """(1000,) noise levels from 1 down, float32."""
        return shifted(torch.linspace(1, 0, TABLE + 1)[:-1], self.shift)

    def sigma(self, step: int) -> float:
        """Noise level at a step: entries 0, 250, 500, 750 of the table for four steps."""
        return float(self.table()[step * (TABLE // self.steps)])

    def timestep(self, step: int) -> float:
        """1000 sigma, not rounded (1000, 937.5, 833.3, 625)."""
        return float(self.table()[step * (TABLE // self.steps)] * TABLE)

    def needs_noise(self, step: int) -> bool:
        """At all steps but the last."""
        return step < self.steps - 1

    def advance(self, state: SamplerState, velocity: Tensor, noise: Tensor | None = None) -> SamplerState:
        """The clean estimate, noised again unless it is the last."""
        clean = self.clean(state, velocity)
        if not self.needs_noise(state.step):
            return SamplerState(state.step + 1, clean)
        assert noise is not None, "the few-step sampler needs fresh noise"
        return SamplerState(state.step + 1, noised(clean, noise, self.sigma(state.step + 1)))

    def clean(self, state: SamplerState, velocity: Tensor) -> Tensor:
        """x - sigma v, in double precision."""
        return (state.sample.double() - self.sigma(state.step) * velocity.double()).to(torch.float32)
