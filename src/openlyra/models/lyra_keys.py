"""Does a configuration have the keys and shapes of a published checkpoint? Answered on the meta device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from openlyra.errors import InputError
from openlyra.models.lyra_config import RELEASED, LyraConfig
from openlyra.models.lyra_dit import LyraDiT

COLUMNS = ("key", "kind", "dtype", "shape", "numel")
MAX_TABLE_BYTES = 16 << 20
MAX_DIMENSIONS = 8


@dataclass(frozen=True)
class KeyEntry:
    """One tensor of a state dict."""

    kind: str
    """`param` or `buffer`."""
    dtype: str
    """For example `float32`."""
    shape: tuple[int, ...]
    """Sizes; empty for a scalar."""

    @property
    def numel(self) -> int:
        """Numbers in the tensor."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True)
class KeyReport:
    """A network against a table of keys."""

    keys: int
    """Keys of the network."""
    parameters: int
    """Numbers in the network's parameters, buffers excluded."""
    table_keys: int
    """Keys of the table."""
    table_parameters: int
    """Numbers in the table's parameters."""
    differences: tuple[str, ...]
    """One line for each key that is missing, unknown or of another kind, type or shape."""

    @property
    def equal(self) -> bool:
        """Whether network and table agree in everything."""
        return not self.differences

    def summary(self) -> str:
        """One line."""
        verdict = "all shapes equal" if self.equal else f"{len(self.differences)} differences"
        return f"{self.keys:,} of {self.table_keys:,} keys, {self.parameters:,} parameters, {verdict}"


def compare_with_table(path: Path, config: LyraConfig = RELEASED) -> KeyReport:
    """Build the network of `config` on the meta device and compare its state dict with the table in `path`.

    The table is tab-separated: key, kind (param, buffer), dtype, shape (`5120x144` or `scalar`), number of elements.
    Types are compared for buffers only: parameters come in several precisions. Raises InputError for an unusable table.
    """
    return compare_keys(network_keys(config), read_key_table(path))


def compare_keys(network: Mapping[str, KeyEntry], table: Mapping[str, KeyEntry]) -> KeyReport:
    """Compare two lists of keys."""
    differences = [f"{key}: in the table, not in the network" for key in table if key not in network]
    differences += [f"{key}: in the network, not in the table" for key in network if key not in table]
    for key, expected in table.items():
        entry = network.get(key)
        if entry is None:
            continue
        if entry.shape != expected.shape:
            differences.append(
                f"{key}: shape {_shape_text(entry)} in the network, {_shape_text(expected)} in the table"
            )
        elif entry.kind != expected.kind:
            differences.append(f"{key}: a {entry.kind} in the network, a {expected.kind} in the table")
        elif entry.kind == "buffer" and entry.dtype != expected.dtype:
            differences.append(f"{key}: {entry.dtype} in the network, {expected.dtype} in the table")
    return KeyReport(len(network), _parameters(network), len(table), _parameters(table), tuple(differences))


def network_keys(config: LyraConfig) -> dict[str, KeyEntry]:
    """Keys of the network's state dict, built without allocating any weight."""
    with torch.device("meta"):
        model = LyraDiT(config)
    parameters = {key for key, _ in model.named_parameters()}
    keys: dict[str, KeyEntry] = {}
    for key, value in model.state_dict().items():
        kind = "param" if key in parameters else "buffer"
        keys[key] = KeyEntry(kind, str(value.dtype).removeprefix("torch."), tuple(value.shape))
    return keys


def read_key_table(path: Path) -> dict[str, KeyEntry]:
    """Read a key table. Raises InputError that names the line."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; a tab-separated table of keys is needed")
    if (size := path.stat().st_size) > MAX_TABLE_BYTES:
        raise InputError(f"{path}: {size} bytes; a table of keys has at most {MAX_TABLE_BYTES}")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or tuple(lines[0].split("\t")) != COLUMNS:
        raise InputError(f"{path}: the first line is not {' '.join(COLUMNS)}, separated by tabs")
    table: dict[str, KeyEntry] = {}
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != len(COLUMNS):
            raise InputError(f"{path}: line {number} has {len(cells)} columns; {len(COLUMNS)} are needed")
        key, kind, dtype, shape, numel = cells
        entry = KeyEntry(kind, dtype, _parse_shape(shape, f"{path}: line {number}"))
        if kind not in ("param", "buffer") or numel != str(entry.numel) or key in table:
            raise InputError(f"{path}: line {number} is not consistent: {line[:80]!r}")
        table[key] = entry
    if not table:
        raise InputError(f"{path}: the table has no keys")
    return table


def _parse_shape(text: str, where: str) -> tuple[int, ...]:
    if text == "scalar":
        return ()
    sizes = text.split("x")
    if len(sizes) > MAX_DIMENSIONS or not all(size.isdecimal() and len(size) < 12 for size in sizes):
        raise InputError(f"{where}: shape {text[:40]!r} is not like 5120x144 or scalar")
    return tuple(int(size) for size in sizes)


def _shape_text(entry: KeyEntry) -> str:
    return "x".join(map(str, entry.shape)) or "scalar"


def _parameters(entries: Mapping[str, KeyEntry]) -> int:
    return sum(entry.numel for entry in entries.values() if entry.kind == "param")
