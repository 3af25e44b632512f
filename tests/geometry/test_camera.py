"""Camera and Trajectory: projection, resizing, batching, the torch twin, and what validate rejects."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.poses import se3_exp

BATCHES = st.sampled_from([(), (1,), (3,), (2, 3)])


def make_camera(batch: tuple[int, ...] = (), seed: int = 0, height: int = 7, width: int = 10) -> Camera:
    rng = np.random.default_rng(seed)
    intrinsics = np.zeros((*batch, 3, 3))
    intrinsics[..., 0, 0], intrinsics[..., 1, 1] = rng.uniform(5, 20, batch), rng.uniform(5, 20, batch)
    intrinsics[..., 0, 2], intrinsics[..., 1, 2] = rng.uniform(4, 6, batch), rng.uniform(3, 4, batch)
    intrinsics[..., 2, 2] = 1.0
    return Camera(se3_exp(rng.normal(size=(*batch, 6))), intrinsics, width, height)


@settings(max_examples=25, deadline=None)
@given(BATCHES, st.integers(0, 1000))
def test_unproject_then_project_returns_pixel_centres(batch: tuple[int, ...], seed: int) -> None:
    camera = make_camera(batch, seed)
    depth = np.random.default_rng(seed).uniform(0.5, 9.0, (*batch, 7, 10))
    points = camera.unproject(depth)
    assert points.shape == (*batch, 7, 10, 3)
    pixels, z = camera.project(points.reshape(*batch, 70, 3))
    rows, columns = np.meshgrid(np.arange(7) + 0.5, np.arange(10) + 0.5, indexing="ij")
    expected = np.broadcast_to(np.stack([columns, rows], -1).reshape(70, 2), (*batch, 70, 2))
    np.testing.assert_allclose(pixels, expected, atol=1e-9)
    np.testing.assert_allclose(z.reshape(depth.shape), depth, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(BATCHES, st.integers(0, 1000))
def test_rays_pass_through_unprojected_points(batch: tuple[int, ...], seed: int) -> None:
    camera = make_camera(batch, seed)
    origins, directions = camera.rays()
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1.0, atol=1e-12)
    offset = camera.unproject(np.full((7, 10), 3.0)) - origins
    np.testing.assert_allclose(np.cross(offset, directions), 0.0, atol=1e-9)
    assert ((offset * directions).sum(-1) > 0).all()


@settings(max_examples=15, deadline=None)
@given(BATCHES, st.integers(0, 1000))
def test_numpy_and_torch_agree(batch: tuple[int, ...], seed: int) -> None:
    camera = make_camera(batch, seed)
    twin = camera.torch()
    depth = np.random.default_rng(seed).uniform(0.5, 9.0, (*batch, 7, 10))
    points = camera.unproject(depth)
    assert twin.world_from_camera.dtype == torch.float64
    np.testing.assert_allclose(twin.unproject(torch.from_numpy(depth)).numpy(), points, atol=1e-12)
    np.testing.assert_allclose(twin.rays()[1].numpy(), camera.rays()[1], atol=1e-12)
    np.testing.assert_allclose(twin.camera_from_world.numpy(), camera.camera_from_world, atol=1e-12)
    flat = points.reshape(*batch, 70, 3)
    for ours, theirs in zip(camera.project(flat), twin.project(torch.from_numpy(flat)), strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours, atol=1e-9)
    np.testing.assert_array_equal(twin.numpy().intrinsics, camera.intrinsics)
    assert twin.torch(torch.float32).unproject(torch.from_numpy(depth)).dtype == torch.float32


def test_torch_gradients_reach_the_pose() -> None:
    camera = make_camera().torch()
    pose = camera.world_from_camera.clone().requires_grad_()
    Camera(pose, camera.intrinsics, 10, 7).project(torch.tensor([[0.3, 0.2, 4.0]]))[0].sum().backward()
    assert pose.grad is not None and pose.grad.abs().max() > 0


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 100))
def test_resizing_scales_pixels(height: int, width: int, seed: int) -> None:
    camera = make_camera(seed=seed)
    points = camera.unproject(np.full((7, 10), 2.0)).reshape(-1, 3)
    pixels, resized = camera.project(points)[0], camera.resized(height, width)
    np.testing.assert_allclose(resized.project(points)[0], pixels * [width / 10, height / 7], atol=1e-9)
    assert (resized.height, resized.width) == (height, width)
    np.testing.assert_allclose(resized.resized(7, 10).intrinsics, camera.intrinsics, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(-5, 5), st.integers(-5, 5))
def test_cropping_shifts_pixels(top: int, left: int) -> None:
    camera = make_camera(seed=3)
    points = camera.unproject(np.full((7, 10), 2.0)).reshape(-1, 3)
    pixels, _ = camera.project(points)
    np.testing.assert_allclose(camera.cropped(top, left, 4, 5).project(points)[0], pixels - [left, top], atol=1e-12)


def test_resize_then_crop_as_the_reference_prepares_its_data(golden: dict[str, np.ndarray]) -> None:
    camera = Camera(np.eye(4), golden["resize_K.in"], 1280, 704)
    ours = camera.resized(480, 854).cropped(0, 11, 480, 832)
    np.testing.assert_allclose(ours.intrinsics, golden["resize_K.out"], atol=1e-3)


def test_from_fov() -> None:
    camera = Camera.from_fov(480, 832, 1.0)
    assert camera.vertical_fov == pytest.approx(1.0)
    np.testing.assert_allclose(camera.intrinsics[:2, 2], [416, 240])
    np.testing.assert_allclose(camera.forward, [0, 0, 1])


def test_points_in_the_camera_plane_do_not_divide_by_zero() -> None:
    with np.errstate(all="raise"):
        pixels, z = Camera.from_fov(8, 8, 1.0).project(np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]]))
    assert np.isfinite(pixels).all() and (z <= 0).all()


def test_indexing_and_broadcasting() -> None:
    camera = Camera(se3_exp(np.random.default_rng(0).normal(size=(4, 6))), np.diag([9.0, 9.0, 1.0]), 10, 7)
    assert camera.batch_shape == (4,) and camera.intrinsics.shape == (4, 3, 3)
    assert len(camera) == 4 and camera[1:3].batch_shape == (2,) and camera[2].batch_shape == ()
    np.testing.assert_array_equal(camera[[3, 0]].center, camera.center[[3, 0]])
    assert [single.batch_shape for single in camera] == [()] * 4
    with pytest.raises(TypeError):
        len(camera[0])
    assert camera[0], "a single camera must be true"


def test_depth_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="depth is"):
        make_camera().unproject(np.ones((6, 10)))


def broken(frame: int, **entries: float) -> Camera:
    poses, intrinsics = np.tile(np.eye(4), (5, 1, 1)), np.tile(np.diag([9.0, 9.0, 1.0]), (5, 1, 1))
    for name, value in entries.items():
        kind, row, column = name[0], int(name[1]), int(name[2])
        (poses if kind == "p" else intrinsics)[frame, row, column] = value
    return Camera(poses, intrinsics, 10, 7)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"p03": np.nan}, "NaN"),
        ({"p00": np.inf}, "NaN or infinity"),
        ({"p00": 1.01}, "not orthonormal"),
        ({"p00": -1.0}, "mirrors"),
        ({"p30": 0.5}, "last row of the pose"),
        ({"k00": -9.0}, "focal length"),
        ({"k00": 0.0}, "focal length"),
        ({"k02": np.nan}, "intrinsics hold NaN"),
        ({"k01": 2.0}, "skew"),
        ({"k22": 2.0}, "last row of the intrinsics"),
    ],
)
def test_validate_names_the_frame(entries: dict[str, float], words: str) -> None:
    with np.errstate(all="raise"), pytest.raises(InputError, match=f"some file: frame 3: .*{words}"):
        broken(3, **entries).validate("some file")


def test_validate_accepts_single_precision_and_refuses_empty_images() -> None:
    poses = se3_exp(np.random.default_rng(1).normal(size=(50, 6))).astype(np.float32)
    Camera(poses, np.diag([9.0, 9.0, 1.0]), 10, 7).validate("x")
    with pytest.raises(InputError, match="image size 0x7"):
        Camera(np.eye(4), np.diag([9.0, 9.0, 1.0]), 0, 7).validate("x")
    with pytest.raises(InputError, match="a camera needs"):
        Camera(np.eye(3), np.eye(3), 10, 7)


def test_trajectory() -> None:
    path = Trajectory(make_camera((6,)), fps=24.0, name="mine")
    assert len(path) == 6 and path[2].batch_shape == () and len(path[1:4]) == 3 and path[1:4].fps == 24.0
    assert len(path.head(6)) == 6 and path.resized(14, 20).cameras.width == 20
    with pytest.raises(InputError, match="'mine' has 6 frames; 7 were asked for"):
        path.head(7)
    with pytest.raises(InputError):
        path.head(0)
    with pytest.raises(InputError):
        Trajectory(make_camera())


def test_importing_geometry_does_not_import_torch() -> None:
    modules = "camera poses presets reference_paths interpolate collision trajectory_io rays"
    imports = "; ".join(f"import openlyra.geometry.{module}" for module in modules.split())
    code = f"import sys; {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
