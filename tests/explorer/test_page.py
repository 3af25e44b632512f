"""The exported page in a real browser: the right picture, the right way up, and controls that do what they say."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openlyra.explorer.viewer import export_viewer
from openlyra.gaussians import Gaussians, render
from openlyra.geometry.camera import Camera, Trajectory

# The principal point is off the middle on purpose.
CAMERA = Camera.from_fov(240, 416, math.radians(50)).cropped(-8, 12, 240, 416)
BACKGROUND = (11 / 255, 13 / 255, 16 / 255)
BLOBS = {  # name: pixel (x, y), depth, colour, scales
    "red": ((80, 60), 4.0, (0.9, 0.1, 0.1), (0.3, 0.08, 0.08)),
    "green": ((330, 110), 6.0, (0.1, 0.9, 0.1), (0.1, 0.4, 0.1)),
    "blue": ((220, 180), 3.0, (0.1, 0.1, 0.9), (0.1, 0.1, 0.1)),
}


def scene(degree: int = 0) -> Gaussians:
    """Red upper left and leaning one way, green right leaning the other, blue low: unlike all its mirror images."""
    k = CAMERA.intrinsics
    means = [[(x - k[0, 2]) / k[0, 0] * z, (y - k[1, 2]) / k[1, 1] * z, z] for (x, y), z, _, _ in BLOBS.values()]
    colors, scales = [blob[2] for blob in BLOBS.values()], [blob[3] for blob in BLOBS.values()]
    turn = [math.cos(0.3), 0, 0, math.sin(0.3)]
    flat = Gaussians.from_colors(
        np.array(means), np.tile(turn, (3, 1)), np.array(scales), np.full(3, 0.95), np.array(colors)
    )
    if degree == 0:
        return flat
    sh = flat.with_sh_degree(degree).sh
    sh[:, 1:] = np.random.default_rng(0).uniform(-0.3, 0.3, sh[:, 1:].shape)
    return Gaussians(flat.means, flat.quaternions, flat.scales, flat.opacities, sh)


def path() -> Trajectory:
    """Three frames: the photo, a step right and down with a turn, a wider view."""
    poses = np.tile(np.eye(4), (3, 1, 1))
    angle = 0.2
    poses[1, :3, :3] = [[math.cos(angle), 0, -math.sin(angle)], [0, 1, 0], [math.sin(angle), 0, math.cos(angle)]]
    poses[1, :3, 3] = [0.6, 0.3, -0.5]
    intrinsics = np.tile(CAMERA.intrinsics, (3, 1, 1))
    intrinsics[2, 0, 0] *= 0.8
    intrinsics[2, 1, 1] *= 0.8
    return Trajectory(Camera(poses, intrinsics, CAMERA.width, CAMERA.height), fps=20.0)


@pytest.fixture
def shown(page: Any, tmp_path: Path) -> Any:
    """The page with the standard scene in a window of twice the photo's size, without buttons."""
    export_viewer(scene(), tmp_path / "a.html", path(), focus=4.0)
    assert page.open(tmp_path / "a.html", 832, 480), page.evaluate("window.openlyra.error")
    page.evaluate("window.openlyra.setInterface(false)")
    return page


def picture(page: Any) -> np.ndarray:
    page.evaluate("window.openlyra.renderOnce()")
    return page.screenshot()


def centroid(image: np.ndarray, channel: int) -> np.ndarray:
    """(x, y) of the middle of everything in that colour, in pixels."""
    others = np.delete(image.astype(float), channel, axis=2).max(2)
    weight = np.clip(image[..., channel] - others - 30.0, 0, None)
    assert weight.sum() > 0, "the colour is not in the picture"
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


def check_places(image: np.ndarray, camera: Camera) -> None:
    pixels, _ = camera.project(scene().means.astype(np.float64))
    for channel, expected in enumerate(pixels):
        np.testing.assert_allclose(centroid(image, channel), expected, atol=1.5)


def check_render(image: np.ndarray, camera: Camera, gaussians: Gaussians, mean: float) -> None:
    reference = np.clip(render(gaussians, camera, background=BACKGROUND).color, 0, 1) * 255
    # Some headless browsers do not draw the lowest rows of a screenshot.
    difference = np.abs(reference - image)[:-8]
    assert difference.mean() < mean and np.percentile(difference, 99) < 12


def test_picture_is_where_the_cameras_say(shown: Any) -> None:
    for frame, camera in enumerate(path().resized(480, 832)):
        shown.evaluate(f"window.openlyra.setPathFrame({frame})")
        image = picture(shown)
        check_places(image, camera)
        check_render(image, camera, scene(), mean=1.0)
    assert shown.log == []


def test_page_starts_at_the_photo(shown: Any) -> None:
    check_places(shown.screenshot(), CAMERA.resized(480, 832))


