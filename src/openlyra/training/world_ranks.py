"""Joining the other processes of `torchrun`, when there are any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist

from openlyra.generation.ranks import PATIENCE, world_size


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
