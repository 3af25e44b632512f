"""Refined cameras: brought back to where the given ones are, the scene with them; held-out poses found in the scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from openlyra.gaussians.optimise import OptimiseSettings, optimise
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.render import render
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import se3_exp
from openlyra.reconstruction.refined import settled
from photo_room import room_cameras

CAMERAS = room_cameras(6, 40, 56)


def cloud(count: int = 300) -> Gaussians:
    rng = np.random.default_rng(1)
    means = rng.uniform([-1.5, -1, 0.8], [1.8, 1, 2.2], (count, 3))
    turn = np.tile([1.0, 0, 0, 0], (count, 1))
    return Gaussians.from_colors(means, turn, np.full((count, 3), 0.09), np.full(count, 0.9), rng.random((count, 3)))


def test_a_world_that_drifted_is_brought_back() -> None:
    rotation = Rotation.from_rotvec([0.02, -0.05, 0.03]).as_matrix()
    scale, shift = 1.03, np.array([0.1, -0.2, 0.05])
    poses = np.array(CAMERAS.world_from_camera)
    poses[:, :3, 3] = scale * poses[:, :3, 3] @ rotation.T + shift
    poses[:, :3, :3] = rotation @ poses[:, :3, :3]
    drifted = replace(CAMERAS, world_from_camera=poses)
    moved = cloud().transformed(rotation, shift, scale)
    scene, cameras = settled(moved, drifted, CAMERAS)
    np.testing.assert_allclose(cameras.world_from_camera, CAMERAS.world_from_camera, atol=1e-9)
    np.testing.assert_allclose(scene.means, cloud().means, atol=1e-5)
    seen, wanted = render(scene, CAMERAS[2]).color, render(cloud(), CAMERAS[2]).color
    assert np.abs(seen - wanted).max() < 1e-3 < np.abs(render(moved, CAMERAS[2]).color - wanted).max()
    same, unmoved = settled(moved, CAMERAS, CAMERAS)
    assert same is moved and unmoved is CAMERAS


def test_poses_and_exposures_are_found_in_a_fixed_scene() -> None:
    """Of every frame, the first too, and the scene comes back as it was."""
    scene, rng = cloud(), np.random.default_rng(2)
    gain = np.array([1.2, 1.0, 0.8])
    images = [np.clip(render(scene, camera).color * g, 0, 1) for camera, g in zip(CAMERAS, [gain[0], *[1.0] * 5])]
    wrong = CAMERAS.world_from_camera @ se3_exp(rng.normal(0, [0.006] * 3 + [0.004] * 3, (6, 6)))
    frames = PosedFrames(np.rint(255 * np.stack(images)).astype(np.uint8), replace(CAMERAS, world_from_camera=wrong))
    settings = OptimiseSettings(
        steps=6 * 25, exposure=True, refine_poses=True, cover=0, opacity=0, scale=0, backend="cpu"
    )
    found = optimise(scene, frames, settings, fixed_scene=True)
    np.testing.assert_allclose(found.gaussians.means, scene.means, atol=1e-6)
    assert found.gaussians.count == scene.count and (found.cameras.world_from_camera[0] != wrong[0]).any()

    def error(cameras: Camera) -> float:
        """Of the pictures that show the scene unchanged; a turn and a shift can stand for one another."""
        pairs = zip(list(cameras)[1:], images[1:])
        return float(np.mean([np.abs(render(scene, camera).color - image).mean() for camera, image in pairs]))

    assert error(found.cameras) < 0.5 * error(frames.cameras)
    assert found.gains[0].mean() > 1.05 and np.abs(found.gains[1:] - 1).max() < 0.1
