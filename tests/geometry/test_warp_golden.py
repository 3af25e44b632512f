"""Parity of both warping implementations with numbers recorded from the reference."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from openlyra.geometry import warp, warp_numba
from openlyra.geometry.camera import Camera
from openlyra.geometry.reliability import reliable_depth
from openlyra.geometry.warp_types import WarpConfig

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "geometry.safetensors")
COMPAT = WarpConfig(reference_compat=True, with_flow=True)
NO_CLEANING = WarpConfig(reference_compat=True, with_flow=True, edge_threshold=None)


def source_cameras() -> Camera:
    # Lifting uses the single-precision inverse of the recorded matrices, as the reference does.
    return Camera(torch.linalg.inv(torch.from_numpy(GOLDEN["in.w2c"])).numpy(), GOLDEN["in.K"], 44, 32)


def target_cameras() -> Camera:
    return Camera(np.linalg.inv(GOLDEN["in.target_w2c"].astype(np.float64)), GOLDEN["in.target_K"], 44, 32)


def tensors(value):
    return None if value is None else torch.from_numpy(value)


def run_torch(function, values, depth, mask, source, target, config):
    return getattr(warp, function)(tensors(values), tensors(depth), tensors(mask), source, target, config)


def run_numba(function, values, depth, mask, source, target, config):
    return getattr(warp_numba, function)(values, depth, mask, source, target, config)


def case(name: str):
    rgb, clean, dirty = GOLDEN["in.rgb"], GOLDEN["in.depth"][:, 0], GOLDEN["in.depth_dirty"][:, 0]
    source, target = source_cameras(), target_cameras()
    one = ("forward_warp", rgb[:1])
    identity = Camera(np.eye(4)[None], np.array([[[40.0, 0, 22], [0, 40, 16], [0, 0, 1]]]), 44, 32)
    return {
        "warp_single": (*one, dirty[:1], None, source[:1], target[:2], COMPAT),
        "warp_single_t0": (*one, dirty[:1], None, source[:1], target[:1], COMPAT),
        "warp_noclean": (*one, clean[:1], None, source[:1], target[:1], NO_CLEANING),
        "warp_multi": ("forward_warp_fused", rgb, dirty, GOLDEN["in.mask3"][0, :, 0] > 0, source, target[:1], COMPAT),
        "warp_behind": (*one, clean[:1], None, source[:1], target[2:], COMPAT),
        "warp_identity": (
            "forward_warp",
            GOLDEN["in.identity_rgb"][None],
            GOLDEN["in.identity_depth"],
            None,
            identity,
            identity,
            NO_CLEANING,
        ),
    }[name]


@pytest.mark.parametrize("run", [run_torch, run_numba])
@pytest.mark.parametrize(
    "name", ["warp_single", "warp_single_t0", "warp_noclean", "warp_multi", "warp_behind", "warp_identity"]
)
def test_warp(name, run):
    result = run(*case(name))
    np.testing.assert_array_equal(np.asarray(result.mask)[:, None], GOLDEN[f"{name}.mask"] > 0)
    np.testing.assert_allclose(result.values, GOLDEN[f"{name}.image"], atol=1e-5)
    if f"{name}.depth" in GOLDEN:
        np.testing.assert_allclose(result.depth, GOLDEN[f"{name}.depth"], atol=1e-5)
    expected = GOLDEN[f"{name}.flow"]
    np.testing.assert_allclose(np.asarray(result.flow).reshape(expected.shape), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("run", [run_torch, run_numba])
def test_the_normaliser_is_shared_by_a_group(run):
    """Groups of one target give what a call with that target alone gives; the reference's does not."""
    function, *arguments, _ = case("warp_single")
    grouped = run(function, *arguments, WarpConfig(reference_compat=True, group=1))
    np.testing.assert_allclose(grouped.values[:1], GOLDEN["warp_single_t0.image"], atol=1e-5)
    assert np.abs(np.asarray(grouped.values[0]) - GOLDEN["warp_single.image"][0]).max() > 1e-4


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("threshold", [0.05, 0.15])
def test_reliable_depth(convert, threshold):
    mask = reliable_depth(convert(GOLDEN["in.depth_dirty"]), threshold, reference_compat=True)
    np.testing.assert_array_equal(np.asarray(mask), GOLDEN[f"reliable_mask.t{threshold}"] > 0)


def test_reliable_depth_of_slopes():
    slope = reliable_depth(GOLDEN["reliable_mask.mild_slope_in"], 0.05, reference_compat=True)
    np.testing.assert_array_equal(slope, GOLDEN["reliable_mask.mild_slope"] > 0)


def test_unproject_and_project():
    source = source_cameras().torch(torch.float32)
    depth = torch.from_numpy(GOLDEN["in.depth"][:, 0])
    dense = warp.unproject(depth, source, offset=0.0)
    np.testing.assert_allclose(dense, GOLDEN["unproject.dense"], atol=1e-5)
    lengths = warp.unproject(depth[:1], source[:1], ray_length=True, offset=0.0)
    np.testing.assert_allclose(lengths, GOLDEN["unproject.ray_distance"], atol=1e-5)
    cleaned, used = warp.source_mask(torch.from_numpy(GOLDEN["in.depth_dirty"][:, 0]), None, COMPAT)
    masked = warp.unproject(cleaned, source, used, offset=0.0)
    np.testing.assert_allclose(masked, GOLDEN["unproject.masked"], atol=1e-5)
    pose, intrinsics = torch.from_numpy(GOLDEN["in.target_w2c"][0]), torch.from_numpy(GOLDEN["in.target_K"][0])
    projected = torch.stack(warp.project_homogeneous(dense, pose, intrinsics), -1)
    np.testing.assert_allclose(projected, GOLDEN["project.homogeneous_uvz"], atol=1e-4, rtol=1e-6)


def test_splat():
    flow, z = torch.from_numpy(GOLDEN["splat.in.flow"][0]), torch.from_numpy(GOLDEN["splat.in.depth"]).reshape(-1)
    rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(11.0), indexing="ij")
    x, y = (columns + flow[0]).reshape(-1), (rows + flow[1]).reshape(-1)
    frame = torch.from_numpy(GOLDEN["splat.in.frame"][0]).reshape(2, -1).T
    everything = torch.ones(99, dtype=torch.bool)
    total, weight = warp.splat(frame, x, y, z, everything, (9, 11), z.clamp(min=0).max(), COMPAT)
    np.testing.assert_array_equal(weight > 0, GOLDEN["splat.out_mask"][0, 0] > 0)
    mean = torch.where(weight > 0, total / weight, torch.zeros(()))
    np.testing.assert_allclose(mean, GOLDEN["splat.out"][0], atol=1e-5)
    image = torch.where(weight > 0, mean, -torch.ones(())).clamp(-1, 1)
    np.testing.assert_allclose(image, GOLDEN["splat.out_image_mode"][0], atol=1e-5)
