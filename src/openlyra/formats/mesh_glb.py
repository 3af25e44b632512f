"""Binary glTF with one triangle mesh: colours at the vertices, shown as they are (KHR_materials_unlit).

glTF prescribes metres, y up, and linear light for colours (16 bits a channel here).
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from openlyra.errors import InputError
from openlyra.formats.glb import BINARY_CHUNK, JSON_CHUNK, MAGIC, MAX_BYTES, linear_light
from openlyra.gaussians.mesh_types import Mesh
from openlyra.media.atomic import write_bytes_atomic

_FLOAT, _UINT, _USHORT = 5126, 5125, 5123


def write_mesh_glb(mesh: Mesh, path: Path, axes: str, closed: bool) -> None:
    """Write V vertices and T triangles as they are, whole or not at all. `axes` such as "RUB" is stated in the file.

    An open mesh is seen from both sides. InputError beyond the 4 GiB of the container.
    """
    color = np.full((len(mesh.vertices), 4), 65535, "<u2")
    color[:, :3] = np.round(65535 * linear_light(np.clip(mesh.colors, 0, 1)))
    parts = [mesh.vertices.astype("<f4").tobytes(), color.tobytes(), mesh.faces.astype("<u4").tobytes()]
    text = json.dumps(_document(mesh, [len(part) for part in parts], axes, closed), separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    size = sum(len(part) for part in parts)
    total = 12 + 8 + len(text) + 8 + size
    if total > MAX_BYTES:
        raise InputError(f"{path}: the mesh takes {total} bytes; a .glb file holds at most {MAX_BYTES}")
    header = struct.pack("<III", MAGIC, 2, total) + struct.pack("<II", len(text), JSON_CHUNK) + text
    write_bytes_atomic(path, header + struct.pack("<II", size, BINARY_CHUNK) + b"".join(parts))


def _document(mesh: Mesh, sizes: list[int], axes: str, closed: bool) -> dict[str, Any]:
    count = len(mesh.vertices)
    views = [
        {"buffer": 0, "byteOffset": sum(sizes[:index]), "byteLength": size, "target": 34963 if index == 2 else 34962}
        for index, size in enumerate(sizes)
    ]
    accessors = [
        {"bufferView": 0, "componentType": _FLOAT, "count": count, "type": "VEC3",
         "min": mesh.vertices.min(0).tolist(), "max": mesh.vertices.max(0).tolist()},
        {"bufferView": 1, "componentType": _USHORT, "normalized": True, "count": count, "type": "VEC4"},
        {"bufferView": 2, "componentType": _UINT, "count": mesh.faces.size, "type": "SCALAR"},
    ]  # fmt: skip
    material = {
        "doubleSided": not closed, "extensions": {"KHR_materials_unlit": {}},
        "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0},
    }  # fmt: skip
    primitive = {"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2, "material": 0}
    return {
        "asset": {"version": "2.0", "generator": "OpenLyra", "extras": {"axes": axes, "units": "metres"}},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0, "name": "collider" if closed else "mesh"}],
        "meshes": [{"primitives": [primitive]}], "materials": [material],
        "accessors": accessors, "bufferViews": views, "buffers": [{"byteLength": sum(sizes)}],
    }  # fmt: skip
