"""Depth from several views: costs against a plain twin, exact rooms, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from openlyra.depth.multi_view import MultiViewSettings, agreement, fill_between, multi_view_depth, useful_neighbours
from openlyra.depth.plane_sweep import NOISE, _match, _smooth, _transfer, grey, plane_sweep
from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from photo_room import draw_room, room_cameras


@pytest.fixture(scope="module")
def room() -> tuple[Camera, np.ndarray, np.ndarray]:
    cameras = room_cameras(10, 72, 96)
    images, depth = zip(*(draw_room(camera) for camera in cameras))
    return cameras, np.stack(images), np.stack(depth)


def plain_cost(reference: np.ndarray, camera: Camera, other: np.ndarray, there: Camera, depth: float, window: int):
    """Cost of one neighbour at one depth, by unprojection, scipy's sampling and filters; NaN where it is not seen."""
    pixels, z = there.project(camera.unproject(np.full(reference.shape, depth)).reshape(-1, 3))
    u, v = (pixels.T - 0.5).reshape(2, *reference.shape)
    warped = ndimage.map_coordinates(other.astype(float), [v, u], order=1, mode="nearest")
    side = 2 * window + 1

    def mean(values: np.ndarray) -> np.ndarray:
        ones = ndimage.uniform_filter(np.ones(values.shape), side, mode="constant")
        return ndimage.uniform_filter(values, side, mode="constant") / ones

    def spread(values: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(mean(values**2) - mean(values) ** 2, 0) + NOISE**2)

    covariance = mean(warped * reference) - mean(warped) * mean(reference)
    cost = 0.5 - 0.5 * covariance / (spread(warped) * spread(reference))
    inside = (z > 0).reshape(u.shape) & (np.abs(u + 0.5 - there.width / 2) <= there.width / 2)
    return np.where(inside & (np.abs(v + 0.5 - there.height / 2) <= there.height / 2), cost, np.nan)


def test_costs_are_those_of_the_plain_twin(room: tuple[Camera, np.ndarray, np.ndarray]) -> None:
    cameras, images, _ = room
    pictures = grey(images)
    depths = np.array([1.7, 2.6, 4.0])
    others = [1, 3, 8]
    turns, shifts = _transfer(cameras[0], cameras[others])
    found = np.empty((*pictures[0].shape, 3), np.uint8)
    _match(pictures[0], pictures[others], turns, shifts, 1 / depths, 2, found)
    for place, depth in enumerate(depths):
        costs = np.sort([plain_cost(pictures[0], cameras[0], pictures[n], cameras[n], depth, 2) for n in others], 0)
        seen = np.isfinite(costs).sum(0)
        kept = (seen + 1) // 2
        total = np.where(np.arange(3)[:, None, None] < kept, costs, 0).sum(0)
        expected = np.where(seen > 0, total / np.maximum(kept, 1), 0.5)
        difference = np.abs(found[..., place] / 255 - expected)
        assert np.quantile(difference, 0.99) < 0.5 / 255 + 1e-4 and seen.min() < 3


def test_smoothing_is_least_cost_along_a_line() -> None:
    rng = np.random.default_rng(0)
    cost = rng.integers(0, 255, (2, 5, 4), dtype=np.uint8)
    total = np.zeros(cost.shape, np.uint16)
    _smooth(cost, np.zeros((2, 5), np.float32), 0, 1, 20, 90, total)
    for row in range(2):
        best = cost[row, 0].astype(int)
        for j in range(1, 5):
            step = np.abs(np.arange(4)[:, None] - np.arange(4))
            jump = np.select([step == 0, step == 1], [0, 20], 90)
            best = cost[row, j] + (best[None] + jump).min(1) - best.min()
            np.testing.assert_array_equal(total[row, j], best)


