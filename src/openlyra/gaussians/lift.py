"""From remembered frames to Gaussians: one flat, surface-aligned Gaussian a pixel.

The ellipse of a Gaussian is the image of its pixel on the surface: with the tangents Tu, Tv (change of the 3D point for
one pixel step) its in-plane covariance is footprint^2 (Tu Tu^T + Tv Tv^T). Slopes are taken inside a surface only,
never across a depth edge, so foreground and background stay apart and no stretched "rubber sheet" joins them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from openlyra.gaussians.types import Gaussians
from openlyra.geometry.depth_edges import near_and_far_sides
from openlyra.geometry.poses import quaternion_from_matrix
from openlyra.memory.frame import MemoryFrame

MAX_BACKING_OFFSET = 0.15


@dataclass(frozen=True)
class LiftSettings:
    """How a pixel becomes a Gaussian."""

    footprint: float = 0.37
    """Standard deviation in the surface, in pixel spacings. Small, so that the photo stays sharp."""
    backing_footprint: float = 0.75
    """The same for the backing, in spacings of its own (twice as wide) grid: it closes gaps when coming nearer."""
    backing_offset: float = 0.01
    """How far the backing lies behind a surface seen face on, as a part of the depth; further where it is slanted."""
    thickness: float = 0.15
    """Standard deviation across the surface, as a part of the smaller one in the surface."""
    max_slope: float = 12.0
    """Largest change of depth from pixel to pixel, in lateral pixel widths (z / focal length)."""
    opacity: float = 0.995
    """Opacity of every Gaussian, linear."""


def _inner_slope(values: np.ndarray, usable: np.ndarray, axis: int) -> np.ndarray:
    """(H, W) slope per pixel along an axis from the flatter of the two neighbours: a jump on one side does not
    count."""
    step = np.diff(values, axis=axis)
    size = values.shape[axis]
    both = np.logical_and(np.take(usable, range(1, size), axis), np.take(usable, range(size - 1), axis))
    step = np.where(both, step, np.inf)
    pad_after = [(0, 0), (0, 0)]
    pad_after[axis] = (0, 1)
    pad_before = [(0, 0), (0, 0)]
    pad_before[axis] = (1, 0)
    forward = np.pad(step, pad_after, constant_values=np.inf)
    backward = np.pad(step, pad_before, constant_values=np.inf)
    slope = np.where(np.abs(forward) < np.abs(backward), forward, backward)
    return np.where(np.isfinite(slope), slope, 0.0)


def _tangents(frame: MemoryFrame, mask: np.ndarray, max_slope: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Camera-space points and their change per pixel step right and down at the masked pixels: three (N, 3) float64."""
    inverse = 1.0 / frame.depth.astype(np.float64)
    slope_u = _inner_slope(inverse, frame.valid, 1)[mask]
    slope_v = _inner_slope(inverse, frame.valid, 0)[mask]
    intrinsics = np.asarray(frame.camera.intrinsics, np.float64)
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    rows, columns = np.nonzero(mask)
    z = frame.depth[mask].astype(np.float64)
    x = (columns + 0.5 - cx) / fx
    y = (rows + 0.5 - cy) / fy
    zu = np.clip(-slope_u * z * z, -max_slope * z / fx, max_slope * z / fx)
    zv = np.clip(-slope_v * z * z, -max_slope * z / fy, max_slope * z / fy)
    points = np.stack([x * z, y * z, z], 1)
    tangent_u = np.stack([z / fx + x * zu, y * zu, zu], 1)
    tangent_v = np.stack([x * zv, z / fy + y * zv, zv], 1)
    return points, tangent_u, tangent_v


