"""Blocks that live in the computer's memory and visit the GPU one after the other, the next one on its way meanwhile.

At most two blocks are on the GPU. A step of the 14B network at 480x832 computes far longer on a block than the block
travels, so this costs little time (see docs/memory.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Place = tuple[dict[str, Any], str]
"""A module's table of parameters or buffers, and a name in it."""


@dataclass(frozen=True)
class _Visit:
    """A block's tensors on the device, and the event after which they are there."""

    tensors: list[Tensor]
    event: Any


class BlockOffload:
    """Takes over `LyraDiT.each_block`: `BlockOffload(network, "cuda")`, then use the network as ever."""

    def __init__(self, network: nn.Module, device: torch.device | str) -> None:
        """Moves everything but the blocks to ``device``; the blocks stay where they are (pinned for CUDA)."""
        self._network = network
        self.device = torch.device(device)
        self.blocks = list(network.get_submodule("blocks").children())
        self.most_visiting = 0
        """Largest number of blocks that were on the device at once."""
        self._visiting = 0
        self._stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        self._courier = ThreadPoolExecutor(1, "openlyra-offload")
        self._coming: tuple[int, Future[_Visit]] | None = None
        for name, child in network.named_children():
            if name != "blocks":
                child.to(self.device)
        for table, name in _places(network, deep=False):
            table[name].data = table[name].data.to(self.device)
        if self._stream is not None:
            for block in self.blocks:
                for table, name in _places(block):
                    table[name].data = table[name].data.pin_memory()
        setattr(network, "each_block", self._each)  # noqa: B010 - a method of the instance on purpose

    def close(self) -> None:
        """Give `each_block` back and stop the courier; the blocks are where they were."""
        self._network.__dict__.pop("each_block", None)
        self._coming = None
        self._courier.shutdown(wait=True)

    def _each(self) -> Iterator[tuple[int, Any]]:
        """Blocks in order, each on the device while it is the caller's turn."""
        for index, block in enumerate(self.blocks):
            visit = self._arrived(index)
            self._send_for((index + 1) % len(self.blocks))
            home = [table[name].data for table, name in _places(block)]
            for (table, name), here in zip(_places(block), visit.tensors):
                table[name].data = here
            try:
                yield index, block
            finally:
                for (table, name), there in zip(_places(block), home):
                    table[name].data = there
                self._visiting -= 1

    def _send_for(self, index: int) -> None:
        if self._coming is None or self._coming[0] != index:
            self._drop()
            self._visiting += 1
            self.most_visiting = max(self.most_visiting, self._visiting)
            self._coming = (index, self._courier.submit(self._bring, self.blocks[index]))

    def _drop(self) -> None:
        if self._coming is not None:
            self._coming[1].result()
            self._coming = None
            self._visiting -= 1

    def _arrived(self, index: int) -> _Visit:
        self._send_for(index)
        assert self._coming is not None
        visit = self._coming[1].result()
        self._coming = None
        if visit.event is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(visit.event)
            for tensor in visit.tensors:
                tensor.record_stream(current)
        return visit

    @torch.no_grad()
    def _bring(self, block: nn.Module) -> _Visit:
        tensors = [table[name].data for table, name in _places(block)]
        if self._stream is None:
            return _Visit([tensor.to(self.device, copy=True) for tensor in tensors], None)
        with torch.cuda.stream(self._stream):
            here = [tensor.to(self.device, non_blocking=True) for tensor in tensors]
            event = torch.cuda.Event()
            event.record(self._stream)
        return _Visit(here, event)


def _places(module: nn.Module, deep: bool = True) -> list[Place]:
    """Every parameter and buffer, adapters included."""
    found = []
    for part in module.modules() if deep else [module]:
        for table in (part._parameters, part._buffers):
            found += [(table, name) for name, value in table.items() if value is not None]
    return found
