"""What a mesh is made from, and the mesh."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera


@dataclass(frozen=True, eq=False)
class DepthView:
    """One picture with z-depth in scene units and its camera."""

    camera: Camera
    """A single camera of H x W pixels."""
    depth: NDArray[np.float32]
    """(H, W) z-depth; finite and positive where `usable`."""
    usable: NDArray[np.bool_]
    """(H, W) where there is a surface whose depth can be trusted: no sky, no outlines."""
    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""

    def __post_init__(self) -> None:
        shape = (self.camera.height, self.camera.width)
        for name, array, wanted in (
            ("depth", self.depth, shape), ("usable", self.usable, shape), ("image", self.image, (*shape, 3))
        ):  # fmt: skip
            if array.shape != wanted:
                raise InputError(f"depth view: {name} has shape {array.shape}; its camera's image is {wanted}")
        seen = self.depth[self.usable]
        if not (np.isfinite(seen).all() and (seen > 0).all()):
            raise InputError("depth view: depth holds values that are not finite and positive; mark them as not usable")


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in the scene's own axes (x right, y down, z forward), counter-clockwise seen from outside."""

    vertices: NDArray[np.float32]
    """(V, 3) in scene units."""
    faces: NDArray[np.int32]
    """(T, 3) places of vertices."""
    colors: NDArray[np.float32]
    """(V, 3) sRGB in [0, 1]."""

    def select(self, faces: np.ndarray | slice) -> Mesh:
        """Only the faces (T',) picked by index or mask, and the vertices they use."""
        picked = self.faces[faces]
        used, places = np.unique(picked, return_inverse=True)
        return Mesh(self.vertices[used], places.reshape(-1, 3).astype(np.int32), self.colors[used])

    def transformed(self, rotation: np.ndarray, scale: float = 1.0) -> Mesh:
        """Turned by a proper rotation (3, 3), then enlarged."""
        return replace(self, vertices=(scale * (self.vertices @ rotation.T)).astype(np.float32))

    def is_closed(self) -> bool:
        """Whether every edge joins exactly two triangles that run along it in opposite directions."""
        if not len(self.faces):
            return False
        edges = self.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
        forward, backward = edges[:, 0] << 32 | edges[:, 1], edges[:, 1] << 32 | edges[:, 0]
        once = len(np.unique(forward)) == len(forward)
        return once and bool(np.array_equal(np.sort(forward), np.sort(backward)))
