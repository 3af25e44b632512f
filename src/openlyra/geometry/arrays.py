"""Just enough of an array namespace to write geometry once for NumPy and torch, without importing torch."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""A NumPy array or a torch tensor; the docstrings give the shape."""


def is_torch(value: Any) -> bool:
    """True for a torch tensor. Never imports torch: a tensor can only exist once somebody else has."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def namespace(*values: Any) -> ModuleType:
    """The module (numpy or torch) that holds the functions for these arrays; torch wins if both occur."""
    return sys.modules["torch"] if any(is_torch(value) for value in values) else np


def as_float(value: Any) -> Array:
    """NumPy input (and lists) as float64; tensors of a floating type as they are, others as float64."""
    if is_torch(value):
        return value if value.is_floating_point() else value.double()
    return np.asarray(value, dtype=np.float64)


def like(value: Any, reference: Array) -> Array:
    """`value` as an array of the kind, type and device of `reference`."""
    if is_torch(reference):
        torch = sys.modules["torch"]
        return torch.as_tensor(value, dtype=reference.dtype, device=reference.device)
    if is_torch(value):
        value = value.detach().cpu().numpy()
    return np.asarray(value, dtype=reference.dtype)


def transpose(matrix: Array) -> Array:
    """The last two axes swapped."""
    return matrix.mT if is_torch(matrix) else np.swapaxes(matrix, -1, -2)


def concatenate(parts: list[Array], axis: int = -1) -> Array:
    """NumPy's concatenate or torch's cat."""
    xp = namespace(*parts)
    return xp.cat(parts, dim=axis) if xp is not np else np.concatenate(parts, axis=axis)


def stack(parts: list[Array], axis: int = -1) -> Array:
    """NumPy's or torch's stack."""
    xp = namespace(*parts)
    return xp.stack(parts, dim=axis) if xp is not np else np.stack(parts, axis=axis)


def broadcast(value: Array, shape: tuple[int, ...]) -> Array:
    """`value` repeated to `shape` without copying."""
    return value.expand(shape) if is_torch(value) else np.broadcast_to(value, shape)


def norm(vector: Array, keepdims: bool = False) -> Array:
    """Length over the last axis."""
    return (vector * vector).sum(-1, keepdims=keepdims) ** 0.5


def normalised(vector: Array) -> Array:
    """Unit vectors over the last axis."""
    return vector / norm(vector, keepdims=True)


def to_numpy(value: Any) -> np.ndarray:
    """A NumPy view or copy of an array of either kind."""
    return value.detach().cpu().numpy() if is_torch(value) else np.asarray(value)
