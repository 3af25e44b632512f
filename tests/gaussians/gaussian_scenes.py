"""Small random scenes for the tests of this folder."""

from __future__ import annotations

import numpy as np

from openlyra.gaussians import Gaussians
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import rigid, so3_exp


def random_scene(seed: int, count: int = 80, sh_degree: int = 0, size: float = 0.1) -> Gaussians:
    """Gaussians in front of (and a few behind) a camera at the origin; `size` is a typical standard deviation."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(-0.5, 5.0, count)
    means = np.stack([rng.uniform(-0.7, 0.7, count) * np.abs(z), rng.uniform(-0.6, 0.6, count) * np.abs(z), z], -1)
    quaternions = rng.normal(size=(count, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    scales = size * np.exp(rng.normal(0, 0.7, (count, 3)))
    sh = rng.normal(0, 0.3, (count, (sh_degree + 1) ** 2, 3))
    sh[:, 0] = rng.uniform(-1.5, 1.5, (count, 3))
    return Gaussians(means, quaternions, scales, rng.uniform(0.02, 1.0, count), sh)


def camera(
    height: int = 37, width: int = 53, turn: float = 0.1, principal: tuple[float, float] | None = None
) -> Camera:
    """A camera a little off the origin; `principal` as fractions of the image size."""
    px, py = principal or (0.5, 0.5)
    intrinsics = np.array([[0.9 * width, 0, px * width], [0, 0.85 * width, py * height], [0, 0, 1]])
    pose = rigid(so3_exp(np.array([0.4 * turn, turn, -0.6 * turn])), np.array([0.05, -0.03, -0.1]))
    return Camera(pose, intrinsics, width, height)
