"""Weights on disk: safetensors only, one file or many; names, shapes, types are checked before anything is allocated.

A folder holds either an index (`*.safetensors.index.json`, as the Hub writes it) with its shards, or any number of
`.safetensors` files with different names inside. Only headers are read until a tensor is asked for.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from openlyra.errors import InputError
from openlyra.media.atomic import atomic_path, write_bytes_atomic

INDEX_SUFFIX = ".safetensors.index.json"
MAX_INDEX_BYTES = 64 << 20
SHARD_BYTES = 4 << 30
"""Largest shard that is written."""
PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".distcp")
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn,
}  # fmt: skip


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor is and what it is."""

    file: Path
    """The safetensors file."""
    dtype: torch.dtype
    """Type of its numbers."""
    shape: tuple[int, ...]
    """Its sizes."""

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors in one or several safetensors files."""

    path: Path
    """The file or folder that was opened."""
    tensors: Mapping[str, StoredTensor]
    """What is in it, by name."""

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Checkpoint:
        """Read the headers. Raises InputError for what is missing, truncated or no safetensors."""
        path = Path(path)
        if path.is_file():
            return cls(path, _header(path))
        if not path.is_dir():
            raise InputError(f"{path}: does not exist; a .safetensors file or a folder of them is needed")
        indices = sorted(path.glob(f"*{INDEX_SUFFIX}"))
        if len(indices) > 1:
            raise InputError(f"{path}: has {len(indices)} indices (*{INDEX_SUFFIX}); keep one model in a folder")
        tensors = _by_index(indices[0]) if indices else _by_headers(path)
        return cls(path, tensors)

    @property
    def bytes(self) -> int:
        """Size of all tensors."""
        return sum(tensor.bytes for tensor in self.tensors.values())

    def check(
        self, expected: Mapping[str, Sequence[int]], ignored: Callable[[str], bool] = lambda name: False,
        optional: Collection[str] = (),
    ) -> None:  # fmt: skip
        """Raise InputError, in one line, unless the names and shapes are the expected ones and all numbers are real.

        Args:
            expected: shape of each tensor that must be there.
            ignored: names in the file that do not matter.
            optional: names of ``expected`` that need not be there.
        """
        missing = sorted(expected.keys() - self.tensors.keys() - set(optional))
        unknown = sorted(name for name in self.tensors.keys() - expected.keys() if not ignored(name))
        if missing:
            raise InputError(
                f"{self.path}: {len(missing)} of {len(expected)} tensors are missing, first {missing[0]}"
                + (f"; {unknown[0]} is not of this model" if unknown else "")
            )
        if unknown:
            raise InputError(f"{self.path}: {len(unknown)} tensors are not of this model, first {unknown[0]}")
        for name, shape in expected.items():
            stored = self.tensors.get(name)
            if stored is None:
                continue
            if stored.shape != tuple(shape):
                raise InputError(f"{stored.file}: {name} is {_text(stored.shape)}; the model needs {_text(shape)}")
            if not stored.dtype.is_floating_point:
                raise InputError(f"{stored.file}: {name} holds {_name(stored.dtype)}; a floating point type is needed")

    def read(self, names: Collection[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Tensors one after the other, file by file. Raises InputError for an unknown name or a damaged file."""
        wanted = self.tensors if names is None else names
        by_file: dict[Path, list[str]] = {}
        for name in wanted:
            if name not in self.tensors:
                raise InputError(f"{self.path}: no tensor {name}")
            by_file.setdefault(self.tensors[name].file, []).append(name)
        for file, inside in by_file.items():
            with ExitStack() as stack:
                handle = stack.enter_context(_opened(file))
                for name in inside:
                    yield name, handle.get_tensor(name)

    def check_finite(self) -> None:
        """Read everything once; raise InputError for the first tensor that holds not-a-number or infinity."""
        for name, value in self.read():
            require_finite(name, value, self.tensors[name].file)


def require_finite(name: str, value: Tensor, file: Path) -> None:
    """Raise InputError when a weight is not a finite number."""
    wide = value.float() if value.dtype == torch.float8_e4m3fn else value
    if value.dtype.is_floating_point and not torch.isfinite(wide).all():
        bad = int((~torch.isfinite(wide)).sum())
        raise InputError(f"{file}: {name} holds {bad} numbers that are not finite; download the file again")


def load_into(
    network: nn.Module, checkpoint: Checkpoint, *, rename: Callable[[str], str] = lambda name: name,
    ignored: Callable[[str], bool] = lambda name: False, optional: Collection[str] = (),
    dtype: torch.dtype | None = None, device: torch.device | str = "cpu",
    put: Callable[[nn.Module, str, Tensor], None] | None = None,
) -> None:  # fmt: skip
    """Fill a network built on the meta device, after checking every name and shape against it.

    Args:
        rename: name in the file -> name in the network.
        ignored: names in the file that are left out.
        optional: names in the network that the file need not have; they stay as they are.
        dtype: floating-point type to convert to; None keeps the file's.
        put: called with (network, name, tensor on the CPU) instead of the conversion, the move and `assign`.

    Raises:
        InputError: see `Checkpoint.check`; also for numbers that are not finite.
    """
    names = {name: rename(name) for name in checkpoint.tensors if not ignored(name)}
    renamed = Checkpoint(checkpoint.path, {new: checkpoint.tensors[name] for name, new in names.items()})
    expected = {name: value.shape for name, value in network.state_dict().items()}
    renamed.check(expected, optional=optional)
    for name, value in checkpoint.read(names):
        require_finite(name, value, checkpoint.tensors[name].file)
        if put is not None:
            put(network, names[name], value)
        else:
            assign(network, names[name], value.to(device=device, dtype=dtype))


