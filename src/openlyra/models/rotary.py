"""Rotary position embedding over time, height and width (network specification, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor

BASE = 10000.0


def plane_split(head_width: int) -> tuple[int, int, int]:
    """Rotation planes of a head for time, height and width; together half the head's width."""
    side = head_width // 6
    return head_width // 2 - 2 * side, side, side


def frequencies(planes: int) -> Tensor:
    """(planes,) float64 radians per position of one axis; the number of planes sets the ladder."""
    return BASE ** (-torch.arange(planes, dtype=torch.float64) / planes)


def rotary_angles(positions: Tensor, head_width: int) -> Tensor:
    """(L, 3) token positions (time, row, column), possibly means -> (L, head_width / 2) angles in radians, float32.

    The angle is linear in the position, so the mean angle of packed tokens is the angle at their mean position.
    """
    ladders = [frequencies(planes).to(positions.device) for planes in plane_split(head_width)]
    return torch.cat([positions[:, axis, None] * ladder for axis, ladder in enumerate(ladders)], -1).float()


def rotate(values: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate channel pairs (2p, 2p+1) of (B, L, heads, d) by angles given as cos and sin (L, d/2); float32 inside."""
    even, odd = values.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).to(values.dtype)
