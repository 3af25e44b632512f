"""`geometry*`: reliability masks, lifting, projection, splatting and forward warps, by both implementations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare
from openlyra.geometry import warp, warp_numba
from openlyra.geometry.camera import Camera
from openlyra.geometry.reliability import reliable_depth
from openlyra.geometry.warp_types import WarpConfig

TOLERANCE = 1e-5
LARGE = 1e-4
"""For numbers in pixels, which are hundreds in single precision."""
COMPAT = WarpConfig(reference_compat=True, with_flow=True)
NO_CLEANING = WarpConfig(reference_compat=True, with_flow=True, edge_threshold=None)


def check(file: GoldenFile) -> Iterator[Comparison]:
    """Everything the file holds."""
    yield from _reliability(file)
    yield from _points(file)
    for name in sorted({key.split(".")[0] for key in file.keys if key.startswith("warp_")}):
        for twin in (warp, warp_numba):
            yield from _warp(file, name, twin)
    if "splat.out" in file:
        yield from _splat(file)


def _sources(file: GoldenFile) -> Camera:
    height, width = file["in.rgb"].shape[-2:]
    # The reference lifts with the single-precision inverse.
    return Camera(torch.linalg.inv(file["in.w2c"]).numpy(), file["in.K"].numpy(), width, height)


def _targets(file: GoldenFile) -> Camera:
    height, width = file["in.rgb"].shape[-2:]
    return Camera(np.linalg.inv(file["in.target_w2c"].double().numpy()), file["in.target_K"].numpy(), width, height)


def _case(file: GoldenFile, name: str) -> tuple[Any, ...]:
    """Function, values, depth, mask, source, target and settings of a recorded warp."""
    rgb, clean, dirty = file["in.rgb"], file["in.depth"][:, 0], file["in.depth_dirty"][:, 0]
    source, target = _sources(file), _targets(file)
    one, height, width = ("forward_warp", rgb[:1]), rgb.shape[-2], rgb.shape[-1]
    if name == "warp_multi":
        mask = file["in.mask3"][0, :, 0] > 0
        return "forward_warp_fused", rgb, dirty, mask, source, target[:1], COMPAT
    if name == "warp_noclean":
        return *one, clean[:1], None, source[:1], target[:1], NO_CLEANING
    if name == "warp_behind":
        return *one, clean[:1], None, source[:1], target[-1:], COMPAT
    if name == "warp_identity":
        depth = file["in.identity_depth"]
        k = np.array([[[40.0, 0, width / 2], [0, 40, height / 2], [0, 0, 1]]])
        same = Camera(np.eye(4)[None], k, width, height)
        return "forward_warp", file["in.identity_rgb"][None], depth, None, same, same, NO_CLEANING
    places = [int(match[1])] if (match := re.search(r"_t(\d)$", name)) else list(range(len(file[f"{name}.mask"])))
    return *one, dirty[:1], None, source[:1], target[places], COMPAT


def _warp(file: GoldenFile, name: str, twin: Any) -> Iterator[Comparison]:
    function, *arguments = _case(file, name)
    if twin is warp_numba:
        arguments = [value.numpy() if isinstance(value, torch.Tensor) else value for value in arguments]
    result = getattr(twin, function)(*arguments)
    kind = "torch" if twin is warp else "numba"
    found = {"mask": result.mask[:, None], "image": result.values, "depth": result.depth, "flow": result.flow}
    for part, tolerance in (("mask", 0.0), ("image", TOLERANCE), ("depth", TOLERANCE), ("flow", LARGE)):
        if f"{name}.{part}" in file:
            expected = file[f"{name}.{part}"]
            yield compare(f"{name}.{part}, {kind}", found[part].reshape(expected.shape), expected, tolerance)


def _reliability(file: GoldenFile) -> Iterator[Comparison]:
    for key in sorted(file.keys):
        if match := re.fullmatch(r"reliable_mask\.t([\d.]+)", key):
            mask = reliable_depth(file["in.depth_dirty"], float(match[1]), reference_compat=True)
            yield compare(key, mask, file[key], 0.0)
    if "reliable_mask.mild_slope" in file:
        slope = reliable_depth(file["reliable_mask.mild_slope_in"], 0.05, reference_compat=True)
        yield compare("reliable_mask.mild_slope", slope, file["reliable_mask.mild_slope"], 0.0)
    if "reliable_mask.constant_plane" in file:
        expected = file["reliable_mask.constant_plane"]
        plane = reliable_depth(torch.full(expected.shape, 2.0), 0.05, reference_compat=True)
        yield compare("reliable_mask.constant_plane", plane, expected, 0.0)


def _points(file: GoldenFile) -> Iterator[Comparison]:
    if "unproject.dense" not in file:
        return
    source, depth = _sources(file).torch(torch.float32), file["in.depth"][:, 0]
    dense = warp.unproject(depth, source, offset=0.0)
    yield compare("unproject.dense", dense, file["unproject.dense"], TOLERANCE)
    if "unproject.ray_distance" in file:
        expected = file["unproject.ray_distance"]
        lengths = warp.unproject(depth[: len(expected)], source[: len(expected)], ray_length=True, offset=0.0)
        yield compare("unproject.ray_distance", lengths, expected, TOLERANCE)
    if "unproject.masked" in file:
        cleaned, used = warp.source_mask(file["in.depth_dirty"][:, 0], None, COMPAT)
        masked = warp.unproject(cleaned, source, used, offset=0.0)
        yield compare("unproject.masked", masked, file["unproject.masked"], TOLERANCE)
    if "project.homogeneous_uvz" in file:
        parts = warp.project_homogeneous(dense, file["in.target_w2c"][0], file["in.target_K"][0])
        yield compare("project.homogeneous_uvz", torch.stack(parts, -1), file["project.homogeneous_uvz"], LARGE)


def _splat(file: GoldenFile) -> Iterator[Comparison]:
    frame, flow, depth = (file[f"splat.in.{part}"] for part in ("frame", "flow", "depth"))
    height, width = frame.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    x, y, z = (columns + flow[0, 0]).reshape(-1), (rows + flow[0, 1]).reshape(-1), depth.reshape(-1)
    payload, used = frame[0].reshape(frame.shape[1], -1).T, torch.ones(height * width, dtype=torch.bool)
    total, weight = warp.splat(payload, x, y, z, used, (height, width), z.clamp(min=0).amax(), COMPAT)
    hit = weight > 0
    mean = torch.where(hit, total / torch.where(hit, weight, torch.ones_like(weight)), torch.zeros(()))
    yield compare("splat.out", mean[None], file["splat.out"], TOLERANCE)
    image = torch.where(hit, mean, -torch.ones(())).clamp(-1, 1)
    yield compare("splat.out_image_mode", image[None], file["splat.out_image_mode"], TOLERANCE)
    yield compare("splat.out_mask", hit[None, None], file["splat.out_mask"], 0.0)
