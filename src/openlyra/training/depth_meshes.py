"""Textured meshes stood into rendered views, with their shadows: shapes that no formula makes.

A mesh stands on a floor of the view (or lies, if it was modelled that way), as large as it looks good there. Embree
finds what rays meet; where that is nearer than what was there, colour and depth are the mesh's.
A shadow falls on everything behind the mesh, also through a table that would have caught it: only the mesh is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from openlyra.errors import InputError, MissingExtraError
from openlyra.media.image import read_photo
from openlyra.training.depth_surfaces import FLOOR, facing

SHARE = 0.2
"""Part of the views that get meshes."""
MOST_MESHES = 4
"""Such a view gets one to so many."""
SUFFIXES = (".obj", ".glb", ".ply", ".stl", ".off")
MOST_BYTES, MOST_FACES = 64_000_000, 500_000
"""Larger files and finer meshes are refused."""
TEXTURE = 512
"""Longest side of a texture in texels."""
LOOKS = (0.08, 0.5)
"""Least and greatest size of a mesh, in heights of the picture."""
METRES = (0.05, 3.0)
"""The same in metres."""
FARTHEST = 30.0
"""Metres; nothing is stood farther away."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TexturedMesh:
    """A mesh of size 1 that stands on the origin, y down like everything here."""

    corners: Floats
    """(F, 3, 3) of the faces."""
    places: Floats
    """(F, 3, 2) in the texture, 0 to 1, from the lower left."""
    levels: tuple[NDArray[np.uint8], ...]
    """The texture, each level half as fine as the one before."""

    @cached_property
    def embree(self) -> Any:
        """What answers rays."""
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        scene = EmbreeScene()
        TriangleMesh(scene, np.ascontiguousarray(self.corners))
        return scene

    def hits(self, origins: Floats, directions: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Face (N,), -1 for none, t (N,) and the place within the face (N, 2) of rays (N, 3)."""
        rays = (np.ascontiguousarray(values, np.float32) for values in (origins, directions))
        found = self.embree.run(*rays, output=True)
        return found["primID"].astype(np.int64), found["tfar"], np.stack([found["u"], found["v"]], -1)

    def colors(self, face: NDArray[np.int64], within: Floats, level: int) -> Floats:
        """Texture (N, 3), 0 to 255, at places of faces."""
        u, v = within[:, :1], within[:, 1:]
        a, b, c = self.places[face].transpose(1, 0, 2)
        place = (1 - u - v) * a + u * b + v * c
        image = self.levels[min(level, len(self.levels) - 1)]
        row = ((1 - place[:, 1]) % 1.0 * image.shape[0]).astype(np.int64) % image.shape[0]
        column = (place[:, 0] % 1.0 * image.shape[1]).astype(np.int64) % image.shape[1]
        return image[row, column].astype(np.float32)


@dataclass(frozen=True)
class _Stand:
    """Where a mesh stands: mesh to camera is `size * turn @ point + foot`."""

    foot: Floats
    turn: Floats
    size: float

    def inside(self, points: Floats) -> Floats:
        """Points (N, 3) of the camera in the mesh's axes."""
        return ((points - self.foot) @ self.turn / self.size).astype(np.float32)


@dataclass(frozen=True)
class _Light:
    """The same for all meshes of a view."""

    sun: Floats
    """(3,) unit, towards the light, in the camera."""
    shade: float
    """Part of the light that comes from there."""


class Meshes:
    """The meshes of a folder; NAME.obj has its texture in itself or in NAME.png beside it."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise InputError(f"{folder}: holds no meshes ({', '.join(SUFFIXES)})")
        if find_spec("embreex") is None:
            raise MissingExtraError("embreex", "train")
        self.meshes = [read_textured_mesh(path) for path in paths]

    def stood_into(
        self, rgb: NDArray[np.uint8], depth: Floats, focal: float, random: Generator
    ) -> tuple[NDArray[np.uint8], Floats]:
        """Picture (H, W, 3) and depth (H, W) in metres, 0 at the sky, with meshes on the floor, where there is one."""
        color, depth = rgb.astype(np.float32), depth.copy()
        rays = _rays(depth.shape[0], depth.shape[1], focal)
        kind, slant, normal = facing(depth, rays[..., 0], rays[..., 1], focal)
        floor = np.argwhere((kind == FLOOR) & (slant > 0.08) & (depth > 0.3) & (depth < FARTHEST))
        if len(floor) == 0:
            return rgb, depth
        light = _light(random)
        for _ in range(int(random.integers(1, MOST_MESHES + 1))):
            mesh = self.meshes[int(random.integers(len(self.meshes)))]
            place = tuple(floor[int(random.integers(len(floor)))])
            looks = math.exp(random.uniform(*np.log(LOOKS))) * len(depth) / focal
            stand = _stand(normal[place], rays[place] * depth[place], looks, random)
            _draw(mesh, stand, light, color, depth, rays, focal, random)
        return np.clip(color, 0, 255).astype(np.uint8), depth


def _rays(rows: int, columns: int, focal: float) -> Floats:
    """(H, W, 3) with z = 1."""
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    return np.stack([(x + 0.5 - columns / 2) / focal, (y + 0.5 - rows / 2) / focal, np.ones_like(x)], -1)


def _stand(down: Floats, foot: Floats, looks: float, random: Generator) -> _Stand:
    """A mesh turned at random on a floor whose normal points `down`, `looks` radians large, at `foot`."""
    size = min(max(looks * float(foot[2]), METRES[0]), METRES[1])
    # Things stand upright rather than square to a sloping floor; half way will do.
    down = down + np.array([0, 1, 0], np.float32)
    down /= np.linalg.norm(down)
    aside = np.cross(down, [0, 0, 1])
    aside /= np.linalg.norm(aside)
    yaw = random.uniform(0, 2 * math.pi)
    first = math.cos(yaw) * aside + math.sin(yaw) * np.cross(down, aside)
    return _Stand(foot, np.stack([first, down, np.cross(first, down)], 1).astype(np.float32), size)


def _light(random: Generator) -> _Light:
    azimuth, height = random.uniform(0, 2 * math.pi), random.uniform(0.5, 1.4)
    flat = math.cos(height)
    sun = [flat * math.cos(azimuth), -math.sin(height), flat * math.sin(azimuth)]
    return _Light(np.array(sun, np.float32), random.uniform(0.1, 0.65))


def _draw(
    mesh: TexturedMesh, stand: _Stand, light: _Light, color: Floats, depth: Floats, rays: Floats, focal: float,
    random: Generator,
) -> None:  # fmt: skip
    """Draw a mesh and its shadow into color and depth, in place."""
    seen = _around(stand, depth.shape, focal)
    flat, before, shown = rays[seen].reshape(-1, 3), depth[seen].ravel(), color[seen].reshape(-1, 3)
    origin = np.broadcast_to(stand.inside(np.zeros((1, 3), np.float32)), flat.shape)
    face, t, within = mesh.hits(origin, flat @ stand.turn / stand.size)
    mine = (face >= 0) & (t > 0.05) & ((t < before) | (before == 0))
    solid = before > 0
    usual = float(shown[solid].mean()) if solid.any() else 128.0
    shown[_shadow(mesh, stand, light, flat * before[:, None], solid & ~mine)] *= 1 - light.shade
    if mine.any():
        lit = _lit(mesh.corners[face[mine]], stand, light, flat[mine])
        texels = focal * stand.size / float(stand.foot[2]) / TEXTURE
        own = mesh.colors(face[mine], within[mine], max(0, round(-math.log2(max(texels, 1e-6)))))
        gain = (usual / max(float(own.mean()), 16.0)) ** random.uniform(0.3, 1.0) * math.exp(random.normal(0, 0.25))
        shown[mine] = own * gain * lit[:, None]
    color[seen] = shown.reshape(color[seen].shape)
    depth[seen] = np.where(mine, t, before).reshape(depth[seen].shape)


def _shadow(
    mesh: TexturedMesh, stand: _Stand, light: _Light, points: Floats, where: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which of the points (N, 3) asked for lie in the mesh's shadow."""
    inside, sun = stand.inside(points), light.sun @ stand.turn
    shaded = where & (np.abs(inside).max(1) < 4.0)
    start = inside[shaded] + 0.01 * sun
    shaded[shaded] = mesh.hits(start, np.broadcast_to(sun, start.shape))[0] >= 0
    return shaded


def _lit(corners: Floats, stand: _Stand, light: _Light, rays: Floats) -> Floats:
    """Light on faces, given by their corners (N, 3, 3), that are seen along rays (N, 3)."""
    a, b, c = corners.transpose(1, 0, 2)
    normal = np.cross(b - a, c - a) @ stand.turn.T
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    # Meshes come with faces either way round.
    normal *= -np.sign((normal * rays).sum(1, keepdims=True))
    return (1 - light.shade + light.shade * 1.6 * np.clip(normal @ light.sun, 0, 1)).astype(np.float32)


def _around(stand: _Stand, shape: tuple[int, int], focal: float) -> tuple[slice, slice]:
    """The part of the picture where a mesh and its shadow can be."""
    rows, columns = shape
    reach = 2.5 * stand.size * focal / float(stand.foot[2])
    y, x = (float(stand.foot[k]) / float(stand.foot[2]) * focal + side / 2 for k, side in ((1, rows), (0, columns)))
    return (
        slice(max(0, int(y - reach)), min(rows, int(y + reach) + 1)),
        slice(max(0, int(x - reach)), min(columns, int(x + reach) + 1)),
    )


def read_textured_mesh(path: Path) -> TexturedMesh:
    """A mesh with its texture, standing on the origin at size 1. Raises InputError for files that cannot be used."""
    try:
        import trimesh
    except ImportError:
        raise MissingExtraError("trimesh", "train") from None
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path}: {path.stat().st_size} bytes; a mesh of at most {MOST_BYTES} is wanted")
    try:
        mesh = trimesh.load_mesh(path)
        mesh = mesh.to_mesh() if isinstance(mesh, trimesh.Scene) else mesh
        faces, vertices = np.asarray(mesh.faces), np.asarray(mesh.vertices, np.float32)
        texture, places = _texture(path, mesh)
    except InputError:
        raise
    except Exception as error:  # trimesh's readers raise whatever comes
        raise InputError(f"{path}: not a readable mesh ({error})") from None
    extent = np.ptp(vertices, axis=0).max() if len(vertices) else 0.0
    if not 0 < len(faces) <= MOST_FACES or not np.isfinite(vertices).all() or extent <= 0:
        raise InputError(f"{path}: {len(faces)} faces; 1 to {MOST_FACES} of finite size are wanted")
    low, high = vertices.min(0), vertices.max(0)
    foot = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2], np.float32)
    standing = (vertices - foot) / extent * np.array([1, -1, -1], np.float32)
    levels = [texture]
    while min(levels[-1].shape[:2]) > 1:
        rows, columns = levels[-1].shape[:2]
        levels.append(np.asarray(Image.fromarray(levels[-1]).resize((columns // 2, rows // 2), Image.Resampling.BOX)))
    return TexturedMesh(standing[faces], places, tuple(levels))


def _texture(path: Path, mesh: Any) -> tuple[NDArray[np.uint8], Floats]:
    """Texture (h, w, 3) and the places (F, 3, 2) of faces' corners in it; a texel a face where there is no image."""
    faces, places = np.asarray(mesh.faces), getattr(mesh.visual, "uv", None)
    material = getattr(mesh.visual, "material", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if beside := [name for name in (path.with_suffix(s) for s in (".png", ".jpg")) if name.is_file()]:
        image = Image.fromarray(read_photo(beside[0]).image)
    if image is not None and places is not None and len(places) == len(mesh.vertices) and np.isfinite(places).all():
        image = image.convert("RGB")
        image.thumbnail((TEXTURE, TEXTURE), Image.Resampling.LANCZOS)
        return np.asarray(image), np.asarray(places, np.float32)[faces]
    colored = mesh.visual if mesh.visual.kind != "texture" else mesh.visual.to_color()
    texels = np.asarray(colored.face_colors, np.uint8)[None, :, :3]
    middle = (np.arange(len(faces), dtype=np.float32) + 0.5) / len(faces)
    each = np.stack([middle, np.full_like(middle, 0.5)], 1)
    return texels, np.repeat(each[:, None], 3, 1)
