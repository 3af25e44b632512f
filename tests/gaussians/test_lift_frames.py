"""A first scene from several frames: each surface from the frame that sees it finest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from openlyra.gaussians.lift_frames import lift_frames, seen_finer
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import rigid

HEIGHT, WIDTH, WALL = 32, 48, 8.0


def approach(*places: float) -> PosedFrames:
    """Frames of a wall at z = 8 from cameras on the z axis that look straight at it."""
    poses = np.stack([rigid(np.eye(3), np.array([0, 0, z])) for z in places])
    cameras = Camera(poses, Camera.from_fov(HEIGHT, WIDTH, 1.0).intrinsics, WIDTH, HEIGHT)
    images = np.random.default_rng(0).integers(0, 256, (len(places), HEIGHT, WIDTH, 3)).astype(np.uint8)
    depth = np.stack([np.full((HEIGHT, WIDTH), WALL - z, np.float32) for z in places])
    return PosedFrames(images, cameras, depth)


def test_near_frames_show_what_far_ones_see_coarsely() -> None:
    frames = approach(0.0, 4.0)
    far = seen_finer(frames, 0)
    # Half as far away the frame shows the middle half of both sides.
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[HEIGHT // 4 : 3 * HEIGHT // 4, WIDTH // 4 : 3 * WIDTH // 4] = True
    np.testing.assert_array_equal(far, expected)
    assert not seen_finer(frames, 1).any()


def test_lifted_gaussians_are_as_fine_as_the_nearest_frame() -> None:
    frames = approach(0.0, 4.0)
    scene = lift_frames(frames, shrink=1)
    reach = np.abs(scene.means[:, :2]).max(1)
    middle, rim = scene.scales[reach < 1.0].max(), scene.scales[np.abs(scene.means[:, 1]) > 2.6].max()
    np.testing.assert_allclose(rim / middle, 2.0, rtol=0.05)
    alone = lift_frames(frames.select([0]), shrink=1)
    assert scene.count > 1.5 * alone.count


def test_neither_a_little_nearer_nor_another_surface_nor_an_unsure_one_nor_sky_counts() -> None:
    assert not seen_finer(approach(0.0, 1.0), 0).any()
    frames = approach(0.0, 4.0)
    assert frames.depth is not None
    other = frames.depth.copy()
    other[1] *= 1.2
    assert not seen_finer(replace(frames, depth=other), 0).any()
    nothing = np.zeros(frames.depth.shape, bool)
    assert not seen_finer(replace(frames, valid=nothing), 0).any()
    assert not seen_finer(replace(frames, sky=~nothing), 0).any()
