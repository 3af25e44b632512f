"""Meshes of depth whose truth is known: a tilted plane, a sphere, an edge; closed colliders; the plain twin."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from openlyra.errors import InputError, MissingExtraError
from openlyra.gaussians.mesh import MeshSettings, build_mesh, depth_view, rendered_view
from openlyra.gaussians.mesh_clean import decimated, without_islands
from openlyra.gaussians.mesh_extract import extract
from openlyra.gaussians.mesh_fusion import allocate, fuse, integrate, integrate_plain
from openlyra.gaussians.mesh_types import DepthView, Mesh
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import look_at

pytest.importorskip("skimage", reason="needs openlyra[mesh]")
pytest.importorskip("fast_simplification", reason="needs openlyra[mesh]")

SIZE = (48, 64)
RADIUS, VOXEL = 1.0, 0.08


def camera(position: tuple[float, float, float] = (0, 0, 0), target: tuple[float, float, float] = (0, 0, 4)) -> Camera:
    return Camera.from_fov(*SIZE, np.radians(50), look_at(np.array(position, float), np.array(target, float)))


def painted(points: np.ndarray) -> np.ndarray:
    """(…, 3) uint8: red and green follow x and y of the world."""
    return np.stack([128 + 25 * points[..., 0], 128 + 25 * points[..., 1], 60 + 0 * points[..., 0]], -1).astype("u1")


def plane_view(cam: Camera, normal: np.ndarray, offset: float) -> DepthView:
    """Of the plane normal . x = offset."""
    origins, directions = cam.rays()
    distance = (offset - origins @ normal) / (directions @ normal)
    depth = distance * (directions @ cam.forward)
    return depth_view(cam, depth, depth > 0, painted(origins + distance[..., None] * directions))


def sphere_view(position: np.ndarray) -> DepthView:
    """Of the sphere around the world's origin; nothing behind it."""
    cam = camera(tuple(position), (0, 0, 0))
    origins, directions = cam.rays()
    half = (origins * directions).sum(-1)
    root = half**2 - (origins**2).sum(-1) + RADIUS**2
    distance = -half - np.sqrt(np.maximum(root, 0))
    points = origins + distance[..., None] * directions
    return depth_view(cam, distance * (directions @ cam.forward), root > 0.02, painted(points))


def sphere_views() -> list[DepthView]:
    around = [(1, 0, 0), (-1, 0, 0), (0, 0.99, 0.1), (0, -0.99, 0.1), (0, 0, 1), (0, 0, -1)]
    corners = [(x, y, z) for x in (-0.6, 0.6) for y in (-0.6, 0.6) for z in (-0.6, 0.6)]
    return [sphere_view(4 * np.array(p)) for p in around + corners]


@pytest.fixture(scope="module")
def sphere() -> list[DepthView]:
    return sphere_views()


def normals(mesh: Mesh) -> np.ndarray:
    a, b, c = (mesh.vertices[mesh.faces[:, i]].astype(float) for i in range(3))
    return np.cross(b - a, c - a)


def test_a_tilted_plane_is_exact_and_faces_the_camera() -> None:
    normal = np.array([0.3, -0.2, -1.0]) / np.linalg.norm([0.3, -0.2, -1.0])
    views = [plane_view(camera((x, 0, 0), (x, 0, 4)), normal, -4.0) for x in (0.0, 0.3)]
    mesh = extract(fuse(views, 0.1, 0.005))
    assert len(mesh.faces) > 800
    assert np.abs(mesh.vertices @ normal + 4.0).max() < 0.02  # a fifth of a voxel
    assert (normals(mesh) @ normal >= 0).all() and normals(mesh).sum(0) @ normal > 1
    assert not mesh.is_closed()
    wanted = painted(mesh.vertices.astype(float)) / 255
    assert np.abs(mesh.colors - wanted).max() < 0.02


