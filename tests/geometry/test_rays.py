"""Ray channels against the reference's, and their own properties."""

import numpy as np
import pytest
import torch

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import se3_exp
from openlyra.geometry.rays import camera_condition, plucker_channels, ray_channels, relative_to, space_to_channel


@pytest.fixture(scope="module")
def cameras(golden_rays: dict[str, np.ndarray]) -> Camera:
    fx, fy, cx, cy = np.moveaxis(golden_rays["in.K_fxfycxcy"].astype(float), -1, 0)
    zero = np.zeros_like(fx)
    rows = [np.stack([fx, zero, cx], -1), np.stack([zero, fy, cy], -1), np.stack([zero, zero, zero + 1], -1)]
    return Camera(golden_rays["in.c2w"], np.stack(rows, -2), 8, 6)


def test_origin_and_direction_channels(cameras: Camera, golden_rays: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(ray_channels(cameras), golden_rays["rays_origin_direction"], atol=1e-5)
    twin = ray_channels(cameras.torch(torch.float32))
    np.testing.assert_allclose(twin.numpy(), golden_rays["rays_origin_direction"], atol=1e-5)


def test_moment_channels(cameras: Camera, golden_rays: dict[str, np.ndarray]) -> None:
    expected = golden_rays["rays_moment_direction"]
    np.testing.assert_allclose(plucker_channels(cameras)[:, : expected.shape[1]], expected, atol=1e-5)


def test_moment_does_not_depend_on_the_point_of_the_ray(cameras: Camera) -> None:
    origins, directions = cameras.rays()
    moved = np.cross(origins + 2.7 * directions, directions)
    np.testing.assert_allclose(moved, plucker_channels(cameras)[..., :3], atol=1e-12)


def test_space_to_channel(golden_rays: dict[str, np.ndarray]) -> None:
    for name, block in (("pixelshuffle", 8), ("camera_tokens", 2)):
        given, expected = golden_rays[f"{name}.in"], golden_rays[f"{name}.out"]
        np.testing.assert_array_equal(space_to_channel(given, block, channel_axis=-4), expected)
        np.testing.assert_array_equal(
            space_to_channel(torch.from_numpy(given), block, channel_axis=-4).numpy(), expected
        )


def test_space_to_channel_is_torchs_pixel_unshuffle() -> None:
    image = torch.arange(2 * 3 * 16 * 24, dtype=torch.float32).reshape(2, 3, 16, 24)
    assert torch.equal(space_to_channel(image, 8), torch.nn.functional.pixel_unshuffle(image, 8))


def test_space_to_channel_refuses_bad_sizes() -> None:
    with pytest.raises(InputError, match="12x16"):
        space_to_channel(np.zeros((3, 12, 16)), 8)
    with pytest.raises(InputError, match="channel_axis"):
        space_to_channel(np.zeros((3, 16, 16)), 8, channel_axis=-4)


def test_condition_does_not_depend_on_the_world_frame() -> None:
    rng = np.random.default_rng(0)
    cameras = Camera(se3_exp(rng.normal(size=(4, 6))), np.array([[9.0, 0, 8], [0, 9.0, 4], [0, 0, 1]]), 16, 8)
    world = se3_exp(rng.normal(size=6))
    moved = Camera(world @ cameras.world_from_camera, cameras.intrinsics, 16, 8)
    condition = camera_condition(cameras, cameras[2])
    assert condition.shape == (4, 384, 1, 2)
    np.testing.assert_allclose(camera_condition(moved, moved[2]), condition, atol=1e-12)
    np.testing.assert_allclose(condition[2, :192], 0.0, atol=1e-12)
    np.testing.assert_allclose(relative_to(cameras, cameras[2])[2].world_from_camera, np.eye(4), atol=1e-12)
