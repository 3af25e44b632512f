"""Motion is found in a video that a plain renderer made: a textured wall whose geometry is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from openlyra.evaluation.camera_control import camera_error, motion
from openlyra.evaluation.true_walk import TrueWalk
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import invert, se3_exp, so3_log

HEIGHT, WIDTH = 64, 112


def seen(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Picture and z-depth of a slanted wall with waves on it, by intersecting every ray."""
    ends = np.asarray(camera.unproject(np.ones((HEIGHT, WIDTH))))
    eye, normal, offset = np.asarray(camera.center), np.array([0.3, 0.1, 1.0]), 3.0
    depth = (offset - eye @ normal) / ((ends - eye) @ normal)
    points = eye + depth[..., None] * (ends - eye)
    waves = np.sin(points[..., :1] * (4, 7, 5) + points[..., 1:2] * (6, 2, 9) + 3 * np.sin(points[..., :1] * 2.3))
    return np.clip(128 + 100 * waves, 0, 255).astype(np.uint8), depth.astype(np.float32)


def walk(frames: int = 7) -> TrueWalk:
    twist = np.array([0.02, -0.01, 0.03, 0.004, 0.012, 0.003])
    poses = np.stack([np.asarray(se3_exp(twist * index)) for index in range(frames)])
    cameras = Camera.from_fov(HEIGHT, WIDTH, 0.8, poses)
    parts = [seen(camera) for camera in cameras]
    images, depth = (np.stack(part) for part in zip(*parts))
    return TrueWalk("wall", images, depth, np.zeros(depth.shape, bool), cameras)


def test_the_motion_between_two_frames_is_found() -> None:
    truth = walk()
    a, b = (np.asarray(truth.cameras[index].world_from_camera) for index in (0, 4))
    found = motion(truth.images[0], truth.depth[0], truth.images[4], truth.cameras[0])
    wrong = invert(found) @ invert(b) @ a
    assert np.degrees(np.linalg.norm(so3_log(wrong[:3, :3]))) < 0.2
    assert np.linalg.norm(wrong[:3, 3]) < 0.02 < 0.1 < np.linalg.norm((invert(b) @ a)[:3, 3])


def test_a_video_that_obeys_is_told_from_one_that_does_not() -> None:
    truth = walk()
    good = camera_error(truth.images, truth)
    still = camera_error(np.repeat(truth.images[:1], len(truth), 0), truth)
    other = camera_error(truth.images[::-1], replace(truth, depth=truth.depth[::-1]))
    assert good.reprojection < 0.1 and good.rotation < 0.1 and good.translation < 0.5
    for bad in (still, other):
        assert bad.reprojection > 10 * good.reprojection and bad.translation > 3 * good.translation
    flat = camera_error(np.full_like(truth.images, 90), truth)
    assert flat.rotation == pytest.approx(still.rotation, abs=0.1)  # nothing moves in it either
    assert 1.3 < still.rotation < 1.7  # two frames turn 1.5 degrees
