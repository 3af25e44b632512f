"""A far shell behind a scene: soft colours of what the photos show in each direction, instead of black beyond them."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree

from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.types import Gaussians

DIRECTIONS = 6000
"""Places on the whole sphere, about 2.6 degrees apart."""
MARGIN = math.radians(40.0)
"""How far beyond what the photos show the shell goes on."""
NEIGHBOURS = 12


def backdrop(frames: PosedFrames, radius: float) -> Gaussians:
    """A shell around the middle of the cameras.

    In the directions that photos look in it has their mean colour, a little beyond that of the nearest such directions.

    Args:
        radius: of the shell, scene units; larger than anything the scene holds.
    """
    directions = _sphere(DIRECTIONS)
    total, weight = np.zeros((DIRECTIONS, 3)), np.zeros(DIRECTIONS)
    spacing = math.sqrt(4 * math.pi / DIRECTIONS)
    for image, camera in zip(frames.images, frames.cameras.numpy()):
        # A picture of about a pixel a place, so that each place gets the mean of what it covers.
        rows = max(2, round(frames.size[0] / (spacing * camera.intrinsics[1, 1])))
        columns = max(2, round(frames.size[1] / (spacing * camera.intrinsics[0, 0])))
        row_of = (np.arange(frames.size[0]) * rows) // frames.size[0]
        column_of = (np.arange(frames.size[1]) * columns) // frames.size[1]
        cell = (row_of[:, None] * columns + column_of).ravel()
        count = np.maximum(np.bincount(cell, minlength=rows * columns), 1)
        small = [np.bincount(cell, image[..., c].ravel(), rows * columns) / count for c in range(3)]
        pixels, z = camera.project(camera.center + directions)
        inside = (z > 1e-3) & (pixels >= 0).all(-1) & (pixels < [camera.width, camera.height]).all(-1)
        place = (pixels[inside] * [columns / camera.width, rows / camera.height]).astype(int)
        total[inside] += np.stack(small, -1)[place[:, 1] * columns + place[:, 0]]
        weight[inside] += 1
    known = weight > 0
    if not known.any():
        return Gaussians.empty()
    colors = total[known] / weight[known, None] / 255
    distance, nearest = cKDTree(directions[known]).query(directions, min(NEIGHBOURS, int(known.sum())))
    distance, nearest = distance.reshape(DIRECTIONS, -1), nearest.reshape(DIRECTIONS, -1)
    share = 1 / (distance + 0.3 * spacing) ** 2
    soft = (colors[nearest] * share[..., None]).sum(1) / share.sum(1)[:, None]
    kept = distance[:, 0] < 2 * math.sin(MARGIN / 2)
    places = int(kept.sum())
    return Gaussians.from_colors(
        frames.cameras.numpy().center.mean(0) + radius * directions[kept],
        np.tile([1.0, 0.0, 0.0, 0.0], (places, 1)),
        np.full((places, 3), 0.7 * spacing * radius),
        np.full(places, 0.99),
        soft[kept],
    )


def _sphere(count: int) -> np.ndarray:
    """(count, 3) unit vectors, evenly spread along a golden spiral."""
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    turn = np.arange(count) * math.pi * (3 - math.sqrt(5))
    flat = np.sqrt(1 - height**2)
    return np.stack([flat * np.cos(turn), height, flat * np.sin(turn)], -1)
