from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from openlyra.depth import BACKENDS, FAR_SKY, DepthResult, load_depth
from openlyra.depth.base import check_image, default_focal, place_sky
from openlyra.errors import InputError


def result() -> DepthResult:
    shape = (4, 6)
    return DepthResult(
        np.ones(shape, np.float32),
        np.ones(shape, bool),
        np.zeros(shape, bool),
        5.0,
        np.ones(shape, np.float32),
        "x",
        None,
    )


def test_validate_names_what_is_wrong() -> None:
    good = result()
    good.validate()
    holes = good.depth.copy()
    holes[1, 2] = np.nan
    bad = {
        "depth must be finite": replace(good, depth=holes),
        "positive everywhere": replace(good, depth=np.zeros((4, 6), np.float32)),
        "sky is": replace(good, sky=np.zeros((4, 5), bool)),
        "valid is uint8": replace(good, valid=np.ones((4, 6), np.uint8)),
        "confidence must lie": replace(good, confidence=np.full((4, 6), 1.5, np.float32)),
        "focal is nan": replace(good, focal=math.nan),
    }
    for message, case in bad.items():
        with pytest.raises(InputError, match=message):
            case.validate()


def test_sky_stands_at_a_multiple_of_the_median() -> None:
    depth = np.arange(1, 25, dtype=np.float32).reshape(4, 6)
    sky = np.zeros((4, 6), bool)
    sky[0] = True
    placed = place_sky(depth, sky)
    assert np.allclose(placed[0], FAR_SKY * np.median(depth[1:]))
    assert np.array_equal(placed[1:], depth[1:])
    assert np.isfinite(place_sky(depth, np.ones((4, 6), bool))).all()


def test_focal_length_follows_the_field_of_view() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    assert check_image(image, None) == pytest.approx(50 / math.tan(math.radians(25)))
    assert default_focal(100, math.pi / 2) == pytest.approx(50)
    assert check_image(image, 70) == 70.0
    for focal in (0.0, -3.0, math.inf):
        with pytest.raises(InputError, match="focal"):
            check_image(image, focal)
    for wrong in (np.zeros((100, 200), np.uint8), np.zeros((100, 200, 3), np.float32), np.zeros((8, 200, 3), np.uint8)):
        with pytest.raises(InputError, match="image is"):
            check_image(wrong, None)


def test_unknown_backend_and_option() -> None:
    with pytest.raises(InputError, match="depth-anything, layout") as caught:
        load_depth("midas")
    assert "'midas'" in str(caught.value)
    with pytest.raises(InputError, match="no option 'hight'; it has: camera_height"):
        load_depth("layout", hight=2.0)
    assert "layout" in BACKENDS
