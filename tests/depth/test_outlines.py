from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from openlyra.depth import outlines
from openlyra.depth.outlines import BAND, GRID, PASSES, grow_outlines

Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def tree(rows: int = 240, columns: int = 320, beside: int = 230, cut: int = 6, far: float = 50.0) -> Case:
    """Photo of dark leaves 5 m away before something bright, a depth map that misses the outer `cut` pixels of them,
    no sky, and the true mask of the leaves."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:rows, :columns]
    bearing = np.arctan2(y - rows / 2, x - columns / 2)
    leaves = np.hypot(y - rows / 2, x - columns / 2) < rows / 4 * (1 + 0.06 * np.sin(23 * bearing))
    photo = np.where(leaves, 60, beside)[..., None] + random.normal(0, 8, (rows, columns, 3))
    inner = ndimage.binary_erosion(leaves, iterations=cut) if cut else leaves
    depth = np.where(inner, 5.0, far).astype(np.float32)
    return photo.clip(0, 255).astype(np.uint8), depth, np.zeros((rows, columns), bool), leaves


@pytest.mark.parametrize("size", [(240, 320), (243, 317), (480, 640)])
def test_leaves_that_the_outline_cut_off_come_back(size: tuple[int, int]) -> None:
    photo, depth, sky, leaves = tree(*size)
    grown, still = grow_outlines(depth, photo, sky)
    lost = leaves & (depth > 10)
    assert lost.sum() > 1000
    assert np.isclose(grown[lost], 5).mean() > 0.85  # blur rounds the tips
    assert (grown[~leaves] < 6).mean() < 0.002
    assert (grown[depth == 5] == 5).all() and not still.any()


def test_leaves_are_taken_out_of_the_sky() -> None:
    photo, depth, _, leaves = tree()
    sky = depth > 10
    grown, left = grow_outlines(depth, photo, sky)
    assert (left & leaves).sum() < 0.1 * (sky & leaves).sum()
    assert np.allclose(grown[sky & ~left], 5) and (left <= sky).all()


def test_what_one_pass_takes_helps_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves farther from the outline than a pass reaches come back in the passes after it."""
    photo, depth, sky, leaves = tree(cut=16)
    lost = leaves & (depth > 10)
    parts = []
    for passes in (1, 3):
        monkeypatch.setattr(outlines, "PASSES", passes)
        grown, _ = grow_outlines(depth, photo, sky)
        parts.append(np.isclose(grown[lost], 5).mean())
        assert (grown[~leaves] < 6).mean() < 0.004
    assert parts[1] > 0.8 and parts[1] > 1.2 * parts[0]


def test_where_colours_say_nothing_nothing_changes() -> None:
    photo, depth, sky, _ = tree(beside=62)
    grown, _ = grow_outlines(depth, photo, sky)
    assert (grown != depth).mean() < 2e-4


def test_only_pixels_beside_an_outline_change_and_only_towards_the_camera() -> None:
    """A second tree in the water far away, unknown to the depth map, stays where it was."""
    photo, depth, sky, _ = tree(columns=480)
    photo[100:140, 420:460] = 60
    grown, _ = grow_outlines(depth, photo, sky)
    cell = photo.shape[0] // GRID
    beside = ndimage.maximum_filter(depth < 10, 2 * PASSES * (BAND + 2) * cell + 1)
    assert (grown[~beside] == depth[~beside]).all() and (grown <= depth).all()
    assert (grown != depth).any()


def test_holes_in_near_things_are_left_to_the_network() -> None:
    """A white sign on the tree's rim looks like the water behind, and stays on the tree."""
    photo, depth, sky, leaves = tree(cut=0)
    photo[:, 160:][leaves[:, 160:] & (depth[:, 160:] == 5) & (np.mgrid[:240, :160][1] > 48)] = 230
    assert (grow_outlines(depth, photo, sky)[0][leaves] == 5).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (7, 9)])
def test_tiny_and_flat_maps_pass_through(size: tuple[int, int]) -> None:
    depth, photo = np.full(size, 3.0, np.float32), np.zeros((*size, 3), np.uint8)
    depth[:, size[1] // 2 :] = 9.0
    for sky in (np.zeros(size, bool), np.ones(size, bool)):
        grown, left = grow_outlines(depth, photo, sky)
        assert grown.shape == size and left.shape == size and np.isfinite(grown).all()
