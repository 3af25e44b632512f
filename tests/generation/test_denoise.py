"""Guidance and the calls a chunk makes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from openlyra.generation.conditioning import ChunkInputs
from openlyra.generation.denoise import ChunkVelocity, SeededNoise, sample_chunk
from openlyra.sampling import FewStep, UniPC

HISTORY, NEW = 3, 2


class FakeNetwork:
    """Velocity = text value; remembers what it was given."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, float, float]] = []

    def prepare_chunk(self, *, conditions: Tensor, text: Tensor, image: Tensor, rays: Tensor, buffer: Tensor) -> float:
        assert conditions.shape[1] == 20 and bool((conditions[:, :4] == 1).all())
        return float(text.mean())

    def with_text(self, chunk: float, text: Tensor) -> float:
        return float(text.mean())

    def __call__(self, latents: Tensor, timestep: Tensor, chunk: float) -> Tensor:
        self.calls.append((latents, float(timestep), chunk))
        return torch.full_like(latents[:, :, HISTORY:], chunk)


def velocity(network: FakeNetwork, guidance: float) -> ChunkVelocity:
    inputs = ChunkInputs(
        torch.full((1, 16, HISTORY, 4, 6), 9.0), torch.zeros(1, 16, HISTORY + NEW, 4, 6),
        torch.zeros(1, 384, HISTORY + NEW, 4, 6), torch.zeros(1, 256, HISTORY + NEW, 4, 6), (),
        np.zeros((8, 3, 32, 48)),
    )  # fmt: skip
    text, negative = torch.full((1, 2, 4), 0.5), torch.full((1, 2, 4), 0.25)
    return ChunkVelocity(network, inputs, text, negative, torch.zeros(1, 257, 4), guidance)


@pytest.mark.parametrize(("guidance", "expected", "calls"), [(1.0, 0.5, 1), (3.0, 1.0, 2), (0.0, 0.25, 2)])
def test_guidance(guidance: float, expected: float, calls: int) -> None:
    network = FakeNetwork()
    found = velocity(network, guidance)(torch.zeros(1, 16, NEW, 4, 6), 722.0)
    assert float(found.min()) == float(found.max()) == expected and len(network.calls) == calls
    latents, timestep, _ = network.calls[0]
    assert timestep == 722 and bool((latents[:, :, :HISTORY] == 9).all()) and bool((latents[:, :, HISTORY:] == 0).all())


@pytest.mark.parametrize("sampler", [UniPC(3), FewStep()])
def test_an_interrupted_chunk_goes_on(sampler: UniPC | FewStep) -> None:
    shape, noise, states = (1, 16, NEW, 4, 6), SeededNoise(4), []
    network = FakeNetwork()
    whole = sample_chunk(sampler, velocity(network, 1.0), noise, 2, shape, after=states.append)
    assert len(network.calls) == sampler.steps
    again = sample_chunk(sampler, velocity(network, 1.0), noise, 2, shape, states[0])
    assert torch.equal(whole, again)
