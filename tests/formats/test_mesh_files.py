"""Mesh files: what a second reader makes of them, and what is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from openlyra.errors import InputError
from openlyra.formats.axes import UP
from openlyra.formats.mesh_files import write_mesh
from openlyra.gaussians.mesh_types import Mesh


def tetrahedron() -> Mesh:
    """Nothing about it is symmetric, so that mirrored or turned axes show."""
    vertices = np.array([[0, 0, 1], [2, 0, 1], [0, 3, 1], [0, 0, 5]], np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
    return Mesh(vertices, faces, np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.5]], np.float32))


@pytest.mark.parametrize("suffix", [".glb", ".ply", ".obj"])
@pytest.mark.parametrize("up", ["y-up", "z-up"])
def test_an_independent_reader_gets_the_same(tmp_path: Path, suffix: str, up: str) -> None:
    trimesh = pytest.importorskip("trimesh", reason="the second reader")
    if suffix == ".glb" and up != "y-up":
        return
    mesh, path = tetrahedron(), tmp_path / f"a{suffix}"
    write_mesh(mesh, path, up=up, scale=2.0)
    read = trimesh.load(path, force="mesh", process=False)
    np.testing.assert_allclose(read.vertices, 2 * mesh.vertices @ UP[up].T, atol=1e-5)
    np.testing.assert_array_equal(read.faces, mesh.faces)
    assert read.is_watertight and read.volume == pytest.approx(8 * 2 * 3 * 4 / 6)
    if suffix != ".glb":  # there colours are in linear light
        np.testing.assert_allclose(read.visual.vertex_colors[:, :3] / 255, mesh.colors, atol=0.01)


def test_bytes_of_a_glb(tmp_path: Path) -> None:
    path = tmp_path / "a.glb"
    write_mesh(tetrahedron(), path, closed=True)
    data = path.read_bytes()
    magic, version, total, size, kind = struct.unpack_from("<5I", data)
    assert (magic, version, total, kind) == (0x46546C67, 2, len(data), 0x4E4F534A)
    content = json.loads(data[20 : 20 + size])
    assert content["asset"]["extras"] == {"axes": "RUB", "units": "metres"}
    assert content["materials"][0]["doubleSided"] is False
    assert content["accessors"][0]["max"] == [2, 0, -1] and content["accessors"][0]["min"] == [0, -3, -5]
    at = 28 + size + content["bufferViews"][1]["byteOffset"]
    colors = np.frombuffer(data, "<u2", 16, at).reshape(4, 4)
    assert colors[0].tolist() == [65535, 0, 0, 65535]
    assert colors[3, 0] / 65535 == pytest.approx(0.2140, abs=1e-4)  # half in sRGB


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.stl"):
        write_mesh(tetrahedron(), tmp_path / "a.stl")
    with pytest.raises(InputError, match="y-up by definition"):
        write_mesh(tetrahedron(), tmp_path / "a.glb", up="z-up")
    with pytest.raises(InputError, match="up is 'left'"):
        write_mesh(tetrahedron(), tmp_path / "a.ply", up="left")
    assert not list(tmp_path.iterdir())


def test_closed_means_every_edge_twice() -> None:
    mesh = tetrahedron()
    assert mesh.is_closed()
    assert not mesh.select(np.arange(3)).is_closed()
    turned = Mesh(mesh.vertices, np.array([[0, 1, 2], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32), mesh.colors)
    assert not turned.is_closed()
