"""Thin things in front of the sky."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from openlyra.depth.nano import _with_thin_things
from openlyra.depth.sky import find_thin

SKY_ENDS = 150


def _photo(masts: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A clouded sky over grass and one mast or none; the photo (240, 320, 3) and where the mast stands."""
    rng = np.random.default_rng(0)
    clouds = ndimage.gaussian_filter(rng.normal(size=(240, 320)), 6)
    bright = 0.5 + 0.5 * np.clip(clouds / clouds.std(), -1, 1)
    photo = np.array([110, 150, 215]) + bright[..., None] * np.array([130, 95, 40])
    photo[SKY_ENDS:] = [60, 120, 50]
    mast = np.zeros((240, 320), bool)
    mast[30:SKY_ENDS, 200 : 200 + 5 * masts] = True
    photo[mast] = [70, 55, 40]
    return photo.clip(0, 255).astype(np.uint8), mast


def _overlooked() -> np.ndarray:
    """The sky of a network that saw no mast."""
    sky = np.zeros((240, 320), bool)
    sky[:SKY_ENDS] = True
    return sky


def test_a_mast_is_found_and_gaps_between_clouds_are_not() -> None:
    photo, mast = _photo()
    thin = find_thin(photo, _overlooked())
    assert (thin & mast).sum() > 0.95 * mast.sum() and not (thin & ~ndimage.binary_dilation(mast, iterations=2)).any()
    clouds, _ = _photo(masts=0)
    assert not find_thin(clouds, _overlooked()).any()


def test_a_larger_photo_shows_the_same() -> None:
    photo, mast = _photo()
    large = np.asarray(Image.fromarray(photo).resize((1280, 960), Image.Resampling.BICUBIC))
    thin = find_thin(large, np.kron(_overlooked(), np.ones((4, 4), bool)))
    grown = np.kron(mast, np.ones((4, 4), bool))
    assert (thin & grown).sum() > 0.95 * grown.sum()
    assert not (thin & ~ndimage.binary_dilation(grown, iterations=12)).any()


def test_wide_things_and_specks_are_left_to_the_network() -> None:
    photo, _ = _photo()
    photo[60:SKY_ENDS, 40:110] = [70, 55, 40]
    photo[20, 150] = [0, 0, 0]
    thin = find_thin(photo, _overlooked())
    assert not thin[62:, 45:105].any() and not thin[18:23, 148:153].any()


def test_a_mast_is_as_far_as_what_it_stands_on() -> None:
    photo, mast = _photo()
    inverse = np.full((240, 320), 0.002, np.float32)
    inverse[SKY_ENDS:] = np.linspace(0.02, 0.5, 240 - SKY_ENDS)[:, None]
    mended, sky = _with_thin_things(inverse, _overlooked(), photo)
    core = ndimage.binary_erosion(mast)
    assert not sky[core].any() and np.allclose(mended[core], inverse[SKY_ENDS, 0])
    np.testing.assert_array_equal(mended[sky], inverse[sky])
    np.testing.assert_array_equal(mended[SKY_ENDS:], inverse[SKY_ENDS:])


def test_without_sky_nothing_changes() -> None:
    photo, _ = _photo()
    for sky in (np.zeros((240, 320), bool), np.ones((240, 320), bool)):
        inverse = np.full(sky.shape, 0.1, np.float32)
        mended, same = _with_thin_things(inverse, sky, photo)
        assert mended is inverse and (same == sky).all()