@pytest.mark.parametrize(("width", "height"), [(1000, 480), (600, 480), (300, 480)])
def test_other_windows_keep_the_framing(shown: Any, tmp_path: Path, width: int, height: int) -> None:
    assert shown.open(tmp_path / "a.html", width, height)
    shown.evaluate("window.openlyra.setInterface(false)")
    # The whole height of the photo, or 60 % of its width where the window is too narrow for that.
    scale = min(height / 240, width / (0.6 * 416))
    large = CAMERA.resized(round(240 * scale), round(416 * scale))
    camera = large.cropped((large.height - height) / 2, (large.width - width) / 2, height, width)
    check_render(picture(shown), camera, scene(), mean=1.0)


def test_view_dependent_colour(page: Any, tmp_path: Path) -> None:
    export_viewer(scene(degree=2), tmp_path / "a.html", path())
    assert page.open(tmp_path / "a.html", 832, 480), page.evaluate("window.openlyra.error")
    page.evaluate("window.openlyra.setInterface(false)")
    page.evaluate("window.openlyra.setPathFrame(1)")
    check_render(picture(page), path()[1].resized(480, 832), scene(degree=2), mean=1.5)


def test_nothing_is_loaded_from_elsewhere(shown: Any) -> None:
    assert shown.requests
    assert all(re.match(r"(file|blob|data|about):", address) for address in shown.requests)


def pose(page: Any) -> np.ndarray:
    return np.array(page.evaluate("window.openlyra.getCamera()")["worldFromCamera"]).reshape(4, 4)


def test_camera_can_be_read_and_set(shown: Any) -> None:
    wanted = path()[1].world_from_camera
    shown.evaluate(f"window.openlyra.setCamera({{worldFromCamera: {json.dumps(wanted.ravel().tolist())}}})")
    np.testing.assert_allclose(pose(shown), wanted, atol=1e-6)
    check_places(picture(shown), path()[1].resized(480, 832))


def test_dragging_orbits_and_the_button_returns(shown: Any) -> None:
    pivot = np.array([0, 0, 4.0])
    shown.mouse("mousePressed", 400, 200, button="left", buttons=1)
    shown.mouse("mouseMoved", 500, 160, button="left", buttons=1)
    shown.mouse("mouseReleased", 500, 160, button="left")
    turned = pose(shown)
    np.testing.assert_allclose(turned[:3, 3] + 4.0 * turned[:3, 2], pivot, atol=1e-5)
    assert turned[0, 3] < -0.5, "dragging right must show the scene from further left"
    assert turned[1, 3] > 0.2, "dragging up must show it from further below"
    np.testing.assert_allclose(turned[1, 0], 0, atol=1e-6, err_msg="the horizon must stay level")
    shown.evaluate("document.getElementById('reset').click()")
    np.testing.assert_allclose(pose(shown), np.eye(4), atol=1e-6)


def test_wheel_goes_nearer_and_keys_walk(shown: Any) -> None:
    shown.mouse("mouseWheel", 400, 200, deltaX=0, deltaY=-100)
    wait_until(lambda: pose(shown)[2, 3] > 0.1)
    near = pose(shown)[2, 3]
    shown.key("keyDown", "KeyD")
    wait_until(lambda: pose(shown)[0, 3] > 0.1)
    shown.key("keyUp", "KeyD")
    assert pose(shown)[2, 3] == pytest.approx(near, abs=1e-6)


def test_path_plays_to_its_end(shown: Any) -> None:
    shown.evaluate("document.getElementById('play').click()")
    wait_until(lambda: shown.evaluate("window.openlyra.player.time") == 2)
    wait_until(lambda: not shown.evaluate("window.openlyra.player.playing"))
    assert shown.evaluate("document.getElementById('scrub').value") == "2"
    assert shown.evaluate("window.openlyra.getCamera()")["fy"] == pytest.approx(0.8 * CAMERA.intrinsics[1, 1], rel=1e-6)


def wait_until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def message(page: Any) -> str:
    assert page.evaluate("!document.getElementById('message').hidden")
    return page.evaluate("document.getElementById('message').textContent")


def test_missing_webgl_is_said(page: Any, tmp_path: Path) -> None:
    export_viewer(scene(), tmp_path / "a.html")
    with page.run_before_load("HTMLCanvasElement.prototype.getContext = () => null"):
        assert not page.open(tmp_path / "a.html", 400, 300)
    assert "needs WebGL 2" in message(page)


def test_damaged_scene_is_said(page: Any, tmp_path: Path) -> None:
    export_viewer(scene(), tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text("utf-8")
    (tmp_path / "a.html").write_text(text.replace('"count":3', '"count":2'), "utf-8")
    assert not page.open(tmp_path / "a.html", 400, 300)
    assert "damaged" in message(page)
