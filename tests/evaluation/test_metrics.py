"""Image similarity and closed loops, against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest

from openlyra.evaluation.metrics import psnr, ssim
from openlyra.evaluation.run import comes_back
from openlyra.geometry.camera import Camera
from openlyra.geometry.presets import preset


def picture() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.2, 0.8, (40, 50, 3))


def test_psnr_of_a_known_error() -> None:
    image = picture()
    assert psnr(image, image) == 100
    assert psnr(image + 0.1, image) == pytest.approx(20)
    assert psnr(np.full((4, 4, 3), 255, np.uint8), np.zeros((4, 4, 3), np.uint8)) == pytest.approx(0)
    assert psnr(np.full((4, 4, 3), 7.0), np.ones((4, 4, 3))) == 100  # clipped first
    mask = np.zeros((40, 50), bool)
    mask[:10] = True
    half = image.copy()
    half[10:] = 0
    assert psnr(half, image, mask) == 100 > psnr(half, image)


def test_ssim_falls_with_noise() -> None:
    image = picture()
    noise = np.random.default_rng(1).normal(size=image.shape)
    values = [ssim(image + amount * noise, image) for amount in (0, 0.02, 0.05, 0.15)]
    assert values[0] == pytest.approx(1)
    assert values == sorted(values, reverse=True) and values[-1] < 0.8


@pytest.mark.parametrize("name, back", [("walk", False), ("loop", True)])
def test_comes_back(name: str, back: bool) -> None:
    path = preset(name, 17, Camera.from_fov(64, 96, 0.9), 5.0)
    assert comes_back(path[0], path[len(path) - 1], path) is back


def test_standing_still_is_no_return() -> None:
    path = preset("walk", 9, Camera.from_fov(64, 96, 0.9), 5.0).head(1)
    assert not comes_back(path[0], path[0], path)
