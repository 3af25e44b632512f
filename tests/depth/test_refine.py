from __future__ import annotations

import heapq

import numpy as np
import pytest
from scipy import ndimage

from openlyra.depth import refine
from openlyra.depth.flood import cheapest_way_out
from openlyra.depth.refine import edge_cost, find_transitions, mend_sky_rim, sharpen_depth


def step_scene(sigma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact depth, the same blurred, and a noisy photo whose outline is the true one: a disc before a wall."""
    y, x = np.mgrid[:120, :160]
    disc = (y - 60) ** 2 + (x - 80) ** 2 < 35**2
    exact = np.where(disc, 2.0, 6.0).astype(np.float32)
    blurred = (1.0 / ndimage.gaussian_filter(1.0 / exact, sigma)).astype(np.float32)
    image = np.where(disc[..., None], (180, 90, 60), (80, 110, 140)) + np.random.default_rng(0).normal(
        0, 6, (120, 160, 3)
    )
    return exact, blurred, np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
def test_blurred_step_becomes_sharp(sigma: float) -> None:
    exact, blurred, image = step_scene(sigma)
    sharp = sharpen_depth(blurred, image, reach=0.1)
    wrong_before = np.mean(np.abs(np.log(blurred / exact)) > 0.1)
    wrong_after = np.mean(np.abs(np.log(sharp / exact)) > 0.1)
    assert wrong_after < 0.05 * wrong_before
    assert sharp.dtype == np.float32


def test_planes_and_flat_depth_are_kept_bit_for_bit() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (100, 140, 3), np.uint8)
    rows = np.arange(100, dtype=np.float32)[:, None]
    ground = (1.0 / (0.01 + 0.004 * np.repeat(rows, 140, 1))).astype(np.float32)
    wall = (1.0 / (0.02 + 0.003 * np.repeat(np.arange(140, dtype=np.float32)[None], 100, 0))).astype(np.float32)
    for depth in (ground, wall, np.full((100, 140), 3.0, np.float32)):
        assert not find_transitions((1 / depth).astype(np.float32), 0.1).any()
        assert np.array_equal(sharpen_depth(depth, image), depth)


def test_pixels_outside_transitions_are_untouched() -> None:
    _, blurred, image = step_scene(2.0)
    rim = find_transitions((1 / blurred).astype(np.float32), 0.05)
    sharp = sharpen_depth(blurred, image, reach=0.05)
    assert 0.02 < rim.mean() < 0.3
    assert np.array_equal(sharp[~rim], blurred[~rim])
    assert np.isin(sharp[rim], blurred[~rim]).all()


def test_what_changes_over_a_wider_stretch_is_no_outline() -> None:
    _, blurred, image = step_scene(10.0)
    kept = [float((sharpen_depth(blurred, image, reach=reach) == blurred).mean()) for reach in (0.04, 0.2)]
    assert kept[0] > 0.98 and kept[1] < 0.8


def test_a_wide_rim_beside_the_sky_takes_no_depth_from_it() -> None:
    exact, blurred, image = step_scene(3.0)
    sky = exact > 4
    sharp = sharpen_depth(blurred, image, sky, 0.1)
    assert (sharp[~sky] < 2.5).all() and (sharpen_depth(blurred, image, reach=0.1)[~sky] > 2.5).mean() < 0.01
    assert (blurred[~sky] > 2.5).mean() > 0.05


def cheapest_by_heap(cost: np.ndarray, region: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """Dijkstra's search, one pixel at a time: the slow twin of `cheapest_way_out`."""
    price = np.where(~region & ~closed, 0.0, np.inf)
    queue = [(0.0, int(i), int(j)) for i, j in zip(*np.nonzero(price == 0))]
    while queue:
        so_far, i, j = heapq.heappop(queue)
        for a in range(max(0, i - 1), min(cost.shape[0], i + 2)):
            for b in range(max(0, j - 1), min(cost.shape[1], j + 2)):
                reached = so_far + np.hypot(a - i, b - j) * (cost[i, j] + cost[a, b]) / 2
                if region[a, b] and reached < price[a, b]:
                    price[a, b] = reached
                    heapq.heappush(queue, (reached, a, b))
    return price


@pytest.mark.parametrize("seed", range(4))
def test_ways_out_are_the_cheapest(seed: int) -> None:
    random = np.random.default_rng(seed)
    cost = (random.random((30, 40)) ** 6 + 1e-3).astype(np.float32)
    region = random.random(cost.shape) < 0.9
    closed = random.random(cost.shape) < 0.5
    price, source = cheapest_way_out(cost, region, closed)
    np.testing.assert_allclose(price, cheapest_by_heap(cost, region, closed), rtol=1e-5)
    ends = source[region]
    assert (~region & ~closed).ravel()[ends[ends >= 0]].all()
    outside = ~region & ~closed
    np.testing.assert_array_equal(source[outside], np.flatnonzero(outside))


@pytest.mark.parametrize("size", [(30, 40), (2, 3), (1, 5)])
def test_walking_costs_what_sobels_filters_and_the_slope_say(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    colour = (0.05 * random.random((*size, 3))).astype(np.float32)
    inverse = random.uniform(0.95, 1.0, size).astype(np.float32)
    steps = [ndimage.sobel(colour[..., c], axis) / 8 for c in range(3) for axis in (0, 1)]
    change = np.minimum(np.sqrt(np.square(steps).sum(0)), refine.STRONGEST)
    slopes = [np.gradient(inverse, axis=k) if size[k] > 1 else np.zeros(size) for k in (0, 1)]
    steepness = np.minimum(np.hypot(*slopes) / inverse / refine.STEEPEST, 1)
    plain, everywhere = (refine.WALK + change) * (0.2 + steepness), np.ones(size, bool)
    np.testing.assert_allclose(edge_cost(colour, inverse, everywhere), plain, rtol=1e-4)
    some = random.random(size) < 0.05
    beside = ndimage.binary_dilation(some, np.ones((3, 3)))
    np.testing.assert_allclose(edge_cost(colour, inverse, some), np.where(beside, plain, 0), rtol=1e-4)


def test_without_any_end_nothing_is_found() -> None:
    price, source = cheapest_way_out(np.ones((5, 6), np.float32), np.ones((5, 6), bool), np.zeros((5, 6), bool))
    assert np.isinf(price).all() and (source == -1).all()


def test_sharp_depth_stays_sharp_and_sizes_are_checked() -> None:
    exact, _, image = step_scene(1.0)
    assert np.allclose(sharpen_depth(exact, image), exact, rtol=1e-5)
    with pytest.raises(ValueError, match="size"):
        sharpen_depth(exact, image[:50])


def test_a_towers_fall_towards_the_sky_is_undone_and_a_horizon_stays() -> None:
    sky = np.ones((40, 60), bool)
    sky[30:] = False
    sky[5:30, 20:40] = False
    inverse = np.full((40, 60), 0.01, np.float32)
    inverse[5:30, 20:40] = 0.2 - 0.02 * np.maximum(0, np.abs(np.arange(20) - 9.5) - 4.5)  # soft towards both sides
    inverse[30:] = np.linspace(0.02, 0.2, 10)[:, None]
    mended = mend_sky_rim(inverse, sky, 6)
    assert (mended[5:30, 20:40] > 0.18).all()
    np.testing.assert_array_equal(mended[30:], inverse[30:])
    np.testing.assert_array_equal(mended[sky], inverse[sky])
