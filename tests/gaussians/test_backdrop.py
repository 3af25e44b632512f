"""The shell behind photos: their colours where they look, near ones beside, nothing far off, hidden by any surface."""

from __future__ import annotations

import numpy as np

from openlyra.gaussians.backdrop import MARGIN, backdrop
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.render import render
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import so3_exp

SIDE = 64


def two_views() -> PosedFrames:
    """A red picture ahead, a green one 60 degrees to the right."""
    poses = np.stack([np.eye(4), np.eye(4)])
    poses[1, :3, :3] = so3_exp(np.array([0.0, np.pi / 3, 0.0]))
    images = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    images[0, ..., 0], images[1, ..., 1] = 200, 120
    return PosedFrames(images, Camera(poses, Camera.from_fov(SIDE, SIDE, 1.0).intrinsics, SIDE, SIDE))


def test_it_shows_what_the_photos_show() -> None:
    frames = two_views()
    shell = backdrop(frames, 50.0)
    np.testing.assert_allclose(np.linalg.norm(shell.means, axis=1), 50, rtol=1e-5)
    for camera, expected in zip(frames.cameras, ([200, 0, 0], [0, 120, 0])):
        seen = render(shell, camera)
        assert seen.alpha.min() > 0.9
        np.testing.assert_allclose(255 * seen.color[24:40, 24:40].mean((0, 1)), expected, atol=12)
    # To the left it goes on in red, behind the camera there is nothing.
    left, behind = np.eye(4), np.diag([-1.0, 1.0, -1.0, 1.0])
    left[:3, :3] = so3_exp(np.array([0.0, -0.8 * MARGIN, 0.0]))
    cameras = Camera(np.stack([left, behind]), frames.cameras.intrinsics[0], SIDE, SIDE)
    assert render(shell, cameras[0]).color[..., 0].mean() > 0.65
    assert render(shell, cameras[1]).alpha.max() < 0.01


def test_any_surface_covers_it() -> None:
    frames = two_views()
    wall = Gaussians.from_colors(
        np.array([[0.0, 0.0, 5.0]]),
        np.array([[1.0, 0, 0, 0]]),
        np.full((1, 3), 4.0),
        np.array([0.999]),
        np.ones((1, 3)),
    )
    seen = render(Gaussians.concatenate([backdrop(frames, 50.0), wall]), frames.cameras[0])
    assert seen.color[SIDE // 2, SIDE // 2].min() > 0.97
