"""Weights and inputs by formula: normal numbers seeded by their name, so that nobody has to store them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch

Shape = Sequence[int]


def formula_normal(name: str, shape: Shape) -> torch.Tensor:
    """N(name, shape): standard normals of NumPy's classic generator seeded with the CRC-32 of `name`, float32."""
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    return torch.from_numpy(generator.standard_normal(tuple(shape)).astype(np.float32))


def formula_weight(key: str, shape: Shape, prefix: str = "") -> torch.Tensor:
    """The parameter `key` of a golden network; the last part of the key decides its scale and offset.

    `prefix` goes before the key in the seed name: none for the transformer; `vae.`, `t5.`, `clip.` for its companions.
    """
    normal = formula_normal(prefix + key, shape)
    last = key.rpartition(".")[2]
    if last == "modulation":
        return 0.25 * normal
    if last == "gamma" or (last == "weight" and len(shape) == 1):
        return 1 + 0.1 * normal
    if last == "bias":
        return 0.05 * normal
    return torch.from_numpy(np.float32(0.8 / np.sqrt(np.prod(shape[1:]))) * normal.numpy())


def formula_weights(shapes: Mapping[str, Shape], prefix: str = "") -> dict[str, torch.Tensor]:
    """All parameters of a golden network, given their shapes by key."""
    return {key: formula_weight(key, shape, prefix) for key, shape in shapes.items()}
