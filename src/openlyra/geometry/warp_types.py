"""Settings and result of forward warping, shared by the plain and the fast implementation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from openlyra.errors import InputError
from openlyra.geometry.arrays import Array
from openlyra.geometry.camera import Camera

MAX_DEPTH = 1e4
"""Depths are clamped to this many scene units; NaN counts as this far in the reference."""
CORNER_NOISE = 1e-3
"""Bilinear corner weights (pixels) below this are rounding noise of a landing position on a pixel centre. The soft
z-buffer would amplify them by up to e^50 and paint a near point over its far neighbour, so they are dropped."""


@dataclass(frozen=True)
class WarpConfig:
    """How to warp. The defaults are the released constants of Lyra 2.0 (arXiv 2604.13036)."""

    edge_threshold: float | None = 0.05
    """A source pixel is dropped when the relative depth range of its 5x5 window reaches this; None keeps all pixels."""
    edge_test: Literal["range", "planar"] = "range"
    """'range' judges the depth range (drops grazing floors too); 'planar' the bend of inverse depth (keeps them)."""
    sharpness: float = 50.0
    """Contrast of the soft z-buffer: a point weighs exp(-sharpness * log(1+z) / max log(1+z))."""
    fill: float = -1.0
    """Value of holes in the warped channels; holes have depth 0."""
    clamp: bool = True
    """Reference only: clamp the warped channels to [-1, 1] (its image mode)."""
    with_flow: bool = False
    """Also return where every source pixel lands."""
    reference_compat: bool = False
    """Reproduce the reference: integer pixel centres, one normaliser per group of targets, zero-padded window mean,
    NaN depth = far, unusable pixels as points at the world origin, doubled weights at integer landing positions."""
    group: int | None = None
    """Reference only: targets that share a normaliser (16 in the released model); None = all targets of the call."""

    def __post_init__(self) -> None:
        if self.edge_threshold is not None and not self.edge_threshold > 0:
            raise InputError(f"edge_threshold is {self.edge_threshold}; a positive number or None is needed")
        if self.edge_test not in ("range", "planar"):
            raise InputError(f"edge_test is {self.edge_test!r}; 'range' or 'planar' is needed")
        if not self.sharpness >= 0:
            raise InputError(f"sharpness is {self.sharpness}; 0 or more is needed")
        if self.group is not None and self.group < 1:
            raise InputError(f"group is {self.group}; at least 1 target a group is needed")


@dataclass(frozen=True, eq=False)
class WarpResult:
    """T warped views; NumPy from the fast path, tensors from the plain one."""

    values: Array
    """(T, C, H, W), `fill` in holes."""
    depth: Array
    """(T, H, W) z-depth in the target camera, 0 in holes."""
    mask: Array
    """(T, H, W) bool, True where at least one source pixel landed."""
    flow: Array | None = None
    """(T, V, 2, h, w) landing position minus source pixel (x, y) for V fused sources, if asked for; outside the used
    pixels 0 (in the reference: the landing position of the world origin)."""


def check_views(values: Array, source: Camera) -> None:
    """Raise InputError unless values (S, C, h, w) and a row of source cameras were given."""
    if values.ndim != 4:
        raise InputError(f"values have shape {tuple(values.shape)}; (sources, channels, height, width) is needed")
    if not source.batch_shape:
        raise InputError("source is a single camera; a row of cameras is needed, one a source view")


def check_warp(values: Array, depth: Array, mask: Array | None, source: Camera, target: Camera) -> tuple[int, int]:
    """Validate shapes of S x V source views, given as (S, V, C, h, w), against T targets; return (T, S).

    Raises InputError naming the argument that does not fit.
    """
    count, views, _, height, width = values.shape
    if tuple(depth.shape) != (count, views, height, width):
        raise InputError(f"depth {tuple(depth.shape)} does not fit values {tuple(values.shape)}; same views are needed")
    if mask is not None and tuple(mask.shape) != tuple(depth.shape):
        raise InputError(f"mask {tuple(mask.shape)} does not fit depth {tuple(depth.shape)}")
    if source.batch_shape != (count, views) or (source.height, source.width) != (height, width):
        raise InputError(
            f"source cameras {source.batch_shape} of {source.width}x{source.height} pixels "
            f"do not fit {count}x{views} views of {width}x{height}"
        )
    if len(target.batch_shape) != 1 or len(target) == 0:
        raise InputError(f"target cameras have batch shape {target.batch_shape}; a row of at least one is needed")
    if count not in (1, len(target)):
        raise InputError(f"{count} sources for {len(target)} targets; one source for all, or one source each is needed")
    return len(target), count