def test_a_room_is_measured(room: tuple[Camera, np.ndarray, np.ndarray]) -> None:
    cameras, images, depth = room
    found = multi_view_depth(images, cameras, MultiViewSettings(shrink=1))
    error = np.abs(found.depth / depth - 1)
    assert np.median(error) < 0.02 and np.quantile(error[found.valid], 0.9) < 0.06
    assert found.valid.mean() > 0.6 and not found.far.any()


def test_wrong_cameras_and_no_parallax_are_refused(room: tuple[Camera, np.ndarray, np.ndarray]) -> None:
    cameras, images, _ = room
    with pytest.raises(InputError, match="at least 2"):
        multi_view_depth(images[:1], cameras[:1])
    still = cameras.world_from_camera.copy()
    still[:, :3, 3] = still[0, :3, 3]
    with pytest.raises(InputError, match="does not move"):
        multi_view_depth(images, Camera(still, cameras.intrinsics, cameras.width, cameras.height))
    with pytest.raises(InputError, match="a view needs at least one neighbour"):
        plane_sweep(grey(images[0]), cameras[0], grey(images[:0]), cameras[:0], (0.1, 1.0))
    with pytest.raises(InputError, match="not possible"):
        plane_sweep(grey(images[0]), cameras[0], grey(images[1:]), cameras[1:], (1.0, 0.1))


def test_neighbours_see_the_surface_at_the_wanted_angle() -> None:
    poses = np.stack([np.eye(4)] * 5)
    poses[:, 0, 3] = [0.0, 0.02, 0.5, -0.5, 3.0]
    poses[4, :3, :3] = np.diag([-1.0, 1.0, -1.0])
    cameras = Camera(poses, Camera.from_fov(48, 64, 1.0).intrinsics, 64, 48)
    order = useful_neighbours(cameras, 0, np.full((12, 16), 4.0, np.float32), math.radians(7), 4)
    assert sorted(order[:2]) == [2, 3] and order[2:] == [1, 4]


def test_agreement_counts_views(room: tuple[Camera, np.ndarray, np.ndarray]) -> None:
    cameras, _, depth = room
    inverse = (1 / depth).astype(np.float32)
    inverse[1] *= 1.5
    support = agreement(inverse, cameras, [[2, 3, 1], [2, 3]] + [[0]] * 8, 0.02, 1e-6)
    inner = support[0, 20:50, 30:60]
    assert (inner == 2).mean() > 0.9 and (support[1] == 0).mean() > 0.95


def test_filling_stops_at_edges() -> None:
    guide = np.zeros((24, 40), np.float32)
    guide[:, 20:] = 0.8
    values = np.where(guide > 0, 2.0, 1.0).astype(np.float32)
    known = np.zeros(guide.shape, bool)
    known[::6, ::6] = True
    broken = np.where(known, values, 77.0).astype(np.float32)
    filled = fill_between(broken, known, guide)
    np.testing.assert_array_equal(filled[known], values[known])
    assert np.abs(filled - values).max() < 0.05
    np.testing.assert_array_equal(fill_between(values, np.zeros_like(known), guide), values)


def test_known_points_come_before_what_views_agree_on(room: tuple[Camera, np.ndarray, np.ndarray]) -> None:
    """Walls without a mark say nothing of depth; points of a structure-from-motion model do."""
    cameras, images, depths = room
    plain = np.full_like(images, 128)
    with pytest.raises(InputError, match="too little parallax"):
        multi_view_depth(plain, cameras)
    rng = np.random.default_rng(4)
    height, width = images.shape[1:3]
    points, places = [], []
    for camera, depth in zip(cameras, depths):
        row, column = rng.integers(0, height, 60), rng.integers(0, width, 60)
        points.append(camera.unproject(depth)[row, column])
        places.append((row, column))
    found = multi_view_depth(plain, cameras, points=points)
    for index, (row, column) in enumerate(places):
        assert found.valid[index, row, column].mean() > 0.95
        error = np.abs(found.depth[index, row, column] / depths[index, row, column] - 1)
        assert np.median(error) < 0.03
