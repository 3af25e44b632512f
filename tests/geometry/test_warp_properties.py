"""What warping must do in our own mode, and that the fast and the plain implementation agree."""

import numba
import numpy as np
import pytest
import torch

from openlyra.errors import InputError
from openlyra.geometry import warp, warp_numba
from openlyra.geometry.camera import Camera
from openlyra.geometry.reliability import planar_depth, reliable_depth
from openlyra.geometry.warp_types import WarpConfig

HEIGHT, WIDTH = 40, 56


def camera(*poses: np.ndarray, height: int = HEIGHT, width: int = WIDTH) -> Camera:
    return Camera.from_fov(height, width, 0.9, np.stack(poses or (np.eye(4),)))


def moved(x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, 0, sin, x], [0, 1, 0, y], [-sin, 0, cos, z], [0, 0, 0, 1]])


def box_room(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random colours (3, H, W) and the depth (H, W) of a wall, a floor and a box in front of them."""
    rays = camera()[0].camera_rays()
    depth = np.minimum(6.0, 1.6 / np.maximum(rays[..., 1], 1e-6))
    depth[10:26, 20:34] = 2.5
    values = np.random.default_rng(seed).uniform(-1, 1, (3, HEIGHT, WIDTH))
    return values.astype(np.float32), depth.astype(np.float32)


CONFIGS = [
    WarpConfig(with_flow=True),
    WarpConfig(edge_threshold=None),
    WarpConfig(edge_test="planar", fill=0.0),
    WarpConfig(reference_compat=True, group=2, with_flow=True),
    WarpConfig(reference_compat=True, edge_threshold=None),
]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("function", ["forward_warp", "forward_warp_fused"])
def test_twins_agree(config, function):
    values, depth = box_room()
    views = [values[::-1].copy(), values]
    depths = np.stack([depth, depth * 1.1])
    depths[0, 3, 3:9], depths[1, 20, 20:30], depths[1, 21, 21] = np.nan, 0.0, -3.0
    mask = np.random.default_rng(1).random(depths.shape) > 0.1
    source = camera(np.eye(4), moved(x=0.2, yaw=0.1))
    count = 3 if function == "forward_warp_fused" else 2
    target = camera(*[moved(x=0.1 * i, z=0.3 * i, yaw=0.2 * i) for i in range(count)], height=30, width=64)
    arguments = (np.stack(views), depths, mask)
    fast = getattr(warp_numba, function)(*arguments, source, target, config)
    plain = getattr(warp, function)(*(torch.from_numpy(a) for a in arguments), source, target, config)
    np.testing.assert_array_equal(fast.mask, plain.mask)
    np.testing.assert_allclose(fast.values, plain.values, atol=1e-5)
    np.testing.assert_allclose(fast.depth, plain.depth, atol=1e-5)
    assert 0.3 < fast.mask.mean() < 1
    if config.with_flow:
        np.testing.assert_allclose(fast.flow, plain.flow, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pose", [np.eye(4), moved(0.3, -0.2, 0.7, 0.4)])
def test_warp_to_the_own_camera_changes_nothing(pose):
    values, depth = box_room()
    own = camera(pose)
    for config in (WarpConfig(), WarpConfig(edge_threshold=None)):
        result = warp_numba.forward_warp(values[None], depth[None], None, own, own, config)
        used = warp_numba.source_mask(depth, None, config)[1]
        np.testing.assert_array_equal(result.mask[0], used)
        np.testing.assert_allclose(result.values[0][:, used], values[:, used], atol=1e-5)
        np.testing.assert_allclose(result.depth[0][used], depth[used], atol=1e-4)
        assert (result.values[0][:, ~used] == -1).all() and (result.depth[0][~used] == 0).all()


def test_sideways_motion_shifts_a_plane_by_focal_times_baseline_over_depth():
    values, _ = box_room()
    view = camera()
    baseline = 3 * 4.0 / view.intrinsics[0, 0, 0]
    depth = np.full((1, HEIGHT, WIDTH), 4.0, np.float32)
    config = WarpConfig(with_flow=True)
    result = warp_numba.forward_warp(values[None], depth, None, view, camera(moved(x=baseline)), config)
    np.testing.assert_allclose(result.values[0][:, :, :-3], values[:, :, 3:], atol=1e-5)
    assert not result.mask[0][:, -3:].any() and result.mask[0][:, :-3].all()
    np.testing.assert_allclose(result.flow[0, 0, 0, :, 3:], -3, atol=1e-6)
    np.testing.assert_allclose(result.flow[0, 0, 1], 0, atol=1e-6)


def test_forward_motion_shortens_the_depth():
    values, _ = box_room()
    depth = np.full((1, HEIGHT, WIDTH), 4.0, np.float32)
    result = warp_numba.forward_warp(values[None], depth, None, camera(), camera(moved(z=1.0)))
    np.testing.assert_allclose(result.depth[result.mask], 3.0, atol=1e-5)


def test_the_near_surface_hides_the_far_one():
    near, far = np.full((2, HEIGHT, WIDTH), 2.0, np.float32), np.full((2, HEIGHT, WIDTH), 9.0, np.float32)
    values = np.stack([np.full((1, HEIGHT, WIDTH), 0.5), np.full((1, HEIGHT, WIDTH), -0.5)]).astype(np.float32)
    both = camera(np.eye(4), np.eye(4))
    for order in ((0, 1), (1, 0)):
        depth = np.stack([near[0], far[0]])[list(order)]
        result = warp_numba.forward_warp_fused(values[list(order)], depth, None, both, camera(moved(x=0.013)))
        covered = result.depth[0, :, 2:-2]
        np.testing.assert_allclose(covered, 2.0, atol=1e-3)
        np.testing.assert_allclose(result.values[0, 0, :, 2:-2], 0.5, atol=1e-3)


@pytest.mark.parametrize("module", [warp, warp_numba])
def test_the_result_does_not_depend_on_the_grouping(module):
    values, depth = box_room()
    poses = [moved(x=0.1 * i, z=0.4 * i, yaw=0.1 * i) for i in range(5)]
    convert = torch.from_numpy if module is warp else np.asarray
    arguments = (convert(values[None]), convert(depth[None]), None, camera())
    together = module.forward_warp(*arguments, camera(*poses))
    for index, pose in enumerate(poses):
        alone = module.forward_warp(*arguments, camera(pose))
        np.testing.assert_array_equal(np.asarray(alone.values[0]), np.asarray(together.values[index]))
        np.testing.assert_array_equal(np.asarray(alone.depth[0]), np.asarray(together.depth[index]))


def test_the_result_does_not_depend_on_the_threads():
    values, depth = box_room()
    target = camera(moved(0.2, 0.1, 0.5, 0.2))
    before = numba.get_num_threads()
    try:
        results = []
        for threads in {1, before}:
            numba.set_num_threads(threads)
            results.append(warp_numba.forward_warp(values[None], depth[None], None, camera(), target))
    finally:
        numba.set_num_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].values, other.values)


def test_points_behind_the_camera_leave_holes_only():
    values, depth = box_room()
    result = warp_numba.forward_warp(values[None], depth[None], None, camera(), camera(moved(z=20.0)))
    assert not result.mask.any() and (result.values == -1).all() and (result.depth == 0).all()


def test_unusable_pixels_do_not_touch_the_rest():
    """Unusable depths give what masking them gives, and a colour of NaN there is harmless."""
    values, depth = box_room()
    good = np.ones((HEIGHT, WIDTH), bool)
    good[5, 5:15], good[30, 30] = False, False
    bad, colour = depth.copy(), values.copy()
    bad[5, 5:15] = [np.nan, np.inf, -np.inf, 0, -1, 1e9, np.nan, 0, -5, 1e5]
    bad[30, 30] = np.nan
    colour[:, ~good] = np.nan
    target = camera(moved(0.1, 0, 0.3, 0.05))
    expected = warp_numba.forward_warp(values[None], depth[None], good[None], camera(), target)
    for module, convert in ((warp, torch.from_numpy), (warp_numba, np.asarray)):
        found = module.forward_warp(convert(colour[None]), convert(bad[None]), None, camera(), target)
        np.testing.assert_allclose(found.values, expected.values, atol=1e-5)
        np.testing.assert_array_equal(found.mask, expected.mask)


def test_gradients_reach_the_values():
    values, depth = box_room()
    colour = torch.from_numpy(values[None]).requires_grad_()
    result = warp.forward_warp(colour, torch.from_numpy(depth[None]), None, camera(), camera(moved(x=0.1)))
    result.values.sum().backward()
    # Every covered target pixel is a weighted mean, so the weights of all sources add up to the covered pixels.
    assert colour.grad.sum().item() == pytest.approx(3 * result.mask.sum().item(), rel=1e-4)


def test_reliable_depth_drops_edges_and_keeps_the_border():
    depth = np.full((20, 30), 3.0, np.float32)
    assert reliable_depth(depth, 0.05).all() and planar_depth(depth, 0.05).all()
    np.testing.assert_array_equal(reliable_depth(depth, 0.05, reference_compat=True), depth > 0)
    depth[:, 15:] = 5.0
    expected = np.ones_like(depth, bool)
    expected[:, 13:17] = False
    np.testing.assert_array_equal(reliable_depth(depth, 0.05), expected)
    np.testing.assert_array_equal(planar_depth(depth, 0.05), expected)


def test_planar_depth_keeps_a_grazing_floor():
    rays = Camera.from_fov(120, 200, 0.9).camera_rays()
    floor = np.where(rays[..., 1] > 0.02, 1.6 / np.maximum(rays[..., 1], 0.02), 0).astype(np.float32)
    rows = slice(70, 120)
    assert planar_depth(floor, 0.05)[rows].mean() == 1
    assert reliable_depth(floor, 0.05)[rows].mean() < 0.1


VALUES, DEPTH = np.zeros((1, 3, HEIGHT, WIDTH), np.float32), np.ones((1, HEIGHT, WIDTH), np.float32)


@pytest.mark.parametrize(
    ("values", "depth", "mask", "source", "target", "names"),
    [
        (VALUES[0], DEPTH, None, camera(), camera(), "values"),
        (VALUES, DEPTH[:, :-1], None, camera(), camera(), "depth"),
        (VALUES, DEPTH, np.ones((1, 3, 3), bool), camera(), camera(), "mask"),
        (VALUES, DEPTH, None, camera(height=41), camera(), "source"),
        (VALUES, DEPTH, None, camera()[0], camera(), "source"),
        (VALUES, DEPTH, None, camera(), camera()[0], "target"),
        (
            VALUES.repeat(2, 0),
            DEPTH.repeat(2, 0),
            None,
            camera(np.eye(4), np.eye(4)),
            camera(*[np.eye(4)] * 3),
            "targets",
        ),
    ],
)
@pytest.mark.parametrize("module", [warp, warp_numba])
def test_wrong_shapes_are_named(module, values, depth, mask, source, target, names):
    convert = (lambda value: None if value is None else torch.from_numpy(value)) if module is warp else (lambda v: v)
    with pytest.raises(InputError, match=names) as caught:
        module.forward_warp(convert(values), convert(depth), convert(mask), source, target)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("setting", [{"edge_threshold": 0.0}, {"edge_test": "x"}, {"sharpness": -1.0}, {"group": 0}])
def test_wrong_settings_are_named(setting):
    with pytest.raises(InputError, match=next(iter(setting))):
        WarpConfig(**setting)
