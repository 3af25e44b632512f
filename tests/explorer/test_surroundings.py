"""What a page shows beyond a scene: the far colours of each direction, and nothing around a lone object."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from openlyra.explorer.surroundings import COLUMNS, ROWS, surroundings
from openlyra.explorer.viewer import export_viewer
from openlyra.gaussians.lift import lift
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.memory.frame import MemoryFrame

BLUE, PINK, GREEN, RED = (80, 120, 240), (240, 160, 200), (60, 160, 60), (230, 40, 40)
UPRIGHT = Camera.from_fov(60, 104, math.radians(50))
POSE = np.eye(4)
POSE[:3] = np.c_[Rotation.from_rotvec([0.5, -0.8, 0.3]).as_matrix(), [3, -2, 5]]
CAMERA = replace(UPRIGHT, world_from_camera=POSE)
"""A world whose axes are not the photo's, as that of a reconstruction."""


def view() -> MemoryFrame:
    """Sky, blue on the left and pink on the right, over a green lawn, and a red post before all."""
    row, column = np.indices((60, 104))
    depth = np.where(row < 30, 500.0, 80.0 / np.maximum(row - 29, 1))
    image = np.where(row[..., None] < 30, np.where(column[..., None] < 52, BLUE, PINK), GREEN)
    post = abs(column - 52) < 16
    depth, image = np.where(post, 2.0, depth), np.where(post[..., None], RED, image)
    known = np.ones(depth.shape, bool)
    return MemoryFrame(0, image.astype(np.uint8), depth.astype(np.float32), known, row < 30, CAMERA)


def place(colors: np.ndarray, elevation: float, azimuth: float) -> np.ndarray:
    row, column = (90 - elevation) / 180 * (ROWS - 1), (azimuth + 180) / 360 * COLUMNS
    return colors[round(row), round(column) % COLUMNS].astype(int)


def test_far_colours_go_on_behind_near_things_and_beyond_the_view() -> None:
    colors = surroundings(lift(view()), CAMERA)
    assert colors is not None and colors.shape == (ROWS, COLUMNS, 3)
    np.testing.assert_allclose(place(colors, 15, -30), BLUE, atol=25)
    np.testing.assert_allclose(place(colors, 15, 30), PINK, atol=25)
    between = np.mean([BLUE, PINK], 0)
    for elevation, azimuth, color in ((15, 0, between), (15, 180, between), (80, 0, between), (-40, 120, GREEN)):
        np.testing.assert_allclose(place(colors, elevation, azimuth), color, atol=50)
    # The post fills the lower middle down to the border: there is no lawn behind it, but beside it.
    np.testing.assert_allclose(place(colors, -10, 35), GREEN, atol=40)


def test_a_lone_object_has_none() -> None:
    post = (abs(np.indices((60, 104))[1] - 52) < 16) & np.ones((60, 104), bool)
    assert surroundings(lift(view(), post), CAMERA) is None


def test_odd_scenes_do_no_harm() -> None:
    """Specks, and Gaussians all around and at the camera itself: nothing, or colours between those there are."""
    rng = np.random.default_rng(0)
    means = np.concatenate([np.zeros((1, 3)), rng.normal(size=(5000, 3))])
    for size in (1e-6, 1.0, 1e4):
        scene = Gaussians.from_colors(
            means, np.tile([1.0, 0, 0, 0], (5001, 1)), np.full((5001, 3), size), np.full(5001, 0.9),
            rng.uniform(0.4, 0.6, (5001, 3)),
        )  # fmt: skip
        colors = surroundings(scene, UPRIGHT)
        assert (colors is None) == (size < 1)
        assert colors is None or (colors.min() >= 101 and colors.max() <= 154)


def test_the_page_shows_them_and_a_key_hides_them(page: Any, tmp_path: Path) -> None:
    scene = lift(view())
    colors = surroundings(scene, CAMERA)
    assert colors is not None
    export_viewer(scene, tmp_path / "a.html", Trajectory(Camera(POSE[None], CAMERA.intrinsics[None], 104, 60)))
    assert page.open(tmp_path / "a.html", 416, 240), page.evaluate("window.openlyra.error")
    page.evaluate("window.openlyra.setInterface(false)")
    # Looking to the left, beyond what the photo shows; the picture's middle looks 90 degrees to the left.
    turned = POSE @ np.array([[0, 0, -1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    page.evaluate(f"window.openlyra.setCamera({{worldFromCamera: {json.dumps(turned.ravel().tolist())}}})")
    page.evaluate("window.openlyra.renderOnce()")
    assert abs(place(colors, 15, -90) - place(colors, 15, 90)).max() > 30
    seen = page.screenshot().astype(int)
    focal = 4 * CAMERA.intrinsics[0, 0]
    for elevation in (15, 0, -10):
        row = round(120 - focal * math.tan(math.radians(elevation)))
        np.testing.assert_allclose(seen[row, 208], place(colors, elevation, -90), atol=6)
    page.key("keyDown", "KeyB")
    page.evaluate("window.openlyra.renderOnce()")
    np.testing.assert_allclose(page.screenshot()[60, 208], (11, 13, 16), atol=2)
