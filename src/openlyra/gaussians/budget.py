"""Keeping a scene within a number of Gaussians: those that contribute least to what the path sees go first."""

from __future__ import annotations

import numpy as np

from openlyra.gaussians.render import contributions
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera

BUDGETS = {"preview": 500_000, "web": 2_000_000, "full": 10_000_000}
"""Largest number of Gaussians a quality allows."""
VIEWS = 12


def within_budget(gaussians: Gaussians, cameras: Camera, quality: str) -> Gaussians:
    """The Gaussians that matter most, at most ``BUDGETS[quality]``, in their old order.

    Args:
        cameras: (F,) the path; at most `VIEWS` of its cameras, evenly spread, are looked through.
    """
    return within_count(gaussians, BUDGETS[quality], cameras)


def within_count(gaussians: Gaussians, limit: int, cameras: Camera | None = None) -> Gaussians:
    """The Gaussians that matter most, at most ``limit``, in their old order.

    Args:
        cameras: (F,) what matters is what at most `VIEWS` of these see; without them, opacity times the area of the
            largest face, from wherever one looks.
    """
    if gaussians.count <= limit:
        return gaussians
    if cameras is None:
        total = gaussians.opacities * np.sort(gaussians.scales, axis=1)[:, 1:].prod(1)
    else:
        picks = np.unique(np.linspace(0, len(cameras) - 1, VIEWS).round().astype(int))
        total = np.zeros(gaussians.count, np.float32)
        for index in picks:
            total += contributions(gaussians, cameras[int(index)])
    keep = np.sort(np.argsort(-total, kind="stable")[:limit])
    return gaussians.select(keep)
