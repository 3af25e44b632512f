"""Noise of a run: every draw is a function of (seed, chunk, step) alone, so a resumed run draws the same."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor


def initial_noise(seed: int, chunk: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normals float32 that a chunk starts from, the same on every machine.

    The released generator: MT19937 seeded with seed + chunk (spec generation.md 10.3)."""
    return _normals((seed + chunk) % 2**32, shape)


def few_step_noise(seed: int, chunk: int, step: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normals float32 with which the few-step sampler re-noises after `step`.

    The reference draws these from the global generator, so that they depend on all that was drawn before."""
    return _normals(zlib.crc32(f"{seed}/renoise/{chunk}/{step}".encode()), shape)


def _normals(seed: int, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))
