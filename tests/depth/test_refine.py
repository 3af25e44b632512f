from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from openlyra.depth.refine import find_transitions, mend_sky_rim, sharpen_depth


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


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_blurred_step_becomes_sharp(sigma: float) -> None:
    exact, blurred, image = step_scene(sigma)
    sharp = sharpen_depth(blurred, image)
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
        assert not find_transitions((1 / depth).astype(np.float32), 6, 1.12).any()
        assert np.array_equal(sharpen_depth(depth, image), depth)


def test_pixels_outside_transitions_are_untouched() -> None:
    _, blurred, image = step_scene(2.0)
    rim = find_transitions((1 / blurred).astype(np.float32), 6, 1.12)
    sharp = sharpen_depth(blurred, image)
    assert 0.02 < rim.mean() < 0.3
    assert np.array_equal(sharp[~rim], blurred[~rim])
    assert sharp.min() >= blurred.min() * 0.999 and sharp.max() <= blurred.max() * 1.001


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
