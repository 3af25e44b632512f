"""UniPC for flow matching: a second-order multistep predictor-corrector (Zhao et al., arXiv 2302.04867; "bh2").

diffusers' scheduler has another sigma grid and keeps its state in private attributes; this one is a function of its
state, which a walk saves after every step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from openlyra.errors import InputError
from openlyra.sampling.base import SamplerState
from openlyra.sampling.flow import shifted

FIRST_SIGMA = 0.999
"""Noise level of the first step before the shift."""


def sigma_grid(steps: int, shift: float) -> list[float]:
    """(steps + 1) noise levels from nearly 1 down to 0, evenly spaced before the shift (spec conditioning.md 5)."""
    if steps < 1:
        raise InputError(f"{steps} sampling steps; at least 1 is needed")
    if not (math.isfinite(shift) and shift > 0):
        raise InputError(f"sampling shift is {shift}; a positive number is needed")
    even = torch.linspace(FIRST_SIGMA, 0.0, steps + 1, dtype=torch.float64)[:-1]
    return [*shifted(even, shift).tolist(), 0.0]


@dataclass(frozen=True)
class UniPC:
    """Sampler settings: number of steps and time shift, or explicit noise levels."""

    steps: int
    """Network calls."""
    shift: float = 5.0
    """How much of the steps goes to high noise."""
    sigmas: tuple[float, ...] = field(default=())
    """Noise levels (steps + 1) ending in 0; made from steps and shift when empty."""

    def __post_init__(self) -> None:
        if not self.sigmas:
            object.__setattr__(self, "sigmas", tuple(sigma_grid(self.steps, self.shift)))
        if len(self.sigmas) != self.steps + 1 or self.sigmas[-1] != 0:
            raise InputError(
                f"{len(self.sigmas)} noise levels for {self.steps} steps; one more than steps, ending in 0"
            )

    def timestep(self, step: int) -> float:
        """1000 sigma, cut to an integer as the network was trained."""
        # Single precision first: the reference's grid is float32, and 1000 sigma may sit on an integer.
        return float(int(torch.tensor(self.sigmas[step], dtype=torch.float32) * 1000))

    def needs_noise(self, step: int) -> bool:
        """Never: the solver is deterministic."""
        return False

    def order(self, step: int) -> int:
        """Order of the predictor that leaves this step: 1 at both ends, else 2."""
        return min(2, step + 1, self.steps - step)

    def advance(self, state: SamplerState, velocity: Tensor, noise: Tensor | None = None) -> SamplerState:
        """Correct the sample with the new estimate, then predict the next one."""
        step, seen = state.step, state.memory
        clean = state.sample - self.sigmas[step] * velocity
        here = state.sample if step == 0 else self._corrected(step, clean, seen)
        ahead = self._predicted(step, here, clean, seen.get("clean_1"))
        memory = {"sample_1": here, "clean_1": clean}
        if "clean_1" in seen:
            memory["clean_2"] = seen["clean_1"]
        return SamplerState(step + 1, ahead, memory)

    def _predicted(self, step: int, sample: Tensor, clean: Tensor, before: Tensor | None) -> Tensor:
        scale, growth, h = self._interval(step)
        result = scale * sample - growth * clean
        if self.order(step) == 2:
            assert before is not None
            r = (self._log_ratio(step - 1) - self._log_ratio(step)) / h
            result = result - (growth * 0.5 / r) * (before - clean)
        return result

    def _corrected(self, step: int, clean: Tensor, seen: dict[str, Tensor]) -> Tensor:
        scale, growth, h = self._interval(step - 1)
        before = seen["clean_1"]
        result = scale * seen["sample_1"] - growth * before
        if self.order(step - 1) == 1:
            return result - (growth * 0.5) * (clean - before)
        r = (self._log_ratio(step - 2) - self._log_ratio(step - 1)) / h
        rho_1, rho_last = _corrector_weights(h, r)
        return result - growth * (rho_1 / r * (seen["clean_2"] - before) + rho_last * (clean - before))

    def _interval(self, step: int) -> tuple[float, float, float]:
        """For the interval step -> step + 1: factor on the sample, alpha (e^-h - 1), and h."""
        start, end = self.sigmas[step], self.sigmas[step + 1]
        h = self._log_ratio(step + 1) - self._log_ratio(step)
        return end / start, (1 - end) * math.expm1(-h), h

    def _log_ratio(self, step: int) -> float:
        """lambda = log(alpha / sigma); infinite at 0 noise."""
        sigma = self.sigmas[step]
        return math.inf if sigma == 0 else math.log((1 - sigma) / sigma)


def _corrector_weights(h: float, r: float) -> tuple[float, float]:
    """Solve [[1, 1], [r, 1]] rho = b for the second-order corrector with B(h) = e^-h - 1."""
    growth = math.expm1(-h)
    first = growth / -h - 1
    b_1 = first / growth
    b_2 = 2 * (first / -h - 0.5) / growth
    rho_1 = (b_2 - b_1) / (r - 1)
    return rho_1, b_1 - rho_1
