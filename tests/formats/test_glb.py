"""Binary glTF: the attributes as the extension names them, axes, quantised and moved files, damaged ones."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_scenes import covariances, scene
from hypothesis import given, settings
from hypothesis import strategies as st

from openlyra.errors import InputError
from openlyra.formats import read_gaussians, write_gaussians
from openlyra.formats.glb import linear_light, write_glb
from openlyra.formats.glb_read import read_glb
from openlyra.gaussians.types import Gaussians

EXT = "KHR_gaussian_splatting"


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    magic, version, total, size, kind = struct.unpack_from("<4sIII4s", data)
    assert magic == b"glTF" and version == 2 and total == len(data) and kind == b"JSON" and size % 4 == 0
    length, kind = struct.unpack_from("<I4s", data, 20 + size)
    assert kind == b"BIN\0" and length % 4 == 0 and 28 + size + length == len(data)
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def build(path: Path, content: dict[str, Any], binary: bytes) -> Path:
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
    return path


def column(content: dict[str, Any], binary: bytes, name: str) -> np.ndarray:
    accessor = content["accessors"][content["meshes"][0]["primitives"][0]["attributes"][name]]
    view = content["bufferViews"][accessor["bufferView"]]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
    count = accessor["count"] * width
    return np.frombuffer(binary, "<f4", count, view["byteOffset"]).reshape(-1, width)


def test_attributes(tmp_path: Path) -> None:
    original = scene(5, 3)
    write_glb(original, tmp_path / "a.glb", up="y-down", units="metre")
    content, binary = parts(tmp_path / "a.glb")
    assert content["extensionsUsed"] == [EXT] and content["asset"]["extras"] == {"axes": "RDF", "units": "metre"}
    primitive = content["meshes"][0]["primitives"][0]
    assert primitive["mode"] == 0
    assert primitive["extensions"][EXT]["kernel"] == "ellipse"
    assert primitive["extensions"][EXT]["colorSpace"] == "srgb_rec709_display"
    np.testing.assert_array_equal(column(content, binary, "POSITION"), original.means)
    position = content["accessors"][primitive["attributes"]["POSITION"]]
    np.testing.assert_array_equal(position["min"], original.means.min(0))
    np.testing.assert_array_equal(position["max"], original.means.max(0))
    rotation = column(content, binary, f"{EXT}:ROTATION")
    np.testing.assert_allclose(rotation, original.quaternions[:, [1, 2, 3, 0]], atol=1e-6)
    np.testing.assert_array_equal(column(content, binary, f"{EXT}:SCALE"), original.scales)
    np.testing.assert_array_equal(column(content, binary, f"{EXT}:OPACITY")[:, 0], original.opacities)
    names = [(0, 0), *((1, i) for i in range(3)), *((2, i) for i in range(5)), *((3, i) for i in range(7))]
    for index, (degree, order) in enumerate(names):
        values = column(content, binary, f"{EXT}:SH_DEGREE_{degree}_COEF_{order}")
        np.testing.assert_array_equal(values, original.sh[:, index])
    color = column(content, binary, "COLOR_0")
    np.testing.assert_allclose(color[:, :3], linear_light(np.clip(original.colors, 0, 1)), atol=1e-6)
    np.testing.assert_allclose(linear_light(np.array([0.0, 0.5, 1.0])), [0, 0.21404, 1], atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(0, 3), st.sampled_from(["y-up", "y-down", "z-up"]))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, count: int, degree: int, up: str) -> None:
    path = tmp_path_factory.mktemp("glb") / "a.glb"
    original = scene(count, degree)
    write_gaussians(original, path, up=up)
    result = read_gaussians(path)
    np.testing.assert_allclose(result.means, original.means, atol=1e-5)
    np.testing.assert_allclose(covariances(result), covariances(original), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.sh, original.sh, atol=1e-5)
    np.testing.assert_allclose(result.opacities, original.opacities, atol=1e-6)


def test_default_camera_sees_the_photo(tmp_path: Path) -> None:
    """glTF's camera looks along -z with y up; what lies ahead, right and below must be there."""
    g = Gaussians.from_colors(np.array([[1.0, 2.0, 3.0]]), np.eye(4)[:1], np.ones((1, 3)), np.ones(1), np.ones((1, 3)))
    write_glb(g, tmp_path / "a.glb")
    np.testing.assert_array_equal(column(*parts(tmp_path / "a.glb"), "POSITION"), [[1, -2, -3]])


def change(tmp_path: Path, edit: Callable[[dict[str, Any]], Any], degree: int = 0) -> Path:
    write_glb(scene(20, degree), tmp_path / "a.glb", up="y-down")
    content, binary = parts(tmp_path / "a.glb")
    edit(content)
    return build(tmp_path / "b.glb", content, binary)


