"""Distillation of a trained network to a few calls a chunk.

The few-step sampler asks for clean latents at a handful of fixed noise levels, and noises the answer again for the next
one: the sampling of a consistency model (Song et al., arXiv 2303.01469). So the student learns at these levels, and
nowhere else, what such a model knows: where the teacher's ordinary differential equation ends. The teacher solves it
once an example with its own sampler, on noise levels that pass through all of the student's; the states it comes by are
the student's inputs, its end is the target of all of them. Such a regression has a target that does not move and a
loss whose minimum is the teacher itself, and needs no second network: matching distributions (Yin et al., arXiv
2311.18828) trains a critic beside the student, which a small training cannot afford.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from openlyra.errors import InputError
from openlyra.models.codec import Codec
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.small_folder import load_small
from openlyra.sampling import FewStep, SamplerState, UniPC, sample
from openlyra.sampling.flow import TABLE
from openlyra.sampling.unipc import sigma_grid
from openlyra.training.world_cache import CachedClip
from openlyra.training.world_objective import Example, example_chunk
from openlyra.training.world_settings import WorldTraining, stored_settings
from openlyra.training.world_trainer import BACKWARD, WorldTrainer, train_world

WARM_UP, AVERAGE = 10, 0.98
"""Of the short training that a distillation is."""


class Distiller(WorldTrainer):
    """A trainer whose targets come from the network it starts from."""

    def __init__(
        self, settings: WorldTraining, clip: Callable[[int], CachedClip], clips: int, vae: Codec,
        shards: tuple[int, ...] | None = None,
    ) -> None:  # fmt: skip
        """See `WorldTrainer`; `run.start` is the teacher, `run.sampling_steps` the calls of the student."""
        super().__init__(settings, clip, clips, vae, shards)
        self.teacher, _, model = load_small(Path(settings.run.start))
        self.teacher.to(self.network.dtype)
        self.remaker = self.teacher
        self.student = FewStep(settings.run.sampling_steps, settings.objective.shift)
        self.solver = through(self.student, model.steps)

    def losses(self, example: Example) -> tuple[Tensor, Tensor]:
        """(B * calls,) mean squared errors of the clean latents, with equal weights; twice, as of `WorldTrainer`."""
        states, clean = solve(self.teacher, example, self.solver, self.student, self.config.image_width)
        wrong = student_errors(self.network, example, states, clean, self.student, self.config.image_width)
        return wrong / self.student.steps, wrong.detach() / self.student.steps

    def operations(self) -> float:
        """As of `WorldTrainer`: the teacher's calls, then all of the student's, forward and backward."""
        once = super().operations() / (1 + BACKWARD)
        return once * (self.solver.steps + (1 + BACKWARD) * self.student.steps)


def through(student: FewStep, steps: int) -> UniPC:
    """A solver of about so many steps whose noise levels pass through those of the student."""
    between = max(1, round(steps / student.steps))
    # Table entries are evenly spaced before the shift, so levels in between are table entries as well.
    table, stride = student.table(), TABLE // student.steps
    places = [call * stride + part * stride // between for call in range(student.steps) for part in range(between)]
    levels = [float(table[place]) for place in places]
    # Pure noise is a level that the solver cannot leave; it starts where it always does.
    levels[0] = sigma_grid(1, student.shift)[0]
    return UniPC(len(levels), student.shift, (*levels, 0.0))


@torch.no_grad()
def solve(
    teacher: LyraDiT, example: Example, solver: UniPC, student: FewStep, image_width: int
) -> tuple[Tensor, Tensor]:
    """From the example's noise: states (calls, B, C, g, h, w) at the student's levels, and the end (B, C, g, h, w)."""
    chunk, between = example_chunk(teacher, example, image_width), solver.steps // student.steps
    states = [example.noise]

    def velocity(latents: Tensor, timestep: float) -> Tensor:
        time = torch.full((len(latents),), timestep)
        found: Tensor = teacher(torch.cat([example.history, latents], 2), time, chunk)
        return found.float()

    def after(state: SamplerState) -> None:
        if state.step % between == 0:
            states.append(state.sample)

    end = sample(solver, SamplerState(0, example.noise), velocity, after=after)
    return torch.stack(states), end


def student_errors(
    network: LyraDiT, example: Example, states: Tensor, clean: Tensor, student: FewStep, image_width: int
) -> Tensor:
    """(B * calls,) mean squared errors of the clean latents that the network sees in the states."""
    calls, count = states.shape[:2]
    all_levels = example.repeated(calls)
    sigma = torch.tensor([student.sigma(call) for call in range(calls)]).repeat_interleave(count)
    latents = states.flatten(0, 1)
    chunk = example_chunk(network, all_levels, image_width)
    velocity = network(torch.cat([all_levels.history, latents], 2), sigma * TABLE, chunk)
    found = latents - sigma.view(-1, 1, 1, 1, 1) * velocity
    return (found - clean.repeat(calls, 1, 1, 1, 1)).square().mean((1, 2, 3, 4))


def distil_settings(teacher: Path, steps: int, calls: int, rate: float, batch: int) -> WorldTraining:
    """The teacher's settings, changed to a distillation of it. Raises InputError."""
    _, _, model = load_small(teacher)
    if model.few_step:
        raise InputError(f"{teacher}: was distilled already; give the folder it came from")
    settings, few = stored_settings(teacher), FewStep(calls, model.shift)
    if model.steps <= few.steps:
        raise InputError(f"{teacher}: walks in {model.steps} calls a chunk; fewer than {calls} cannot be saved")
    optimiser = replace(settings.optimiser, rate=rate, warm_up=WARM_UP, average=AVERAGE, final=0.1)
    run = replace(
        settings.run, steps=steps, batch=batch, start=str(teacher.resolve()), sampling_steps=calls, few_step=True,
        evaluate_every=0, log_every=10, save_every=50,
    )  # fmt: skip
    return replace(settings, optimiser=optimiser, run=run)


def distil_world(settings: WorldTraining, output: Path, say: Callable[[str], None] = lambda line: None) -> None:
    """Distil, or go on with what is in the folder; writes what `train_world` writes. Clips come from the teacher's."""
    train_world(settings, output, say, Distiller, Path(settings.run.start) / "cache")