def test_ground_at_a_grazing_angle_has_no_gaps() -> None:
    """Neighbouring rows are farther apart than a block, and rays nearly parallel to the ground."""
    eye = Camera.from_fov(*SIZE, np.radians(50))
    view = plane_view(eye, np.array([0.0, 1.0, 0.0]), 1.0)
    settings = MeshSettings(voxel=0.08, max_depth=9.0)
    assert settings.voxel is not None
    mesh, _ = build_mesh([view], settings)
    far = 9.0 * 0.8
    off = np.abs(mesh.vertices[:, 1] - 1)
    assert off.max() < settings.voxel and off[mesh.vertices[:, 2] < far].max() < 0.02  # the last row is half known
    corners = mesh.vertices[mesh.faces].astype(float)
    seen = (np.abs(corners[..., 0]) < 1).all(1) & (corners[..., 2] > 3).all(1) & (corners[..., 2] < far).all(1)
    area = np.linalg.norm(normals(mesh.select(seen)), axis=1).sum() / 2
    assert area == pytest.approx(2 * (far - 3), rel=0.12)  # triangles across the border do not count
    closed, _ = build_mesh([view], replace(settings, collider=True))
    assert closed.is_closed()


def test_a_sphere_is_within_a_voxel_round_and_coloured(sphere: list[DepthView]) -> None:
    mesh, voxel = build_mesh(sphere, MeshSettings(voxel=VOXEL))
    assert voxel == VOXEL
    off = np.abs(np.linalg.norm(mesh.vertices, axis=1) - RADIUS)
    assert off.max() < VOXEL and np.median(off) < 0.1 * VOXEL
    middle = mesh.vertices[mesh.faces].mean(1)
    assert ((normals(mesh) * middle).sum(1) >= -1e-9).all()
    area = np.linalg.norm(normals(mesh), axis=1).sum() / 2
    assert area == pytest.approx(4 * np.pi * RADIUS**2, rel=0.03)
    assert np.abs(mesh.colors - painted(mesh.vertices.astype(float)) / 255).max() < 0.06


def test_a_collider_is_closed_and_small(sphere: list[DepthView]) -> None:
    settings = MeshSettings(voxel=VOXEL, collider=True, triangles=1500)
    mesh, _ = build_mesh(sphere, settings)
    assert mesh.is_closed() and len(mesh.faces) <= 1500
    outer = np.linalg.norm(mesh.vertices, axis=1)
    assert outer.max() < RADIUS + VOXEL
    half, _ = build_mesh(sphere[:1], settings)  # seen from one side only: a bowl with an inside
    assert half.is_closed()
    a, b, c = (half.vertices[half.faces[:, i]].astype(float) for i in range(3))
    volume = (np.cross(a, b) * c).sum() / 6
    assert 0.2 < volume < 3  # positive: outside is outside


def test_closed_before_any_triangle_is_merged(sphere: list[DepthView]) -> None:
    """Across tiles too: the sphere spans several of them."""
    assert extract(fuse(sphere, 0.05, 0.005), closed=True).is_closed()


def test_outlines_are_not_bridged() -> None:
    """A card in front of a wall: no triangle reaches from one to the other."""
    cam = camera()
    depth = np.full(SIZE, 4.0, np.float32)
    depth[16:32, 20:44] = 2.0
    mesh = extract(fuse([depth_view(cam, depth, depth > 0, np.zeros((*SIZE, 3), np.uint8))], 0.06, 0.005))
    z = mesh.vertices[:, 2]
    assert (np.minimum(np.abs(z - 2), np.abs(z - 4)) < 0.06).all()
    assert np.ptp(mesh.vertices[mesh.faces][..., 2], axis=1).max() < 0.06
    assert (np.abs(z - 2) < 0.06).sum() > 100 < (np.abs(z - 4) < 0.06).sum()


def test_far_things_are_left_out() -> None:
    depth = np.full(SIZE, 4.0, np.float32)
    depth[:10] = 90.0
    view = depth_view(camera(), depth, depth > 0, np.zeros((*SIZE, 3), np.uint8))
    assert build_mesh([view])[0].vertices[:, 2].max() < 5
    with pytest.raises(InputError, match="no view shows any surface"):
        build_mesh([view], MeshSettings(max_depth=1.0))


def test_islands_go_and_the_rest_stays(sphere: list[DepthView]) -> None:
    mesh = extract(fuse(sphere, VOXEL, 0.005))
    speck = Mesh(np.eye(3, dtype=np.float32) + 9, np.array([[0, 1, 2]], np.int32), np.ones((3, 3), np.float32))
    both = Mesh(
        np.concatenate([mesh.vertices, speck.vertices]),
        np.concatenate([mesh.faces, speck.faces + len(mesh.vertices)]),
        np.concatenate([mesh.colors, speck.colors]),
    )
    left = without_islands(both, 0.01)
    assert len(left.faces) >= 0.98 * len(mesh.faces) and left.vertices.max() < 2
    assert len(without_islands(both, 0.0).faces) == len(both.faces)


