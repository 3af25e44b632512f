"""From a field of distances to triangles: marching cubes, tile by tile, welded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from openlyra.errors import InputError, MissingExtraError
from openlyra.gaussians.mesh_fusion import BLOCK, Grid, block_keys
from openlyra.gaussians.mesh_types import Mesh

TILE = 4
"""Blocks a side of what marching cubes sees at a time."""
AWAY = 5e-3
"""Least distance from the surface of a grid point, in truncations, so that the vertices around it stay apart."""
WELD = 1e-3
"""Vertices nearer than this are one, in voxels."""


def extract(grid: Grid, closed: bool = False) -> Mesh:
    """The surface of the field. InputError if there is none, MissingExtraError without scikit-image.

    Open, there are triangles only where all eight corners of a cube were observed, so nothing bridges what no view
    saw. Closed, what was not observed is outside: every surface becomes a shell as thick as the truncation, watertight.
    """
    start = 0
    points, faces, colors = [], [], []
    for origin, distance, seen, color in _tiles(grid):
        piece = _march(distance, seen, color, closed)
        if piece is not None:
            points.append(piece.vertices + np.float64(origin))
            colors.append(piece.colors)
            faces.append(piece.faces + start)
            start += len(piece.vertices)
    if not points:
        raise InputError("no surface came out; use smaller voxels or more views")
    mesh = _welded(np.concatenate(points), np.concatenate(faces), np.concatenate(colors))
    return Mesh((mesh.vertices * grid.voxel).astype(np.float32), mesh.faces, mesh.colors)


def _tiles(grid: Grid) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Origin in voxels (3,), distance, observed (n, n, n) and colour (n, n, n, 4) of each tile with its upper border.

    Tiles begin one block early, so that a surface that ends at the lowest block closes too.
    """
    place = {int(key): index for index, key in enumerate(block_keys(grid.blocks))}
    around = np.stack(np.meshgrid(*[[-1, 0]] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    tiles = np.unique(np.floor_divide(grid.blocks + around, TILE).reshape(-1, 3), axis=0)
    inner = np.stack(np.meshgrid(*[np.arange(TILE + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    size = (TILE + 1) * BLOCK
    cut = slice(0, TILE * BLOCK + 1)
    for tile in tiles:
        held = [(at, place[key]) for at, key in zip(inner, block_keys(tile * TILE + inner).tolist()) if key in place]
        if not held or grid.distance[[block for _, block in held]].min() >= 0:
            continue
        distance, seen = np.ones((size,) * 3, np.float32), np.zeros((size,) * 3, bool)
        color = np.zeros((size, size, size, 4), np.float32)
        for at, block in held:
            where = tuple(slice(BLOCK * a, BLOCK * (a + 1)) for a in at)
            seen[where] = grid.weight[block] > 0
            distance[where] = np.where(seen[where], grid.distance[block], 1)
            color[where] = grid.color[block]
        yield tile * TILE * BLOCK, distance[cut, cut, cut], seen[cut, cut, cut], color[cut, cut, cut]


def _march(distance: np.ndarray, seen: np.ndarray, color: np.ndarray, closed: bool) -> Mesh | None:
    """Triangles of one tile in voxels from its origin."""
    try:
        from skimage.measure import marching_cubes
    except ImportError:
        raise MissingExtraError("scikit-image", "mesh") from None
    field = np.where(distance > 0, np.maximum(distance, AWAY), np.minimum(distance, -AWAY))
    if field.min() > 0 or field.max() < 0:
        return None
    vertices, faces, _, _ = marching_cubes(field, 0.0, gradient_direction="descent", allow_degenerate=True)
    if not closed:
        whole = ndimage.minimum_filter(seen, 2, origin=-1, mode="nearest")
        cube = np.minimum(vertices[faces].mean(1).astype(int), np.array(whole.shape) - 2)
        faces = faces[whole[tuple(cube.T)]]
    if not len(faces):
        return None
    tint = np.stack([ndimage.map_coordinates(color[..., c], vertices.T, order=1) for c in range(4)], 1)
    return Mesh(vertices, faces, tint[:, :3] / np.maximum(tint[:, 3:], 1e-30))


def _welded(points: np.ndarray, faces: np.ndarray, colors: np.ndarray) -> Mesh:
    """One vertex for those of neighbouring tiles that are the same; faces that shrank to a line are dropped."""
    pairs = cKDTree(points).query_pairs(WELD, output_type="ndarray")
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(points),) * 2)
    _, label = connected_components(links, directed=False)
    _, first = np.unique(label, return_index=True)
    faces = label[faces].astype(np.int32)
    real = (faces != np.roll(faces, 1, axis=1)).all(1)
    return Mesh(points[first], faces[real], np.clip(colors[first], 0, 1).astype(np.float32)).select(slice(None))
