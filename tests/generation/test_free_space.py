"""What earlier frames saw stays visible: against a plain loop over pixels and frames."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from openlyra.generation.free_space import IN_FRONT, SAME, SeenSpace, medians
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame

HEIGHT, WIDTH = 12, 16
INTRINSICS = np.array([[14.0, 0, WIDTH / 2], [0, 14.0, HEIGHT / 2], [0, 0, 1]])


def camera(x: float, z: float, shrink: int = 1) -> Camera:
    pose = np.eye(4)
    pose[:3, 3] = x, 0.1, z
    return Camera(pose, INTRINSICS, WIDTH, HEIGHT).resized(HEIGHT // shrink, WIDTH // shrink)


def frame(seed: int, x: float, z: float) -> MemoryFrame:
    random = np.random.default_rng(seed)
    depth = random.uniform(2, 8, (HEIGHT, WIDTH)).astype(np.float32)
    valid = random.random((HEIGHT, WIDTH)) < 0.8
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return MemoryFrame(seed, image, depth, valid, np.zeros_like(valid), camera(x, z))


def plain(frames: list[MemoryFrame], view: Camera, depth: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, ...]:
    """What is blocked and what is known, pixel by pixel."""
    blocked, known = np.zeros_like(mask), np.zeros_like(mask)
    points = view.unproject(depth)
    for y, x in np.argwhere(mask):
        for seen in frames:
            pixel, z = (np.asarray(part)[0] for part in seen.camera.project(points[y, x][None]))
            column, row = (int(np.floor(part)) for part in pixel)
            if z <= 0.01 or not (0 <= row < HEIGHT and 0 <= column < WIDTH) or not seen.valid[row, column]:
                continue
            remembered = np.where(seen.valid, seen.depth, 0.0)
            around = np.pad(remembered, 1, mode="symmetric")[row : row + 3, column : column + 3]
            # A coarse view's Gaussians reach farther than a pixel, so for it outlines count as they are.
            blocked[y, x] |= z < IN_FRONT * (around.min() if view.height == HEIGHT else remembered[row, column])
            known[y, x] |= abs(z / remembered[row, column] - 1) < SAME
    return blocked, known


@pytest.mark.parametrize("shrink", [1, 2])
def test_blocked_and_known_are_those_of_a_plain_loop(shrink: int) -> None:
    frames, view = [frame(1, 0, 0), frame(2, 0.7, -0.5), frame(3, -0.4, 0.3)], camera(0.3, 0.1, shrink)
    random, size = np.random.default_rng(4), (view.height, view.width)
    depth, mask = random.uniform(0.5, 9, size), random.random(size) < 0.7
    seen = SeenSpace(frames, view)
    blocked, known = plain(frames, view, depth, mask)
    assert blocked.any() and known.any() and not (blocked | known)[mask].all()
    np.testing.assert_array_equal(seen.blocked(depth, mask), blocked)
    np.testing.assert_array_equal(seen.known(depth, mask), known)


def test_what_is_pushed_back_hides_nothing_and_the_rest_stays() -> None:
    frames, view = [frame(1, 0, 0), frame(2, 0.7, -0.5)], camera(0.3, 0.1)
    depth, mask = np.full((HEIGHT, WIDTH), 1.0), np.ones((HEIGHT, WIDTH), bool)
    seen = SeenSpace(frames, view)
    moved = seen.blocked(depth, mask)
    pushed = seen.pushed_back(depth, mask, 100.0)
    assert moved.any() and not moved.all()
    assert not seen.blocked(pushed, mask).any()
    np.testing.assert_array_equal(pushed[~moved], 1.0)
    np.testing.assert_array_equal(seen.pushed_back(pushed, mask, 100.0), pushed)


def test_medians_are_those_of_the_whole_picture_filtered() -> None:
    random = np.random.default_rng(7)
    values, mask = random.uniform(1, 9, (HEIGHT, WIDTH)).astype(np.float32), random.random((HEIGHT, WIDTH)) < 0.5
    mask[0, 0] = mask[-1, -1] = mask[0, WIDTH // 2] = True
    found = medians(values, mask)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, ndimage.median_filter(values, 7)[mask])
    assert medians(values, np.zeros_like(mask)).shape == (0,)
