"""Checkpoints that any number of ranks writes and any other reads: safetensors files with rows of each tensor.

One process writes one file. Sharded ranks write a part each, `<name>-<step>-<rank>.safetensors`, whose metadata say at
which row each tensor begins; the named file comes last, and holds the number of parts. Until then the last one counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from torch import Tensor

from openlyra.errors import InputError
from openlyra.models.tensors import write_tensors

PARTS, ROWS = "parts", "rows"
MAX_PARTS = 4096


def write_parts(path: Path, step: int, rows: Mapping[str, Tensor], first: Mapping[str, int]) -> None:
    """Write this rank's rows, which begin at `first`. All ranks must call it; it returns when the checkpoint counts."""
    rank, count = dist.get_rank(), dist.get_world_size()
    write_tensors(_part(path, step, rank), rows, {ROWS: json.dumps(dict(first))})
    dist.barrier()
    if rank == 0:
        write_tensors(path, {"step": torch.tensor(step)}, {PARTS: str(count)})
        _tidy(path, {_part(path, step, other) for other in range(count)})
    dist.barrier()


def write_whole(path: Path, step: int, tensors: Mapping[str, Tensor]) -> None:
    """Write all of every tensor, from one process."""
    write_tensors(path, {"step": torch.tensor(step)} | dict(tensors))
    _tidy(path, set())


def _tidy(path: Path, wanted: set[Path]) -> None:
    """Delete parts of earlier checkpoints, which no longer count."""
    for old in path.parent.glob(f"{path.stem}-*-*.safetensors"):
        if old not in wanted:
            old.unlink()


def _part(path: Path, step: int, rank: int) -> Path:
    return path.with_name(f"{path.stem}-{step:09d}-{rank:05d}.safetensors")


class StoredState:
    """A checkpoint, read row by row."""

    def __init__(self, path: Path) -> None:
        """Raises InputError for what is no checkpoint, or lacks a part."""
        self.path = path
        self._places: dict[str, list[tuple[int, Any]]] = {}
        try:
            named = safe_open(path, "pt")
            count = int((named.metadata() or {}).get(PARTS, 0))
            if not 0 <= count <= MAX_PARTS or "step" not in named.keys():
                raise ValueError("step is missing")
            self.step = int(named.get_tensor("step"))
            files = [safe_open(_part(path, self.step, rank), "pt") for rank in range(count)] or [named]
            for file in files:
                first = json.loads((file.metadata() or {}).get(ROWS, "{}"))
                for name in file.keys():
                    self._places.setdefault(name, []).append((int(first.get(name, 0)), file))
        except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
            said = str(error).replace("\n", " ")
            raise InputError(f"{path}: is not a checkpoint of this training ({said})") from None
        self._places.pop("step", None)

    def names(self) -> set[str]:
        """Of all tensors."""
        return set(self._places)

    def get(self, name: str, like: Tensor, first: int, total: int) -> Tensor:
        """Rows of a tensor from `first` on, as many as `like` has, of `total`. Raises InputError if it is another."""
        pieces, reached = [], 0
        for begin, file in sorted(self._places[name], key=lambda place: place[0]):
            part = file.get_slice(name)
            shape = part.get_shape()
            if shape[1:] != list(like.shape[1:]) or bool(shape) != bool(like.dim()):
                raise InputError(f"{self.path}: {name} has shape {shape}; {tuple(like.shape)} is needed")
            if not shape:
                return torch.as_tensor(file.get_tensor(name))
            last = min(first + len(like), begin + shape[0]) - begin
            if max(first - begin, 0) < last:
                pieces.append(part[max(first - begin, 0) : last])
            reached = max(reached, begin + shape[0])
        found = torch.cat(pieces) if pieces else like.new_empty(like.shape)
        if reached != total or len(found) != len(like):
            raise InputError(f"{self.path}: {name} has {reached} rows; {total} are needed")
        return found
