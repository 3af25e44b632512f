"""Lenses that bend straight lines: the models of OpenCV and COLMAP, and pictures straightened for a pinhole camera."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera

WIDEST = math.tan(math.radians(55.0))
"""Half a side of a straightened picture at most, over its focal length: beyond, corners are only stretched."""
_ZOOMS, _MOST_ZOOM, _LEAST_ZOOM = 40, 4.0, 0.7


@dataclass(frozen=True)
class Lens:
    """Where a lens shows a direction; without arguments a pinhole.

    With r the distance from the axis at z = 1, or for a fisheye the angle to the axis, the picture's radius is
    r (1 + k1 r^2 + k2 r^4 + ...) / (1 + k4 r^2 + ...), and two tangential terms p1, p2 are added (Brown 1966; the
    calibration models of OpenCV and COLMAP).
    """

    radial: tuple[float, ...] = ()
    """k1, k2, ... of r^2, r^4, ..."""
    tangential: tuple[float, float] = (0.0, 0.0)
    """p1, p2."""
    below: tuple[float, ...] = ()
    """The same below the line (k4, k5, k6 of OpenCV's rational model)."""
    fisheye: bool = False

    @property
    def bent(self) -> bool:
        """Whether it is no pinhole."""
        return self.fisheye or any((*self.radial, *self.tangential, *self.below))

    def describe(self) -> str:
        """The first thing that makes it no pinhole, for messages."""
        if self.fisheye:
            return "camera model OPENCV_FISHEYE"
        named = [(f"k{i + 1}", k) for i, k in enumerate(self.radial)]
        named += [(f"p{i + 1}", p) for i, p in enumerate(self.tangential)]
        named += [(f"k{i + 4}", k) for i, k in enumerate(self.below)]
        name, value = next((pair for pair in named if pair[1] != 0), ("k1", 0.0))
        return f"lens distortion {name} = {value:g}"

    def distort(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where points (..., 2) at z = 1 appear, (..., 2) in units of the focal length."""
        x, y = points[..., 0], points[..., 1]
        flat = np.hypot(x, y)
        r = np.arctan(flat) if self.fisheye else flat
        square = r * r
        factor = _polynomial(self.radial, square) / _polynomial(self.below, square)
        if self.fisheye:
            factor = factor * np.where(flat > 1e-9, r / np.maximum(flat, 1e-9), 1.0)
        p1, p2 = self.tangential
        return np.stack([
            x * factor + 2 * p1 * x * y + p2 * (square + 2 * x * x),
            y * factor + 2 * p2 * x * y + p1 * (square + 2 * y * y),
        ], -1)  # fmt: skip


def straight_camera(camera: Camera, lens: Lens) -> Camera:
    """The pinhole camera of the same size and axis that shows as much as it can without looking past the picture.

    Only the focal lengths change, both by one factor. Raises InputError for a lens that folds the picture over.
    """
    if not lens.bent:
        return camera
    k = camera.numpy().intrinsics
    rays = _border(camera) @ np.diag(1 / k[[0, 1], [0, 1]])
    least = max(_LEAST_ZOOM, float(np.abs(rays).max()) / WIDEST)
    if not _inside(camera, lens, rays / _MOST_ZOOM):
        raise InputError(f"{lens.describe()}: the lens folds the picture over; these are not its coefficients")
    low, high = least, max(_MOST_ZOOM, least)
    if _inside(camera, lens, rays / low):
        high = low
    for _ in range(_ZOOMS if high > low else 0):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if _inside(camera, lens, rays / middle) else (middle, high)
    zoomed = np.array(k)
    zoomed[[0, 1], [0, 1]] *= high
    return Camera(camera.world_from_camera, zoomed, camera.width, camera.height)


def straighten(image: NDArray[np.uint8], camera: Camera, lens: Lens) -> tuple[NDArray[np.uint8], Camera]:
    """A picture (H, W, 3) taken through a lens as a pinhole camera of the same place would take it, and that camera.

    Every pixel of the result shows something of the picture: there is no empty border.
    """
    if not lens.bent:
        return image, camera
    straight = straight_camera(camera, lens)
    k = camera.numpy().intrinsics
    directions = straight.numpy().camera_rays()[..., :2]
    pixels = lens.distort(directions) * k[[0, 1], [0, 1]] + k[:2, 2]
    rows, columns = pixels[..., 1] - 0.5, pixels[..., 0] - 0.5
    planes = [
        map_coordinates(image[..., channel].astype(np.float32), [rows, columns], order=3, mode="nearest")
        for channel in range(3)
    ]
    return np.rint(np.clip(np.stack(planes, -1), 0, 255)).astype(np.uint8), straight


def _polynomial(coefficients: tuple[float, ...], square: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.zeros_like(square)
    for coefficient in reversed(coefficients):
        total = (total + coefficient) * square
    return 1.0 + total


def _border(camera: Camera) -> NDArray[np.float64]:
    """(N, 2) pixels around the edge of the picture, from the principal point."""
    across, down = np.linspace(0, camera.width, 33), np.linspace(0, camera.height, 33)
    sides = [np.stack(np.broadcast_arrays(across, edge), -1) for edge in (0.0, float(camera.height))]
    sides += [np.stack(np.broadcast_arrays(edge, down), -1) for edge in (0.0, float(camera.width))]
    return np.asarray(np.concatenate(sides) - camera.numpy().intrinsics[:2, 2])


def _inside(camera: Camera, lens: Lens, rays: NDArray[np.float64]) -> bool:
    """Whether the lens shows all of these border points (N, 2) at z = 1, and the way to them in order."""
    k = camera.numpy().intrinsics
    with np.errstate(all="ignore"):
        shown = lens.distort(rays * np.linspace(0, 1, 65)[1:, None, None])
    radius = np.linalg.norm(shown, axis=-1)
    pixels = shown[-1] * k[[0, 1], [0, 1]] + k[:2, 2]
    # Half a pixel beyond the outermost pixel centres the picture still stands for itself.
    fits = (pixels >= 0).all() and (pixels <= [camera.width, camera.height]).all()
    return bool(np.isfinite(radius).all() and fits and (np.diff(radius, axis=0) > 0).all())
