"""One chunk's latents: network calls with guidance, and the sampler that drives them (spec generation.md 10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from openlyra.generation.conditioning import ChunkInputs
from openlyra.sampling import Sampler, SamplerState, few_step_noise, initial_noise, sample


class VideoNetwork(Protocol):
    """What a walk needs of the video transformer (`models.lyra_dit.LyraDiT`)."""

    def prepare_chunk(
        self, *, conditions: Tensor, text: Tensor, image: Tensor, rays: Tensor | None, buffer: Tensor | None
    ) -> Any:
        """All that the steps of a chunk share."""
        ...

    def with_text(self, chunk: Any, text: Tensor) -> Any:
        """The same with another text."""
        ...

    def __call__(self, latents: Tensor, timestep: Tensor, chunk: Any) -> Tensor:
        """Velocity of the new latents, float32 (B, 16, new, h, w)."""
        ...


class NoiseSource(Protocol):
    """Where a walk's noise comes from; a function of chunk and step alone, so that a resumed walk draws the same."""

    def first(self, chunk: int, shape: tuple[int, ...]) -> Tensor:
        """What a chunk starts from."""
        ...

    def again(self, chunk: int, step: int, shape: tuple[int, ...]) -> Tensor:
        """Fresh noise after a step of the few-step sampler."""
        ...


@dataclass(frozen=True)
class SeededNoise:
    """All noise of a run from one seed."""

    seed: int
    """Seed of the run."""

    def first(self, chunk: int, shape: tuple[int, ...]) -> Tensor:
        """See `NoiseSource`."""
        return initial_noise(self.seed, chunk, shape)

    def again(self, chunk: int, step: int, shape: tuple[int, ...]) -> Tensor:
        """See `NoiseSource`."""
        return few_step_noise(self.seed, chunk, step, shape)


class ChunkVelocity:
    """The guided velocity of a chunk's new latents as a function of sample and time.

    v = v_negative + guidance (v_text - v_negative); with guidance 1 the negative branch is never evaluated."""

    def __init__(
        self, network: VideoNetwork, inputs: ChunkInputs, text: Tensor, negative: Tensor, image: Tensor,
        guidance: float, device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        """`text` and `negative` (1, rows, width), `image` (1, rows, width): tokens of the conditions."""
        self.network, self.guidance, self.device = network, guidance, device
        self.history = inputs.history.to(device)
        self.chunk = network.prepare_chunk(
            conditions=torch.cat([inputs.mask, inputs.condition], 1).to(device),
            text=text.to(device),
            image=image.to(device),
            rays=inputs.rays.to(device),
            buffer=None if inputs.buffer is None else inputs.buffer.to(device),
        )
        self.other = None if guidance == 1 else network.with_text(self.chunk, negative.to(device))

    def __call__(self, latents: Tensor, timestep: float) -> Tensor:
        """(1, 16, new, h, w) float32 on the CPU."""
        packed = torch.cat([self.history, latents.to(self.device)], 2)
        time = torch.tensor([timestep], dtype=torch.float32, device=self.device)
        velocity = self.network(packed, time, self.chunk)
        if self.other is not None:
            away = self.network(packed, time, self.other)
            velocity = away + self.guidance * (velocity - away)
        return velocity.float().cpu()


def sample_chunk(
    sampler: Sampler,
    velocity: Callable[[Tensor, float], Tensor],
    noise: NoiseSource,
    chunk: int,
    shape: tuple[int, ...],
    start: SamplerState | None = None,
    after: Callable[[SamplerState], None] | None = None,
) -> Tensor:
    """New latents of a chunk, `shape` (1, 16, new, h, w).

    `start` is the state of an interrupted chunk, `after` sees the state after every step but the last. The solver sees
    only the new latents: the reference also carries the history through it, which stays what it is up to rounding."""
    state = start or SamplerState(0, noise.first(chunk, shape))
    with torch.no_grad():
        return sample(sampler, state, velocity, lambda step: noise.again(chunk, step, shape), after)