def _ellipse(tangent_u: np.ndarray, tangent_v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (N, 3, 3), columns = long axis, short axis, normal, and in-plane deviations (N, 2) of the pixel
    ellipse."""
    a = np.einsum("ni,ni->n", tangent_u, tangent_u)
    b = np.einsum("ni,ni->n", tangent_u, tangent_v)
    c = np.einsum("ni,ni->n", tangent_v, tangent_v)
    middle, spread = (a + c) / 2, np.sqrt(((a - c) / 2) ** 2 + b * b)
    angle = 0.5 * np.arctan2(2 * b, a - c)
    long_axis = np.cos(angle)[:, None] * tangent_u + np.sin(angle)[:, None] * tangent_v
    long_axis /= np.linalg.norm(long_axis, axis=1, keepdims=True)
    normal = np.cross(tangent_u, tangent_v)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    rotation = np.stack([long_axis, np.cross(normal, long_axis), normal], 2)
    deviations = np.sqrt(np.stack([middle + spread, np.maximum(middle - spread, 1e-12 * middle)], 1))
    return rotation, deviations


def _place(frame: MemoryFrame, mask: np.ndarray, footprint: float, settings: LiftSettings) -> Gaussians:
    """Gaussians of the masked pixels in the world frame."""
    points, tangent_u, tangent_v = _tangents(frame, mask, settings.max_slope)
    rotation, deviations = _ellipse(tangent_u, tangent_v)
    scales = np.empty((len(points), 3))
    scales[:, :2] = footprint * deviations
    scales[:, 2] = settings.thickness * scales[:, 1]
    pose = np.asarray(frame.camera.world_from_camera, np.float64)
    return Gaussians.from_colors(
        means=(points @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32),
        quaternions=quaternion_from_matrix(pose[:3, :3] @ rotation).astype(np.float32),
        scales=scales.astype(np.float32),
        opacities=np.full(len(points), settings.opacity, np.float32),
        colors=frame.image[mask].astype(np.float32) / 255.0,
    )


def lift(frame: MemoryFrame, mask: np.ndarray | None = None, settings: LiftSettings | None = None) -> Gaussians:
    """Gaussians of the remembered pixels of one frame, in row-major pixel order.

    Args:
        frame: image, z-depth and camera; only ``valid`` pixels are used.
        mask: (H, W) bool, which of the valid pixels to lift; all of them by default.
        settings: see `LiftSettings`.

    Returns:
        DC-only Gaussians in the world frame, one for each pixel of ``mask & frame.valid``.
    """
    settings = settings or LiftSettings()
    return _place(frame, frame.valid if mask is None else mask & frame.valid, settings.footprint, settings)


def lift_backing(
    frame: MemoryFrame, mask: np.ndarray | None = None, settings: LiftSettings | None = None
) -> tuple[Gaussians, np.ndarray]:
    """A coarse second skin just behind the surface: one wide Gaussian for two by two pixels of one surface.

    Seen from the frame's own camera it is covered; nearer or aslant it fills the gaps between the small Gaussians in
    front. Blocks with a depth edge have none, so that it never sticks out beside an outline; but the sky, which is
    behind everything, has its own there too, or what lies beyond the scene would shine through its border.

    Returns:
        The Gaussians, and which of them are sky: (N,) bool.
    """
    settings = settings or LiftSettings()
    mask = frame.valid if mask is None else mask & frame.valid
    outline = np.logical_or(*near_and_far_sides(frame.depth))
    known, sky = _blocks(mask).all(2), _blocks(mask & frame.sky)
    whole = known & ~ndimage.binary_dilation(_blocks(outline).any(2))
    has_sky = known & sky.any(2)
    inverse, image = _blocks(1.0 / frame.depth.astype(np.float64)), _blocks(frame.image)
    surface = _behind(frame, image.mean(2), inverse.mean(2), whole, settings)
    # Behind the border only sky counts: a block's own, else that of the nearest that has some.
    border = known & ndimage.binary_dilation(has_sky) & ~whole
    share = sky / np.maximum(sky.sum(2, keepdims=True), 1)
    nearest = tuple(ndimage.distance_transform_edt(~has_sky, return_distances=False, return_indices=True))
    color, far = (image * share[..., None]).sum(2)[nearest], (inverse * share).sum(2)[nearest]
    # By itself, as the land beside it would make it slope.
    beyond = _behind(frame, color, far, border, settings)
    return Gaussians.concatenate([surface, beyond]), np.append(np.asarray(has_sky)[whole], np.ones(beyond.count, bool))


def _blocks(values: np.ndarray) -> np.ndarray:
    """(H, W, ...) -> (H // 2, W // 2, 4, ...), the pixels of two by two together."""
    height, width = values.shape[0] // 2, values.shape[1] // 2
    trimmed = values[: 2 * height, : 2 * width]
    rest = values.shape[2:]
    return trimmed.reshape(height, 2, width, 2, *rest).swapaxes(1, 2).reshape(height, width, 4, *rest)


def _behind(
    frame: MemoryFrame, color: np.ndarray, inverse: np.ndarray, usable: np.ndarray, settings: LiftSettings
) -> Gaussians:
    """Gaussians of the usable blocks, a little behind their inverse depth (h, w)."""
    height, width = usable.shape
    inverse = np.where(usable, inverse, 1.0)
    # On a slanted surface the neighbours within its reach must still lie in front of it.
    slant = sum(np.abs(_inner_slope(inverse, usable, axis)) for axis in (0, 1)) / inverse
    offset = np.clip(settings.backing_offset + 1.5 * slant, 0, MAX_BACKING_OFFSET)
    coarse = MemoryFrame(
        frame.index,
        color.round().astype(np.uint8),
        ((1 + offset) / inverse).astype(np.float32),
        usable,
        np.zeros_like(usable),
        frame.camera.cropped(0, 0, 2 * height, 2 * width).resized(height, width),
    )
    return _place(coarse, usable, settings.backing_footprint, settings)
