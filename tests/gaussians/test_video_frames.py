"""Which frames of a video are taken: those of equal parts of the way, the sharpest of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from openlyra.errors import InputError
from openlyra.gaussians.video_frames import choose_frames, read_video_frames, sharpness, travel
from openlyra.geometry.camera import Trajectory
from openlyra.geometry.trajectory_io import write_trajectory
from openlyra.media.video import VideoWriter
from photo_room import draw_room, room_cameras


def test_blur_lowers_sharpness() -> None:
    image = draw_room(room_cameras(2, 96, 128)[0])[0]
    rising = [sharpness(gaussian_filter(image, (blur, blur, 0))) for blur in (3.0, 1.5, 0.7)]
    assert rising == sorted(rising) and rising[-1] < sharpness(image)
    assert sharpness(np.full((20, 30, 3), 7, np.uint8)) == 0


def test_the_way_counts_steps_and_turns() -> None:
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[1:, 0, 3] = 3.0
    poses[2:, 0, 3] = 4.0
    angle = 0.2
    poses[3, :2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    np.testing.assert_allclose(travel(poses), [0, 0.75, 1.0, 1.1])


def test_a_resting_camera_gives_one_frame_and_the_sharpest() -> None:
    travelled = np.array([0, 0, 0, 0, 1, 2, 3, 4.0])
    sharp = np.array([1, 5, 2, 3, 1, 9, 1, 2.0])
    np.testing.assert_array_equal(choose_frames(travelled, sharp, 4), [1, 4, 5, 7])
    np.testing.assert_array_equal(choose_frames(travelled, sharp, 1), [5])
    with pytest.raises(InputError, match="does not move"):
        choose_frames(np.zeros(3), sharp[:3], 2)


def test_blurred_frames_are_left_out(tmp_path: Path) -> None:
    cameras = room_cameras(20, 64, 80)
    with VideoWriter(tmp_path / "v.mp4", 10, (64, 80), crf=4) as video:
        for index, camera in enumerate(cameras):
            image = draw_room(camera)[0]
            video.write(image if index % 2 else gaussian_filter(image, (2, 2, 0)))
    write_trajectory(Trajectory(cameras), tmp_path / "v.npz")
    frames = read_video_frames(tmp_path / "v.mp4", tmp_path / "v.npz", 6, (32, 40))
    assert frames.size == (32, 40) and 4 <= len(frames) <= 6
    where = [int(np.argmin(np.linalg.norm(cameras.center - c, axis=1))) for c in frames.cameras.center]
    assert all(index % 2 for index in where) and where == sorted(where)
    truths = [draw_room(cameras[at])[0].reshape(32, 2, 40, 2, 3).mean((1, 3)) for at in where]
    error = np.array([[np.abs(truth - image).mean() for truth in truths] for image in frames.images])
    np.testing.assert_array_equal(error.argmin(1), range(len(where)))
