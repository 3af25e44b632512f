"""Fewer Gaussians that look the same: close pairs of like colour become one by moment matching.

A merged Gaussian has the weighted mean, covariance (spread between the two included) and colour of its parts; the
weight is what each contributes to the views. The cheapest pairs go first, so flat areas thin out and detail stays.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from openlyra.gaussians.render import contributions
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import matrix_from_quaternion, quaternion_from_matrix

NEIGHBOURS = 4
MOST_ROUNDS = 12


def total_contributions(gaussians: Gaussians, cameras: Camera, views: int = 12) -> np.ndarray:
    """(N,) float64 sum of compositing weight over at most `views` evenly spread cameras of (F,)."""
    total = np.zeros(gaussians.count)
    for index in np.unique(np.linspace(0, len(cameras) - 1, views).round().astype(int)):
        total += contributions(gaussians, cameras[int(index)])
    return total


def reduced(gaussians: Gaussians, cameras: Camera, budget: int, views: int = 12) -> Gaussians:
    """At most `budget` Gaussians: the unseen go, then pairs merge; if that is not enough, the least seen go.

    Args:
        cameras: (F,) the views that count.
        budget: largest number of Gaussians, at least 1.
    """
    if gaussians.count <= budget:
        return gaussians
    weights = total_contributions(gaussians, cameras, views)
    spare = gaussians.count - budget
    unseen = np.flatnonzero(weights < 0.01)
    dropped = unseen[np.argsort(weights[unseen], kind="stable")[:spare]]
    keep = np.setdiff1d(np.arange(gaussians.count), dropped)
    gaussians, weights = gaussians.select(keep), weights[keep]
    for _ in range(MOST_ROUNDS):
        if gaussians.count <= budget:
            return gaussians
        gaussians, weights = _merge_round(gaussians, weights, gaussians.count - budget)
    order = np.sort(np.argsort(-weights, kind="stable")[:budget])
    return gaussians.select(order)


def _merge_round(gaussians: Gaussians, weights: np.ndarray, wanted: int) -> tuple[Gaussians, np.ndarray]:
    first, second, cost = _pairs(gaussians, weights)
    # A third of the pairs at most: those left over find better partners in the next round.
    order = np.argsort(cost, kind="stable")[: min(wanted, max(1, len(cost) // 3))]
    first, second = first[order], second[order]
    together = _merged(gaussians, weights, first, second)
    rest = np.ones(gaussians.count, bool)
    rest[first] = rest[second] = False
    kept = gaussians.select(rest)
    return Gaussians.concatenate([kept, together]), np.concatenate([weights[rest], weights[first] + weights[second]])


def _pairs(gaussians: Gaussians, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Disjoint pairs (each the other's cheapest neighbour) and what merging them costs."""
    count = gaussians.count
    tree = cKDTree(gaussians.means)
    distance, neighbour = tree.query(gaussians.means, k=min(NEIGHBOURS + 1, count), workers=-1)
    me = np.broadcast_to(np.arange(count)[:, None], neighbour.shape)
    size = np.sort(gaussians.scales, axis=1)[:, 1]
    color = gaussians.colors
    # Both terms are squared and without unit: colour steps of 0.05 and distances of 4 deviations count alike.
    apart = (distance / (4 * np.maximum(np.minimum(size[me], size[neighbour]), 1e-9))) ** 2
    unlike = ((color[me] - color[neighbour]) ** 2).sum(-1) / 0.05**2
    fade = ((gaussians.opacities[me] - gaussians.opacities[neighbour]) / 0.3) ** 2
    ratio = np.log(np.maximum(size[me], 1e-12) / np.maximum(size[neighbour], 1e-12)) ** 2
    mass = weights[me] * weights[neighbour] / (weights[me] + weights[neighbour] + 1e-9) + 1e-3
    cost = np.where(neighbour == me, np.inf, mass * (apart + unlike + fade + ratio + 0.05))
    best = np.argmin(cost, axis=1)
    partner = neighbour[np.arange(count), best]
    mutual = (partner[partner] == np.arange(count)) & (np.arange(count) < partner)
    first = np.flatnonzero(mutual)
    return first, partner[first], cost[first, best[first]]


def _merged(gaussians: Gaussians, weights: np.ndarray, first: np.ndarray, second: np.ndarray) -> Gaussians:
    a, b = gaussians.select(first), gaussians.select(second)
    total = weights[first] + weights[second] + 2e-9
    share = ((weights[first] + 1e-9) / total)[:, None]
    step = (b.means - a.means).astype(np.float64)
    means = a.means + (1 - share) * step
    spread = (share * (1 - share))[..., None] * step[:, :, None] * step[:, None, :]
    covariance = share[..., None] * _covariances(a) + (1 - share)[..., None] * _covariances(b) + spread
    values, axes = np.linalg.eigh(covariance)
    axes[np.linalg.det(axes) < 0, :, 0] *= -1
    scales = np.sqrt(np.maximum(values, 1e-14 * values[:, -1:] + 1e-20))
    mixed = share[..., None] * a.sh + (1 - share)[..., None] * b.sh
    opacities = share[:, 0] * a.opacities + (1 - share[:, 0]) * b.opacities
    return Gaussians(means, quaternion_from_matrix(axes), scales, opacities, mixed)


def _covariances(gaussians: Gaussians) -> np.ndarray:
    axes = matrix_from_quaternion(gaussians.quaternions.astype(np.float64)) * gaussians.scales[:, None, :]
    return axes @ axes.swapaxes(1, 2)
