from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from openlyra.depth.filters import dilated, eroded, grow, guided_filter, opened, opponent, shrink
from openlyra.depth.filters_numba import box_mean


def test_blocks_are_averaged_and_grown_again() -> None:
    values = np.random.default_rng(0).random((13, 22)).astype(np.float32)
    plain = np.pad(values, ((0, 3), (0, 2)), mode="edge").reshape(4, 4, 6, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(shrink(values, 4), plain, atol=1e-6)
    ramp = np.repeat(np.arange(40, dtype=np.float32)[None], 24, axis=0)
    np.testing.assert_allclose(grow(shrink(ramp, 4), 24, 40, 4)[:, 2:-2], ramp[:, 2:-2], atol=1e-4)


@pytest.mark.parametrize("size, radius", [((23, 31), 1), ((23, 31), 4), ((3, 5), 9), ((1, 7), 2), ((6, 1), 0)])
def test_the_quick_mean_is_that_of_scipy(size: tuple[int, int], radius: int) -> None:
    values = np.random.default_rng(0).normal(size=size).astype(np.float32)
    plain = ndimage.uniform_filter(values, 2 * radius + 1, mode="nearest")
    np.testing.assert_allclose(box_mean(values, radius), plain, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_quick_masks_are_those_of_scipy(size: int) -> None:
    random, square = np.random.default_rng(0), np.ones((size, size))
    for share in (0.01, 0.6, 0.95, 1.0):
        mask = random.random((23, 31)) < share
        np.testing.assert_array_equal(opened(mask, size), ndimage.binary_opening(mask, square))
        if size % 2:
            np.testing.assert_array_equal(eroded(mask, size), ndimage.binary_erosion(mask, square))
            np.testing.assert_array_equal(dilated(mask, size), ndimage.binary_dilation(mask, square))


def test_opponent_colours_of_any_memory_layout() -> None:
    image = np.random.default_rng(0).integers(0, 256, (11, 14, 3), np.uint8)
    r, g, b = np.moveaxis(image / np.float32(255), -1, 0)
    plain = np.stack([(r + g + b) / 3, r - g, b - (r + g) / 2], -1)
    np.testing.assert_allclose(opponent(image), plain, atol=1e-6)
    np.testing.assert_array_equal(opponent(image[::2, ::-1]), opponent(image)[::2, ::-1])


def test_guided_smoothing_keeps_the_edges_of_its_guide() -> None:
    guide = np.zeros((40, 40), np.float32)
    guide[:, 20:] = 1
    noisy = guide + np.random.default_rng(0).normal(0, 0.1, guide.shape).astype(np.float32)
    smooth = guided_filter(guide, noisy, 5, 1e-4)
    assert np.abs(smooth - guide).mean() < 0.3 * np.abs(noisy - guide).mean()
    assert np.abs(smooth[:, 19] - smooth[:, 20]).min() > 0.85
