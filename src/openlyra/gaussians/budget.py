"""Keeping a scene within a number of Gaussians: those that contribute least to what the path sees go first."""

from __future__ import annotations

import numpy as np

from openlyra.gaussians.render import contributions
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera

BUDGETS: dict[str, int | None] = {"preview": 500_000, "web": 2_000_000, "full": None}
"""Largest number of Gaussians a quality allows."""
VIEWS = 12


def within_budget(gaussians: Gaussians, cameras: Camera, quality: str) -> Gaussians:
    """The Gaussians that matter most, at most ``BUDGETS[quality]``, in their old order.

    Args:
        cameras: (F,) the path; at most `VIEWS` of its cameras, evenly spread, are looked through.
    """
    budget = BUDGETS[quality]
    if budget is None or gaussians.count <= budget:
        return gaussians
    picks = np.unique(np.linspace(0, len(cameras) - 1, VIEWS).round().astype(int))
    total = np.zeros(gaussians.count, np.float32)
    for index in picks:
        total += contributions(gaussians, cameras[int(index)])
    keep = np.sort(np.argsort(-total, kind="stable")[:budget])
    return gaussians.select(keep)