def assign(network: nn.Module, name: str, value: Tensor) -> None:
    """Put a tensor in the place of a parameter or buffer, whatever is there now."""
    owner, _, last = name.rpartition(".")
    module = network.get_submodule(owner)
    if last in module._parameters:
        module._parameters[last] = nn.Parameter(value, requires_grad=False)
    else:
        module._buffers[last] = value


class ShardWriter:
    """Writes tensors into shards of bounded size and an index, all under temporary names until they are whole."""

    def __init__(self, folder: Path, stem: str = "model", shard_bytes: int = SHARD_BYTES) -> None:
        """``folder`` is made when it does not exist."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.stem, self.limit = folder, stem, shard_bytes
        self._pending: dict[str, Tensor] = {}
        self._size = 0
        self._files: list[tuple[Path, list[str]]] = []
        self._total = 0

    def add(self, name: str, value: Tensor) -> None:
        """Take a tensor; earlier ones are written when the shard is full."""
        value = value.contiguous()
        size = value.numel() * value.element_size()
        if self._pending and self._size + size > self.limit:
            self._flush()
        self._pending[name] = value
        self._size += size
        self._total += size

    def finish(self) -> list[Path]:
        """Write the rest and the index; returns the shards. Shards and index of an earlier conversion are replaced."""
        if self._pending:
            self._flush()
        count = len(self._files)
        for old in self.folder.glob(f"{self.stem}*.safetensors"):
            old.unlink()
        for old in self.folder.glob(f"{self.stem}{INDEX_SUFFIX}"):
            old.unlink()
        weight_map: dict[str, str] = {}
        paths = []
        for number, (temporary, names) in enumerate(self._files, start=1):
            file = f"{self.stem}.safetensors" if count == 1 else f"{self.stem}-{number:05d}-of-{count:05d}.safetensors"
            os.replace(temporary, self.folder / file)
            paths.append(self.folder / file)
            weight_map |= dict.fromkeys(names, file)
        if count > 1:
            index = {"metadata": {"total_size": self._total}, "weight_map": weight_map}
            write_bytes_atomic(self.folder / f"{self.stem}{INDEX_SUFFIX}", json.dumps(index, indent=1).encode())
        return paths

    def discard(self) -> None:
        """Delete what was written so far."""
        for temporary, _ in self._files:
            temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        temporary = self.folder / f".{self.stem}-{os.getpid()}-{len(self._files)}.part"
        with atomic_path(temporary) as target:
            save_file(self._pending, target, metadata={"format": "pt"})
        self._files.append((temporary, list(self._pending)))
        self._pending, self._size = {}, 0


def _by_index(index: Path) -> dict[str, StoredTensor]:
    if index.stat().st_size > MAX_INDEX_BYTES:
        raise InputError(f"{index}: {index.stat().st_size} bytes; an index has at most {MAX_INDEX_BYTES}")
    try:
        places: Any = json.loads(index.read_text())["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{index}: is not an index of shards ({error})") from error
    if not isinstance(places, dict) or not all(isinstance(v, str) for v in places.values()):
        raise InputError(f"{index}: is not an index of shards (weight_map)")
    tensors: dict[str, StoredTensor] = {}
    for file in sorted(set(places.values())):
        if file != os.path.basename(file) or not file.endswith(".safetensors"):
            raise InputError(f"{index}: names a shard '{file}'; only .safetensors files beside it are read")
        if not (index.parent / file).is_file():
            raise InputError(f"{index.parent / file}: shard is missing; {index.name} names it")
        inside = _header(index.parent / file)
        tensors |= {name: inside[name] for name, where in places.items() if where == file and name in inside}
    absent = sorted(places.keys() - tensors.keys())
    if absent:
        raise InputError(
            f"{index.parent / places[absent[0]]}: does not hold {absent[0]}, which {index.name} puts there"
        )
    return tensors


def _by_headers(folder: Path) -> dict[str, StoredTensor]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES)
        hint = f"; {pickles[0]} can be made into one with: openlyra models convert" if pickles else ""
        raise InputError(f"{folder}: has no .safetensors file{hint}")
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        inside = _header(file)
        twice = sorted(inside.keys() & tensors.keys())
        if twice:
            raise InputError(f"{file}: {twice[0]} is also in {tensors[twice[0]].file.name}")
        tensors |= inside
    return tensors


def _header(file: Path) -> dict[str, StoredTensor]:
    if file.suffix != ".safetensors":
        hint = "; make it one with: openlyra models convert" if file.suffix in PICKLES else ""
        raise InputError(f"{file}: is not a .safetensors file{hint}")
    tensors = {}
    with _opened(file) as handle:
        for name in handle.keys():
            part = handle.get_slice(name)
            kind = part.get_dtype()
            if kind not in DTYPES:
                raise InputError(f"{file}: {name} is of type {kind}; known are {', '.join(DTYPES)}")
            tensors[name] = StoredTensor(file, DTYPES[kind], tuple(part.get_shape()))
    return tensors


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, "pt")
    except (SafetensorError, OSError) as error:
        size = file.stat().st_size if file.exists() else 0
        first = str(error).splitlines()[0]
        raise InputError(f"{file}: truncated or damaged ({first}; {size} bytes); download it again") from error


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
