"""Float32 weights with their optimiser, running mean and step count, beside a network that computes in any precision.

Used by the trainings of the video transformer and of its auto-encoder. Source: training specification, sections 8, 9,
and its suggestion 1: an explicit policy of what trains, weight decay on matrices only, float32 weights.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from openlyra.errors import InputError
from openlyra.models.tensors import read_tensors, write_tensors
from openlyra.sampling.flow import learning_rate_multiplier
from openlyra.training.world_settings import OptimiserSettings

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class Learner:
    """Trains the chosen parameters of a module; the others get no gradient at all."""

    def __init__(self, module: nn.Module, settings: OptimiserSettings, steps: int) -> None:
        """`steps`: length of the whole training, for the fall of the rate. Raises InputError if nothing trains."""
        self.module, self.settings, self.steps = module, settings, steps
        self.step = 0
        self.trained: dict[str, nn.Parameter] = {}
        for name, parameter in module.named_parameters():
            wanted = _matches(name, settings.train) and not _matches(name, settings.freeze)
            parameter.requires_grad_(wanted)
            if wanted:
                self.trained[name] = parameter
        if not self.trained:
            raise InputError("optimiser.train and optimiser.freeze leave no parameter to train")
        self.weights = {name: value.detach().float().clone() for name, value in self.trained.items()}
        self.mean = {name: value.clone() for name, value in self.weights.items()} if settings.average else {}
        matrices = [value for value in self.weights.values() if value.dim() >= 2]
        vectors = [value for value in self.weights.values() if value.dim() < 2]
        groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=settings.rate,
            betas=(settings.beta1, settings.beta2), eps=settings.eps, fused=True,
        )  # fmt: skip

    @property
    def rate(self) -> float:
        """Learning rate of the coming step."""
        warm_up = min(self.settings.warm_up, self.steps - 1)
        return self.settings.rate * learning_rate_multiplier(
            self.step, warm_up, self.steps, 1 / (warm_up + 1), 1.0, self.settings.final
        )

    def learn(self, loss: Tensor) -> float:
        """One step down the gradient of this rank's share of the loss; returns the norm of the whole gradient.

        Gradients of all ranks are added. What is not finite counts as 0."""
        for parameter in self.trained.values():
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in self.trained.items():
            weight = self.weights[name]
            weight.grad = torch.zeros_like(weight) if parameter.grad is None else parameter.grad.float()
            if dist.is_initialized():
                dist.all_reduce(weight.grad)
            torch.nan_to_num_(weight.grad, 0.0, 0.0, 0.0)
            parameter.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self.weights.values(), self.settings.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate
        self.optimiser.step()
        self.step += 1
        decay = min(self.settings.average, self.step / (self.step + 10))
        for name, value in self.mean.items():
            value.lerp_(self.weights[name], 1 - decay)
        self._show(self.weights)
        return float(norm)

    def averaged(self) -> dict[str, Tensor]:
        """The module's state with the running mean of its trained weights (the weights themselves without a mean)."""
        state = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        return state | {name: value.clone() for name, value in (self.mean or self.weights).items()}

    def use_average(self, on: bool) -> None:
        """Let the module compute with the running mean, or with the weights that train."""
        self._show(self.mean if on and self.mean else self.weights)

    def save(self, path: Path) -> None:
        """Write all that a continuation needs, whole or not at all."""
        state = {"step": torch.tensor(self.step)}
        state |= {
            f"module.{name}": value for name, value in self.module.state_dict().items() if name not in self.trained
        }
        for name, value in self.weights.items():
            state[f"weight.{name}"] = value.detach()
            state |= {f"{key}.{name}": moment for key, moment in self.optimiser.state.get(value, {}).items()}
        state |= {f"mean.{name}": value for name, value in self.mean.items()}
        write_tensors(path, state)

    def resume(self, path: Path) -> None:
        """Read what `save` wrote. Raises InputError for another file, or one of another network or policy."""
        state = read_tensors(path)
        step = state.pop("step", None)
        frozen = {name for name in self.module.state_dict() if name not in self.trained}
        wanted = {f"weight.{name}" for name in self.weights} | {f"mean.{name}" for name in self.mean}
        wanted |= {f"{key}.{name}" for name in self.weights for key in MOMENTS} | {f"module.{name}" for name in frozen}
        if step is None or (odd := sorted(wanted ^ state.keys())):
            raise InputError(f"{path}: is not a checkpoint of this training ({odd[0] if step is not None else 'step'})")
        self.step = int(step)
        own = self.module.state_dict()
        with torch.no_grad():
            for name in sorted(frozen):
                own[name].copy_(_fitting(state[f"module.{name}"], own[name], name, path))
            for name, weight in self.weights.items():
                weight.copy_(_fitting(state[f"weight.{name}"], weight, name, path))
                self.optimiser.state[weight] = {key: state[f"{key}.{name}"].clone() for key in MOMENTS}
            for name, value in self.mean.items():
                value.copy_(_fitting(state[f"mean.{name}"], value, name, path))
        self._show(self.weights)

    @torch.no_grad()
    def _show(self, weights: dict[str, Tensor]) -> None:
        for name, parameter in self.trained.items():
            parameter.copy_(weights[name])


def _fitting(value: Tensor, like: Tensor, name: str, path: Path) -> Tensor:
    if value.shape != like.shape:
        raise InputError(f"{path}: {name} has shape {tuple(value.shape)}; {tuple(like.shape)} is needed")
    return value


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
