"""The processes of `torchrun`: joining them, and what each of them does of a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch.distributed as dist

from openlyra.errors import InputError
from openlyra.generation.ranks import PATIENCE, world_size
from openlyra.models.context_parallel import ContextParallel


@contextmanager
def joined_ranks() -> Iterator[int]:
    """This process' rank; with `torchrun --nproc-per-node 2` the ranks exchange gradients through gloo.

    The others wait while rank 0 trains the auto-encoder and fills the cache."""
    if world_size() == 1:
        yield 0
        return
    dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def wait_for_ranks() -> None:
    """Return when all ranks have come here."""
    if dist.is_initialized():
        dist.barrier()


@dataclass(frozen=True)
class Ranks:
    """Who does what: groups of neighbouring ranks share the tokens of the same examples."""

    rank: int
    """Of this process."""
    count: int
    """Of all processes."""
    context: ContextParallel | None
    """The group that shares tokens with this process, if any does."""
    group: int
    """Number of that group: which share of the batch it learns from."""
    groups: int
    """Shares of the batch."""

    @staticmethod
    def now(batch: int, context_ranks: int) -> Ranks:
        """The ranks there are. All must call it. Raises InputError if they, or the batch, cannot be divided so."""
        rank, count = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        if count % context_ranks:
            raise InputError(f"run.context_ranks is {context_ranks}; it must divide the {count} ranks")
        groups = count // context_ranks
        if batch % groups:
            what = "ranks" if context_ranks == 1 else f"groups of {context_ranks} ranks"
            raise InputError(f"a batch of {batch} cannot be shared; a multiple of {groups} {what} is needed")
        if context_ranks == 1:
            return Ranks(rank, count, None, rank, groups)
        every = [dist.new_group(range(i * context_ranks, (i + 1) * context_ranks)) for i in range(groups)]
        own = rank // context_ranks
        return Ranks(rank, count, ContextParallel(every[own]), own, groups)

    def places(self, batch: int) -> range:
        """Places in the batch that this rank learns from."""
        share = batch // self.groups
        return range(self.group * share, (self.group + 1) * share)
