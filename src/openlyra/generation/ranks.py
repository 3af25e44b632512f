"""Several processes share one walk: rank 0 walks, the others lend their part of the video transformer.

Started with `torchrun`; processes talk over gloo (CPU) or NCCL (GPU). Rank 0 sends each network call's tensors to the
others, so that a follower needs neither the photo nor the run folder, only the weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from openlyra.models.context_parallel import ContextParallel
from openlyra.models.lyra_dit import LyraDiT

STOP, PREPARE, WITH_TEXT, CALL = range(4)
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64)
MOST_AXES = 6
PATIENCE = timedelta(days=1)
"""Followers wait this long for a call: rank 0 also decodes, measures depth and writes files in between."""


def world_size() -> int:
    """Processes that torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Number of this process; 0 walks."""
    return int(os.environ.get("RANK", "0"))


@contextmanager
def joined() -> Iterator[None]:
    """Be part of the group for a while; at the end rank 0 sends the others home. Does nothing in a single process."""
    if world_size() == 1:
        yield
        return
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
        if rank() == 0:
            _send(STOP, [])
    finally:
        dist.destroy_process_group()


def shared(network: Any) -> Any:
    """The network, or, in a group, one that asks the other ranks to compute with it."""
    return SharedNetwork(network) if dist.is_available() and dist.is_initialized() else network


class SharedNetwork:
    """Rank 0's side: the interface of the video transformer, each call also made by the followers."""

    def __init__(self, network: LyraDiT) -> None:
        network.context_parallel = ContextParallel()
        self.network = network
        self.chunks: list[Any] = []

    def prepare_chunk(
        self, *, conditions: Tensor, text: Tensor, image: Tensor, rays: Tensor | None, buffer: Tensor | None
    ) -> int:
        """Begin a chunk; what was prepared before is forgotten. Returns its number for the calls."""
        _send(PREPARE, [conditions, text, image, rays, buffer])
        self.chunks = [_prepare(self.network, conditions, text, image, rays, buffer)]
        return 0

    def with_text(self, chunk: int, text: Tensor) -> int:
        """The same chunk with another text."""
        _send(WITH_TEXT, [torch.tensor(chunk, device=text.device), text])
        self.chunks.append(self.network.with_text(self.chunks[chunk], text))
        return len(self.chunks) - 1

    def __call__(self, latents: Tensor, timestep: Tensor, chunk: int) -> Tensor:
        """Velocity of the new latents."""
        _send(CALL, [torch.tensor(chunk, device=latents.device), latents, timestep])
        return self.network(latents, timestep, self.chunks[chunk])


def follow(network: LyraDiT) -> None:
    """A follower's life: compute what rank 0 asks for until it says stop."""
    network.context_parallel = ContextParallel()
    device = next(network.parameters()).device
    chunks: list[Any] = []
    with torch.no_grad():
        while True:
            command, tensors = _receive(device)
            if command == STOP:
                return
            if command == PREPARE:
                chunks = [_prepare(network, *tensors)]
            elif command == WITH_TEXT:
                chunks.append(network.with_text(chunks[int(tensors[0])], tensors[1]))
            else:
                network(tensors[1], tensors[2], chunks[int(tensors[0])])


def _prepare(
    network: LyraDiT, conditions: Any, text: Any, image: Any, rays: Tensor | None, buffer: Tensor | None
) -> Any:
    with torch.no_grad():
        return network.prepare_chunk(conditions=conditions, text=text, image=image, rays=rays, buffer=buffer)


def _send(command: int, tensors: Sequence[Tensor | None]) -> None:
    """Rank 0 tells the others a command and its tensors: a table of shapes first, then the values."""
    device = _table_device()
    table = torch.zeros(2 + len(tensors) * (2 + MOST_AXES), dtype=torch.int64)
    table[0], table[1] = command, len(tensors)
    for place, tensor in enumerate(tensors):
        row = table[2 + place * (2 + MOST_AXES) :]
        row[0] = -1 if tensor is None else DTYPES.index(tensor.dtype)
        if tensor is not None:
            row[1] = tensor.dim()
            row[2 : 2 + tensor.dim()] = torch.tensor(tensor.shape, dtype=torch.int64)
    dist.broadcast(torch.tensor([len(table)], device=device), 0)
    dist.broadcast(table.to(device), 0)
    for tensor in tensors:
        if tensor is not None:
            dist.broadcast(tensor.contiguous(), 0)


def _receive(device: torch.device) -> tuple[int, list[Any]]:
    """A follower's side of `_send`."""
    length = torch.zeros(1, dtype=torch.int64, device=_table_device())
    dist.broadcast(length, 0)
    table = torch.zeros(int(length), dtype=torch.int64, device=_table_device())
    dist.broadcast(table, 0)
    command, count, *rows = table.tolist()
    tensors: list[Any] = []
    for place in range(count):
        kind, axes, *shape = rows[place * (2 + MOST_AXES) : (place + 1) * (2 + MOST_AXES)]
        if kind < 0:
            tensors.append(None)
            continue
        values = torch.empty(shape[:axes], dtype=DTYPES[kind], device=device)
        dist.broadcast(values, 0)
        tensors.append(values)
    return command, tensors


def _table_device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
