"""Does a video move as its cameras should? The motion between two frames is estimated back from their pixels.

Dense alignment (Lucas & Kanade, in the form of direct visual odometry): of all motions the one under which the earlier
frame, moved by its known depth, looks most like the later one; Gauss-Newton from coarse to fine, with Huber weights.
It starts from standing still, never from the true motion. The estimate of the true video is the floor of the figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from openlyra.evaluation.true_walk import TrueWalk
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import invert, se3_exp, so3_log

LEVELS, ROUNDS = 4, 15
"""Halvings of the picture, the finest one included; Gauss-Newton steps on each."""
HUBER = 0.03
"""Difference of brightness from which pixels count less: what appears or is wrong must not pull."""
FEWEST = 40
"""Pixels that must overlap."""
NOTHING = 1e-12
"""Below this a picture has no structure that could be aligned; it then counts as standing still."""
STEP = 2
"""Frames between the two."""
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class CameraError:
    """Means over the pairs of frames of a video."""

    rotation: float
    """Degrees between the estimated and the true turn."""
    translation: float
    """Distance between the estimated and the true move, as a percentage of the median depth."""
    reprojection: float
    """Pixels between where the estimated and the true motion take the earlier frame's points; median over points."""


def camera_error(video: np.ndarray, truth: TrueWalk) -> CameraError:
    """How well a video (F, H, W, 3) uint8 follows the cameras of the walk it was made for."""
    found = np.array(list(_errors(video, truth)))
    return CameraError(*(float(value) for value in found.mean(0)))


def _errors(video: np.ndarray, truth: TrueWalk) -> Iterator[tuple[float, float, float]]:
    for start in range(0, len(video) - STEP, STEP):
        cameras, depth = truth.cameras, truth.depth[start]
        a, b = cameras[start].world_from_camera, cameras[start + STEP].world_from_camera
        true = invert(np.asarray(b)) @ np.asarray(a)
        found = motion(video[start], depth, video[start + STEP], cameras[start])
        wrong = invert(found) @ true
        turn = float(np.degrees(np.linalg.norm(so3_log(wrong[:3, :3]))))
        move = 100 * float(np.linalg.norm(found[:3, 3] - true[:3, 3])) / float(np.median(depth))
        yield turn, move, _reprojection(found, true, depth, cameras[start])


def motion(image: np.ndarray, depth: np.ndarray, later: np.ndarray, camera: Camera) -> np.ndarray:
    """(4, 4) later-camera-from-camera of two frames (H, W, 3) uint8 with the same lens. depth (H, W) of the first."""
    moved, unit = np.eye(4), float(np.median(depth))
    depth = depth / unit
    for level in reversed(range(LEVELS)):
        scale = 2**level
        height, width = image.shape[0] // scale, image.shape[1] // scale
        if min(height, width) < 8:
            continue
        small = camera.resized(height, width)
        rows, columns = (np.arange(n) * scale + scale // 2 for n in (height, width))
        fitted = _Fit(_shrunk(image, scale), depth[np.ix_(rows, columns)], _shrunk(later, scale), small)
        moved = fitted.run(moved)
    moved[:3, 3] *= unit
    return moved


class _Fit:
    """One level of the alignment."""

    def __init__(self, image: np.ndarray, depth: np.ndarray, later: np.ndarray, camera: Camera) -> None:
        self.k = np.asarray(camera.intrinsics)
        local = Camera(np.eye(4), self.k, camera.width, camera.height)
        self.points = np.asarray(local.unproject(depth.astype(np.float64))).reshape(-1, 3)
        self.values, self.later = image.ravel(), later
        self.slopes = ndimage.sobel(later, 1) / 8, ndimage.sobel(later, 0) / 8

    def run(self, moved: np.ndarray) -> np.ndarray:
        for _ in range(ROUNDS):
            step = self._step(moved)
            if step is None:
                return moved
            moved = np.asarray(se3_exp(step)) @ moved
            if np.abs(step).max() < 1e-6:
                break
        return moved

    def _step(self, moved: np.ndarray) -> np.ndarray | None:
        """Twist (6,) that lowers the difference; None when too little overlaps, or there is nothing to see."""
        x, y, z = (self.points @ moved[:3, :3].T + moved[:3, 3]).T
        front = np.maximum(z, 1e-3)
        column, row = self.k[0, 0] * x / front + self.k[0, 2] - 0.5, self.k[1, 1] * y / front + self.k[1, 2] - 0.5
        height, width = self.later.shape
        inside = (z > 1e-3) & (row >= 0) & (row <= height - 1) & (column >= 0) & (column <= width - 1)
        if inside.sum() < FEWEST:
            return None
        at = np.stack([row[inside], column[inside]])
        value, right, down = (ndimage.map_coordinates(plane, at, order=1) for plane in (self.later, *self.slopes))
        x, y, z = x[inside], y[inside], front[inside]
        u, v = right * self.k[0, 0] / z, down * self.k[1, 1] / z
        depth_slope = -(u * x + v * y) / z
        turns = (-v * z + depth_slope * y, u * z - depth_slope * x, -u * y + v * x)
        slopes = np.stack([u, v, depth_slope, *turns], 1)
        wrong = value - self.values[inside]
        wrong = wrong - np.median(wrong)
        weight = HUBER / np.maximum(np.abs(wrong), HUBER)
        matrix = (slopes * weight[:, None]).T @ slopes
        if np.trace(matrix) < NOTHING:
            return None
        # Points at infinity say nothing about the move; a little stiffness keeps it where it is.
        matrix[np.diag_indices(6)] += 1e-6 * np.trace(matrix)
        return np.asarray(-np.linalg.solve(matrix, (slopes * weight[:, None]).T @ wrong))


def _reprojection(found: np.ndarray, true: np.ndarray, depth: np.ndarray, camera: Camera) -> float:
    local = Camera(np.eye(4), np.asarray(camera.intrinsics), camera.width, camera.height)
    points = np.asarray(local.unproject(depth.astype(np.float64))).reshape(-1, 3)
    ends = [np.asarray(local.project(points @ m[:3, :3].T + m[:3, 3])[0]) for m in (found, true)]
    return float(np.median(np.linalg.norm(ends[0] - ends[1], axis=-1)))


def _shrunk(image: np.ndarray, scale: int) -> np.ndarray:
    """(H/scale, W/scale) mean brightness in [0, 1] of the blocks of a picture, a little blurred."""
    light = image.astype(np.float64) @ LUMA / 255
    height, width = light.shape[0] // scale, light.shape[1] // scale
    blocks = light[: height * scale, : width * scale].reshape(height, scale, width, scale).mean((1, 3))
    return np.asarray(ndimage.gaussian_filter(blocks, 0.7))
