"""Views beside a path: whoever explores a scene steps aside, where the video never went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from openlyra.geometry.camera import Camera, Trajectory

EVERY = 40
"""Frames from one place of the path to the next whose sides are looked at; the first and the last always are."""
NEAREST = 2.0
"""Percentile of a view's depth that is taken for the nearest thing in it."""
KEEP_AWAY = 0.5
"""Part of the way to the nearest thing that a step aside may be long: what is out of sight aside may be as near."""


def views_beside(path: Trajectory, step: float, depth_of: Callable[[Camera], np.ndarray]) -> dict[int, Camera]:
    """Cameras to the left and right of a path that look the same way as its own, of half its size.

    No video shows these views, and at half the size they take a quarter of the time and of the Gaussians.

    Args:
        step: how far aside, in scene units; shorter where something is near.
        depth_of: the known z-depths of a view, in any shape.

    Returns:
        By number: those of frame i have len(path) + 2 i and one more, so that no frame of the path has their number.
    """
    views = {}
    for index in sorted({*range(0, len(path), EVERY), len(path) - 1}):
        camera = path[index]
        depth = depth_of(camera)
        if depth.size == 0:
            continue
        small = camera.resized(camera.height // 2, camera.width // 2)
        length = min(step, KEEP_AWAY * float(np.percentile(depth, NEAREST)))
        for side, sign in enumerate((-1, 1)):
            pose = np.array(camera.world_from_camera, np.float64)
            pose[:3, 3] += sign * length * pose[:3, 0]
            views[len(path) + 2 * index + side] = replace(small, world_from_camera=pose)
    return views
