"""Which numbers trainings compute with."""

from __future__ import annotations

import torch

PRECISIONS = ("auto", "bfloat16", "float32")
"""What a setting may say."""


def computing_type(precision: str) -> torch.dtype:
    """The type that one of `PRECISIONS` stands for."""
    return quick_type() if precision == "auto" else getattr(torch, precision)


def quick_type() -> torch.dtype:
    """The faster of bfloat16 and float32 on this processor.

    Without AVX-512, as on most laptops, PyTorch multiplies bfloat16 a number at a time: measured, matrices a hundred
    times and convolutions ten times slower than in float32.
    """
    return torch.bfloat16 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else torch.float32