def test_decimation_keeps_shape_and_colours(sphere: list[DepthView]) -> None:
    mesh = without_islands(extract(fuse(sphere, VOXEL, 0.005)), 0.01)
    fewer = decimated(mesh, len(mesh.faces) // 4)
    assert len(fewer.faces) <= len(mesh.faces) // 4 * 1.02
    assert np.abs(np.linalg.norm(fewer.vertices, axis=1) - RADIUS).max() < VOXEL
    assert np.abs(fewer.colors - painted(fewer.vertices.astype(float)) / 255).max() < 0.1


def test_fast_and_plain_fusion_agree(sphere: list[DepthView]) -> None:
    fast, plain = allocate(sphere[:2], 0.2, 0.02), allocate(sphere[:2], 0.2, 0.02)
    for view in sphere[:2]:
        integrate(fast, view)
        integrate_plain(plain, view)
    assert (fast.weight > 0).sum() > 500
    for name in ("distance", "weight", "color"):
        np.testing.assert_allclose(getattr(fast, name), getattr(plain, name), atol=1e-5)


def test_voxels_grow_until_they_fit_unless_asked_for(
    sphere: list[DepthView], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openlyra.gaussians.mesh_fusion.MAX_BLOCKS", 60)
    _, voxel = build_mesh(sphere)
    assert voxel > VOXEL
    with pytest.raises(InputError, match="too small"):
        build_mesh(sphere, MeshSettings(voxel=VOXEL / 2))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (MeshSettings(voxel=0), "--voxel"),
        (MeshSettings(max_depth=-1), "--max-depth"),
        (MeshSettings(depth_error=0.5), "--depth-error"),
        (MeshSettings(min_island=2), "--min-island"),
        (MeshSettings(triangles=1), "--triangles 1"),
        (MeshSettings(collider=True, triangles=200_000), "at most 100000"),
    ],
)
def test_settings_that_cannot_work(sphere: list[DepthView], settings: MeshSettings, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_mesh(sphere, settings)


def test_no_views_and_bad_views() -> None:
    with pytest.raises(InputError, match="no view"):
        build_mesh([])
    depth = np.ones(SIZE, np.float32)
    depth[3, 3] = np.nan
    with pytest.raises(InputError, match="finite"):
        DepthView(camera(), depth, np.ones(SIZE, bool), np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(InputError, match="usable has shape"):
        DepthView(camera(), depth, np.ones((2, 2), bool), np.zeros((*SIZE, 3), np.uint8))


@pytest.mark.parametrize("package", ["skimage.measure", "fast_simplification"])
def test_missing_packages_are_named(
    sphere: list[DepthView], monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"openlyra\[mesh\]"):
        build_mesh(sphere, MeshSettings(voxel=VOXEL, triangles=100))


def test_blended_depths_are_not_usable() -> None:
    """A half transparent card before a wall: the mean depth lies between the two, where nothing is."""
    rows, columns = np.meshgrid(np.linspace(-3, 3, 90), np.linspace(-3, 3, 90), indexing="ij")
    wall = np.stack([columns, rows, 4 + 0 * rows], -1).reshape(-1, 3)
    card = wall[np.abs(wall[:, 0]) < 1] * [1, 1, 0.9]
    means = np.concatenate([wall, card]).astype(np.float32)
    scales = np.full_like(means, 0.05) * [1, 1, 0.1]
    opacities = np.concatenate([np.full(len(wall), 0.99), np.full(len(card), 0.3)]).astype(np.float32)
    turns = np.tile(np.float32([1, 0, 0, 0]), (len(means), 1))
    scene = Gaussians.from_colors(means, turns, scales.astype(np.float32), opacities, np.abs(means) / 10)
    view = rendered_view(scene, camera())
    assert view.usable[:, :8].mean() > 0.9 and view.usable[:, -8:].mean() > 0.9
    assert np.abs(view.depth[:, :8] - 4)[view.usable[:, :8]].max() < 0.05
    assert view.usable[10:-10, 26:38].mean() < 0.05
