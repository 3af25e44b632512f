"""Distillation to few calls, through the command; what it teaches."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from world_case import killed_at_step, make_walls, settings

from openlyra.cli.main import main
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.small_folder import load_small
from openlyra.sampling import FewStep, Sampler, SamplerState, few_step_noise, sample
from openlyra.training.world_cache import CachedClip
from openlyra.training.world_distil import Distiller, distil_settings, distil_world, solve, through
from openlyra.training.world_network import load_trained
from openlyra.training.world_objective import Example, draw_example, example_chunk, generator
from openlyra.training.world_rollout import roll_out
from openlyra.training.world_trainer import FlowTable, open_cache, train_world

CALLS = 2


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that has learned enough for its calls to depend on each other."""
    folder = tmp_path_factory.mktemp("teacher")
    run = {"steps": 60, "sampling_steps": 8, "log_every": 20, "save_every": 60}
    train_world(settings(make_walls(folder / "walls"), run=run, objective={"predicts": "data"}), folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def student(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student") / "out"
    assert main(["train", "distil", str(teacher), "-o", str(folder), *HOW, "--steps", "60"]) == 0
    return folder


HOW = ["--calls", str(CALLS), "--rate", "0.003", "--batch", "2", "--quiet"]


def clip_of(folder: Path) -> CachedClip:
    _, codec, how = load_trained(folder)
    return open_cache(how, codec, folder / "cache").clip(0)


def drawn(teacher: Path, count: int) -> Example:
    """Examples that no training has drawn."""
    _, codec, how = load_trained(teacher)
    clip, table = clip_of(teacher), FlowTable.shifted(how.objective.shift)
    return Example.batch([
        draw_example(clip, 1 + i % 3, how, codec, table, generator(99, i, 0)) for i in range(count)
    ])  # fmt: skip


@torch.no_grad()
def sampled(network: LyraDiT, example: Example, sampler: Sampler) -> Tensor:
    chunk = example_chunk(network, example, network.config.image_width)

    def velocity(latents: Tensor, timestep: float) -> Tensor:
        time = torch.full((len(latents),), timestep)
        return network(torch.cat([example.history, latents], 2), time, chunk)

    shape = tuple(example.noise.shape)
    return sample(sampler, SamplerState(0, example.noise), velocity, lambda step: few_step_noise(3, 0, step, shape))


def test_the_solver_passes_through_the_levels_of_the_student() -> None:
    for calls, steps in ((4, 12), (4, 35), (2, 8), (4, 5)):
        few = FewStep(calls, 3.0)
        solver = through(few, steps)
        between = solver.steps // calls
        assert between == max(1, round(steps / calls)) and solver.sigmas[-1] == 0
        assert list(solver.sigmas) == sorted(solver.sigmas, reverse=True)
        for call in range(calls):
            assert solver.sigmas[call * between] == pytest.approx(few.sigma(call), abs=5e-4)


def test_states_and_end_are_those_of_the_teachers_sampling(teacher: Path) -> None:
    network, _, how = load_trained(teacher)
    example, few = drawn(teacher, 2), FewStep(CALLS, how.objective.shift)
    solver = through(few, 8)
    states, end = solve(network, example, solver, few, how.network().image_width)
    assert states.shape == (CALLS, *example.noise.shape) and torch.equal(states[0], example.noise)
    torch.testing.assert_close(end, sampled(network, example, solver))
    # A state is on the way: between its noise and its end.
    level = few.sigma(1)
    straight = level * example.noise + (1 - level) * end
    assert (states[1] - straight).square().mean() < 0.5 * (states[1] - end).square().mean()


def test_a_student_is_nearer_to_the_teacher_than_the_teacher_in_as_few_calls(teacher: Path, student: Path) -> None:
    before, _, how = load_trained(teacher)
    after, _, model = load_small(student)
    assert model.few_step and model.steps == CALLS
    example, few = drawn(teacher, 12), FewStep(CALLS, how.objective.shift)
    wanted = sampled(before, example, through(few, 8))
    errors = [float((sampled(network, example, few) - wanted).square().mean()) for network in (before, after)]
    assert errors[1] < 0.8 * errors[0], errors
    assert torch.equal(sampled(before, example, few), sampled(load_trained(teacher)[0], example, few))


def test_walks_and_folders_honour_the_few_calls(teacher: Path, student: Path) -> None:
    network, codec, how = load_trained(student)
    assert how.run.few_step and how.run.sampling_steps == CALLS
    calls = []
    handle = network.register_forward_hook(lambda *_: calls.append(1))
    walk = roll_out(network, codec, clip_of(teacher), how, 2)
    handle.remove()
    assert len(calls) == 2 * CALLS and min(walk.psnr) > 5
    assert not (student / "cache").exists()  # the teacher's is used
    values = json.loads((student / "walk.json").read_text())
    assert values["few_step"] is True and values["steps"] == CALLS
    lines = [json.loads(line) for line in (student / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.7 * losses[0]


def test_a_distillation_goes_on_where_it_stopped(
    teacher: Path, tmp_path: Path
) -> None:
    how = distil_settings(teacher, 5, CALLS, 3e-3, 1)
    how = replace(how, run=replace(how.run, save_every=2))
    distil_world(how, tmp_path / "whole")
    with killed_at_step(Distiller, 3):
        distil_world(how, tmp_path / "parts")
    distil_world(how, tmp_path / "parts")
    whole, parts = (load_file(tmp_path / n / "transformer" / "model.safetensors") for n in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    first = load_file(teacher / "transformer" / "model.safetensors")
    assert any(not torch.equal(whole[name], first[name]) for name in whole)


def test_mistakes_are_told_in_one_line(
    teacher: Path, student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for given, extra, said in (
        (teacher, ["--calls", "3"], "divisor of 1000"), (teacher, ["--calls", "8"], "fewer than 8"),
        (student, [], "distilled already"), (tmp_path, [], "holds no walk.json"),
        (teacher, ["--steps", "0"], "at least one step"),
    ):  # fmt: skip
        assert main(["train", "distil", str(given), "-o", str(tmp_path / "new"), "--quiet", *extra]) == 2
        assert said in capsys.readouterr().err
    assert main(["train", "distil", str(teacher), "-o", str(student), *HOW]) == 2
    assert distil_settings(teacher, 5, CALLS, 1e-4, 1).run.start == str(teacher)
    assert not (tmp_path / "new").exists()
