"""Photos of a textured box from inside, exact to the pixel: rays meet planes, colours are waves over the walls."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.lens import Lens
from openlyra.geometry.trajectory_io import write_trajectory
from openlyra.media.image import write_image

HALF = np.array([2.0, 1.3, 2.4])
"""Half the sides of the box around the origin."""


def room_cameras(count: int, height: int, width: int) -> Camera:
    """An arc that looks at a corner: sideways and up and down by about a fifth of the distance."""
    poses = []
    for turn in np.linspace(0, 2 * np.pi, count, endpoint=False):
        eye = np.array([0.45 * np.cos(turn), 0.25 * np.sin(turn), -0.9 + 0.15 * np.sin(2 * turn)])
        forward = np.array([0.7, 0.1, 1.6]) - eye
        forward /= np.linalg.norm(forward)
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
        pose[:3, 3] = eye
        poses.append(pose)
    return Camera(np.stack(poses), Camera.from_fov(height, width, 1.0).intrinsics, width, height)


def draw_room(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 and exact z-depth (H, W) of a single camera."""
    return draw_rays(camera, camera.camera_rays())


def draw_bent_room(camera: Camera, lens: Lens) -> np.ndarray:
    """(H, W, 3) uint8 as seen through a lens: Newton steps with differences find the direction of each pixel."""
    k = camera.intrinsics
    rays = camera.camera_rays()
    shown = rays[..., :2].copy()
    found, step = shown.copy(), 1e-6
    for _ in range(25):
        here = lens.distort(found)
        by_x = (lens.distort(found + np.array([step, 0])) - here) / step
        by_y = (lens.distort(found + np.array([0, step])) - here) / step
        jacobian = np.stack([by_x, by_y], -1)
        change = np.linalg.solve(jacobian, (here - shown)[..., None])[..., 0]
        found -= np.clip(change, -0.2, 0.2)
    assert k[0, 0] * np.abs(lens.distort(found) - shown).max() < 0.01
    return draw_rays(camera, np.concatenate([found, np.ones_like(found[..., :1])], -1))[0]


def draw_rays(camera: Camera, local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same for any rays (H, W, 3) in camera axes with z = 1."""
    rays = local @ camera.world_from_camera[:3, :3].T
    with np.errstate(divide="ignore"):
        reach = np.where(rays > 0, HALF - camera.center, -HALF - camera.center) / rays
    reach = np.where(rays == 0, np.inf, reach)
    depth = reach.min(-1)
    points = camera.center + depth[..., None] * rays
    wall = reach.argmin(-1)
    colors = np.zeros((*depth.shape, 3))
    rng = np.random.default_rng(3)
    for _ in range(24):
        wave, phase = rng.normal(0, 7, 3), rng.uniform(0, 6, 3)
        colors += 0.055 * np.sin((points @ wave)[..., None] + phase + wall[..., None] * rng.uniform(0, 6, 3))
    return np.rint(255 * np.clip(0.5 + colors, 0, 1)).astype(np.uint8), depth


def write_room(folder: Path, count: int = 16, height: int = 72, width: int = 96) -> Camera:
    """photos 00000.png ... in `images` and their transforms.json; returns the cameras."""
    cameras = room_cameras(count, height, width)
    (folder / "images").mkdir(parents=True)
    for index, camera in enumerate(cameras):
        write_image(folder / "images" / f"{index:05d}.png", draw_room(camera)[0])
    write_trajectory(Trajectory(cameras), folder / "transforms.json")
    return cameras
