"""What every preset promises, and the signs of each."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import angle_between, se3_exp
from openlyra.geometry.presets import ALIASES, PRESETS, measure_center_depth, preset, resolve_name

NAMES = st.sampled_from(sorted(PRESETS))
HOME = Camera.from_fov(480, 832, 1.0)
DEPTH = 2.5
CLOSED = {"static", "swing", "loop", "look-around", "there-and-back"}


def photo(seed: int) -> Camera:
    return Camera(se3_exp(np.random.default_rng(seed).normal(size=6)), HOME.intrinsics, 832, 480)


@settings(max_examples=80, deadline=None)
@given(NAMES, st.integers(1, 200), st.integers(0, 100), st.floats(0.1, 50.0))
def test_starts_at_the_photo_with_the_frames_asked_for(name: str, frames: int, seed: int, depth: float) -> None:
    camera = photo(seed)
    path = preset(name, frames, camera, depth)
    assert len(path) == frames and path.name == name
    np.testing.assert_array_equal(path[0].world_from_camera, camera.world_from_camera)
    np.testing.assert_array_equal(path[0].intrinsics, camera.intrinsics)
    path.cameras.validate(name)


@settings(max_examples=40, deadline=None)
@given(NAMES, st.integers(2, 60), st.floats(0.2, 20.0), st.integers(0, 50))
def test_distances_are_proportional_to_depth_and_follow_the_photo(
    name: str, frames: int, factor: float, seed: int
) -> None:
    camera = photo(seed)
    base, scaled = preset(name, frames, HOME, DEPTH), preset(name, frames, camera, DEPTH * factor)
    expected = camera.center + factor * base.cameras.center @ camera.world_from_camera[:3, :3].T
    np.testing.assert_allclose(scaled.cameras.center, expected, atol=1e-9 * max(1.0, factor))
    expected_rotation = camera.world_from_camera[:3, :3] @ base.cameras.world_from_camera[:, :3, :3]
    np.testing.assert_allclose(scaled.cameras.world_from_camera[:, :3, :3], expected_rotation, atol=1e-9)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_moves_smoothly_and_starts_and_stops_gently(name: str) -> None:
    path = preset(name, 241, HOME, DEPTH).cameras
    step = np.linalg.norm(np.diff(path.center, axis=0), axis=-1)
    turn = angle_between(path.world_from_camera[:-1, :3, :3], path.world_from_camera[1:, :3, :3])
    speed = step / DEPTH + turn
    if name == "static":
        assert speed.max() == 0.0
        return
    assert speed[0] < 0.1 * speed.max() and speed[-1] < 0.1 * speed.max()
    velocity = np.diff(path.center, axis=0)
    assert np.linalg.norm(np.diff(velocity, axis=0), axis=-1).max() <= 0.25 * max(step.max(), 1e-12)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_halving_the_frame_rate_keeps_the_path(name: str) -> None:
    fine, coarse = preset(name, 81, HOME, DEPTH), preset(name, 41, HOME, DEPTH)
    np.testing.assert_allclose(coarse.cameras.world_from_camera, fine.cameras.world_from_camera[::2], atol=1e-12)


@pytest.mark.parametrize("name", sorted(CLOSED))
def test_closed_paths_return_exactly(name: str) -> None:
    path = preset(name, 81, photo(4), DEPTH)
    np.testing.assert_array_equal(path[-1].world_from_camera, path[0].world_from_camera)


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("dolly-in", [0, 0, 1]),
        ("dolly-out", [0, 0, -1]),
        ("truck-left", [-1, 0, 0]),
        ("truck-right", [1, 0, 0]),
        ("pedestal-up", [0, -1, 0]),
        ("pedestal-down", [0, 1, 0]),
        ("walk", [0, 0, 1]),
        ("zoom-in", [0, 0, 1]),
        ("zoom-out", [0, -0.15, -1]),
        ("zoom-in-out", [0, 0, 1 / 3]),
        ("spiral", [1, 0, 0]),
    ],
)
@pytest.mark.parametrize("frames", [2, 9, 81])
def test_last_frame_reaches_the_strength(name: str, end: list[float], frames: int) -> None:
    path = preset(name, frames, HOME, DEPTH, strength=0.8)
    np.testing.assert_allclose(path[-1].center, 0.8 * DEPTH * np.array(end), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "axis", "sign"), [("pan-right", 0, 1), ("pan-left", 0, -1), ("tilt-up", 1, -1), ("tilt-down", 1, 1)]
)
def test_turning_is_in_degrees_and_the_right_way(name: str, axis: int, sign: int) -> None:
    path = preset(name, 30, HOME, DEPTH, strength=30.0)
    assert path[-1].forward[axis] == pytest.approx(sign * 0.5)
    np.testing.assert_array_equal(path.cameras.center, 0.0)


def test_a_pan_to_the_right_shifts_the_picture_to_the_left() -> None:
    point = np.array([[0.0, 0.0, 5.0]])
    assert preset("pan-right", 5, HOME, DEPTH)[-1].project(point)[0][0, 0] < 416
    assert preset("tilt-up", 5, HOME, DEPTH)[-1].project(point)[0][0, 1] > 240


@pytest.mark.parametrize(("name", "sign"), [("orbit-right", 1), ("orbit-left", -1)])
def test_orbits_keep_distance_and_aim(name: str, sign: int) -> None:
    path = preset(name, 41, HOME, DEPTH, strength=90.0).cameras
    center = np.array([0.0, 0.0, DEPTH])
    np.testing.assert_allclose(np.linalg.norm(path.center - center, axis=-1), DEPTH, atol=1e-12)
    np.testing.assert_allclose(path.project(center[None])[0][:, 0], [[416, 240]] * 41, atol=1e-9)
    np.testing.assert_allclose(path[-1].center, [sign * DEPTH, 0.0, DEPTH], atol=1e-12)


@pytest.mark.parametrize("name", ["swing", "spiral", "loop", "crane-up"])
def test_watching_paths_keep_the_centre_in_the_middle(name: str) -> None:
    path = preset(name, 41, HOME, DEPTH).cameras
    np.testing.assert_allclose(path.project(np.array([[0.0, 0.0, DEPTH]]))[0][:, 0], [[416, 240]] * 41, atol=1e-9)


@pytest.mark.parametrize(("name", "sign"), [("dolly-zoom-in", 1), ("dolly-zoom-out", -1)])
def test_dolly_zoom_keeps_the_subject_and_changes_the_background(name: str, sign: int) -> None:
    path = preset(name, 21, HOME, DEPTH, strength=0.6).cameras
    subject = path.project(np.array([[0.3, 0.2, DEPTH]]))[0][:, 0]
    np.testing.assert_allclose(subject, np.broadcast_to(subject[0], subject.shape), atol=1e-9)
    background = path.project(np.array([[0.3, 0.2, 4 * DEPTH]]))[0][:, 0, 0] - 416
    assert (sign * np.diff(background)[1:-1] < 0).all()
    assert (sign * np.diff(path.center[:, 2]) > 0).all() and (sign * np.diff(path.intrinsics[:, 0, 0]) < 0).all()


@pytest.mark.parametrize(("name", "sign"), [("turn-and-go-right", 1), ("turn-and-go-left", -1)])
def test_turn_and_go_moves_where_it_looks(name: str, sign: int) -> None:
    path = preset(name, 81, HOME, DEPTH).cameras
    travelled = path.center[-1] / np.linalg.norm(path.center[-1])
    np.testing.assert_allclose(travelled, path.forward[-1], atol=1e-12)
    assert travelled[0] == pytest.approx(sign * np.sin(np.radians(20.0)))


def test_walk_sways_only_slightly() -> None:
    centers = preset("walk", 241, HOME, DEPTH).cameras.center / DEPTH
    assert 0.001 < np.abs(centers[:, 0]).max() < 0.01 and 0.002 < -centers[:, 1].min() < 0.02
    assert centers[:, 1].max() <= 1e-12, "the head rises over the standing leg, it never sinks below the photo's height"
    assert (np.diff(centers[:, 2]) >= 0).all()


def test_zoom_in_out_passes_through_the_photo() -> None:
    z = preset("zoom-in-out", 701, HOME, 1.0).cameras.center[:, 2]
    assert z.min() == pytest.approx(-0.6, abs=1e-4) and z[-1] == pytest.approx(0.2)
    turning = int(z.argmin())
    assert (np.diff(z[: turning + 1]) <= 0).all() and (np.diff(z[turning:]) >= 0).all()


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_strength_zero_stands_still_and_defaults_are_used(name: str) -> None:
    centers = preset(name, 9, HOME, DEPTH, strength=0.0).cameras.center
    np.testing.assert_allclose(centers, 0.0, atol=1e-12)
    info = PRESETS[name]
    given = preset(name, 9, HOME, DEPTH, strength=info.default_strength).cameras.world_from_camera
    np.testing.assert_array_equal(given, preset(name, 9, HOME, DEPTH).cameras.world_from_camera)
    assert info.summary and "\n" not in info.summary and info.unit in ("", "depths", "degrees")


def test_names() -> None:
    assert all(target in PRESETS for target in ALIASES.values()) and not set(ALIASES) & set(PRESETS)
    assert (
        resolve_name("Dolly_In") == "dolly-in"
        and resolve_name("orbit") == "orbit-right"
        and resolve_name("pan") == "pan-right"
    )
    with pytest.raises(InputError, match=r"unknown camera path 'orbti'; did you mean 'orbit'.*available: .*walk"):
        preset("orbti", 9, HOME, DEPTH)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("walk", 0, HOME, DEPTH), "frames is 0"),
        (("walk", 9, HOME, 0.0), "center_depth is 0.0"),
        (("walk", 9, HOME, float("nan")), "center_depth is nan"),
        (("walk", 9, HOME, DEPTH, -0.5), "strength is -0.5"),
        (("walk", 9, HOME, DEPTH, float("inf")), "strength is inf"),
        (("dolly-zoom-in", 9, HOME, DEPTH, 1.0), "below 1"),
        (("tilt-up", 9, HOME, DEPTH, 90.0), "below 90"),
    ],
)
def test_bad_arguments(arguments: tuple, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        preset(*arguments)


def test_center_depth(golden: dict[str, np.ndarray]) -> None:
    ours = measure_center_depth(golden["zoom.depth"], golden["zoom.mask"] > 0)
    assert ours == pytest.approx(1.9088590145111084, abs=1e-6)
    assert measure_center_depth(np.array([[np.nan, -1.0, 2.0]])) == 2.0
    with pytest.raises(InputError, match="no valid pixel"):
        measure_center_depth(np.full((2, 2), np.nan))
