from __future__ import annotations

import numpy as np
import pytest

from openlyra.training.depth_stack import GROWTH, stacked

Shown = tuple[np.ndarray, np.ndarray, float]


def window(metres: float = 3.0, beyond: float = 0.0) -> Shown:
    """A red wall with an opening in the middle that shows something black `beyond`, or the sky."""
    rgb, depth = np.zeros((96, 128, 3), np.uint8), np.full((96, 128), metres, np.float32)
    rgb[..., 0] = 200
    rgb[24:72, 32:96], depth[24:72, 32:96] = 0, beyond
    return rgb, depth, 100.0


def floor(nearest: float, lens: float = 100.0, shape: tuple[int, int] = (96, 128)) -> Shown:
    """Blue ground, `nearest` metres away at the lower rim, under a strip of sky."""
    rgb, depth = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.float32)
    rgb[..., 2] = 120
    depth[30:] = nearest * (shape[0] - 30) / np.arange(1, shape[0] - 29)[:, None]
    return rgb, depth, lens


@pytest.mark.parametrize("beyond", [0.0, 9.0])
def test_a_window_shows_the_other_view(beyond: float) -> None:
    front, back = window(beyond=beyond), floor(5.0)
    found = stacked(front, back, np.random.default_rng(0))
    assert found is not None
    wall, (rgb, depth) = front[1] == 3.0, found
    assert (rgb[wall] == front[0][wall]).all() and (depth[wall] == 3.0).all()
    assert (rgb[~wall][:, 0] == 0).all() and (rgb[~wall][:, 2] > 50).all()
    far = ~wall & (back[1] > 0)
    growth = depth[far] / back[1][far]
    assert growth.min() >= 1 and np.ptp(growth) < 0.1 * growth.min()
    assert (depth[~wall & ~far] == 0).all()


def test_a_world_that_is_too_near_grows_about_the_camera() -> None:
    """All of what is behind gets one factor, so the picture is still that of a possible world, and nothing of it
    comes before the wall."""
    front, back = window(), floor(0.9)
    found = stacked(front, back, np.random.default_rng(0))
    assert found is not None
    behind = (front[1] == 0) & (back[1] > 0)
    growth = found[1][behind] / back[1][behind]
    assert 1.05 < growth.min() and growth.max() <= GROWTH and np.ptp(growth) < 0.1 * growth.min()
    assert found[1][behind].min() >= 3.0
    assert (found[1][(front[1] == 0) & (back[1] == 0)] == 0).all()


@pytest.mark.parametrize(
    "front, back",
    [
        (window(), floor(5.0, shape=(96, 112))),
        (window(), floor(5.0, lens=160.0)),
        (window(), floor(0.1)),
        ((window()[0], np.zeros((96, 128), np.float32), 100.0), floor(5.0)),
        (window(), (window()[0], np.zeros((96, 128), np.float32), 100.0)),
    ],
    ids=["another shape", "another lens", "far too near", "nothing in front", "nothing behind"],
)
def test_what_does_not_go_together_is_left(front: Shown, back: Shown) -> None:
    assert all(stacked(front, back, np.random.default_rng(seed)) is None for seed in range(5))


def test_the_seed_decides() -> None:
    front, back = window(beyond=6.0), floor(5.0)
    first, second = (stacked(front, back, np.random.default_rng(4)) for _ in range(2))
    assert first is not None and second is not None
    assert (first[0] == second[0]).all() and (first[1] == second[1]).all()
