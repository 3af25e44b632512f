"""Binary glTF with the Khronos extension KHR_gaussian_splatting: a point primitive with extra attributes, lossless.

Axes: glTF is y-up. A default glTF camera looks along -z, so a scene is written as RUB: that camera sees what the first
camera of the scene saw. The file says so in `asset.extras`. Nodes are written without transforms.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any, BinaryIO

import numpy as np

from openlyra.errors import InputError
from openlyra.formats.axes import AXES
from openlyra.formats.scene_checks import for_writing
from openlyra.gaussians.types import Gaussians
from openlyra.media.atomic import atomic_path

EXTENSION = "KHR_gaussian_splatting"
ROTATION, SCALE, OPACITY = (f"{EXTENSION}:{name}" for name in ("ROTATION", "SCALE", "OPACITY"))
MAX_BYTES = (1 << 32) - 1
"""Lengths in the container are 32 bits."""
MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
_FLOAT = 5126
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}


def sh_attribute(index: int) -> str:
    """The attribute that holds coefficient `index` (0 to 15) of the harmonics."""
    degree = int(np.sqrt(index))
    return f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{index - degree * degree}"


def write_glb(
    gaussians: Gaussians,
    path: str | os.PathLike[str],
    *,
    up: str = "y-up",
    generator: str = "OpenLyra",
    units: str = "unknown",
) -> None:
    """Write N Gaussians as float32 attributes, whole or not at all, with the same bytes every time.

    COLOR_0, which viewers without the extension show as a point cloud, is the base colour in linear light, as glTF
    demands. `up`: the format means "y-up". Raises InputError for an empty scene, values that are not finite, and
    scenes beyond the 4 GiB of the container.
    """
    what = os.fspath(path)
    scene = for_writing(gaussians, up, what)
    columns = _columns(scene)
    content, size = _document(scene, columns, {"axes": AXES[up], "units": units}, generator)
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + size
    if total > MAX_BYTES:
        raise InputError(f"{what}: {scene.count} Gaussians take {total} bytes; a .glb file holds at most {MAX_BYTES}")
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<III", MAGIC, 2, total) + struct.pack("<II", len(text), JSON_CHUNK) + text)
        file.write(struct.pack("<II", size, BINARY_CHUNK))
        _write_columns(file, columns)


def _columns(scene: Gaussians) -> dict[str, np.ndarray]:
    """Attribute name -> float32 values (N, C)."""
    columns = {
        "POSITION": scene.means,
        "COLOR_0": np.concatenate([linear_light(np.clip(scene.colors, 0, 1)), scene.opacities[:, None]], 1),
        ROTATION: scene.quaternions[:, [1, 2, 3, 0]],
        SCALE: scene.scales,
        OPACITY: scene.opacities[:, None],
    }
    return columns | {sh_attribute(index): scene.sh[:, index] for index in range(scene.sh.shape[1])}


def linear_light(srgb: np.ndarray) -> np.ndarray:
    """sRGB values in [0, 1] as linear light (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _document(
    scene: Gaussians, columns: dict[str, np.ndarray], extras: dict[str, str], generator: str
) -> tuple[dict[str, Any], int]:
    """The JSON of the file and the size of its binary chunk."""
    accessors: list[dict[str, Any]] = []
    views: list[dict[str, int]] = []
    offset = 0
    for name, values in columns.items():
        size = 4 * values.size
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": size, "target": 34962})
        accessor = {"bufferView": len(accessors), "componentType": _FLOAT, "count": len(values)}
        accessors.append(accessor | {"type": _TYPES[values.shape[1]]})
        if name == "POSITION":
            accessors[-1] |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        offset += size
    extension = {
        "kernel": "ellipse", "colorSpace": "srgb_rec709_display", "projection": "perspective",
        "sortingMethod": "cameraDistance",
    }  # fmt: skip
    primitive = {
        "attributes": {name: index for index, name in enumerate(columns)},
        "mode": 0,
        "extensions": {EXTENSION: extension},
    }
    content = {
        "asset": {"version": "2.0", "generator": generator, "extras": extras},
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": offset}],
    }
    return content, offset


def _write_columns(file: BinaryIO, columns: dict[str, np.ndarray]) -> None:
    for values in columns.values():
        file.write(np.ascontiguousarray(values, "<f4").data)
