"""Triangle meshes as files: .glb, .ply and .obj, by suffix. Every file states its axes and that it is in metres."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from openlyra.errors import InputError
from openlyra.formats.axes import AXES, up_rotation
from openlyra.formats.mesh_glb import write_mesh_glb
from openlyra.gaussians.mesh_types import Mesh
from openlyra.media.atomic import write_bytes_atomic

MESH_SUFFIXES = (".glb", ".ply", ".obj")


def check_mesh_name(path: Path, up: str) -> None:
    """Raise InputError for a suffix that is not written, and for axes that the format rules out."""
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise InputError(f"{path}: meshes are written as {', '.join(MESH_SUFFIXES)}, not '{path.suffix.lower()}'")
    up_rotation(up)
    if path.suffix.lower() == ".glb" and up != "y-up":
        raise InputError(f"--up {up}: .glb files are y-up by definition; take .ply or .obj for other axes")


def write_mesh(mesh: Mesh, path: Path, *, up: str = "y-up", scale: float = 1.0, closed: bool = False) -> None:
    """Write a mesh in the axes that `up` names (see formats.axes), `scale` metres a scene unit, whole or not at all."""
    check_mesh_name(path, up)
    turned = mesh.transformed(up_rotation(up), scale)
    suffix = path.suffix.lower()
    if suffix == ".glb":
        write_mesh_glb(turned, path, AXES[up], closed)
    else:
        write_bytes_atomic(path, (_ply if suffix == ".ply" else _obj)(turned, f"axes {AXES[up]} units metres"))


def _ply(mesh: Mesh, facts: str) -> bytes:
    """Binary, 8 bits a colour."""
    corners = np.zeros(len(mesh.vertices), [("position", "<f4", 3), ("color", "u1", 3)])
    corners["position"], corners["color"] = mesh.vertices, np.round(255 * np.clip(mesh.colors, 0, 1))
    faces = np.zeros(len(mesh.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    lines = ["ply", "format binary_little_endian 1.0", f"comment OpenLyra {facts}", f"element vertex {len(corners)}"]
    lines += [f"property float {axis}" for axis in "xyz"] + [f"property uchar {c}" for c in ("red", "green", "blue")]
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(lines).encode() + corners.tobytes() + faces.tobytes()


def _obj(mesh: Mesh, facts: str) -> bytes:
    """Text; colours follow the positions, as MeshLab and Blender read them."""
    text = io.StringIO()
    text.write(f"# OpenLyra {facts}\n")
    np.savetxt(text, np.concatenate([mesh.vertices, mesh.colors], 1), "v %.6g %.6g %.6g %.4f %.4f %.4f")
    np.savetxt(text, mesh.faces + 1, "f %d %d %d")
    return text.getvalue().encode()
