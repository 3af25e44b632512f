"""The unit of measured depth: from predicted cameras, or from what is remembered when the camera hardly moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from openlyra.depth.base import DepthResult
from openlyra.errors import InputError
from openlyra.generation.latent_walk import WalkSettings, WalkState, depth_views
from openlyra.generation.measured_depth import MeasuredDepth, known_depth, moves
from openlyra.generation.pose_alignment import adopted_poses, path_length, separated, similarity_scale
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import se3_exp
from openlyra.memory.frame import MemoryFrame
from openlyra.memory.spatial_memory import SpatialMemory
from openlyra.sampling import UniPC

SIZE = (32, 48)
WALL = 4.0


def path(views: int, step: float) -> Camera:
    """Sideways and a little forward, in front of a wall at z = 4."""
    poses = np.tile(np.eye(4), (views, 1, 1))
    poses[:, 0, 3] = step * np.arange(views)
    poses[:, 2, 3] = 0.03 * step * np.arange(views) ** 1.2
    return Camera.from_fov(*SIZE, 0.9, poses)


def wall_depth(camera: Camera) -> np.ndarray:
    return np.full(SIZE, WALL - np.asarray(camera.world_from_camera)[2, 3], np.float32)


def remembered(index: int, camera: Camera) -> MemoryFrame:
    everywhere = np.ones(SIZE, bool)
    return MemoryFrame(index, np.zeros((*SIZE, 3), np.uint8), wall_depth(camera), everywhere, ~everywhere, camera)


def result(depth: np.ndarray) -> DepthResult:
    everywhere = np.ones(SIZE, bool)
    return DepthResult(depth, everywhere, ~everywhere, 40.0, np.ones(SIZE, np.float32), "test", None)


class SingleViews:
    """Measures the wall in a unit of its own that changes from frame to frame."""

    def __init__(self, cameras: Camera) -> None:
        self.cameras, self.asked = cameras, 0

    def estimate(self, image: np.ndarray, focal: float | None = None) -> DepthResult:
        self.asked += 1
        return result(wall_depth(self.cameras[8 * self.asked]) * np.float32(1.0 + 0.7 * self.asked))


class PosedViews:
    """Measures the wall in half the unit; its cameras shake by a fixed amount."""

    def __init__(self, shake: float) -> None:
        self.shake = shake
        self.seen: list[Camera] = []

    def estimate(self, image: np.ndarray, focal: float | None = None) -> DepthResult:
        raise AssertionError("asked for a single view")

    def estimate_posed(self, images: list[np.ndarray], cameras: Camera) -> tuple[list[DepthResult], np.ndarray]:
        self.seen.append(cameras)
        turn = se3_exp(np.array([0.3, -0.2, 0.5, 0.1, 0.4, 0.0]))
        poses = turn @ np.asarray(cameras.world_from_camera)
        poses[:, :3, 3] *= 0.5
        poses[:, :3, 3] += self.shake * np.random.default_rng(0).normal(size=(len(poses), 3))
        return [result(0.5 * wall_depth(camera)) for camera in cameras], poses


def state_of(cameras: Camera) -> WalkState:
    memory = SpatialMemory()
    first = remembered(0, cameras[0])
    memory.add(first)
    nothing = torch.zeros(0)
    return WalkState(1, nothing, None, None, first, memory, {})  # type: ignore[arg-type]


def measured(estimator, cameras: Camera, frames: list[int]) -> list[MemoryFrame]:
    pixels = {frame: torch.zeros(3, *SIZE) for frame in frames}
    return MeasuredDepth(estimator, 100.0).measure(frames, pixels, cameras, state_of(cameras))


def test_single_views_get_the_unit_of_what_is_remembered() -> None:
    cameras = path(25, 0.01)
    found = measured(SingleViews(cameras), cameras, [0, 8, 16, 24])
    assert [frame.index for frame in found] == [8, 16, 24]
    for frame in found:
        np.testing.assert_allclose(frame.depth, wall_depth(cameras[frame.index]), rtol=1e-3)


@pytest.mark.parametrize(("step", "shake"), [(0.05, 0.0), (1e-4, 1e-2), (0.0, 1e-2)])
def test_posed_views_get_the_unit_of_the_path_or_of_memory(step: float, shake: float) -> None:
    """With a still camera the predicted centres are noise: their similarity would give any unit at all."""
    cameras = path(81, step)
    frames = list(range(8, 81, 8))
    assert moves(np.asarray(cameras[frames].world_from_camera), remembered(0, cameras[0])) == (step > 0.01)
    estimator = PosedViews(shake)
    for frame in measured(estimator, cameras, frames):
        np.testing.assert_allclose(frame.depth, wall_depth(cameras[frame.index]), rtol=1e-3)
    centers = np.asarray(estimator.seen[0].center)
    assert np.linalg.norm(centers[0] - centers[-1]) > 0


def test_nothing_in_common_keeps_the_estimators_unit() -> None:
    cameras = path(9, 0.01)
    poses = cameras.world_from_camera.copy()
    poses[8] = poses[8] @ np.diag([-1.0, 1.0, -1.0, 1.0])
    away = Camera(poses, cameras.intrinsics, cameras.width, cameras.height)
    frame = measured(SingleViews(cameras), away, [8])[0]
    np.testing.assert_allclose(frame.depth, 1.7 * wall_depth(cameras[8]), rtol=1e-5)


def test_the_nearest_known_surface_counts() -> None:
    camera = path(1, 0.0)[0]
    near = remembered(0, camera)
    far = MemoryFrame(8, near.image, 2 * near.depth, near.valid, near.sky, camera)
    for frames in ([near, far], [far, near]):
        known = known_depth(camera, frames)
        np.testing.assert_allclose(known[known > 0], WALL, rtol=1e-5)
        assert (known > 0).mean() > 0.7


def test_similarity_scale_survives_outliers() -> None:
    points = np.random.default_rng(1).normal(size=(12, 3))
    turn = se3_exp(np.array([0.0, 0.0, 0.0, 0.3, -0.7, 0.2]))[:3, :3]
    target = 2.5 * points @ turn.T + [1.0, 2.0, 3.0]
    assert similarity_scale(points, target) == pytest.approx(2.5, abs=1e-9)
    assert similarity_scale(points[:5], target[:5]) == pytest.approx(2.5, abs=1e-9)
    target[[2, 7]] += 8.0
    assert similarity_scale(points, target) == pytest.approx(2.5, abs=0.05)
    with pytest.raises(InputError, match="1 views"):
        similarity_scale(points[:1], target[:1])


def test_adopted_poses() -> None:
    given = np.asarray(path(6, 0.2).world_from_camera)
    predicted = se3_exp(np.array([0.3, 0.1, -0.4, 0.2, 0.5, 0.0])) @ given
    predicted[:, :3, 3] *= 0.25
    for anchor, counted in ((0, slice(None)), (3, slice(0, 4))):
        poses, scale = adopted_poses(predicted, given, anchor, counted)
        assert scale == pytest.approx(4.0)
        np.testing.assert_allclose(poses, given, atol=1e-9)
    with pytest.raises(InputError, match="do not move"):
        adopted_poses(np.tile(np.eye(4), (3, 1, 1)), given[:3], 0)


def test_only_coinciding_centres_are_separated() -> None:
    moving = np.asarray(path(4, 0.1).world_from_camera)
    assert separated(moving) is moving
    still = np.tile(np.eye(4), (4, 1, 1))
    assert 0 < path_length(separated(still)) < 1e-6


def test_views_that_are_measured() -> None:
    settings = WalkSettings(UniPC(1))
    assert depth_views(80, settings) == list(range(8, 81, 8))
    assert depth_views(16, settings) == [0, 8, 16]
    assert depth_views(12, settings) == [0, 8, 12]
    assert depth_views(90, settings) == [16 + 8 * i for i in range(1, 10)] + [90]
