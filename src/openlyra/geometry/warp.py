"""Forward warping with a soft z-buffer in plain torch: readable, differentiable in the values, on any device.

`warp_numba` is the fast twin on the CPU. Both follow Lyra 2.0 (arXiv 2604.13036): drop depth edges, lift the source
pixels to world points, project them into the target, splat bilinearly with weights that fall steeply with depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from openlyra.geometry.camera import Camera
from openlyra.geometry.reliability import clean_depth, planar_depth, reliable_depth, usable_depth
from openlyra.geometry.warp_types import CORNER_NOISE, WarpConfig, WarpResult, check_views, check_warp

__all__ = [
    "WarpConfig",
    "WarpResult",
    "forward_warp",
    "forward_warp_fused",
    "project_homogeneous",
    "splat",
    "unproject",
]


def forward_warp(
    values: Tensor, depth: Tensor, mask: Tensor | None, source: Camera, target: Camera, config: WarpConfig | None = None
) -> WarpResult:
    """Warp S source views to T targets: source s to target s, or one source (S = 1) to every target.

    `values` (S, C, h, w) float, `depth` (S, h, w) z-depth, `mask` (S, h, w) bool or None (= all), `source` batch (S,)
    of size h x w, `target` batch (T,) of any size H x W. Raises InputError for shapes that do not fit.
    """
    check_views(values, source)
    config = config or WarpConfig()
    views = None if mask is None else mask[:, None]
    return _warp(values[:, None], depth[:, None], views, _with_axis(source, 1), target, config)


def forward_warp_fused(
    values: Tensor, depth: Tensor, mask: Tensor | None, source: Camera, target: Camera, config: WarpConfig | None = None
) -> WarpResult:
    """Fuse V source views in each of T targets; as `forward_warp` with V in the place of S."""
    check_views(values, source)
    config = config or WarpConfig()
    return _warp(values[None], depth[None], None if mask is None else mask[None], _with_axis(source, 0), target, config)


def _with_axis(camera: Camera, axis: int) -> Camera:
    index = (None,) if axis == 0 else (slice(None), None)
    return Camera(camera.world_from_camera[index], camera.intrinsics[index], camera.width, camera.height)


@dataclass(frozen=True)
class _Sources:
    """Source views as world points: what all targets share."""

    values: Tensor  # (S, V*h*w, C)
    points: Tensor  # (S, V*h*w, 3) world points, unusable ones at the origin
    used: Tensor  # (S, V*h*w) bool
    pixels: Tensor  # (V*h*w, 2) source pixel coordinates
    shape: tuple[int, int, int]  # V, h, w


def _warp(
    values: Tensor, depth: Tensor, mask: Tensor | None, source: Camera, target: Camera, config: WarpConfig
) -> WarpResult:
    targets, sources = check_warp(values, depth, mask, source, target)
    # Parity needs the reference's single precision: exactly integer landing positions depend on its rounding.
    dtype = torch.float32 if config.reference_compat else torch.float64
    source = source.torch(dtype, depth.device)
    # Inverted in double precision, and generally: poses from single-precision files are orthonormal only to 1e-7.
    poses = torch.linalg.inv(target.torch(torch.float64, depth.device).world_from_camera).to(dtype)
    intrinsics = target.torch(dtype, depth.device).intrinsics
    lifted = _lift(values, depth, mask, source, config)
    group = (config.group or targets) if config.reference_compat else 1
    size = (target.height, target.width)
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    flows: list[Tensor] = []
    for start in range(0, targets, group):
        views = range(start, min(start + group, targets))
        landings = [
            _land(lifted, 0 if sources == 1 else index, poses[index], intrinsics[index], size, config)
            for index in views
        ]
        farthest = torch.stack([landing.farthest for landing in landings]).amax()
        for index, landing in zip(views, landings):
            parts.append(_paint(lifted, 0 if sources == 1 else index, landing, farthest, size, config))
            flows += [] if landing.flow is None else [landing.flow]
    color, warped_depth, hit = (torch.stack([part[field] for part in parts]) for field in range(3))
    return WarpResult(color, warped_depth, hit, torch.stack(flows) if config.with_flow else None)


def source_mask(depth: Tensor, mask: Tensor | None, config: WarpConfig) -> tuple[Tensor, Tensor]:
    """Cleaned depth and the pixels that are warped, both (..., h, w)."""
    if config.reference_compat:
        depth = clean_depth(depth)
        used = depth > 0 if mask is None else (depth > 0) & mask.bool()
        threshold = config.edge_threshold
        return depth, used if threshold is None else used & reliable_depth(depth, threshold, reference_compat=True)
    valid = None if mask is None else mask.bool()
    if config.edge_threshold is None:
        used = usable_depth(depth, valid)
    else:
        used = (planar_depth if config.edge_test == "planar" else reliable_depth)(depth, config.edge_threshold, valid)
    return torch.where(used, depth, torch.zeros_like(depth)), used


def _lift(values: Tensor, depth: Tensor, mask: Tensor | None, source: Camera, config: WarpConfig) -> _Sources:
    count, views, channels, height, width = values.shape
    depth, used = source_mask(depth, mask, config)
    offset = 0.0 if config.reference_compat else 0.5
    points = unproject(depth.to(source.intrinsics.dtype), source, used, offset=offset)
    flat = torch.where(used[:, :, None], values, torch.zeros_like(values)).permute(0, 1, 3, 4, 2)
    return _Sources(
        flat.reshape(count, -1, channels),
        points.reshape(count, -1, 3),
        used.reshape(count, -1),
        _pixel_grid(height, width, points, offset).reshape(-1, 2).repeat(views, 1),
        (views, height, width),
    )


def _pixel_grid(height: int, width: int, like: Tensor, offset: float) -> Tensor:
    """(h, w, 2) pixel coordinates x, y."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([columns, rows], -1).to(like) + offset


