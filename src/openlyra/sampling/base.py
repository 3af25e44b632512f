"""What a sampler is: steps whose whole state is a few tensors, so that a run can stop and go on anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class SamplerState:
    """Where a sampling run stands: all that the remaining steps depend on."""

    step: int
    """Steps done."""
    sample: Tensor
    """float32, any shape: what the network sees at `step`; the result after the last step."""
    memory: dict[str, Tensor] = field(default_factory=dict)
    """What a multistep solver remembers of earlier steps; same shape each."""


class Sampler(Protocol):
    """A schedule and a rule that turns velocities into samples."""

    @property
    def steps(self) -> int:
        """Number of network calls."""
        ...

    def timestep(self, step: int) -> float:
        """Time the network is told at this step, 0 (data) to 1000 (noise)."""
        ...

    def needs_noise(self, step: int) -> bool:
        """Whether `advance` wants fresh noise at this step."""
        ...

    def advance(self, state: SamplerState, velocity: Tensor, noise: Tensor | None = None) -> SamplerState:
        """One step on, given the network's velocity at `state.sample` and `timestep(state.step)`."""
        ...


def sample(
    sampler: Sampler,
    state: SamplerState,
    velocity: Callable[[Tensor, float], Tensor],
    noise: Callable[[int], Tensor] | None = None,
    after: Callable[[SamplerState], None] | None = None,
) -> Tensor:
    """Run the steps that are left and give the final sample.

    `velocity(sample, timestep)` calls the network, `noise(step)` draws fresh noise for samplers that need it, `after`
    sees the state after every step but the last.
    """
    while state.step < sampler.steps:
        fresh = noise(state.step) if noise is not None and sampler.needs_noise(state.step) else None
        state = sampler.advance(state, velocity(state.sample, sampler.timestep(state.step)), fresh)
        if after is not None and state.step < sampler.steps:
            after(state)
    return state.sample
