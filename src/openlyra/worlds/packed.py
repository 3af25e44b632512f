"""A world as flat arrays for the kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.poses import matrix_from_quaternion
from openlyra.worlds.bvh import build_tree
from openlyra.worlds.shapes import CAPSULE, FRUSTUM, ROOM
from openlyra.worlds.terrain import PACKED, pack_terrain
from openlyra.worlds.types import CLOUDS, CUTOUTS, SHAPES, TEXTURES, Color, Material, World

MAX_LAMPS = 8
NO_HIT, GROUND, WATER, LAND = -1, -2, -3, -4
"""What a ray hit when it was no primitive."""
SHAPE, DETAIL, CUTOUT, HALF, ANCHOR, MATERIAL = 12, 13, 14, 18, 21, 24
"""Places in a primitive's row: first the 12 numbers of the affine map from the world to its unit frame, row by row;
the holes are kind (-1 none), size, solid share, seed; `half` is metres a unit of the unit frame; `anchor` is the
position in its own axes, so that patterns of joined pieces line up."""
FACES = 8
"""Plane numbers a primitive; its plane ids are 1 + FACES * index + face."""


class Packed(NamedTuple):
    """Arrays of one world. N primitives, M nodes, K materials, L lamps."""

    primitives: np.ndarray
    """(N, 25) float64, one row a primitive; see the numbers below."""
    rooms: np.ndarray
    """(R,) int64, primitives that are looked at for every ray."""
    bounds: np.ndarray
    """(M, 6)."""
    children: np.ndarray
    """(M, 2) int32."""
    order: np.ndarray
    """(N - R,) int64."""
    materials: np.ndarray
    """(K, 18), see `pack_material`."""
    ground: np.ndarray
    """(6,) present, level, material, patch material (-1 none), patch size, patch share."""
    terrain: np.ndarray
    """(PACKED,) `pack_terrain`, and from 10 on present, material, steep material, path material (-1 none)."""
    water: np.ndarray
    """(7,) present, level, red, green, blue, ripple, scale."""
    sky: np.ndarray
    """(19,) zenith, horizon, cloud colour, cloud shade, kind, cover, size, haze, glow, seed."""
    light: np.ndarray
    """(17,) unit vector to the sun, sun, its colour, ambient, sky colour, bounce colour, indoor, fog density, count."""
    fog: np.ndarray
    """(3,) colour."""
    lamps: np.ndarray
    """(L, 6) position, colour times strength."""


def pack_material(material: Material) -> list[float]:
    """18 numbers: texture, three colours, scale, seed, gloss, roughness, sheen, bump, grime, emission."""
    third = material.color3 or _mean(material.color, material.color2)
    return [
        TEXTURES.index(material.texture), *material.color, *material.color2, *third, max(material.scale, 1e-3),
        material.seed % 65536, material.gloss, material.roughness, material.sheen, material.bump, material.grime,
        material.emission,
    ]  # fmt: skip


def pack_world(world: World) -> Packed:
    """Check and flatten a world. Raises InputError for what cannot be drawn."""
    check_world(world)
    count = len(world.primitives)
    shape = np.array([SHAPES.index(p.shape) for p in world.primitives], np.int64)
    position = np.array([p.position for p in world.primitives], np.float64).reshape(count, 3)
    half = np.array([p.half for p in world.primitives], np.float64).reshape(count, 3)
    detail = np.array([p.detail for p in world.primitives], np.float64)
    turns = np.array([p.rotation for p in world.primitives], np.float64).reshape(count, 4)
    axes = np.asarray(matrix_from_quaternion(turns)) if count else np.zeros((0, 3, 3))
    reach = half.copy()
    capsules = shape == CAPSULE
    reach[capsules, 2] = half[capsules, 0]
    half[capsules, 1:] = half[capsules, :1]
    detail[capsules] = np.maximum(reach[capsules, 1] / half[capsules, 0] - 1.0, 0.0)
    wide = (shape == FRUSTUM) & (detail > 1)
    reach[wide] *= np.stack([detail[wide], np.ones(wide.sum()), detail[wide]], -1)
    extent = (np.abs(axes) @ reach[:, :, None])[..., 0] + 1e-6
    rooms = np.flatnonzero(shape == ROOM)
    rest = np.flatnonzero(shape != ROOM)
    bounds, children, order = build_tree((position - extent)[rest], (position + extent)[rest])
    linear = axes.swapaxes(1, 2) / half[:, :, None]
    offset = -(linear @ position[:, :, None])
    holes = [p.cutout for p in world.primitives]
    cutout = [[-1, 1, 1, 0] if c is None else [CUTOUTS.index(c.kind), c.size, c.solid, c.seed % 65536] for c in holes]
    anchor = (axes.swapaxes(1, 2) @ position[:, :, None])[..., 0]
    rows = np.concatenate([
        np.concatenate([linear, offset], 2).reshape(count, 12), shape[:, None], detail[:, None],
        np.array(cutout, np.float64).reshape(count, 4), half, anchor,
        np.array([p.material for p in world.primitives], np.float64).reshape(count, 1),
    ], 1)  # fmt: skip
    materials = np.array([pack_material(m) for m in world.materials], np.float64).reshape(-1, 18)
    return Packed(np.ascontiguousarray(rows), rooms, bounds, children, rest[order], materials, *_environment(world))


def _environment(world: World) -> tuple[np.ndarray, ...]:
    g, t, w, sky, light = world.ground, world.terrain, world.water, world.sky, world.light
    ground = [0.0] * 6
    if g is not None:
        patches = -1 if g.patches is None else g.patches
        ground = [1, g.level, g.material, patches, g.patch_size, g.patch_share]
    terrain = np.zeros(PACKED)
    if t is not None:
        terrain = pack_terrain(t)
        terrain[10:14] = [1, t.material, t.steep, -1 if t.path is None else t.path]
    water = [0.0] * 7 if w is None else [1, w.level, *w.color, w.ripple, w.scale]
    clouds = [CLOUDS.index(sky.clouds), sky.cover, sky.cloud_size, sky.haze, sky.glow, sky.seed % 65536]
    sun = np.array(light.sun_direction, np.float64)
    sun = sun / np.linalg.norm(sun)
    lights = [*sun, light.sun, *light.sun_color, light.ambient, *light.sky_color, *light.bounce_color]
    lamps = [[*lamp.position, *(c * lamp.strength for c in lamp.color)] for lamp in light.lamps[:MAX_LAMPS]]
    return (
        np.array(ground, np.float64), terrain, np.array(water, np.float64),
        np.array([*sky.zenith, *sky.horizon, *sky.cloud_color, *sky.cloud_shade, *clouds, 0.0], np.float64),
        np.array([*lights, float(world.indoor), world.fog.density, len(lamps)], np.float64),
        np.array(world.fog.color, np.float64), np.array(lamps, np.float64).reshape(-1, 6),
    )  # fmt: skip


def check_world(world: World) -> None:
    """Raise InputError when a number is missing, not finite or points nowhere."""
    count = len(world.materials)
    used = [p.material for p in world.primitives]
    if world.ground is not None:
        used += [world.ground.material, world.ground.patches or 0]
    if world.terrain is not None:
        used += [world.terrain.material, world.terrain.steep, world.terrain.path or 0]
    if any(not 0 <= index < count for index in used):
        raise InputError(f"world '{world.kind}' {world.seed}: a material number is not from 0 to {count - 1}")
    for number, p in enumerate(world.primitives):
        values = np.array([*p.position, *p.half, *p.rotation, p.detail], np.float64)
        length = float(np.linalg.norm(p.rotation))
        if not np.isfinite(values).all() or min(p.half) <= 0 or abs(length - 1) > 1e-3:
            raise InputError(
                f"world '{world.kind}' {world.seed}: primitive {number} ({p.shape}) needs finite numbers, positive "
                f"half sizes and a unit quaternion"
            )
    if not np.linalg.norm(world.light.sun_direction) > 0:
        raise InputError(f"world '{world.kind}' {world.seed}: the sun has no direction")


def _mean(a: Color, b: Color) -> Color:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2, (a[2] + b[2]) / 2
