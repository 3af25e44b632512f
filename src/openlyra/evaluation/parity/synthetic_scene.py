"""The scene of the golden files: a wall, a floor and a sphere, with exact depth from any camera."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

WALL, FLOOR, FAR, NEAR = 4.0, 1.2, 20.0, 0.05
CENTER, RADIUS = (0.35, 0.1, 2.4), 0.6


def scene_depth(camera_from_world: Tensor, intrinsics: Tensor, height: int, width: int) -> Tensor:
    """(H, W) float32 z-depth from a camera (4, 4), (3, 3); pixel centres are integers there."""
    pose = np.linalg.inv(camera_from_world.double().numpy())
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    pixels = np.stack([columns, rows, np.ones_like(rows)], -1)
    rays = pixels @ np.linalg.inv(intrinsics.double().numpy()).T @ pose[:3, :3].T
    origin = pose[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        hits = [(WALL - origin[2]) / rays[..., 2], (FLOOR - origin[1]) / rays[..., 1], _sphere(origin, rays)]
    depth = np.full((height, width), FAR)
    nearest = np.full((height, width), np.inf)
    for hit in hits:
        closer = np.isfinite(hit) & (hit > NEAR) & (hit < nearest)
        nearest = np.where(closer, hit, nearest)
        depth = np.where(closer, hit, depth)
    return torch.from_numpy(depth.astype(np.float32))


def _sphere(origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """(H, W) distance to the near side in units of the rays, not-a-number where they miss."""
    away = origin - np.array(CENTER)
    a, b, c = (rays * rays).sum(-1), rays @ away, away @ away - RADIUS**2
    return (-b - np.sqrt(b * b - a * c)) / a
