"""Where the front ends and the background goes on."""

from __future__ import annotations

import numpy as np

from openlyra.geometry.depth_edges import fatten_foreground, foreground_rim, jumps, near_and_far_sides


def test_steep_ground_has_no_edge() -> None:
    rows = np.arange(40)[::-1, None] + 1.0
    ground = np.repeat(200.0 / (41 - rows), 20, 1)
    assert (ground[:-1] / ground[1:]).max() > 1.5
    assert not jumps(ground, 0)[1:].any() and not jumps(ground, 1).any()


def test_a_step_is_one_edge() -> None:
    depth = np.full((12, 16), 5.0)
    depth[:, :6] = 2.0
    edge = jumps(depth, 1)
    assert edge[:, 5].all() and edge.sum() == 12
    near, far = near_and_far_sides(depth)
    assert near[:, 5].all() and near.sum() == 12 and far[:, 6].all() and far.sum() == 12
    np.testing.assert_array_equal(foreground_rim(depth, 3).any(0), [False] * 3 + [True] * 3 + [False] * 10)


def test_fattening_moves_an_outline_by_one_pixel() -> None:
    depth, sky = np.full((20, 30), 100.0, np.float32), np.ones((20, 30), bool)
    depth[8:14, 10:18], sky[8:14, 10:18] = 3.0, False
    fat, fat_sky = fatten_foreground(depth, sky)
    grown = np.zeros(depth.shape, bool)
    grown[7:15, 9:19] = True
    grown[[7, 7, 14, 14], [9, 18, 9, 18]] = False  # corners touch the front diagonally only
    np.testing.assert_array_equal(fat == 3.0, grown)
    np.testing.assert_array_equal(fat_sky, ~grown)
    assert depth[7, 10] == 100.0
