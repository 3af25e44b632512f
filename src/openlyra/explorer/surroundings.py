"""What a page shows where a scene has nothing: the soft colours of what lies farthest in each direction.

Beyond its camera path a scene made from one photo has gaps, for example behind a tower. Black ones look like damage;
these look like haze. They are no part of the scene and are in no scene file.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

from openlyra.gaussians.spherical_harmonics import C0
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera

ROWS, COLUMNS = 37, 72
"""Elevations from straight up to straight down and azimuths, 5 degrees apart."""
RIVALS = 9
"""Directions to either side that tell what is only in front of something."""
FIRMNESS = 10.0
"""How much more what is seen counts than that neighbours above each other are alike."""
LEVEL = 30.0
"""How much more neighbours at one height are alike than those above each other."""
ENCLOSING = 0.7
"""Part of the first view that the scene must cover, or it is an object before nothing."""


def surroundings(scene: Gaussians, camera: Camera) -> NDArray[np.uint8] | None:
    """(ROWS, COLUMNS, 3) colours by direction from the camera, azimuths from behind over left, ahead and right; None if
    the scene does not fill the camera's view."""
    pose = np.asarray(camera.world_from_camera, np.float64)
    offset = (scene.means.astype(np.float64) - pose[:3, 3]) @ pose[:3, :3]
    distance = np.maximum(np.linalg.norm(offset, axis=1), 1e-9)
    cell = _cells(offset / distance[:, None])
    sizes = np.sort(scene.scales.astype(np.float64), axis=1)
    angle = 2 * math.pi * sizes[:, 1] * sizes[:, 2] * scene.opacities / distance**2
    solid = np.repeat(_solid_angles(), COLUMNS)
    if not _fills(np.bincount(cell, angle, ROWS * COLUMNS) / solid, camera):
        return None
    farthest = np.zeros(ROWS * COLUMNS)
    np.maximum.at(farthest, cell, distance)
    weight = angle * (distance / farthest[cell]) ** 4
    total = np.bincount(cell, weight, ROWS * COLUMNS)
    colors = np.clip(0.5 + C0 * scene.sh[:, 0].astype(np.float64), 0, 1)
    sums = [np.bincount(cell, weight * values, ROWS * COLUMNS) for values in (*colors.T, distance)]
    *seen, far = (values / np.maximum(total, 1e-12) for values in sums)
    # What stands before something much farther at the same height is not what lies behind the scene.
    beside = ndimage.maximum_filter1d(far.reshape(ROWS, COLUMNS), 2 * RIVALS + 1, axis=1, mode="wrap").ravel()
    trust = np.minimum(total / solid, 1) * (far / np.maximum(beside, 1e-9)) ** 2
    soft = np.clip(_spread(np.stack(seen, 1), np.maximum(FIRMNESS * trust, 1e-6)), 0, 1)
    return np.rint(255 * soft).astype(np.uint8).reshape(ROWS, COLUMNS, 3)


def _cells(directions: np.ndarray) -> np.ndarray:
    """Number of the nearest place for unit vectors (N, 3) in camera axes."""
    elevation = np.arcsin(np.clip(-directions[:, 1], -1, 1))
    azimuth = np.arctan2(directions[:, 0], directions[:, 2])
    row = np.rint((0.5 - elevation / math.pi) * (ROWS - 1)).astype(int)
    column = np.rint((azimuth / (2 * math.pi) + 0.5) * COLUMNS).astype(int) % COLUMNS
    return row * COLUMNS + column


def _elevations() -> np.ndarray:
    return math.pi * (0.5 - np.arange(ROWS) / (ROWS - 1))


def _directions() -> np.ndarray:
    """(ROWS, COLUMNS, 3) unit vectors of the places in camera axes."""
    elevation = _elevations()[:, None]
    azimuth = 2 * math.pi * (np.arange(COLUMNS) / COLUMNS - 0.5)[None]
    level = np.cos(elevation)
    return np.stack(np.broadcast_arrays(level * np.sin(azimuth), -np.sin(elevation), level * np.cos(azimuth)), -1)


def _solid_angles() -> np.ndarray:
    """(ROWS,) of one place."""
    bounds = np.clip(0.5 - (np.arange(ROWS + 1) - 0.5) / (ROWS - 1), -0.5, 0.5) * math.pi
    return -np.diff(np.sin(bounds)) * 2 * math.pi / COLUMNS


def _fills(cover: np.ndarray, camera: Camera) -> bool:
    pose = np.asarray(camera.world_from_camera, np.float64)
    pixels, z = camera.project(pose[:3, 3] + _directions().reshape(-1, 3) @ pose[:3, :3].T)
    inside = (z > 1e-3) & (pixels >= 0).all(-1) & (pixels < [camera.width, camera.height]).all(-1)
    return bool(inside.any() and (cover[inside] > 0.5).mean() >= ENCLOSING)


def _spread(colors: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """(ROWS * COLUMNS, 3): near the colours where they are trusted, as smooth as a membrane elsewhere."""
    number = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    level = np.maximum(np.cos(_elevations()), 0.05)
    across = (number.ravel(), np.roll(number, -1, 1).ravel(), np.repeat(LEVEL / level, COLUMNS))
    down = (number[:-1].ravel(), number[1:].ravel(), np.repeat((level[:-1] + level[1:]) / 2, COLUMNS))
    one, other, tie = (np.concatenate(parts) for parts in zip(across, down))
    ties = sparse.coo_matrix((tie, (one, other)), shape=(number.size, number.size))
    ties = ties + ties.T
    system = sparse.diags(np.asarray(ties.sum(1)).ravel() + trust) - ties
    return np.asarray(spsolve(system.tocsc(), trust[:, None] * colors))
