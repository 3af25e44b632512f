"""The reference's paths, matrix by matrix."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.geometry.presets import preset
from openlyra.geometry.reference_paths import DIRECTIONS, PATHS, reference_path, reference_zoom

DEPTH = 2.5
with safe_open(Path(__file__).parents[1] / "golden" / "cameras.safetensors", "numpy") as file:
    RECORDED = set(file.keys())
CASES = [(name, way) for name in PATHS for way in DIRECTIONS if f"{name}.{way}.w2c" in RECORDED]


def strength_of(name: str) -> float:
    return 30.0 if name.startswith("rotate_spot") else 0.5


@pytest.fixture(scope="module")
def start(golden: dict[str, np.ndarray]) -> Camera:
    pose = np.linalg.inv(golden["in.initial_w2c"].astype(np.float64))
    return Camera(pose, golden["in.K"], 64, 48)


@pytest.fixture(scope="module")
def origin(golden: dict[str, np.ndarray]) -> Camera:
    return Camera(np.eye(4), golden["in.K"], 64, 48)


def test_the_table_is_complete() -> None:
    recorded = {key.split(".")[0] for key in RECORDED if key.endswith((".right.w2c", ".up.w2c"))}
    # spiral_outwards stops with an error in the reference.
    assert recorded | {"spiral_outwards"} == set(PATHS)


@pytest.mark.parametrize(("name", "direction"), CASES)
def test_equals_the_reference(name: str, direction: str, start: Camera, golden: dict[str, np.ndarray]) -> None:
    expected = golden[f"{name}.{direction}.w2c"]
    path = reference_path(name, 9, DEPTH, strength_of(name), direction, start)
    noise = name != "rotate_spot_noise" and "noise" in name
    tolerance = 8.0 * 1e-4 * 0.5 * DEPTH if noise else 1e-5
    np.testing.assert_allclose(path.cameras.camera_from_world, expected, atol=tolerance)
    np.testing.assert_allclose(path.cameras.intrinsics, golden[f"{name}.{direction}.K"], atol=1e-5)


def test_noise_is_the_seeds(start: Camera) -> None:
    one, again, other = (
        reference_path("horizontal_noise", 9, DEPTH, 0.5, "right", start, seed=seed).cameras.center
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-6


@pytest.mark.parametrize("kind", ["in", "out"])
def test_zoom_script(kind: str, origin: Camera, golden: dict[str, np.ndarray]) -> None:
    depth = 1.9088590145111084
    expected = golden["zoom.in.w2c" if kind == "in" else "zoom.out_default.w2c"]
    ours = reference_zoom(kind, len(expected), depth, origin)
    np.testing.assert_allclose(ours.cameras.camera_from_world, expected, atol=1e-5)
    grounded = reference_zoom(kind, 9, depth, origin, ground_normal=golden["zoom.ground_normal"])
    np.testing.assert_allclose(grounded.cameras.camera_from_world, golden[f"zoom.{kind}_ground.w2c"], atol=1e-5)


def test_what_our_presets_put_right() -> None:
    home = Camera.from_fov(480, 832, 1.0)
    assert reference_path("rotate_spot", 9, DEPTH, 30.0, "right", home)[-1].forward[0] < 0
    assert preset("pan-right", 9, home, DEPTH, 30.0)[-1].forward[0] > 0

    assert reference_path("horizontal", 9, DEPTH, 0.5, "right", home)[-1].center[0] == pytest.approx(
        0.5 * DEPTH * 8 / 9
    )
    assert preset("truck-right", 9, home, DEPTH, 0.5)[-1].center[0] == pytest.approx(0.5 * DEPTH)

    astray = reference_path("rotate_zoom_in", 9, DEPTH, 0.5, "right", home)[-1]
    assert np.degrees(np.arccos(astray.center @ astray.forward / (0.5 * DEPTH))) == pytest.approx(40.0)
    ahead = preset("turn-and-go-right", 9, home, DEPTH, 0.5)[-1]
    assert ahead.center @ ahead.forward == pytest.approx(0.5 * DEPTH)

    assert np.abs(reference_path("spiral_center", 9, DEPTH, 0.5, "right", home)[0].center).max() > 0.01
    assert np.abs(preset("spiral", 9, home, DEPTH)[0].center).max() == 0.0


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match=r"unknown reference path 'zoom'; available: .*horizontal_zoom"):
        reference_path("zoom", 9, DEPTH)
    with pytest.raises(InputError, match="direction is 'north'"):
        reference_path("horizontal", 9, DEPTH, direction="north")
    with pytest.raises(InputError, match="frames is 1"):
        reference_path("horizontal", 1, DEPTH)
