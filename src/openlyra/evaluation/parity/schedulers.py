"""`schedulers*`: sigma grids, sampling runs on a toy velocity, training tables, noise."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor

from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare, compare_exact
from openlyra.sampling import FewStep, SamplerState, UniPC, initial_noise
from openlyra.sampling.flow import (
    FlowTable,
    draw_uniform,
    learning_rate_multiplier,
    noised,
    self_augmentation_place,
    velocity_target,
)

TOLERANCE = 1e-5


def check(file: GoldenFile) -> Iterator[Comparison]:
    """Everything the file holds, found by its keys."""
    for key in sorted(file.keys):
        if match := re.fullmatch(r"unipc\.n(\d+)_shift([\d.]+)\.sigmas", key):
            yield from _grid(file, int(match[1]), float(match[2]), key.removesuffix(".sigmas"))
        elif match := re.fullmatch(r"unipc\.explicit_sigma([\d.]+)\.x", key):
            yield from _run(file, UniPC(1, 5.0, (float(match[1]), 0.0)), key.removesuffix(".x"), last_only=True)
        elif match := re.fullmatch(r"unipc\.traj_n(\d+)_shift([\d.]+)\.x", key):
            yield from _run(file, UniPC(int(match[1]), float(match[2])), key.removesuffix(".x"))
        elif match := re.fullmatch(r"rf\.shift([\d.]+)\.sigmas", key):
            yield from _table(file, key.removesuffix(".sigmas"), FlowTable.shifted(float(match[1])))
        elif match := re.fullmatch(r"rf\.logitnormal_seed(\d+)", key):
            drawn = draw_uniform(len(file[key]), torch.Generator().manual_seed(int(match[1])))
            yield compare(key, drawn, file[key], TOLERANCE)
        elif match := re.fullmatch(r"seeded_noise\.seed(\d+)_[\dx]+", key):
            yield compare(key, initial_noise(int(match[1]), 0, tuple(file[key].shape)), file[key], 0.0)
    if "rf.interp.xt" in file:
        yield from _interpolation(file)
    if "dmd.step_list" in file:
        yield from _few_step(file)
    for step, expected in file.facts().get("lr_multiplier", {}).items():
        yield compare(f"lr_multiplier.{step}", learning_rate_multiplier(int(step)), expected, 1e-9)
    for name, orders in file.facts().items():
        if match := re.fullmatch(r"orders_n(\d+)", name):
            sampler = UniPC(int(match[1]))
            yield compare_exact(name, [sampler.order(step) for step in range(sampler.steps)], orders)


def toy_velocity(sample: Tensor, timestep: float, target: Tensor) -> Tensor:
    """The closed formula that stands in for a network in these files."""
    return 0.9 * sample - 0.8 * target + 0.2 * torch.sin(2 * sample) + 0.1 * (timestep / 1000) * torch.cos(target)


def _grid(file: GoldenFile, steps: int, shift: float, name: str) -> Iterator[Comparison]:
    sampler = UniPC(steps, shift)
    yield compare(f"{name}.sigmas", sampler.sigmas, file[f"{name}.sigmas"], TOLERANCE)
    times = [sampler.timestep(step) for step in range(steps)]
    yield compare(f"{name}.timesteps", times, file[f"{name}.timesteps"], 0.0)


def _run(file: GoldenFile, sampler: UniPC, name: str, last_only: bool = False) -> Iterator[Comparison]:
    """A sampling run: the sample and the clean estimate after each step."""
    if last_only:
        yield compare(f"{name}.sigmas", sampler.sigmas, file[f"{name}.sigmas"], TOLERANCE)
        yield compare(f"{name}.timesteps", [sampler.timestep(0)], file[f"{name}.timesteps"], 0.0)
    state, target = SamplerState(0, file["toy.noise"]), file["toy.target"]
    samples, estimates = [], []
    while state.step < sampler.steps:
        state = sampler.advance(state, toy_velocity(state.sample, sampler.timestep(state.step), target))
        samples.append(state.sample)
        estimates.append(state.memory["clean_1"])
    yield compare(f"{name}.x", state.sample if last_only else torch.stack(samples), file[f"{name}.x"], TOLERANCE)
    if f"{name}.x0_pred" in file:
        yield compare(f"{name}.x0_pred", torch.stack(estimates), file[f"{name}.x0_pred"], TOLERANCE)


def _table(file: GoldenFile, name: str, table: FlowTable) -> Iterator[Comparison]:
    yield compare(f"{name}.sigmas", table.sigmas, file[f"{name}.sigmas"], TOLERANCE)
    yield compare(f"{name}.timesteps", table.timesteps, file[f"{name}.timesteps"], 0.0)
    yield compare(f"{name}.weights", table.weights, file[f"{name}.weights_all_timesteps"], TOLERANCE)
    place = table.place(file[f"{name}.u"])
    for what, values in (("timestep", table.timesteps), ("sigma", table.sigmas), ("weight", table.weights)):
        yield compare(f"{name}.u_to_{what}", values[place], file[f"{name}.u_to_{what}"], TOLERANCE)
    for key in sorted(file.keys):
        if match := re.fullmatch(r"selfaug\.max(\d+)\.sigma", key):
            chosen = self_augmentation_place(table, table.timesteps[place], int(match[1]))
            yield compare(key, table.sigmas[chosen], file[key], TOLERANCE)
            key = key.replace("sigma", "timestep")
            yield compare(key, table.timesteps[chosen], file[key], 0.0)


def _interpolation(file: GoldenFile) -> Iterator[Comparison]:
    data, noise = file["rf.interp.data"], file["rf.interp.eps"]
    yield compare("rf.interp.xt", noised(data, noise, file["rf.interp.sigma"]), file["rf.interp.xt"], TOLERANCE)
    target = velocity_target(data, noise)
    yield compare("rf.interp.velocity_target", target, file["rf.interp.velocity_target"], TOLERANCE)


def _few_step(file: GoldenFile) -> Iterator[Comparison]:
    sampler = FewStep(len(file["dmd.step_list"]))
    yield compare("dmd.sigmas", sampler.table(), file["dmd.sigmas"], TOLERANCE)
    yield compare("dmd.timesteps", sampler.table() * 1000, file["dmd.timesteps"], 0.0)
    yield compare(
        "dmd.step_list", [sampler.timestep(step) for step in range(sampler.steps)], file["dmd.step_list"], 0.0
    )
    state, target = SamplerState(0, file["toy.noise"]), file["toy.target"]
    estimates, again = [], []
    for step in range(sampler.steps):
        velocity = toy_velocity(state.sample, sampler.timestep(step), target)
        estimates.append(sampler.clean(state, velocity))
        fresh = file["dmd.toy.noise_frames_first"][step].transpose(0, 1)[None] if sampler.needs_noise(step) else None
        state = sampler.advance(state, velocity, fresh)
        again.append(state.sample)
    yield compare("dmd.toy.x0_preds", torch.stack(estimates), file["dmd.toy.x0_preds"], TOLERANCE)
    yield compare("dmd.toy.renoised", torch.stack(again[:-1]), file["dmd.toy.renoised"], TOLERANCE)
    yield compare("dmd.toy.final", state.sample, file["dmd.toy.final"], TOLERANCE)
    if "dmd.add_noise_step2" in file:
        data, noise = _frames_first(file["rf.interp.data"]), _frames_first(file["rf.interp.eps"])
        again_2 = noised(data, noise, sampler.sigma(2))
        yield compare("dmd.add_noise_step2", again_2, file["dmd.add_noise_step2"], TOLERANCE)


def _frames_first(video: Tensor) -> Tensor:
    """(1, C, T, h, w) -> (T, C, h, w)."""
    return video[0].transpose(0, 1)
