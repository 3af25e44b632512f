"""A mesh made smaller: islands dropped, triangles merged."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from openlyra.errors import MissingExtraError
from openlyra.gaussians.mesh_types import Mesh


def without_islands(mesh: Mesh, least_share: float) -> Mesh:
    """Without connected parts that have less than this share of the triangles of the largest part."""
    edges = mesh.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    links = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(len(mesh.vertices),) * 2)
    _, label = connected_components(links, directed=False)
    of_face = label[mesh.faces[:, 0]]
    sizes = np.bincount(of_face)
    return mesh.select(sizes[of_face] >= least_share * sizes.max())


def decimated(mesh: Mesh, triangles: int) -> Mesh:
    """At most about this many triangles, by collapsing the edges that change the shape least (quadric error metric).

    Colours are those of the nearest vertex before. MissingExtraError without fast-simplification.
    """
    if len(mesh.faces) <= triangles:
        return mesh
    try:
        from fast_simplification import simplify
    except ImportError:
        raise MissingExtraError("fast-simplification", "mesh") from None
    # The library loses precision far from the origin: it works in single precision.
    middle = mesh.vertices.mean(0)
    vertices, faces = simplify(mesh.vertices - middle, mesh.faces, target_count=triangles)
    vertices = (vertices + middle).astype(np.float32)
    faces = np.asarray(faces, np.int32)
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(1)]
    _, nearest = cKDTree(mesh.vertices).query(vertices)
    return Mesh(vertices, faces, mesh.colors[nearest]).select(slice(None))
