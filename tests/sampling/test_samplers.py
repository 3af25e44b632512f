"""Samplers as functions of their state."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from openlyra.errors import InputError
from openlyra.sampling import FewStep, SamplerState, UniPC, few_step_noise, initial_noise, sample
from openlyra.sampling.flow import FlowTable, noised
from openlyra.sampling.unipc import sigma_grid

SHAPE = (1, 2, 3, 4, 5)


def gaussian_velocity(mean: float, spread: float):
    """The exact velocity when the data are normal with that mean and standard deviation."""

    def velocity(x: Tensor, timestep: float, sigma: float) -> Tensor:
        variance = (1 - sigma) ** 2 * spread**2 + sigma**2
        clean = mean + (1 - sigma) * spread**2 / variance * (x - (1 - sigma) * mean)
        return (x - clean) / sigma

    return velocity


def solve(sampler: UniPC, start: Tensor) -> Tensor:
    exact = gaussian_velocity(0.7, 0.5)
    state = SamplerState(0, start)
    while state.step < sampler.steps:
        sigma = sampler.sigmas[state.step]
        state = sampler.advance(state, exact(state.sample, sampler.timestep(state.step), sigma))
    return state.sample


def test_unipc_converges_to_the_exact_flow() -> None:
    """The flow of a normal distribution maps x at noise s to mean + spread * (x - (1 - s) mean) / deviation(s)."""
    noise = initial_noise(3, 0, SHAPE).double()
    errors = []
    for steps in (10, 20, 40, 80):
        sampler = UniPC(steps, 5.0)
        first = sampler.sigmas[0]
        deviation = math.sqrt((1 - first) ** 2 * 0.25 + first**2)
        expected = 0.7 + 0.5 * (noise - (1 - first) * 0.7) / deviation
        errors.append(float((solve(sampler, noise) - expected).abs().max()))
    assert errors[-1] < 1e-2 and all(later < earlier / 2 for earlier, later in itertools.pairwise(errors))


def test_one_step_is_the_clean_estimate() -> None:
    x, velocity = torch.randn(SHAPE), torch.randn(SHAPE)
    sampler = UniPC(1)
    after = sampler.advance(SamplerState(0, x), velocity)
    torch.testing.assert_close(after.sample, x - sampler.sigmas[0] * velocity)


def test_orders_are_lower_at_both_ends() -> None:
    assert [UniPC(5).order(step) for step in range(5)] == [1, 2, 2, 2, 1]
    assert [UniPC(2).order(step) for step in range(2)] == [1, 1]


def test_timesteps_of_the_released_schedule() -> None:
    sampler = UniPC(35, 5.0)
    assert [sampler.timestep(step) for step in range(5)] == [999, 993, 987, 981, 974]
    assert sampler.sigmas[0] == pytest.approx(0.9998, abs=1e-5) and sampler.sigmas[-1] == 0


@pytest.mark.parametrize("sampler", [UniPC(6), FewStep()])
def test_a_run_can_stop_after_any_step(sampler: UniPC | FewStep) -> None:
    def velocity(x: Tensor, timestep: float) -> Tensor:
        return torch.sin(3 * x) + timestep / 1000

    def noise(step: int) -> Tensor:
        return few_step_noise(1, 0, step, SHAPE)

    states: list[SamplerState] = []
    start = SamplerState(0, initial_noise(1, 0, SHAPE))
    whole = sample(sampler, start, velocity, noise, states.append)
    assert [state.step for state in states] == list(range(1, sampler.steps))
    for state in states:
        assert torch.equal(sample(sampler, state, velocity, noise), whole)


def test_few_steps_of_a_perfect_network_give_the_data() -> None:
    data = torch.randn(SHAPE)
    sampler, asked = FewStep(), []

    def velocity(x: Tensor, timestep: float) -> Tensor:
        asked.append(timestep)
        return (x - data) / (timestep / 1000)

    found = sample(sampler, SamplerState(0, torch.randn(SHAPE)), velocity, lambda step: torch.randn(SHAPE))
    torch.testing.assert_close(found, data, atol=1e-5, rtol=0)
    assert asked == pytest.approx([1000, 937.5, 833.3333, 625])


def test_noise_depends_on_seed_chunk_and_step_alone() -> None:
    first = initial_noise(5, 2, SHAPE)
    assert first.dtype == torch.float32 and torch.equal(first, initial_noise(6, 1, SHAPE))
    np.testing.assert_array_equal(first, np.random.RandomState(7).standard_normal(SHAPE).astype(np.float32))
    draws = [few_step_noise(*key, SHAPE) for key in ((1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0))]
    assert all(not torch.equal(a, b) for i, a in enumerate(draws) for b in draws[:i])
    assert torch.equal(draws[1], few_step_noise(1, 0, 1, SHAPE))


def test_the_table() -> None:
    table = FlowTable.shifted(5.0)
    assert table.sigmas[0] == 1 and (table.sigmas[1:] < table.sigmas[:-1]).all()
    assert table.weights[0] == 0 and table.weights.mean() == pytest.approx(1, abs=1e-5)
    assert table.place(torch.tensor([0.0, 0.2501, 0.99999])).tolist() == [0, 250, 999]
    assert table.nearest(torch.tensor([1000.0, 937.4])).tolist() == [0, 250]
    torch.testing.assert_close(noised(torch.zeros(2), torch.ones(2), 0.25), torch.full((2,), 0.25))


def test_bad_settings() -> None:
    with pytest.raises(InputError, match="0 sampling steps"):
        sigma_grid(0, 5.0)
    with pytest.raises(InputError, match="shift is -1"):
        UniPC(4, -1.0)
    with pytest.raises(InputError, match="2 noise levels for 2 steps"):
        UniPC(2, 5.0, (0.5, 0.0))
    with pytest.raises(InputError, match="in 3 steps"):
        FewStep(3)


def test_against_diffusers() -> None:
    """The same solver on the same noise levels."""
    diffusers = pytest.importorskip("diffusers")
    sigmas = sigma_grid(8, 5.0)
    other = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0, solver_order=2
    )
    other.set_timesteps(8)
    other.sigmas = torch.tensor(sigmas)
    other.timesteps = torch.arange(8, 0, -1)
    state = SamplerState(0, initial_noise(0, 0, SHAPE))
    x = state.sample
    for time in other.timesteps:
        velocity = 0.5 * torch.cos(2 * x)
        x = other.step(velocity, time, x).prev_sample
        state = UniPC(8).advance(state, 0.5 * torch.cos(2 * state.sample))
    torch.testing.assert_close(state.sample, x, atol=1e-5, rtol=0)
