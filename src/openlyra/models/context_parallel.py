"""One sequence shared by several ranks: each holds a slice of the tokens, attention sees all keys and values.

The token count need not be divisible by the number of ranks: the last slices are padded, and what was padded is dropped
after gathering, so no mask is needed and the result is that of one rank. Gradients of parameters are partial on each
rank; their sum over the group is the gradient of one rank.

Network specification, section 5.3, and training specification, section 10 (the reference asserts divisibility instead).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class ContextParallel:
    """A group of ranks that share the tokens of one sequence."""

    group: Any = None
    """Process group, None for all ranks."""
    length: int = 0
    """Tokens of the whole sequence."""

    def of_length(self, length: int) -> ContextParallel:
        """The same group for a sequence of `length` tokens."""
        return replace(self, length=length)

    @property
    def size(self) -> int:
        """Ranks in the group."""
        return dist.get_world_size(self.group)

    @property
    def share(self) -> int:
        """Tokens of a slice, padding included."""
        return -(-self.length // self.size)

    def split(self, values: Tensor, axis: int = 1) -> Tensor:
        """This rank's slice of tensor with `length` tokens on `axis`, padded at the end with zeros."""
        start = min(dist.get_rank(self.group) * self.share, self.length)
        part = values.narrow(axis, start, min(self.share, self.length - start))
        missing = self.share - part.shape[axis]
        if not missing:
            return part
        shape = list(part.shape)
        shape[axis] = missing
        return torch.cat([part, part.new_zeros(shape)], axis)

    def gather(self, values: Tensor) -> Tensor:
        """(B, share, ...) -> (B, length, ...) of all ranks. Every rank uses the result: its gradients are summed."""
        return cast(Tensor, _Gather.apply(values, self.group, True))[:, : self.length]

    def gather_output(self, values: Tensor) -> Tensor:
        """Like `gather` for a result from which every rank computes the same loss: the gradient stays local."""
        return cast(Tensor, _Gather.apply(values, self.group, False))[:, : self.length]


class _Gather(torch.autograd.Function):
    """All-gather along axis 1 and its transpose."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Any, summed: bool) -> Tensor:
        ctx.group, ctx.summed, ctx.share = group, summed, values.shape[1]
        values = values.contiguous()
        parts = [torch.empty_like(values) for _ in range(dist.get_world_size(group))]
        dist.all_gather(parts, values, group=group)
        return torch.cat(parts, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient = gradients[0]
        if ctx.summed:
            gradient = gradient.contiguous().clone()
            dist.all_reduce(gradient, group=ctx.group)
        return gradient.narrow(1, dist.get_rank(ctx.group) * ctx.share, ctx.share), None, None
