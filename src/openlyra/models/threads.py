"""How many threads PyTorch computes with, for as long as something needs another number than the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numba
import torch


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """PyTorch computes with `count` threads inside, 0 for as many as before; afterwards all is as it was.

    Last bits depend on the number, so one that stayed behind would change what the process makes next.
    """
    numba.get_num_threads()  # starts its threads, which sets PyTorch's number to theirs, once
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
