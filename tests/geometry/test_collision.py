"""The guard that keeps paths out of what the photo shows."""

import numpy as np
import pytest

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.collision import limit_forward_motion
from openlyra.geometry.poses import look_at, se3_exp
from openlyra.geometry.presets import preset

HEIGHT, WIDTH = 120, 208
HOME = Camera.from_fov(HEIGHT, WIDTH, 1.0)
RAYS = HOME.camera_rays()


def wall(depth: float) -> np.ndarray:
    return np.full((HEIGHT, WIDTH), depth)


def scene(*boxes: tuple[float, float, float, float, float], back: float = 20.0) -> np.ndarray:
    """A back wall with upright rectangles (depth, left, right, top, bottom) in scene units in front of it."""
    depth = wall(back)
    for z, left, right, top, bottom in boxes:
        x, y = z * RAYS[..., 0], z * RAYS[..., 1]
        depth[(x > left) & (x < right) & (y > top) & (y < bottom) & (depth > z)] = z
    return depth


def dolly(distance: float, frames: int = 41, camera: Camera = HOME) -> Trajectory:
    return preset("dolly-in", frames, camera, distance, strength=1.0)


@pytest.mark.parametrize("margin", [0.2, 0.35, 0.6])
@pytest.mark.parametrize("frames", [2, 9, 81])
def test_stops_before_a_wall(margin: float, frames: int) -> None:
    limited = limit_forward_motion(dolly(10.0, frames), wall(4.0), None, HOME, margin)
    assert len(limited) == frames
    assert limited[-1].center[2] == pytest.approx(4.0 * (1 - margin), rel=0.01)
    assert limited[-1].center[2] <= 4.0 * (1 - margin) + 1e-6


def test_ease_and_start_survive() -> None:
    path = dolly(10.0)
    limited = limit_forward_motion(path, wall(4.0), None, HOME)
    ratio = limited.cameras.center[1:, 2] / path.cameras.center[1:, 2]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    np.testing.assert_array_equal(limited[0].world_from_camera, path[0].world_from_camera)
    np.testing.assert_array_equal(
        limited.cameras.world_from_camera[:, :3, :3], path.cameras.world_from_camera[:, :3, :3]
    )


def test_a_harmless_path_is_returned_as_it_is() -> None:
    path = dolly(2.0)
    assert limit_forward_motion(path, wall(4.0), None, HOME) is path
    away = preset("dolly-out", 9, HOME, 4.0, strength=5.0)
    assert limit_forward_motion(away, wall(4.0), None, HOME) is away


def test_objects_beside_and_below_the_path_do_not_limit_it() -> None:
    path = dolly(5.0)
    depth = scene((2.0, 0.9, 1.8, -1.0, 1.0), (2.0, -1.8, -0.9, -1.0, 1.0))
    assert (depth == 2.0).any() and limit_forward_motion(path, depth, None, HOME, corridor=0.4) is path
    floor = np.where(RAYS[..., 1] > 1e-3, np.minimum(1.6 / np.maximum(RAYS[..., 1], 1e-3), 20.0), 20.0)
    assert limit_forward_motion(path, floor, None, HOME) is path


def test_an_object_in_the_way_limits_it() -> None:
    depth = scene((3.0, -0.5, 0.5, -0.5, 0.5))
    limited = limit_forward_motion(dolly(10.0), depth, None, HOME)
    assert 1.5 < limited[-1].center[2] < 3.0 * 0.65 + 0.1


def test_unbelievable_pixels_and_single_outliers_do_not_count() -> None:
    depth = scene((3.0, -0.5, 0.5, -0.5, 0.5))
    path = dolly(8.0)
    assert limit_forward_motion(path, depth, depth > 10.0, HOME) is path
    lonely = wall(20.0)
    lonely[60, 104] = 1.0
    assert limit_forward_motion(path, lonely, None, HOME) is path
    assert limit_forward_motion(path, np.full((HEIGHT, WIDTH), np.nan), None, HOME) is path


def test_does_not_jump_through_a_thin_screen() -> None:
    depth = scene((2.0, -0.6, 0.6, -0.6, 0.6), back=60.0)
    limited = limit_forward_motion(dolly(40.0, frames=2), depth, None, HOME)
    assert limited[-1].center[2] < 2.0


def test_going_back_first_is_left_alone_and_the_way_forward_stays_smooth() -> None:
    path = preset("zoom-in-out", 241, HOME, 4.0, strength=3.0)
    limited = limit_forward_motion(path, wall(4.0), None, HOME)
    z, before = limited.cameras.center[:, 2], path.cameras.center[:, 2]
    np.testing.assert_allclose(z[before <= 0], before[before <= 0], atol=1e-12)
    assert before[-1] == pytest.approx(4.0) and 2.0 < z[-1] <= 2.6 + 1e-6
    assert np.abs(np.diff(z, n=2)).max() <= 1.2 * np.abs(np.diff(before, n=2)).max()
    turning = int(z.argmin())
    assert (np.diff(z[turning:]) >= 0).all()


def test_closed_paths_stay_closed() -> None:
    path = preset("there-and-back", 81, HOME, 6.0, strength=1.0)
    limited = limit_forward_motion(path, wall(4.0), None, HOME)
    np.testing.assert_allclose(limited[-1].center, limited[0].center, atol=1e-12)
    assert limited.cameras.center[:, 2].max() == pytest.approx(2.6, rel=0.01)


def test_a_winding_path_ends_up_free() -> None:
    depth = scene((5.0, -3.0, 3.0, -3.0, 3.0), (3.0, 0.5, 1.5, -1.0, 1.0))
    bends = np.array([[0, 0, 0], [0.9, 0, 1.0], [0.9, 0, 3.5], [-1.0, 0, 4.0], [-1.0, 0, 9.0]], dtype=float)
    path = Trajectory(Camera(look_at(bends, bends + np.array([0, 0, 1.0])), HOME.intrinsics, WIDTH, HEIGHT))
    limited = limit_forward_motion(path, depth, None, HOME)
    assert limited is not path and np.abs(limited.cameras.center).max() > 0.3
    assert limit_forward_motion(limited, depth, None, HOME) is limited


def test_the_world_frame_does_not_matter() -> None:
    moved = Camera(se3_exp([1.0, -2.0, 0.5, 0.3, 2.0, -0.4]), HOME.intrinsics, WIDTH, HEIGHT)
    limited = limit_forward_motion(dolly(10.0, camera=moved), wall(4.0), None, moved)
    travelled = limited[-1].center - moved.center
    np.testing.assert_allclose(travelled, moved.forward * np.linalg.norm(travelled), atol=1e-9)
    assert np.linalg.norm(travelled) == pytest.approx(2.6, rel=0.01)


def test_units_do_not_matter() -> None:
    for scale in (0.01, 100.0):
        limited = limit_forward_motion(dolly(10.0 * scale), wall(4.0 * scale), None, HOME)
        assert limited[-1].center[2] == pytest.approx(2.6 * scale, rel=0.01)


def test_bad_arguments() -> None:
    for margin in (0.0, 1.0, float("nan")):
        with pytest.raises(InputError, match="margin is"):
            limit_forward_motion(dolly(1.0), wall(4.0), None, HOME, margin)
    with pytest.raises(InputError, match="depth is"):
        limit_forward_motion(dolly(1.0), wall(4.0)[:-1], None, HOME)
