"""Paths through keyframes: they pass them, are smooth, do not overshoot, and can be walked at even speed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.geometry.interpolate import constant_speed_path, interpolate, path_steps, retime_constant_speed
from openlyra.geometry.poses import angle_between, quaternion_from_matrix, rigid, se3_exp, slerp, so3_exp

K = np.array([[500.0, 0, 416], [0, 500.0, 240], [0, 0, 1]])


def keyframes(count: int, seed: int) -> Camera:
    rng = np.random.default_rng(seed)
    intrinsics = np.tile(K, (count, 1, 1))
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = rng.uniform(300, 700, count)
    twist = rng.normal(size=(count, 6))
    twist[:, 3:] *= 0.5
    return Camera(se3_exp(twist), intrinsics, 832, 480)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 7), st.integers(0, 1000), st.integers(1, 60))
def test_valid_and_anchored_at_both_ends(count: int, seed: int, frames: int) -> None:
    keys = keyframes(count, seed)
    path = interpolate(keys, frames)
    assert path.batch_shape == (frames,)
    path.validate("path")
    np.testing.assert_array_equal(path[0].world_from_camera, keys[0].world_from_camera)
    if frames > 1:
        np.testing.assert_array_equal(path[-1].world_from_camera, keys[-1].world_from_camera)
        np.testing.assert_allclose(path[-1].intrinsics, keys[-1].intrinsics)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 6), st.integers(0, 1000))
def test_passes_every_keyframe_without_a_kink(count: int, seed: int) -> None:
    keys = keyframes(count, seed)
    path = interpolate(keys, 20_001)
    for key in keys:
        nearest = int(np.linalg.norm(path.center - key.center, axis=-1).argmin())
        np.testing.assert_allclose(path[nearest].center, key.center, atol=2e-3)
        assert angle_between(path[nearest].world_from_camera[:3, :3], key.world_from_camera[:3, :3]) < 5e-3
    velocity = np.diff(path.center, axis=0)
    assert np.linalg.norm(np.diff(velocity, axis=0), axis=-1).max() < 0.01 * np.linalg.norm(velocity, axis=-1).max()
    rotation = path.world_from_camera[:, :3, :3]
    turns = rotation[:-1].swapaxes(1, 2) @ rotation[1:]
    assert angle_between(turns[:-1], turns[1:]).max() < 0.02 * angle_between(rotation[:-1], rotation[1:]).max()


def test_two_keyframes_give_a_straight_line_and_a_slerp() -> None:
    keys = keyframes(2, 5)
    path = interpolate(keys, 11)
    for index, fraction in enumerate(np.linspace(0, 1, 11)):
        np.testing.assert_allclose(
            path[index].center, (1 - fraction) * keys[0].center + fraction * keys[1].center, atol=1e-12
        )
        ends = quaternion_from_matrix(keys.world_from_camera[:, :3, :3])
        ours = quaternion_from_matrix(path[index].world_from_camera[:3, :3])
        assert abs(ours @ slerp(ends[0], ends[1], fraction)) == pytest.approx(1.0, abs=1e-12)


def test_centres_agree_with_the_pyramid_form_of_catmull_rom() -> None:
    points = np.random.default_rng(2).normal(size=(4, 3))
    path = interpolate(Camera(rigid(np.eye(3), points), K, 832, 480), 4001)
    t = np.concatenate([[0.0], np.cumsum(np.sqrt(np.linalg.norm(np.diff(points, axis=0), axis=-1)))])
    time = np.linspace(0, t[-1], 4001)
    inside = (time > t[1]) & (time < t[2])

    def mix(a: np.ndarray, b: np.ndarray, low: float, high: float) -> np.ndarray:
        weight = ((time[inside] - low) / (high - low))[:, None]
        return (1 - weight) * a + weight * b

    first = [mix(points[i], points[i + 1], t[i], t[i + 1]) for i in range(3)]
    second = [mix(first[i], first[i + 1], t[i], t[i + 2]) for i in range(2)]
    np.testing.assert_allclose(path.center[inside], mix(second[0], second[1], t[1], t[2]), atol=1e-12)


def test_turning_on_the_spot_and_holding_do_not_swing_over() -> None:
    positions = np.array([[0, 0, 0], [0, 0, 2], [0, 0, 2], [1, 0, 2]], dtype=float)
    angles = np.array([[0, 0, 0], [0, 0, 0], [0, np.pi / 2, 0], [0, np.pi / 2, 0]])
    path = interpolate(Camera(rigid(so3_exp(angles), positions), K, 832, 480), 400)
    assert path.center[:, 2].max() <= 2.0 + 1e-12 and path.center[:, 0].min() >= -1e-12
    turned = angle_between(np.eye(3), path.world_from_camera[:, :3, :3])
    assert turned.max() <= np.pi / 2 + 1e-9 and (np.diff(turned) >= -1e-9).all()
    still = np.linalg.norm(path.center - [0, 0, 2], axis=-1) < 1e-9
    assert 50 < still.sum() < 250, "turning on the spot takes time"


def test_repeated_and_single_keyframes() -> None:
    keys = keyframes(1, 0)
    np.testing.assert_array_equal(interpolate(keys, 5).world_from_camera, np.repeat(keys.world_from_camera, 5, 0))
    same = keys[np.zeros(3, dtype=int)]
    np.testing.assert_allclose(
        interpolate(same, 9).world_from_camera, np.repeat(keys.world_from_camera, 9, 0), atol=1e-12
    )
    still = retime_constant_speed(same, 9, 1.0)
    np.testing.assert_array_equal(still.world_from_camera, np.repeat(keys.world_from_camera, 9, 0))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(0, 1000), st.floats(0.1, 3.0))
def test_even_speed(count: int, seed: int, turn_radius: float) -> None:
    keys = keyframes(count, seed)
    # Measured along the curve in fine steps: the chord of a long one cuts corners.
    fine = path_steps(constant_speed_path(keys, 40 * 20 + 1, turn_radius), turn_radius)
    steps = fine.reshape(40, 20).sum(-1)
    assert steps.max() < 1.05 * steps.mean() and steps.min() > 0.93 * steps.mean()


def test_turn_radius_is_the_exchange_rate_between_turning_and_going() -> None:
    positions = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 1]], dtype=float)
    rotations = so3_exp(np.array([[0, 0, 0], [0, 0, 0], [0, 1.0, 0]]))
    keys = Camera(rigid(rotations, positions), K, 832, 480)
    for radius, share in ((1.0, 0.5), (3.0, 0.25)):
        path = retime_constant_speed(keys, 401, radius)
        going = (path.center[:, 2] < 1.0 - 1e-9).mean()
        assert going == pytest.approx(share, abs=0.01)


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match="frames is 0"):
        interpolate(keyframes(2, 0), 0)
    with pytest.raises(InputError, match="one row"):
        interpolate(keyframes(2, 0)[0], 5)
    with pytest.raises(InputError, match="turn_radius is -1"):
        retime_constant_speed(keyframes(2, 0), 5, -1.0)