def test_nodes_place_the_gaussians(tmp_path: Path) -> None:
    half = np.sqrt(0.5)

    def edit(content: dict[str, Any]) -> None:
        content["nodes"] = [
            {"children": [1], "translation": [0, 0, 10], "scale": [2, 2, 2]},
            {"mesh": 0, "rotation": [0, half, 0, half], "translation": [1, 0, 0]},
        ]

    result = read_glb(change(tmp_path, edit, degree=2))
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # a quarter about y
    expected = scene(20, 2).transformed(turn, np.array([2.0, 0, 10]), 2.0)
    np.testing.assert_allclose(result.means, expected.means, atol=1e-4)
    np.testing.assert_allclose(covariances(result), covariances(expected), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(result.sh, expected.sh, atol=1e-5)


def test_quantised_attributes(tmp_path: Path) -> None:
    original = scene(20)
    write_glb(original, tmp_path / "a.glb", up="y-down")
    content, binary = parts(tmp_path / "a.glb")
    attributes = content["meshes"][0]["primitives"][0]["attributes"]
    for name, kind, code in (("OPACITY", np.uint8, 5121), ("ROTATION", np.int16, 5122)):
        values = column(content, binary, f"{EXT}:{name}")
        accessor = content["accessors"][attributes[f"{EXT}:{name}"]]
        accessor |= {"componentType": code, "normalized": True, "bufferView": len(content["bufferViews"])}
        packed = np.rint(values * np.iinfo(kind).max).astype(kind).tobytes()
        content["bufferViews"].append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(packed)})
        binary += packed
    result = read_glb(build(tmp_path / "b.glb", content, binary))
    np.testing.assert_allclose(result.opacities, original.opacities, atol=0.51 / 255)
    np.testing.assert_allclose(covariances(result), covariances(original), rtol=1e-2, atol=1e-2)


def primitive(content: dict[str, Any]) -> dict[str, Any]:
    return content["meshes"][0]["primitives"][0]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: primitive(c).pop("extensions"), "holds no Gaussians"),
        (lambda c: c["accessors"][0].update(count=10**9), "promises 1000000000 Gaussians"),
        (lambda c: c["accessors"][0].update(count=-1), "promises -1 Gaussians"),
        (lambda c: c["accessors"][2].update(count=10**9), "lies outside the file"),
        (lambda c: c["accessors"][2].update(count=3), "3 rows for 20 Gaussians"),
        (lambda c: c["accessors"][2].update(byteOffset=1e9), "not whole numbers"),
        (lambda c: c["bufferViews"][2].update(byteOffset=-4), "not whole numbers"),
        (lambda c: c["bufferViews"][2].update(byteStride=0), "lies outside"),
        (lambda c: c["accessors"][2].update(componentType=5130), "5130"),
        (lambda c: c["accessors"][2].update(bufferView=-1), "not an index"),
        (lambda c: c.update(nodes=[{"children": [0]}]), "nodes that hold each other"),
        (lambda c: c["nodes"][0].update(scale=[1, 2, 1]), "scales its axes differently"),
        (lambda c: c["nodes"][0].update(scale=[-1, -1, -1]), "unusable"),
        (lambda c: c["nodes"][0].update(scale=[1e-300] * 3), "scale"),
        (lambda c: c["nodes"][0].update(matrix=[1] * 16), "has a matrix"),
        (lambda c: c["nodes"][0].update(rotation=[0, 0, 0]), "not enough values"),
        (lambda c: primitive(c)["attributes"].pop(f"{EXT}:SCALE"), "SCALE"),
        (lambda c: primitive(c)["extensions"][EXT].update(colorSpace="lin_rec709_display"), "colour space"),
        (lambda c: c["meshes"][0].update(primitives=[primitive(c)] * 40), "promises [0-9]+ Gaussians in"),
    ],
)
def test_refusals(tmp_path: Path, edit: Callable[[dict[str, Any]], Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_glb(change(tmp_path, edit))
    assert "\n" not in str(caught.value)


def test_refused_containers(tmp_path: Path) -> None:
    path = tmp_path / "a.glb"
    for data, words in (
        (b"glTF", "not a binary glTF"),
        (struct.pack("<4sIII4s", b"glTF", 2, 99, 10**9, b"JSON"), "usable length"),
        (struct.pack("<4sIII4s", b"glTF", 2, 24, 4, b"JSON") + b"[[[[", "JSON chunk is damaged"),
        (struct.pack("<4sIII4s", b"glTF", 2, 24, 4, b"JSON") + b"[]  ", "not an object"),
        (struct.pack("<4sIII4s", b"glTF", 2, 24, 4, b"JSON") + b"{}  ", "holds no Gaussians"),
        (struct.pack("<4sIII4s", b"glTF", 2, 24, 4, b"JSON") + b"{}  " + bytes(8), "binary chunk"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=words):
            read_glb(path)
