"""Densification by relocation: Gaussians that show nothing move to where the scene needs more of them.

The rule of Kheradmand et al. 2024, "3D Gaussian Splatting as Markov Chain Monte Carlo": a Gaussian whose opacity fell
below 0.005 is dead; it is put where a living one is, drawn with probability proportional to opacity, and the n that
then share a place get the opacity and the scale with which they together look as the one did (their equation 9). The
number of Gaussians grows by 5 % a round up to the budget and never exceeds it. Faint ones are shaken by a noise along
their own axes, so that they explore.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from openlyra.geometry.poses import matrix_from_quaternion

DEAD = 0.005
"""Opacity below which a Gaussian is dead."""
MOST_COPIES = 32
"""Largest number of Gaussians that are made of one in one round."""
GROWTH = 0.05


def split_opacity_and_scale(opacity: torch.Tensor, copies: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(new opacity, factor on the scales) of each of `copies` Gaussians that replace one. All (M,).

    float64 inside: the sum alternates.
    """
    o, n = opacity.double().clamp(1e-6, 1 - 1e-6), copies.double()
    each = 1 - (1 - o) ** (1 / n)
    total = torch.zeros_like(o)
    for i in range(1, int(copies.max()) + 1):
        inner = torch.zeros_like(o)
        for k in range(i):
            inner += math.comb(i - 1, k) * (-1) ** k * each ** (k + 1) / math.sqrt(k + 1)
        total += torch.where(n >= i, inner, 0.0)
    return each.to(opacity.dtype), (o / total).to(opacity.dtype)


def choose(opacities: np.ndarray, budget: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """Which living Gaussian each mover copies: (slots to fill, their sources, number of new slots at the end).

    Args:
        opacities: (N,) float.
        budget: largest number of Gaussians.
    """
    count = len(opacities)
    dead = np.flatnonzero(opacities < DEAD)
    alive = np.flatnonzero(opacities >= DEAD)
    grown = max(0, min(budget, int((1 + GROWTH) * count)) - count) if len(alive) else 0
    movers = np.concatenate([dead, np.arange(count, count + grown)])
    if not len(alive) or not len(movers):
        return movers[:0], movers[:0], 0
    share = opacities[alive].astype(np.float64)
    return movers, rng.choice(alive, len(movers), p=share / share.sum()), grown


def copies_of(sources: np.ndarray, count: int) -> np.ndarray:
    """(count,) how many Gaussians there are of each afterwards, itself included; at most MOST_COPIES."""
    return np.minimum(np.bincount(sources, minlength=count) + 1, MOST_COPIES)


def exploration_noise(
    scales: torch.Tensor, quaternions: torch.Tensor, opacities: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """(which Gaussians (M,), their random steps (M, 3)): normal noise shaped like each, for faint ones only.

    The paper scales by the covariance and a learning rate in scene units; here the deviations alone give the unit.
    """
    which = torch.nonzero(opacities < 0.06)[:, 0]
    noise = torch.randn((len(which), 3), generator=generator, dtype=scales.dtype).to(scales.device)
    faint = torch.sigmoid(100 * ((1 - opacities[which]) - 0.995))
    rotations = matrix_from_quaternion(quaternions[which])
    return which, torch.einsum("nij,nj->ni", rotations, noise * scales[which]) * faint[:, None]
