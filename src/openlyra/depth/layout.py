"""Depth from the layout of the scene: a ground plane, upright walls standing on it, and the sky. No weights.

Few smooth surfaces with outlines on the photo's own edges serve a walkable world better than noisy detail: planes are
linear in inverse depth, so facades stay flat when the camera steps aside.
Idea: Hoiem, Efros, Hebert, Automatic photo pop-up (2005).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openlyra.depth.base import (
    CAMERA_HEIGHT,
    FAR_SKY,
    DepthResult,
    Float32Map,
    Mask,
    Uint8Image,
    check_image,
    place_sky,
)
from openlyra.depth.filters import opponent
from openlyra.depth.ground import find_contact
from openlyra.depth.horizon import Horizon, find_horizon
from openlyra.depth.sky import find_haze, find_sky
from openlyra.depth.walls import Wall, fit_walls

NEAREST, FARTHEST = 0.8, 60.0
"""Bounds of everything that is not sky, in scene units."""

_DROP = 25.0  # how far below the eye a valley or a sea lies that the sky's haze runs into, in scene units


@dataclass(frozen=True)
class Layout:
    """What was found in a photo; rows and columns in pixels."""

    horizon: Horizon
    """Horizon of a camera without roll."""
    walls: list[Wall]
    """Upright planes from left to right; together they span the width."""
    wall_of: NDArray[np.int32]
    """(H, W) index of the wall a pixel belongs to if it is neither ground nor sky."""
    ground: Mask
    """bool (H, W)."""
    far: Mask
    """bool (H, W); sky, and below the horizon the valley or sea its haze runs into."""
    haze: Mask
    """bool (H, W); far hills and water: the ground carried on to the farthest depth."""


class LayoutDepth:
    """The `layout` backend; `camera_height` is the eye above the ground in scene units."""

    def __init__(self, camera_height: float = CAMERA_HEIGHT) -> None:
        self.camera_height = camera_height

    def estimate(self, image: Uint8Image, focal: float | None = None) -> DepthResult:
        """Depth of a photo, uint8 (H, W, 3); `focal` in pixels if known."""
        focal = check_image(image, focal)
        layout = find_layout(image)
        sky = layout.far & (np.arange(image.shape[0])[:, None] < layout.horizon.row)
        depth = place_sky(1.0 / _inverse_depth(layout, focal, self.camera_height), sky)
        # Below the horizon the haze recedes towards the sky and must meet it without a step.
        drop = layout.far & ~sky
        if drop.any():
            nearest = 1.0 / np.maximum(_below_horizon(layout, focal) / _DROP, 1e-9)
            sky_depth = depth[sky].max() if sky.any() else np.float32(FAR_SKY * np.median(depth))
            depth = np.where(drop, np.minimum(nearest, sky_depth), depth).astype(np.float32)
        return DepthResult(
            depth=depth,
            valid=np.ones(depth.shape, bool),
            sky=sky,
            focal=focal,
            confidence=_confidence(layout),
            backend="layout",
            licence=None,
        )


def find_layout(image: Uint8Image) -> Layout:
    """Segment a photo, uint8 (H, W, 3), into ground, walls and sky."""
    height, width = image.shape[:2]
    colour = opponent(image)
    far = find_sky(image)
    horizon = find_horizon(colour[..., 0])
    # Sky below the horizon: the photo looks down, over a valley or the sea, and haze belongs to that depth.
    looks_down = far[int(horizon.row + 0.05 * height) :].sum() > 0.01 * far.size
    haze = find_haze(image, far, horizon.row, lowest=1.0 if looks_down else 0.25)
    if looks_down:
        far, haze = far | haze, np.zeros_like(haze)
    contact = find_contact(colour, horizon.row, far | haze)
    walls, wall_of = fit_walls(contact, colour, horizon.row, far | haze)
    feet = np.empty(width)
    centres = np.arange(width) + 0.5
    for wall in walls:
        span = (centres >= wall.left) & (centres <= wall.right)
        feet[span] = wall.foot(centres[span])
    # The wall line is straight, the true outline of the ground is not: what lies between is given to the ground
    # below the line and to the wall above it, both at the same depth, so nothing tears.
    ground = (np.arange(height)[:, None] + 0.5 >= feet[None, :]) & ~far & ~haze
    return Layout(horizon, walls, wall_of, ground, far, haze)


def _below_horizon(layout: Layout, focal: float) -> Float32Map:
    """Inverse depth of a ground plane one unit below the eye, (H, W); negative above the horizon."""
    height, width = layout.ground.shape
    tilt = (layout.horizon.row - height / 2) / focal
    rows = np.arange(height, dtype=np.float32)[:, None] + 0.5
    column = (rows - layout.horizon.row) / (focal * math.hypot(1.0, tilt))
    return np.repeat(column, width, axis=1).astype(np.float32)


def _inverse_depth(layout: Layout, focal: float, camera_height: float) -> Float32Map:
    """Inverse depth of ground and walls, (H, W), within the bounds."""
    height, width = layout.ground.shape
    ground = _below_horizon(layout, focal) / np.float32(camera_height)
    tilt = (layout.horizon.row - height / 2) / focal
    x = (np.arange(width, dtype=np.float64)[None, :] + 0.5 - width / 2) / focal
    y = (np.arange(height, dtype=np.float64)[:, None] + 0.5 - height / 2) / focal
    slope_scale = 1.0 / (focal * math.hypot(1.0, tilt) * camera_height)
    # A wall through two feet on the ground, containing the vertical: inverse depth = a x + b (1 + tilt y).
    planes = np.empty((len(layout.walls), 2))
    for index, wall in enumerate(layout.walls):
        columns, feet = np.array([wall.left, wall.right]), np.array([wall.left_foot, wall.right_foot])
        lean = 1.0 + tilt * (feet - height / 2) / focal
        matrix = np.stack([(columns - width / 2) / focal, lean], axis=1)
        planes[index] = np.linalg.solve(matrix, (feet - layout.horizon.row) * slope_scale)
    # An outline may lie beside the foot's end; a steep wall carried on to it would run off into the distance.
    ends = (np.array([[wall.left, wall.right] for wall in layout.walls]) - width / 2) / focal
    x = np.clip(x, ends[layout.wall_of, 0], ends[layout.wall_of, 1])
    a, b = planes[layout.wall_of, 0], planes[layout.wall_of, 1]
    wall_map = a * x + b * (1.0 + tilt * y)
    inverse = np.where(layout.ground | layout.haze, ground, wall_map)
    return np.clip(inverse, 1.0 / FARTHEST, 1.0 / NEAREST).astype(np.float32)


def _confidence(layout: Layout) -> Float32Map:
    """A layout is a guess: the ground is believed more than walls, both more when the horizon is."""
    base = 0.25 + 0.25 * layout.horizon.confidence
    return np.where(layout.ground, base + 0.2, np.where(layout.far, 0.8, base)).astype(np.float32)
