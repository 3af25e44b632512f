"""A golden file, its neighbours, and the comparison of one tensor with what was computed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from openlyra.errors import InputError


@dataclass(frozen=True)
class Comparison:
    """One recorded tensor (or fact) against what this code gives for it."""

    name: str
    """Key in the file."""
    error: float
    """Worst absolute error; infinite when shapes differ or a not-finite value stands where a finite one should."""
    tolerance: float
    """Largest error that passes; 0 asks for equality."""
    remark: str = ""
    """What is wrong, when the number alone does not say it."""

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance


class GoldenFile:
    """A safetensors file of recorded numbers. Tensors are read when asked for; what was asked for is remembered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._used: set[str] = set()

    @property
    def stem(self) -> str:
        return self.path.stem

    @cached_property
    def keys(self) -> frozenset[str]:
        with self._open() as file:
            return frozenset(file.keys())

    def __contains__(self, key: str) -> bool:
        return key in self.keys

    def __getitem__(self, key: str) -> torch.Tensor:
        """The tensor recorded under `key`, on the CPU, in its stored type."""
        if key not in self.keys:
            raise InputError(f"{self.path}: no tensor {key!r}, which this kind of file needs")
        self._used.add(key)
        with self._open() as file:
            return file.get_tensor(key)

    def shape(self, key: str) -> tuple[int, ...]:
        """Sizes of a tensor without reading it; empty when there is none."""
        if key not in self.keys:
            return ()
        with self._open() as file:
            return tuple(file.get_slice(key).get_shape())

    def get(self, key: str) -> torch.Tensor | None:
        """Like `self[key]`, None when there is no such tensor."""
        return self[key] if key in self else None

    def group(self, prefix: str) -> dict[str, torch.Tensor]:
        """All tensors whose key starts with `prefix`, by what follows it."""
        return {key.removeprefix(prefix): self[key] for key in sorted(self.keys) if key.startswith(prefix)}

    def unused(self) -> list[str]:
        """Keys nobody has read so far: recorded numbers that were not compared."""
        return sorted(self.keys - self._used)

    def neighbour(self, stem: str) -> GoldenFile | None:
        """Another safetensors file of the same folder, None when it is not there."""
        path = self.path.with_name(f"{stem}.safetensors")
        return GoldenFile(path) if path.is_file() else None

    def facts(self, stem: str | None = None) -> dict[str, Any]:
        """A JSON file of the same folder (default `<this stem>_info`); empty when it is not there."""
        path = self.path.with_name(f"{stem or self.stem + '_info'}.json")
        return json.loads(path.read_text()) if path.is_file() else {}

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            with safe_open(self.path, "pt") as file:
                yield file
        except (SafetensorError, OSError) as error:
            raise InputError(f"{self.path}: not a readable safetensors file ({error})") from error


def compare(name: str, got: Any, expected: Any, tolerance: float) -> Comparison:
    """Worst absolute difference of two arrays (torch, NumPy, numbers); what is not finite must be equal."""
    a, b = _float64(got), _float64(expected)
    if a.shape != b.shape:
        return Comparison(name, math.inf, tolerance, f"shape {a.shape} instead of {b.shape}")
    if not a.size:
        return Comparison(name, 0.0, tolerance)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if not (np.isfinite(a) | same).all() or not (np.isfinite(b) | same).all():
        return Comparison(name, math.inf, tolerance, "not finite")
    with np.errstate(invalid="ignore"):
        return Comparison(name, float(np.where(same, 0.0, np.abs(a - b)).max()), tolerance)


def compare_exact(name: str, got: Any, expected: Any) -> Comparison:
    """Equality of two plain values (numbers, text, lists, dictionaries)."""
    if got == expected:
        return Comparison(name, 0.0, 0.0)
    return Comparison(name, math.inf, 0.0, f"{got} instead of {expected}")


def _float64(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().to("cpu", torch.float64).numpy()
    return np.asarray(value, np.float64)
