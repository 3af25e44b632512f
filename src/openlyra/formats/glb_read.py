"""Reading binary glTF with KHR_gaussian_splatting, with suspicion: every index and length is checked first."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from openlyra.errors import InputError
from openlyra.formats.axes import stated_up, turned_back
from openlyra.formats.glb import BINARY_CHUNK, EXTENSION, JSON_CHUNK, MAGIC, OPACITY, ROTATION, SCALE, sh_attribute
from openlyra.formats.scene_checks import file_bytes, from_file
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.poses import matrix_from_quaternion

MAX_JSON_BYTES = 1 << 24
"""A longer JSON chunk is refused; a scene of Gaussians takes a few kilobytes."""
MAX_NODES = 4096
"""Nodes that are looked at."""
MIN_BYTES = 32
"""The fewest bytes a Gaussian can take, so that many primitives cannot share the same few."""
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


def read_glb(path: str | os.PathLike[str], *, up: str | None = None) -> Gaussians:
    """Read all Gaussians of a `.glb` file: float or quantised attributes, nodes placed by rotation, translation and
    one scale.

    `up` says which axes the file is in; by default those its `asset.extras` states, else y-up. The result is y-down.
    Raises InputError for files without Gaussians and for damaged ones.
    """
    what = os.fspath(path)
    data = file_bytes(path)
    try:
        content, binary = _chunks(data, what)
        parts = [
            _primitive(content, binary, primitive, what).transformed(*placement)
            for primitive, placement in _primitives(content, len(binary), what)
        ]
        extras = content.get("asset", {}).get("extras", {})
        stated = stated_up(extras.get("axes")) if isinstance(extras, dict) else None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{what}: the glTF description is damaged ({_short(error)})") from None
    if not parts:
        raise InputError(f"{what}: holds no Gaussians (no primitive with {EXTENSION})")
    scene = turned_back(Gaussians.concatenate(parts), up or stated or "y-up")
    scene.validate(what)  # transforms of nodes can leave the range of float32
    return scene


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:100]


def _chunks(data: bytes, what: str) -> tuple[dict[str, Any], memoryview]:
    """The JSON object and the binary chunk."""
    if len(data) < 20 or struct.unpack_from("<II", data) != (MAGIC, 2):
        raise InputError(f"{what}: is not a binary glTF 2.0 file")
    size, kind = struct.unpack_from("<II", data, 12)
    if kind != JSON_CHUNK or size > min(MAX_JSON_BYTES, len(data) - 20):
        raise InputError(f"{what}: the first chunk is not JSON of a usable length; the file is cut short or damaged")
    try:
        content = json.loads(data[20 : 20 + size])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what}: the JSON chunk is damaged ({_short(error)})") from None
    if not isinstance(content, dict):
        raise InputError(f"{what}: the JSON chunk is not an object")
    start = 20 + size
    if start + 8 > len(data):
        return content, memoryview(b"")
    size, kind = struct.unpack_from("<II", data, start)
    if kind != BINARY_CHUNK or size > len(data) - start - 8:
        raise InputError(f"{what}: the binary chunk is cut short or damaged")
    return content, memoryview(data)[start + 8 : start + 8 + size]


def _item(items: Any, index: Any) -> dict[str, Any]:
    """An object of one of the top-level lists; negative and boolean indices are no indices."""
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise ValueError(f"'{str(index)[:40]}' is not an index")
    item = items[index]
    if not isinstance(item, dict):
        raise TypeError("an entry is not an object")
    return item


Placement = tuple[np.ndarray, np.ndarray, float]
"""Rotation (3, 3), translation (3,) and scale."""


def _primitives(content: dict[str, Any], size: int, what: str) -> Iterator[tuple[dict[str, Any], Placement]]:
    """Every primitive with Gaussians and where its node puts it."""
    nodes, meshes = content.get("nodes", []), content.get("meshes", [])
    scenes = content.get("scenes")
    roots = _item(scenes, content.get("scene", 0)).get("nodes", []) if scenes else list(range(len(nodes)))
    waiting: list[tuple[Any, Placement]] = [(root, (np.eye(3), np.zeros(3), 1.0)) for root in roots[:MAX_NODES]]
    seen = total = 0
    while waiting:
        index, above = waiting.pop()
        node = _item(nodes, index)
        seen += 1
        if seen > MAX_NODES:
            raise InputError(f"{what}: has more than {MAX_NODES} nodes, or nodes that hold each other")
        placement = _joined(above, node, what)
        waiting += [(child, placement) for child in node.get("children", [])[:MAX_NODES]]
        for primitive in _item(meshes, node["mesh"])["primitives"] if "mesh" in node else []:
            if EXTENSION not in primitive.get("extensions", {}):
                continue
            total += _item(content["accessors"], primitive["attributes"]["POSITION"])["count"]
            if not 0 <= total * MIN_BYTES <= size:
                raise InputError(f"{what}: promises {total} Gaussians in {size} bytes; it is cut short or damaged")
            yield primitive, placement


def _joined(above: Placement, node: dict[str, Any], what: str) -> Placement:
    rotation, translation, scale = above
    if "matrix" in node:
        raise InputError(f"{what}: a node has a matrix; only rotation, translation and scale can be read")
    x, y, z, w = (float(value) for value in node.get("rotation", (0, 0, 0, 1)))
    moved = np.array([float(value) for value in node.get("translation", (0, 0, 0))])
    scales = [float(value) for value in node.get("scale", (1, 1, 1))]
    length = math.sqrt(x * x + y * y + z * z + w * w)
    usable = moved.shape == (3,) and len(scales) == 3 and math.isfinite(length) and abs(length - 1) < 1e-2
    if not (usable and np.isfinite(moved).all() and 0 < scales[0] < math.inf):
        raise InputError(f"{what}: a node has an unusable rotation, translation or scale")
    if max(scales) - min(scales) > 1e-4 * scales[0]:
        raise InputError(f"{what}: a node scales its axes differently, which Gaussians with harmonics cannot follow")
    local = matrix_from_quaternion(np.array([w, x, y, z]) / length)
    return rotation @ local, scale * (rotation @ moved) + translation, scale * scales[0]


def _primitive(content: dict[str, Any], binary: memoryview, primitive: dict[str, Any], what: str) -> Gaussians:
    attributes = primitive["attributes"]
    means = _attribute(content, binary, attributes, "POSITION", 3)
    columns = {
        name: _attribute(content, binary, attributes, name, width, len(means))
        for name, width in ((ROTATION, 4), (SCALE, 3), (OPACITY, 1))
    }
    degree = 0
    while degree < 3 and sh_attribute((degree + 1) ** 2) in attributes:
        degree += 1
    sh = np.empty((len(means), (degree + 1) ** 2, 3), np.float32)
    for index in range(sh.shape[1]):
        sh[:, index] = _attribute(content, binary, attributes, sh_attribute(index), 3, len(means))
    space = primitive["extensions"][EXTENSION].get("colorSpace", "srgb_rec709_display")
    if space != "srgb_rec709_display":
        raise InputError(f"{what}: its colour space is '{str(space)[:40]}'; srgb_rec709_display can be read")
    with np.errstate(divide="ignore", invalid="ignore"):
        log_scales = np.log(columns[SCALE])
    return from_file(what, means, columns[ROTATION][:, [3, 0, 1, 2]], log_scales, columns[OPACITY][:, 0], sh)


def _attribute(
    content: dict[str, Any],
    binary: memoryview,
    attributes: dict[str, int],
    name: str,
    width: int,
    count: int | None = None,
) -> np.ndarray:
    """(N, width) float32 values of an attribute, checked to lie inside the binary chunk."""
    accessor = _item(content["accessors"], attributes[name])
    if "sparse" in accessor or _WIDTHS[accessor["type"]] != width:
        raise ValueError(f"{name} has an unusable type")
    view = _item(content["bufferViews"], accessor["bufferView"])
    kind = np.dtype(_COMPONENTS[accessor["componentType"]])
    rows = accessor["count"]
    stride = view.get("byteStride", kind.itemsize * width)
    first, inside, length = view.get("byteOffset", 0), accessor.get("byteOffset", 0), view["byteLength"]
    if not all(type(value) is int and value >= 0 for value in (rows, stride, first, inside, length)):
        raise ValueError(f"{name} has lengths that are not whole numbers")
    fits = inside + (rows - 1) * stride + kind.itemsize * width <= length and first + length <= len(binary)
    if rows < 1 or stride < kind.itemsize * width or not fits or view.get("buffer", 0) != 0:
        raise ValueError(f"{name} lies outside the file")
    if count is not None and rows != count:
        raise ValueError(f"{name} has {rows} rows for {count} Gaussians")
    values = np.ndarray((rows, width), kind, binary, first + inside, (stride, kind.itemsize))
    result = values.astype(np.float32)
    if kind.kind != "f" and accessor.get("normalized", False):
        result = np.maximum(result / np.iinfo(kind).max, -1.0)
    return result
