"""Pictures of scenes whose geometry is known, as fixtures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

HEIGHT, WIDTH, FOCAL, EYE = 240, 416, 260.0, 1.6


def noise(rng: np.random.Generator, shape: tuple[int, ...], colour: tuple[int, int, int], amount: float) -> np.ndarray:
    return np.clip(np.array(colour) + rng.normal(0, amount, (*shape, 3)), 0, 255)


def make_street(wall_depth: float = 8.0, half_width: float = 3.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A street between two brick walls, closed by a third at `wall_depth`, under a blue sky.

    Gives the photo uint8 (H, W, 3), depth (H, W) with 0 in the sky, and the sky mask (H, W). Level camera.
    """
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    u, v = (x + 0.5 - WIDTH / 2) / FOCAL, (y + 0.5 - HEIGHT / 2) / FOCAL
    with np.errstate(divide="ignore"):
        floor = np.where(v > 0, EYE / v, np.inf)
        side = half_width / np.maximum(np.abs(u), 1e-9)
    wall = np.minimum(side, wall_depth)
    depth = np.minimum(wall, floor)
    is_floor = floor < wall
    height_up = EYE - v * wall
    sky = ~is_floor & (height_up > 3.4)
    image = noise(rng, (HEIGHT, WIDTH), (150, 75, 60), 14)
    along = np.where(side < wall_depth, depth, u * depth)
    bricks = (np.floor(height_up * 3) + np.floor(along * 1.5)) % 2 == 0
    image[bricks] *= 0.7
    image[wall_depth < side] *= 0.85
    image[is_floor] = noise(rng, (int(is_floor.sum()),), (120, 122, 118), 9)
    joints = is_floor & (np.mod(u * depth, 0.6) < 0.05)
    image[joints] = 70
    blue = np.stack([110 + 0 * v, 160 + 20 * v, 235 + 0 * v], -1)
    image[sky] = blue[sky]
    return np.clip(image, 0, 255).astype(np.uint8), np.where(sky, 0, depth), sky


def make_room() -> np.ndarray:
    """A room with a white ceiling and white walls over a wooden floor, softly shaded: no sky anywhere."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:HEIGHT, :WIDTH] / HEIGHT
    shade = 238 - 45 * y - 30 * np.abs(x - 0.8)
    image = np.repeat(shade[..., None], 3, axis=2) * (1.0, 0.985, 0.95)
    image[170:] = noise(rng, (70, WIDTH), (150, 105, 70), 8)
    image[60:65] -= 25
    return np.clip(image + rng.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def street() -> Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    return make_street


@pytest.fixture
def room() -> Callable[[], np.ndarray]:
    return make_room