def unproject(
    depth: Tensor, camera: Camera, mask: Tensor | None = None, *, ray_length: bool = False, offset: float = 0.5
) -> Tensor:
    """World points (..., h, w, 3) of depth (..., h, w); pixels outside `mask` become the world origin.

    `camera` has the batch shape of the depth. `offset` is where in a pixel its centre lies: 0.5, or 0 in the
    reference's warping. With `ray_length`, depth is the distance from the camera instead of z-depth.
    """
    k = camera.intrinsics[..., None, None, :, :]
    pixels = _pixel_grid(depth.shape[-2], depth.shape[-1], k, offset)
    # Multiplied out like the inverse intrinsics: in single precision (u - c) / f rounds differently from the reference.
    x = pixels[..., 0] * (1 / k[..., 0, 0]) - k[..., 0, 2] / k[..., 0, 0]
    y = pixels[..., 1] * (1 / k[..., 1, 1]) - k[..., 1, 2] / k[..., 1, 1]
    z = depth / (torch.sqrt(x * x + y * y + 1) + 1e-8) if ray_length else depth
    points = torch.stack(_transform(camera.world_from_camera[..., None, None, :, :], x * z, y * z, z), -1)
    return points if mask is None else torch.where(mask[..., None], points, torch.zeros_like(points))


