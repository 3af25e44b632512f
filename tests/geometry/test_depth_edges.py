"""Where the front ends and the background goes on."""

from __future__ import annotations

import numpy as np

from openlyra.geometry.depth_edges import (
    fatten_foreground,
    foreground_rim,
    jumps,
    near_and_far_sides,
    outlines_to_front,
    sky_fringe,
)


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


def tower(seam: int, cloudy: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, depth, sky: a dark tower before a bluish sky, with a light seam beside it that is so many pixels wide."""
    random = np.random.default_rng(0)
    image = np.tile(np.array([150.0, 180.0, 220.0]), (480, 120, 1)) + random.normal(0, 1 + cloudy, (480, 120, 1))
    image[20:, 50 - seam : 70 + seam] += 30
    image[20:, 50:70] = 40
    depth = np.full((480, 120), 500, np.float32)
    depth[20:, 50:70] = 10
    return image.clip(0, 255).astype(np.uint8), depth, depth > 100


def test_the_light_seam_of_an_outline_goes_with_the_front() -> None:
    image, depth, sky = tower(seam=4)
    before = depth.copy(), sky.copy()
    moved, rest = outlines_to_front(image, depth, sky)
    assert (moved[24:, 46:74] == 10).mean() > 0.99 and not rest[24:, 46:74].any()
    # No more than that: sky beside it, above it and far away stays.
    assert rest[:, :45].mean() > 0.999 and rest[:, 75:].mean() > 0.999 and rest[:15].all()
    np.testing.assert_array_equal(moved[rest], 500)
    np.testing.assert_array_equal(before, (depth, sky))


def test_only_what_is_unusual_and_at_the_rim_is_a_fringe() -> None:
    image, _, sky = tower(seam=0)
    assert sky_fringe(image, sky).mean() < 1e-3
    # Where clouds are as uneven as the seam is light, nothing tells it from them.
    image, _, sky = tower(seam=4, cloudy=30)
    assert sky_fringe(image, sky).mean() < 0.01
    # What nobody sees is none, however even the sky is.
    image, _, sky = tower(seam=0)
    image[sky] = 180
    image[20:, 46:50] = 182
    assert not sky_fringe(image, sky).any()
    # Nor is what is not joined to the front.
    image, _, sky = tower(seam=0)
    image[20:, 46] = 240
    assert not sky_fringe(image, sky)[:, 46].any()
    image, _, sky = tower(seam=4)
    image[40:50, 10:20] = 90  # a bird
    found = sky_fringe(image, sky)
    assert found.any() and not found[35:55, 5:25].any()
    wide, _, sky = tower(seam=12)
    assert not sky_fringe(wide, sky)[:, : 50 - 4].any()


def test_without_sky_or_without_anything_else_there_is_no_fringe() -> None:
    image, _, sky = tower(seam=4)
    assert not sky_fringe(image, np.zeros_like(sky)).any()
    assert not sky_fringe(image, np.ones_like(sky)).any()
