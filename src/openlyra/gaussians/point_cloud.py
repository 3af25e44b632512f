"""Which points of a cloud each camera shows: for clouds that do not say, as structure from motion does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter

from openlyra.geometry.camera import Camera

CELLS = 32
"""Cells along the longer side of a picture in which the nearest point hides what lies behind it."""
BEHIND = 0.1
"""A point farther than the nearest around it by more than this part of its depth counts as hidden."""
MOST_POINTS = 200_000
"""Points that are looked at, evenly chosen."""


def shown_points(points: NDArray[np.float64], cameras: Camera) -> list[NDArray[np.float64]]:
    """For each of the (F,) cameras those of the points (N, 3) of the world that it shows, (M, 3).

    A sparse cloud has gaps through which hidden points could be seen, so the nearest point of a cell and its
    neighbours counts: rather a point too few than one behind a wall.
    """
    points = points[np.isfinite(points).all(1)]
    points = points[:: max(1, len(points) // MOST_POINTS)]
    cell = max(cameras.height, cameras.width) / CELLS
    shown = []
    for camera in cameras.numpy():
        pixels, z = camera.project(points)
        inside = np.flatnonzero((z > 0) & (pixels >= 0).all(1) & (pixels < [camera.width, camera.height]).all(1))
        column, row = (pixels[inside] / cell).astype(int).T
        nearest = np.full((int(camera.height / cell) + 1, int(camera.width / cell) + 1), np.inf)
        np.minimum.at(nearest, (row, column), z[inside])
        front = minimum_filter(nearest, 3, mode="constant", cval=np.inf)[row, column]
        shown.append(points[inside[z[inside] <= (1 + BEHIND) * front]])
    return shown