def project_homogeneous(points: Tensor, camera_from_world: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(U, V, Z), each (...), of world points (..., 3): the image position is (U/Z, V/Z), Z the depth.

    The matrices (..., 4, 4) and (..., 3, 3) are broadcast against the leading axes of the points.
    """
    x, y, z = _transform(camera_from_world, points[..., 0], points[..., 1], points[..., 2])
    k = intrinsics
    return k[..., 0, 0] * x + k[..., 0, 2] * z, k[..., 1, 1] * y + k[..., 1, 2] * z, z


def _transform(matrix: Tensor, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The affine part of 4x4 matrices applied to coordinates, in a fixed order of operations (the fast twin's)."""
    first, second, third = (
        matrix[..., row, 0] * x + matrix[..., row, 1] * y + matrix[..., row, 2] * z + matrix[..., row, 3]
        for row in range(3)
    )
    return first, second, third


@dataclass(frozen=True)
class _Landing:
    x: Tensor  # (P,) landing column; integers are pixel centres
    y: Tensor  # (P,)
    z: Tensor  # (P,) depth in the target camera
    used: Tensor  # (P,) bool
    farthest: Tensor  # () depth that normalises the soft z-buffer
    flow: Tensor | None  # (V, 2, h, w)


def _land(
    lifted: _Sources, index: int, camera: Tensor, k: Tensor, size: tuple[int, int], config: WarpConfig
) -> _Landing:
    """Project one source's points into one target camera."""
    points, used = lifted.points[index], lifted.used[index]
    x, y, z = project_homogeneous(points, camera, k)
    used = used & (z > 0)
    if config.reference_compat:
        x = x / (z + 1e-7)
        y = y / (z + 1e-7)
        flow = torch.stack([x, y], -1) - lifted.pixels
        # The reference splats at flow + pixel + 1 (a one-pixel border); the rounding of the sums matters.
        x, y = ((flow + lifted.pixels + 1.0) - 1.0).unbind(-1)
        farthest = torch.clamp(z, min=0).amax()
    else:
        safe = torch.where(used, z, torch.ones_like(z))
        x = x / safe - 0.5
        y = y / safe - 0.5
        used = used & (x > -1) & (x < size[1]) & (y > -1) & (y < size[0])
        farthest = torch.where(used, z, torch.zeros_like(z)).amax()
        flow = torch.stack([x, y], -1) + 0.5 - lifted.pixels
        flow = torch.where(used[:, None], flow, torch.zeros_like(flow))
    if not config.with_flow:
        return _Landing(x, y, z, used, farthest, None)
    views, height, width = lifted.shape
    flow = flow.reshape(views, height, width, 2).permute(0, 3, 1, 2)
    return _Landing(x, y, z, used, farthest, flow)


def _paint(
    lifted: _Sources, index: int, landing: _Landing, farthest: Tensor, size: tuple[int, int], config: WarpConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Splat one source into one target: (C, H, W) values, (H, W) depth, (H, W) mask."""
    values = lifted.values[index]
    payload = torch.cat([values, landing.z.to(values.dtype)[:, None]], 1)
    total, weight = splat(payload, landing.x, landing.y, landing.z, landing.used, size, farthest, config)
    mask = weight > 0
    mean = total / torch.where(mask, weight, torch.ones_like(weight))
    color = torch.where(mask, mean[:-1], torch.full_like(mean[:-1], config.fill))
    if config.reference_compat and config.clamp:
        color = color.clamp(-1.0, 1.0)
    return color, torch.where(mask, mean[-1], torch.zeros_like(mean[-1])), mask


def splat(
    payload: Tensor,
    x: Tensor,
    y: Tensor,
    z: Tensor,
    used: Tensor,
    size: tuple[int, int],
    farthest: Tensor,
    config: WarpConfig,
) -> tuple[Tensor, Tensor]:
    """Deposit `payload` (P, C) at (x, y) with soft z-buffer weights; return weighted sum (C, H, W) and weights (H, W).

    `farthest` is the depth at which the contrast reaches exp(-sharpness).
    """
    height, width = size
    keep = torch.nonzero(used)[:, 0]
    payload, x, y, z = payload[keep], x[keep], y[keep], z[keep]
    near = _depth_weight(z, farthest, config)
    sums = torch.zeros(height * width, payload.shape[1] + 1, dtype=payload.dtype, device=payload.device)
    left, top = torch.floor(x), torch.floor(y)
    # Ceiling, not floor + 1: at integer positions the reference deposits twice on the same pixel.
    right, bottom = (torch.ceil(x), torch.ceil(y)) if config.reference_compat else (left + 1, top + 1)
    for column, across in ((left, 1 - (x - left)), (right, 1 - (right - x))):
        for row, down in ((top, 1 - (y - top)), (bottom, 1 - (bottom - y))):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            if not config.reference_compat:
                inside &= (across >= CORNER_NOISE) & (down >= CORNER_NOISE)
            chosen = torch.nonzero(inside)[:, 0]
            weight = (across * down * near)[chosen].to(payload.dtype)[:, None]
            cell = (row[chosen] * width + column[chosen]).long()
            sums.index_add_(0, cell, torch.cat([payload[chosen] * weight, weight], 1))
    grid = sums.T.reshape(-1, height, width)
    return grid[:-1], grid[-1]


def _depth_weight(z: Tensor, farthest: Tensor, config: WarpConfig) -> Tensor:
    """(P,) weights between exp(-sharpness) at `farthest` and 1 at the camera."""
    if config.reference_compat:
        exponent = config.sharpness * torch.log(1 + z.clamp(min=0)) / (torch.log(1 + farthest) + 1e-7)
        return 1 / (torch.exp(exponent.clamp(max=80)) + 1e-7)
    return torch.exp(-config.sharpness * torch.log1p(z) / torch.log1p(farthest))
