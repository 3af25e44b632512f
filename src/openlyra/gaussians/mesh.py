"""Views with depth to a mesh: fuse, extract, clean; open with colours, or closed for collisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from openlyra.errors import InputError
from openlyra.gaussians.mesh_clean import decimated, without_islands
from openlyra.gaussians.mesh_extract import extract
from openlyra.gaussians.mesh_fusion import Grid, allocate, integrate
from openlyra.gaussians.mesh_types import DepthView, Mesh
from openlyra.gaussians.render import render
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera
from openlyra.geometry.depth_edges import near_and_far_sides

COLLIDER_TRIANGLES = 100_000
"""Most triangles of a collider, for game engines and robot simulators."""
MIN_ALPHA = 0.95
"""Where less of a pixel is covered, it has no depth."""
MAX_SPREAD = 0.02
"""Largest standard deviation of the logarithm of depth in a pixel that shows one surface face on."""
LOG_BASE = 1e-3
_COARSER = 1.25


@dataclass(frozen=True)
class MeshSettings:
    """How depth becomes a mesh."""

    voxel: float | None = None
    """Side of a voxel in scene units; by default one and a half pixels at the median depth (three for a collider),
    or more where that would take too much memory."""
    max_depth: float | None = None
    """Leave out what is farther from a camera, in scene units; by default five times the median depth."""
    depth_error: float = 0.005
    """Expected error of the depths, as a part of the depth. Surfaces nearer to each other than two of it melt."""
    min_island: float = 0.01
    """Drop connected parts with less than this share of the triangles of the largest part; 0 keeps all."""
    triangles: int | None = None
    """Most triangles; by default 300,000, for a collider 100,000."""
    collider: bool = False
    """Closed (watertight) shells of few triangles, for game engines and robot simulators."""

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        for name, value in (("--voxel", self.voxel), ("--max-depth", self.max_depth)):
            if value is not None and not 0 < value < np.inf:
                raise InputError(f"{name} {value}: must be above 0")
        if not 0 <= self.depth_error <= 0.2:
            raise InputError(f"--depth-error {self.depth_error}: must be from 0 to 0.2, a part of the depth")
        if not 0 <= self.min_island <= 1:
            raise InputError(f"--min-island {self.min_island}: must be from 0 to 1")
        if self.triangles is not None and self.triangles < 4:
            raise InputError(f"--triangles {self.triangles}: at least 4 are needed")
        if self.collider and (self.triangles or 0) > COLLIDER_TRIANGLES:
            raise InputError(f"--triangles {self.triangles}: a collider has at most {COLLIDER_TRIANGLES}")

    def limit(self) -> int:
        """Most triangles of the result."""
        return self.triangles or (COLLIDER_TRIANGLES if self.collider else 300_000)


def rendered_view(gaussians: Gaussians, camera: Camera) -> DepthView:
    """Colour and depth of a scene from one camera.

    Not usable are outlines, what is hardly covered, and pixels in which surfaces at different depths are blended: their
    mean depth lies where nothing is.
    """
    seen = render(gaussians, camera)
    covered = seen.alpha > MIN_ALPHA
    depth = np.where(covered, seen.depth, 1).astype(np.float32)
    mixed = _depth_spread(gaussians, camera) > MAX_SPREAD + _slope(depth)
    return depth_view(camera, depth, covered & ~mixed, np.round(np.clip(seen.color, 0, 1) * 255).astype(np.uint8))


def _depth_spread(gaussians: Gaussians, camera: Camera) -> np.ndarray:
    """(H, W) standard deviation of the logarithm of the depth of what is blended in each pixel."""
    z = np.asarray(camera.project(gaussians.means.astype(np.float64))[1])
    far = np.log(np.maximum(z, LOG_BASE) / LOG_BASE)  # never negative, as colours must be
    values = np.stack([far, far * far, 0 * far], 1).astype(np.float32)
    g = gaussians
    blended = render(Gaussians.from_colors(g.means, g.quaternions, g.scales, g.opacities, values), camera)
    mean, square = np.moveaxis(blended.color[..., :2] / np.maximum(blended.alpha, 1e-4)[..., None], -1, 0)
    return np.sqrt(np.maximum(square - mean * mean, 0))


def _slope(depth: np.ndarray) -> np.ndarray:
    """(H, W) by how much the logarithm of the depth changes from pixel to pixel, on the flatter sides."""
    total = np.zeros(depth.shape)
    for axis in (0, 1):
        step = np.abs(np.diff(np.log(depth), axis=axis))
        ahead, behind = (np.pad(step, [side if a == axis else (0, 0) for a in (0, 1)], mode="edge")
                         for side in ((0, 1), (1, 0)))  # fmt: skip
        total += np.minimum(ahead, behind)
    return total


def depth_view(camera: Camera, depth: np.ndarray, valid: np.ndarray, image: np.ndarray) -> DepthView:
    """A view whose usable pixels are the valid ones (H, W) away from outlines, where depth mixes front and back."""
    depth = np.where(valid, depth, 1).astype(np.float32)
    outline = np.logical_or(*near_and_far_sides(depth))
    return DepthView(camera, depth, valid & ~outline, image)


def build_mesh(
    views: Sequence[DepthView],
    settings: MeshSettings | None = None,
    advance: Callable[[str, int, int], None] | None = None,
) -> tuple[Mesh, float]:
    """A mesh of what the views show, in the scene's own axes and units, and the side of the voxels used.

    Raises:
        InputError: settings that cannot work, or no surface within the largest depth.
        MissingExtraError: scikit-image or fast-simplification are not installed.
    """
    settings = settings or MeshSettings()
    settings.check()
    advance = advance or (lambda stage, done, total: None)
    near = _without_far(views, settings.max_depth)
    grid = _allocated(near, settings)
    for number, view in enumerate(near):
        advance("fuse", number, len(near))
        integrate(grid, view)
    advance("mesh", 0, 1)
    if not settings.collider:
        mesh = without_islands(extract(grid), settings.min_island)
        return decimated(mesh, settings.limit()), grid.voxel
    return _collider(near, grid, settings)


def _without_far(views: Sequence[DepthView], max_depth: float | None) -> list[DepthView]:
    depths = np.concatenate([view.depth[view.usable][::7] for view in views] or [np.zeros(0, np.float32)])
    if not len(depths):
        raise InputError("no view shows any surface")
    limit = max_depth or 5 * float(np.median(depths))
    return [replace(view, usable=view.usable & (view.depth <= limit)) for view in views]


def _allocated(views: Sequence[DepthView], settings: MeshSettings) -> Grid:
    """An empty grid; when no voxel side was asked for, the finest that fits into memory."""
    if settings.voxel is not None:
        return allocate(views, settings.voxel, settings.depth_error)
    spacing = [np.median(v.depth[v.usable]) / v.camera.intrinsics[0, 0] for v in views if v.usable.any()]
    if not spacing:
        raise InputError("no view shows any surface within --max-depth")
    voxel = float(np.median(spacing)) * (3.0 if settings.collider else 1.5)
    for _ in range(40):
        try:
            return allocate(views, voxel, settings.depth_error)
        except InputError:
            voxel *= _COARSER
    return allocate(views, voxel, settings.depth_error)


def _collider(views: Sequence[DepthView], grid: Grid, settings: MeshSettings) -> tuple[Mesh, float]:
    """Closed shells within the limit. Merging triangles can tear a shell; then coarser voxels do it instead."""
    for _ in range(40):
        mesh = without_islands(extract(grid, closed=True), settings.min_island)
        fewer = decimated(mesh, settings.limit())
        if len(fewer.faces) <= settings.limit() and fewer.is_closed():
            return fewer, grid.voxel
        grid = allocate(views, grid.voxel * _COARSER, settings.depth_error)
        for view in views:
            integrate(grid, view)
    raise InputError(f"--triangles {settings.limit()}: no closed mesh with so few came out; allow more")
