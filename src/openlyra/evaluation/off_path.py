"""Views beside the path: how a scene looks where no frame was taken, judged without a true picture from there."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from openlyra.gaussians.render import RenderResult, render
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera
from openlyra.geometry.depth_edges import near_and_far_sides

SAME_SURFACE = 0.03
"""Relative difference of depth up to which two views see the same surface."""
IN_FRONT = 0.15
"""A Gaussian this part nearer than what its surroundings show hangs in front of it."""
SPREAD = 0.1
"""Relative deviation of depth along a pixel's ray beyond which the pixel mixes two surfaces."""


def beside(camera: Camera, distance: float) -> tuple[Camera, Camera]:
    """Two cameras `distance` scene units to the left and right of one, looking the same way."""
    cameras = []
    for sign in (-1.0, 1.0):
        pose = np.array(camera.world_from_camera, np.float64)
        pose[:3, 3] += sign * distance * pose[:3, 0]
        cameras.append(Camera(pose, np.asarray(camera.intrinsics), camera.width, camera.height))
    return cameras[0], cameras[1]


def pull(
    image: np.ndarray, frame_depth: np.ndarray, frame_camera: Camera, depth: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """A frame's colours as another camera should see them, and where they are known.

    Args:
        image: (H, W, 3) uint8 of the frame; frame_depth: its (H, W) z-depth.
        depth: (H, W) z-depth of the other camera's pixels, 0 where unknown.

    Returns:
        (H, W, 3) float64 in [0, 1] and (H, W) bool: both cameras see the same surface there.
    """
    points = np.asarray(camera.unproject(np.maximum(depth, 1e-6))).reshape(-1, 3)
    pixels, z = (np.asarray(part) for part in frame_camera.project(points))
    rows, columns = pixels[:, 1] - 0.5, pixels[:, 0] - 0.5
    height, width = frame_depth.shape
    inside = (z > 0) & (rows >= 0) & (columns >= 0) & (rows <= height - 1) & (columns <= width - 1)
    at = np.where(inside, np.stack([rows, columns]), 0.0)
    there = frame_depth[np.rint(at[0]).astype(int), np.rint(at[1]).astype(int)]
    outline = ndimage.binary_dilation(np.logical_or(*near_and_far_sides(np.maximum(frame_depth, 1e-6))))
    clear = ~outline[np.rint(at[0]).astype(int), np.rint(at[1]).astype(int)]
    known = inside & clear & (there > 0) & (np.abs(z - there) < SAME_SURFACE * there) & (depth.ravel() > 0)
    colors = [ndimage.map_coordinates(image[..., c] / 255.0, at, order=1) for c in range(3)]
    return np.stack(colors, -1).reshape(*depth.shape, 3), known.reshape(depth.shape)


def floaters(gaussians: Gaussians, camera: Camera, seen: RenderResult, weights: np.ndarray) -> tuple[float, float]:
    """(weight hanging in front of the surface, all weight) in pixels, as one camera sees them.

    Args:
        seen: the scene from that camera.
        weights: (N,) `contributions` to it.
    """
    shown = np.flatnonzero(weights > 0)
    pixels, z = (np.asarray(part) for part in camera.project(gaussians.means[shown].astype(np.float64)))
    rows = np.clip(pixels[:, 1].astype(int), 0, camera.height - 1)
    columns = np.clip(pixels[:, 0].astype(int), 0, camera.width - 1)
    # Around an outline the nearer surface counts, else every Gaussian on its rim would hang before the background.
    surface = ndimage.minimum_filter(np.where(seen.alpha > 0.5, seen.depth, np.inf), 7)
    hanging = z < (1 - IN_FRONT) * surface[rows, columns]
    return float(weights[shown][hanging & np.isfinite(surface[rows, columns])].sum()), float(weights[shown].sum())


def mixed_share(gaussians: Gaussians, camera: Camera, seen: RenderResult) -> float:
    """Part of the pixels, outlines left out, whose ray ends on two surfaces at once: ghosts and double walls."""
    z = np.asarray(camera.project(gaussians.means.astype(np.float64))[1])
    inverse = 1.0 / np.maximum(z, 0.01)
    values = np.stack([inverse, inverse**2, np.zeros_like(inverse)], 1).astype(np.float32)
    g = gaussians
    drawn = render(Gaussians.from_colors(g.means, g.quaternions, g.scales, g.opacities, values), camera).color
    alpha = np.maximum(seen.alpha, 1e-4)
    mean, square = drawn[..., 0] / alpha, drawn[..., 1] / alpha
    spread = np.sqrt(np.maximum(square - mean**2, 0)) / np.maximum(mean, 1e-6)
    solid = seen.alpha > 0.5
    depth = np.where(solid, 1 / np.maximum(mean, 1e-6), 1.0).astype(np.float32)
    outline = ndimage.binary_dilation(np.logical_or(*near_and_far_sides(depth)), iterations=2)
    judged = solid & ~outline
    return float((spread[judged] > SPREAD).mean()) if judged.any() else 0.0
