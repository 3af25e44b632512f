"""Scenes for the tests of all formats, and what stays the same whatever a file does to them."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from openlyra.gaussians.types import Gaussians


def scene(count: int, degree: int = 0, seed: int = 0) -> Gaussians:
    """Random Gaussians inside what every format can hold: |position| < 30, harmonics and colours within 1."""
    rng = np.random.default_rng(seed)
    quaternions = rng.normal(size=(count, 4))
    sh = np.clip(rng.normal(size=(count, (degree + 1) ** 2, 3)) * 0.2, -0.9, 0.9)
    sh[:, 0] = rng.uniform(-1.7, 1.7, (count, 3))
    return Gaussians(
        means=np.clip(rng.normal(size=(count, 3)) * 5, -29, 29),
        quaternions=quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        scales=np.exp(rng.uniform(-7, 2, (count, 3))),
        opacities=rng.uniform(0.01, 0.99, count),
        sh=sh,
    )


def matched(result: Gaussians, original: Gaussians) -> Gaussians:
    """`result` in the order of `original`, for formats that sort: by the nearest position, each used once."""
    assert result.count == original.count
    order = cKDTree(result.means).query(original.means)[1]
    assert len(np.unique(order)) == original.count
    return result.select(order)


def rotations(g: Gaussians) -> np.ndarray:
    """(N, 3, 3) rotation matrices."""
    w, x, y, z = (g.quaternions / np.linalg.norm(g.quaternions, axis=1, keepdims=True)).astype(np.float64).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.array(rows).transpose(2, 0, 1)


def covariances(g: Gaussians) -> np.ndarray:
    """(N, 3, 3): position, size and orientation without the freedoms of quaternions."""
    scaled = rotations(g) * g.scales[:, None, :].astype(np.float64)
    return scaled @ scaled.transpose(0, 2, 1)


def axis_errors(a: Gaussians, b: Gaussians) -> np.ndarray:
    """(N,) largest angle in degrees between axes of the same Gaussian, whichever way they point."""
    cosines = np.abs(np.einsum("nij,nij->nj", rotations(a), rotations(b)))
    return np.degrees(np.arccos(np.clip(cosines, 0, 1))).max(1)
