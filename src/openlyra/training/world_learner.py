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
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from openlyra.errors import InputError
from openlyra.sampling.flow import learning_rate_multiplier
from openlyra.training.world_checkpoint import StoredState, write_parts, write_whole
from openlyra.training.world_settings import OptimiserSettings
from openlyra.training.world_sharding import first_row, gather_again, own_rows, whole

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class Learner:
    """Trains the chosen parameters of a module; the others get no gradient at all."""

    def __init__(self, module: nn.Module, settings: OptimiserSettings, steps: int, alone: bool = False) -> None:
        """`steps`: length of the whole training, for the fall of the rate. `alone`: other ranks do not train with this
        one. Raises InputError if nothing trains."""
        self.together = dist.is_initialized() and not alone
        self.sharded = isinstance(module, FSDPModule)
        """Whether each rank keeps only some rows of every tensor; `weights`, `mean` and moments are these rows."""
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
        self.weights = {name: own_rows(value.detach()).float().clone() for name, value in self.trained.items()}
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
        """One step down the gradient of this rank's share of the loss; returns the norm of the whole gradient."""
        self.backward(loss)
        return self.follow()

    def backward(self, loss: Tensor) -> None:
        """The gradient of this rank's share of the loss."""
        for parameter in self.trained.values():
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]

    def follow(self) -> float:
        """One step down that gradient; returns its norm. Gradients of all ranks are added; what is not finite is 0."""
        for name, parameter in self.trained.items():
            weight = self.weights[name]
            weight.grad = torch.zeros_like(weight) if parameter.grad is None else own_rows(parameter.grad).float()
            if self.together and not self.sharded:
                dist.all_reduce(weight.grad)
            torch.nan_to_num_(weight.grad, 0.0, 0.0, 0.0)
            parameter.grad = None
        gradients = [weight.grad for weight in self.weights.values() if weight.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.sharded:
            square = norm.square()
            dist.all_reduce(square)
            norm = square.sqrt()
        torch.nn.utils.clip_grads_with_norm_(list(self.weights.values()), self.settings.clip, norm)
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
        """The module's state with the running mean of its trained weights (the weights themselves without a mean).

        Whole tensors: with shards all ranks must call it."""
        best = self.mean or self.weights
        return {
            name: whole(best[name] if name in best else own_rows(value), value).clone()
            for name, value in _detached(self.module).items()
        }

    def use_average(self, on: bool) -> None:
        """Let the module compute with the running mean, or with the weights that train."""
        self._show(self.mean if on and self.mean else self.weights)

    def save(self, path: Path) -> None:
        """Write all that a continuation needs, whole or not at all. With shards all ranks must call it."""
        state, first = {}, {}
        for name, value in _detached(self.module).items():
            if name not in self.trained and (isinstance(value, DTensor) or not self.sharded or dist.get_rank() == 0):
                state[f"module.{name}"], first[f"module.{name}"] = own_rows(value), first_row(value)
        for name, weight in self.weights.items():
            kept = {f"weight.{name}": weight.detach()}
            kept |= {f"{key}.{name}": moment for key, moment in self.optimiser.state.get(weight, {}).items()}
            kept |= {f"mean.{name}": self.mean[name]} if self.mean else {}
            state |= kept
            first |= dict.fromkeys(kept, first_row(self.trained[name]))
        if self.sharded:
            write_parts(path, self.step, state, first)
        else:
            write_whole(path, self.step, state)

    def resume(self, path: Path) -> None:
        """Read what `save` wrote, with any number of ranks. Raises InputError for another file, or one of another
        network or policy."""
        state = StoredState(path)
        own = _detached(self.module)
        frozen = {name for name in own if name not in self.trained}
        wanted = {f"weight.{name}" for name in self.weights} | {f"mean.{name}" for name in self.mean}
        wanted |= {f"{key}.{name}" for name in self.weights for key in MOMENTS} | {f"module.{name}" for name in frozen}
        if odd := sorted(wanted ^ state.names()):
            raise InputError(f"{path}: is not a checkpoint of this training ({odd[0]})")

        def rows(key: str, like: Tensor, whole_one: Tensor) -> Tensor:
            total = whole_one.shape[0] if whole_one.dim() else 0
            return state.get(key, like, first_row(whole_one), total)

        self.step = state.step
        with torch.no_grad():
            for name in sorted(frozen):
                kept = own_rows(own[name])
                kept.copy_(rows(f"module.{name}", kept, own[name]))
            for name, weight in self.weights.items():
                parameter = self.trained[name]
                weight.copy_(rows(f"weight.{name}", weight, parameter))
                moments = {key: rows(f"{key}.{name}", weight, parameter) for key in MOMENTS if key != "step"}
                steps = state.get(f"step.{name}", torch.zeros(()), 0, 0)
                self.optimiser.state[weight] = {"step": steps.clone(), **{k: v.clone() for k, v in moments.items()}}
                if self.mean:
                    self.mean[name].copy_(rows(f"mean.{name}", weight, parameter))
        self._show(self.weights)

    @torch.no_grad()
    def _show(self, weights: dict[str, Tensor]) -> None:
        for name, parameter in self.trained.items():
            own_rows(parameter).copy_(weights[name])
        if self.sharded:
            gather_again(self.module)


def _detached(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in module.state_dict().items()}


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
