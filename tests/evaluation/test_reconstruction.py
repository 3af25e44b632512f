"""Figures of scenes whose faults are known."""

from __future__ import annotations

import numpy as np
import pytest

from openlyra.errors import InputError
from openlyra.evaluation.off_path import beside, pull
from openlyra.evaluation.perceptual import DEFAULT_FEATURES, FEATURES, encoder, perceptual_distance
from openlyra.evaluation.reconstruction import ReconstructionReport, evaluate_reconstruction
from openlyra.gaussians import Gaussians, render
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.geometry.camera import Camera

HEIGHT, WIDTH = 48, 72


def wall(z: float = 4.0, opacity: float = 0.99) -> Gaussians:
    grid = np.stack(np.meshgrid(np.linspace(-4, 4, 90), np.linspace(-3, 3, 70), [z]), -1).reshape(-1, 3)
    colors = 0.5 + 0.3 * np.sin(grid * [3.0, 4.0, 0.0] + [0, 1, 2])
    count = len(grid)
    turns = np.tile([1.0, 0, 0, 0], (count, 1))
    return Gaussians.from_colors(grid, turns, np.full((count, 3), 0.06), np.full(count, opacity), colors)


def cameras(frames: int = 4, aside: float = 0.0) -> Camera:
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 3] = 0.1 * np.arange(frames) + aside
    return Camera(poses, Camera.from_fov(HEIGHT, WIDTH, 0.9).intrinsics, WIDTH, HEIGHT)


def pictures(scene: Gaussians, path: Camera) -> PosedFrames:
    colors = np.stack([render(scene, camera).color for camera in path])
    return PosedFrames(np.round(np.clip(colors, 0, 1) * 255).astype(np.uint8), path)


def report(scene: Gaussians, **options: object) -> ReconstructionReport:
    return evaluate_reconstruction(scene, pictures(wall(), cameras()), [1], **options)  # type: ignore[arg-type]


def test_the_true_scene_is_without_fault() -> None:
    found = report(wall(), size_bytes=123)
    assert found.input is not None and found.held_out is not None and found.off_path is not None
    assert (found.input.views, found.held_out.views) == (3, 1) and found.bytes == 123
    for figures in (found.input, found.held_out):
        assert figures.psnr > 50 and figures.perceptual is not None and figures.perceptual < 1e-3
        assert figures.floaters == 0 and figures.ghosting < 0.01 and figures.opaque_share > 0.99
    assert found.off_path.psnr > 35 and not found.off_path_truth and found.off_path.ssim is None


def test_off_path_truth_is_used_when_there_is_some() -> None:
    found = report(wall(), off_path=pictures(wall(), cameras(3, 0.3)))
    assert found.off_path is not None and found.off_path_truth
    assert found.off_path.views == 3 and found.off_path.psnr > 50 and found.off_path.ssim is not None


def test_floaters_are_counted() -> None:
    speck = Gaussians.from_colors([[0.1, 0, 2.0]], [[1, 0, 0, 0]], [[0.1] * 3], [0.3], [[0.5, 0.5, 0.5]])
    found = report(Gaussians.concatenate([wall(), speck]))
    assert found.input is not None and 0.002 < found.input.floaters < 0.05


def test_a_double_wall_is_a_ghost() -> None:
    found = report(Gaussians.concatenate([wall(3.0, 0.1), wall()]))
    assert found.input is not None and found.input.ghosting > 0.5


def test_a_misplaced_surface_shows_beside_the_path() -> None:
    # From one camera a wall painted at half the distance looks right; it does not from beside.
    frames = pictures(wall(), cameras(1))
    near = wall().transformed(np.eye(3), np.zeros(3), 0.5)
    truth = pictures(wall(), cameras(2, 0.3))
    found = evaluate_reconstruction(near, frames, [], off_path=truth)
    assert found.input is not None and found.off_path is not None and found.held_out is None
    assert found.input.psnr > 40 and found.off_path.psnr < 20


def test_colours_pulled_to_another_camera() -> None:
    scene, camera = wall(), cameras(1)[0]
    own = render(scene, camera)
    left, right = beside(camera, 0.2)
    np.testing.assert_allclose(np.asarray(right.center) - np.asarray(left.center), [0.4, 0, 0])
    seen = render(scene, right)
    image = np.round(np.clip(own.color, 0, 1) * 255).astype(np.uint8)
    colors, known = pull(image, own.depth, camera, seen.depth, right)
    assert known.mean() > 0.8
    np.testing.assert_allclose(colors[known], seen.color[known], atol=0.03)
    assert not pull(image, own.depth * 2, camera, seen.depth, right)[1].any()


@pytest.mark.parametrize("features", sorted(FEATURES))
def test_perceptual_distance_orders_damage(features: str) -> None:
    rng = np.random.default_rng(0)
    image = np.clip(render(wall(), cameras(1)[0]).color, 0, 1)
    blurred = (image + np.roll(image, 3, 1) + np.roll(image, -3, 1)) / 3
    noisy = image + 0.02 * rng.normal(size=image.shape)
    other = rng.uniform(0, 1, image.shape)
    values = [perceptual_distance(x, image, features) for x in (image, image + 0.01, blurred, other)]
    assert values[0] == 0 and values == sorted(values) and values[3] > 0.3
    assert 0 < perceptual_distance(noisy, image, features) < values[3]
    with pytest.raises(InputError, match=r"'vgg' do not exist.*pyramid"):
        perceptual_distance(image, image, "vgg")


def test_encoder_features_cover_any_size() -> None:
    image = np.random.default_rng(1).uniform(0, 1, (45, 70, 3))
    assert [layer.shape for layer in encoder(image)] == [
        (32, 48, 16), (16, 24, 24), (8, 12, 40), (4, 6, 112), (2, 3, 320)
    ]  # fmt: skip
    assert DEFAULT_FEATURES == "encoder"
