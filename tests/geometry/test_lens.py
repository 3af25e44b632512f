"""Lenses: where they show a direction, and pictures straightened without an empty border."""

from __future__ import annotations

import math

import numpy as np
import pytest

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.geometry.lens import Lens, straight_camera, straighten
from photo_room import draw_bent_room, draw_room, room_cameras

BROWN = Lens((-0.12, 0.03, 0.004), (0.003, -0.002))
FISHEYE = Lens((0.02, -0.01, 0.002, 0.0), fisheye=True)
RATIONAL = Lens((0.2, 0.05, 0.0), (0.001, 0.0), (0.25, 0.02, 0.0))


def test_values_by_hand() -> None:
    """Spelled out term by term for one direction."""
    x, y = 0.3, -0.4
    square = 0.25
    radial = 1 - 0.12 * square + 0.03 * square**2 + 0.004 * square**3
    wanted_x = x * radial + 2 * 0.003 * x * y - 0.002 * (square + 2 * x * x)
    wanted_y = y * radial + 0.003 * (square + 2 * y * y) - 2 * 0.002 * x * y
    np.testing.assert_allclose(BROWN.distort(np.array([x, y])), [wanted_x, wanted_y], rtol=1e-12)
    angle = math.atan(0.5)
    bent = angle * (1 + 0.02 * angle**2 - 0.01 * angle**4 + 0.002 * angle**6)
    np.testing.assert_allclose(FISHEYE.distort(np.array([x, y])), [x * bent / 0.5, y * bent / 0.5], rtol=1e-12)
    factor = (1 + 0.2 * square + 0.05 * square**2) / (1 + 0.25 * square + 0.02 * square**2)
    shown = RATIONAL.distort(np.array([x, y]))
    np.testing.assert_allclose(shown, [x * factor + 0.002 * x * y, y * factor + 0.001 * (square + 2 * y * y)])
    np.testing.assert_allclose(FISHEYE.distort(np.zeros(2)), [0, 0])


@pytest.mark.parametrize("lens", [BROWN, FISHEYE, RATIONAL, Lens((0.3,))], ids=["brown", "fisheye", "rational", "pin"])
def test_a_bent_render_comes_back_straight(lens: Lens) -> None:
    """The photo is drawn ray by ray through the lens, inverted by Newton steps; the truth is drawn without a lens."""
    camera = room_cameras(5, 120, 160)[2]
    photo = draw_bent_room(camera, lens)
    image, straight = straighten(photo, camera, lens)
    truth = draw_room(straight)[0].astype(float)
    error = np.abs(image.astype(float) - truth)
    bent_error = np.abs(photo.astype(float) - draw_room(camera)[0])
    assert error.mean() < 1.5 and np.percentile(error, 97) < 8, error.mean()
    assert bent_error.mean() > 4 * error.mean()


def test_the_straight_camera_uses_all_of_the_picture_and_nothing_beyond() -> None:
    camera = room_cameras(2, 120, 160)[0]
    for lens in (BROWN, Lens((0.3,)), FISHEYE):
        straight = straight_camera(camera, lens)
        pixels = lens.distort(straight.camera_rays()[..., :2]) * camera.intrinsics[0, 0] + camera.intrinsics[:2, 2]
        assert pixels.min() >= 0 and (pixels.max((0, 1)) <= [160, 120]).all()
        touched = min(pixels.min(), *([160, 120] - pixels.max((0, 1))))
        assert touched < 1.5 or straight.intrinsics[0, 0] / camera.intrinsics[0, 0] == pytest.approx(0.7)
    assert straight_camera(camera, Lens()) is camera


@pytest.mark.parametrize("lens", [Lens((-9.0,)), Lens((float("nan"),))])
def test_a_lens_that_folds_is_refused(lens: Lens) -> None:
    with pytest.raises(InputError, match="folds the picture over"):
        straight_camera(Camera.from_fov(120, 160, 1.0), lens)
