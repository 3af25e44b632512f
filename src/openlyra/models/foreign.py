"""Weight files that are pickles (`.pth`, `.pt`, distributed checkpoints): what is in them, without unpickling here.

A process of its own (`foreign_pickle_reader.py`) says where each tensor lies; this file checks it and reads the bytes.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openlyra.errors import InputError

READER = Path(__file__).with_name("foreign_pickle_reader.py")
TIMEOUT = 900
"""Seconds the reader may take."""
MAX_DIMENSIONS, MAX_SIZE = 8, 1 << 40
METADATA = ".metadata"
"""File that says what is in a distributed checkpoint."""
DTYPES = {
    name: getattr(torch, name)
    for name in (
        "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "int64", "int32", "int16", "int8", "uint8",
        "bool",
    )
}  # fmt: skip


@dataclass(frozen=True)
class Span:
    """A tensor in a file: a strided view of a range of bytes."""

    file: Path
    dtype: torch.dtype
    start: int
    """First byte of the storage in the file."""
    bytes: int
    """Bytes of the storage."""
    offset: int
    """First element of the tensor in the storage."""
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    """In elements."""

    def read(self) -> Tensor:
        """The tensor, contiguous, in its stored type."""
        if 0 in self.shape:
            return torch.empty(self.shape, dtype=self.dtype)
        count = 1 + sum((size - 1) * step for size, step in zip(self.shape, self.stride))
        width = self.dtype.itemsize
        raw = np.fromfile(self.file, np.uint8, count * width, offset=self.start + self.offset * width)
        return torch.from_numpy(raw).view(self.dtype).as_strided(self.shape, self.stride).contiguous()


@dataclass(frozen=True)
class Part:
    """A block of a tensor of a distributed checkpoint."""

    offsets: tuple[int, ...]
    """First index along each axis."""
    sizes: tuple[int, ...]
    span: Span


@dataclass(frozen=True)
class ForeignTensor:
    """A tensor of a foreign file, whole or in parts."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    parts: tuple[Part, ...]

    def read(self) -> Tensor:
        """The tensor in its stored type."""
        if len(self.parts) == 1 and self.parts[0].sizes == self.shape:
            return self.parts[0].span.read()
        whole = torch.empty(self.shape, dtype=self.dtype)
        for part in self.parts:
            at = tuple(slice(offset, offset + size) for offset, size in zip(part.offsets, part.sizes))
            whole[at] = part.span.read()
        return whole


def read_pickle_file(path: Path) -> dict[str, ForeignTensor]:
    """Tensors of a file made by torch.save, by dotted name. Raises InputError for what is not one."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    size = path.stat().st_size
    (found,) = _ask({"tensors": [[str(path), 0, size]]}, path)["files"]
    if not found:
        raise InputError(f"{path}: holds no tensors")
    return {name: _whole(_span(path, facts, (0, size))) for name, facts in found.items()}


def read_distributed(folder: Path) -> dict[str, ForeignTensor]:
    """Tensors of a distributed checkpoint (a folder with `.metadata` and `.distcp` shards), by name."""
    index = folder / METADATA
    if not index.is_file():
        raise InputError(f"{folder}: has no {METADATA}; a distributed checkpoint is needed")
    tensors = _ask({"metadata": str(index)}, index)["tensors"]
    places = [_place(folder, name, part) for name, facts in tensors.items() for part in facts["parts"]]
    answers = iter(_ask({"tensors": [[str(file), *extent] for file, extent in places]}, folder)["files"])
    where = iter(places)
    return {name: _in_parts(name, facts, where, answers) for name, facts in tensors.items()}


def _place(folder: Path, name: str, part: Mapping[str, Any]) -> tuple[Path, tuple[int, int]]:
    relative, start, length = part["where"]
    if not isinstance(relative, str) or Path(relative).name != relative:
        raise InputError(f"{folder / METADATA}: puts {name} outside of the folder")
    file = folder / relative
    if not file.is_file():
        raise InputError(f"{file}: shard is missing; {METADATA} names it for {name}")
    size = file.stat().st_size
    if not (_is_count(start) and _is_count(length)) or start + length > size:
        raise InputError(f"{file}: truncated ({size} bytes; {name} is expected up to byte {start + length})")
    return file, (start, length)


def _in_parts(
    name: str, facts: Mapping[str, Any], where: Iterator[tuple[Path, tuple[int, int]]], answers: Iterator[Any]
) -> ForeignTensor:
    shape = _sizes(facts["shape"], name)
    parts, covered = [], 0
    for part in facts["parts"]:
        (file, extent), found = next(where), next(answers)
        if list(found) != [""]:
            raise InputError(f"{file}: the part of {name} at byte {extent[0]} is not one tensor")
        span = _span(file, found[""], extent)
        offsets, sizes = _sizes(part["offsets"], name), _sizes(part["sizes"], name)
        fits = len(offsets) == len(sizes) == len(shape) and span.shape == sizes
        if not fits or any(o + s > whole for o, s, whole in zip(offsets, sizes, shape)):
            raise InputError(f"{file}: a part of {name} is {span.shape}, which does not fit {shape}")
        parts.append(Part(offsets, sizes, span))
        covered += math.prod(sizes)
    if covered != math.prod(shape):
        raise InputError(f"{name}: its parts have {covered} of {math.prod(shape)} numbers")
    return ForeignTensor(parts[0].span.dtype, shape, tuple(parts))


def _whole(span: Span) -> ForeignTensor:
    return ForeignTensor(span.dtype, span.shape, (Part((0,) * len(span.shape), span.shape, span),))


def _span(file: Path, facts: Mapping[str, Any], extent: tuple[int, int]) -> Span:
    """What the reader said, checked: the tensor lies inside its storage and the storage inside its part of the file."""
    shape, stride = _sizes(facts["shape"], str(file)), _sizes(facts["stride"], str(file))
    start, size, offset = facts["start"], facts["bytes"], facts["offset"]
    if facts["dtype"] not in DTYPES or len(shape) != len(stride) or not all(map(_is_count, (start, size, offset))):
        raise InputError(f"{file}: holds a tensor that makes no sense")
    dtype = DTYPES[facts["dtype"]]
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride))
    inside = 0 in shape or (last + 1) * dtype.itemsize <= size
    if not inside or start < extent[0] or start + size > extent[0] + extent[1]:
        raise InputError(f"{file}: holds a tensor that reaches beyond the file; it is damaged")
    if math.prod(shape) * dtype.itemsize > size and 0 not in shape:
        raise InputError(f"{file}: holds a tensor larger than its data")
    return Span(file, dtype, start, size, offset, shape, stride)


def _sizes(values: Any, name: str) -> tuple[int, ...]:
    if not isinstance(values, Sequence) or len(values) > MAX_DIMENSIONS or not all(map(_is_count, values)):
        raise InputError(f"{name}: has a shape that makes no sense")
    return tuple(values)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SIZE


def _ask(request: Mapping[str, Any], name: Path) -> Any:
    """One run of the reader. Raises InputError with its message."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-E", str(READER)], input=json.dumps(request), capture_output=True, text=True,
            env={}, timeout=TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise InputError(f"{name}: reading it took more than {TIMEOUT} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"{name}: cannot be read ({last})")
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise InputError(f"{name}: {answer['error']}")
    return answer
