"""Steps along orthogonalised gradients, for the matrices inside convolutions (Jordan et al., Muon, 2024).

PyTorch's own Muon takes parameters of two dimensions only and lets every rank do all the work.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from openlyra.training.precision import quick_type

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial that pushes singular values towards one."""
ROUNDS = 5
"""How often it is applied."""
SIZE = 0.2
"""Root mean square of a step at rate one, that of AdamW's (Liu et al., Muon is scalable for LLM training, 2025)."""
MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """A parameter of any shape counts as a matrix of its first side by all others.

    Args of the constructor:
        groups: parameters by group; `param_groups` holds the rate of each as `lr`.
        weight_decay: decoupled.
        rank: of this process, `count` of all; each works out its share of the steps and gets those of the others.
    """

    def __init__(self, groups: Sequence[Iterable[Tensor]], weight_decay: float, rank: int = 0, count: int = 1) -> None:
        super().__init__([{"params": list(group)} for group in groups], {"lr": 1e-3, "weight_decay": weight_decay})
        self.rank, self.count = rank, count

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; every parameter must have a gradient."""
        learnt = [(group, parameter) for group in self.param_groups for parameter in group["params"]]
        sought = [self._sought(parameter, parameter.grad) for _, parameter in learnt]
        for (group, parameter), change in zip(learnt, self._orthogonal(sought)):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.sub_(change.reshape(parameter.shape), alpha=group["lr"] * SIZE * max(change.shape) ** 0.5)

    def _sought(self, parameter: Tensor, gradient: Tensor) -> Tensor:
        """The gradient with its momentum (Nesterov's), as a matrix."""
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(momentum, MOMENTUM).flatten(1)

    def _orthogonal(self, matrices: list[Tensor]) -> Sequence[Tensor]:
        """Each matrix made orthogonal; those of one shape together, and every rank some of them."""
        found = [torch.zeros_like(matrix) for matrix in matrices]
        alike = defaultdict(list)
        for number, matrix in enumerate(matrices):
            alike[matrix.shape].append(number)
        for numbers in alike.values():
            if own := numbers[self.rank :: self.count]:
                for number, matrix in zip(own, orthogonal(torch.stack([matrices[n] for n in own]))):
                    found[number] = matrix
        if self.count == 1:
            return found
        flat = torch.cat([matrix.flatten() for matrix in found])
        dist.all_reduce(flat)
        parts = flat.split([matrix.numel() for matrix in found])
        return [part.view_as(matrix) for part, matrix in zip(parts, found)]


def orthogonal(matrices: Tensor) -> Tensor:
    """(N, rows, columns) with singular vectors kept and singular values brought near one (0.7 to 1.2 but for tiny
    ones), in the quicker precision; by Newton and Schulz's iteration with Jordan's coefficients."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).to(quick_type())
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).float()
