"""Depth behind what was moved aside: the background goes on, never the foreground."""

from __future__ import annotations

import numpy as np

from openlyra.generation.complete_depth import PartialView, complete_depth
from openlyra.geometry.depth_edges import foreground_rim

FAR = 300.0
SHAPE = (64, 96)


def view(depth: np.ndarray, hole: np.ndarray, sky: np.ndarray | None = None) -> PartialView:
    sky = np.zeros(depth.shape, bool) if sky is None else sky
    rim = foreground_rim(depth.astype(np.float32)).astype(np.float32)
    return PartialView(np.full((*depth.shape, 3), 0.5, np.float32), depth.astype(np.float32), hole, rim, sky)


def strip(first: int, last: int) -> np.ndarray:
    hole = np.zeros(SHAPE, bool)
    hole[10:60, first:last] = True
    return hole


def test_behind_a_near_object_the_wall_goes_on() -> None:
    depth = np.full(SHAPE, 10.0)
    depth[10:60, 10:40] = 2.0
    hole = strip(40, 52)
    partial = view(depth, hole)
    completed = complete_depth(partial, FAR)
    np.testing.assert_allclose(completed.depth[hole], 10.0, rtol=0.02)
    assert not completed.sky.any()
    np.testing.assert_array_equal(completed.depth[~hole], partial.depth[~hole])


def test_beside_a_tower_before_the_sky_is_sky() -> None:
    depth, sky = np.full(SHAPE, FAR), np.ones(SHAPE, bool)
    depth[10:, 10:40], sky[10:, 10:40] = 8.0, False
    hole = strip(40, 52)
    completed = complete_depth(view(depth, hole, sky), FAR)
    assert completed.sky[hole].all()
    np.testing.assert_allclose(completed.depth[hole], FAR)


def test_the_ground_goes_on_as_a_plane_beyond_the_picture() -> None:
    rows = np.arange(SHAPE[0])[:, None] + 0.5
    ground = np.broadcast_to(1.6 * 80.0 / (rows + 6.0), SHAPE)
    hole = np.zeros(SHAPE, bool)
    hole[48:] = True
    completed = complete_depth(view(ground, hole), FAR)
    np.testing.assert_allclose(completed.depth[hole], ground[hole], rtol=0.1)


def test_what_shows_behind_leaves_does_not_go_on_beyond_its_own_outline() -> None:
    """A lake, unknown, a branch, unknown, the trunk: behind the trunk there is more branch, beside the branch lake."""
    depth = np.full(SHAPE, 20.0)
    depth[:, 70:] = 4.0
    depth[20:50, 60:70] = 6.0
    hole = strip(24, 74)
    hole[20:50, 60:70] = False
    completed = complete_depth(view(depth, hole), FAR)
    np.testing.assert_allclose(completed.depth[28:42, 24:48], 20.0, rtol=0.02)
    np.testing.assert_allclose(completed.depth[24:46, 71:73], 6.0, rtol=0.1)


def test_nothing_and_everything_unknown() -> None:
    depth = np.full(SHAPE, 4.0)
    np.testing.assert_array_equal(complete_depth(view(depth, np.zeros(SHAPE, bool)), FAR).depth, depth)
    blind = complete_depth(view(depth, np.ones(SHAPE, bool)), FAR)
    assert blind.sky.all() and (blind.depth == FAR).all()
