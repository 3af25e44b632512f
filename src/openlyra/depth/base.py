"""What every depth backend takes and gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera

FAR_SKY = 60.0
"""Depth of the sky, in units of the median depth of everything else."""

CAMERA_HEIGHT = 1.6
"""Eye of a standing photographer above the ground, in scene units (metre-like)."""

DEFAULT_VERTICAL_FOV = math.radians(50.0)
"""Assumed vertical field of view of a photo that says nothing about its lens."""

Uint8Image = NDArray[np.uint8]
Float32Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class DepthResult:
    """The geometry of one photo."""

    depth: Float32Map
    """float32 (H, W) z-depth in scene units, finite and positive everywhere."""
    valid: Mask
    """bool (H, W); False where the depth is only a filler."""
    sky: Mask
    """bool (H, W); the sky, at a finite far depth."""
    focal: float
    """Focal length in pixels of this image (fx = fy)."""
    confidence: Float32Map
    """float32 (H, W) in [0, 1]."""
    backend: str
    """Name of the estimator."""
    licence: str | None
    """Licence of the weights it used, None when there are none."""

    def validate(self) -> None:
        """Raise InputError naming the backend when shapes, types or values break the contract."""
        shape = self.depth.shape
        expected = {"depth": np.float32, "valid": np.bool_, "sky": np.bool_, "confidence": np.float32}
        for name, dtype in expected.items():
            array = getattr(self, name)
            if array.shape != shape or array.ndim != 2 or array.dtype != dtype:
                raise InputError(
                    f"depth backend {self.backend}: {name} is {array.dtype} {array.shape}, "
                    f"must be {np.dtype(dtype)} {shape}"
                )
        if not (np.isfinite(self.depth).all() and (self.depth > 0).all()):
            raise InputError(f"depth backend {self.backend}: depth must be finite and positive everywhere")
        if not ((self.confidence >= 0) & (self.confidence <= 1)).all():
            raise InputError(f"depth backend {self.backend}: confidence must lie in [0, 1]")
        if not (math.isfinite(self.focal) and self.focal > 0):
            raise InputError(f"depth backend {self.backend}: focal is {self.focal}, must be positive")


class DepthEstimator(Protocol):
    """One photo in, its geometry out."""

    def estimate(self, image: Uint8Image, focal: float | None = None) -> DepthResult:
        """Estimate depth of uint8 (H, W, 3); `focal` in pixels if known."""
        ...


@runtime_checkable
class PosedDepthEstimator(Protocol):
    """Several views with their cameras in, one consistent geometry out."""

    def estimate(self, image: Uint8Image, focal: float | None = None) -> DepthResult:
        """As `DepthEstimator`."""
        ...

    def estimate_posed(
        self, images: list[Uint8Image], cameras: Camera
    ) -> tuple[list[DepthResult], NDArray[np.float64]]:
        """Depth of V views uint8 (H, W, 3) with cameras (V,), in the estimator's unit, and the world_from_camera
        (V, 4, 4) that it predicts in that unit."""
        ...


def check_image(image: Uint8Image, focal: float | None) -> float:
    """Check an estimator's input and give the focal length in pixels, assumed from the field of view if None."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"image is {image.dtype} {image.shape}; depth needs uint8 (height, width, 3)")
    if min(image.shape[:2]) < 16:
        raise InputError(f"image is {image.shape[0]}x{image.shape[1]}; depth needs at least 16x16 pixels")
    if focal is None:
        return default_focal(image.shape[0])
    if not (math.isfinite(focal) and focal > 0):
        raise InputError(f"focal is {focal}; must be a positive number of pixels")
    return float(focal)


def default_focal(height: int, vertical_fov: float = DEFAULT_VERTICAL_FOV) -> float:
    """Focal length in pixels of an image `height` rows tall."""
    return height / 2 / math.tan(vertical_fov / 2)


def place_sky(depth: Float32Map, sky: Mask) -> Float32Map:
    """Depth (H, W) with the sky put at `FAR_SKY` times the median of the rest."""
    rest = depth[~sky]
    median = float(np.median(rest)) if rest.size else 1.0
    return np.where(sky, np.float32(FAR_SKY * median), depth).astype(np.float32)
