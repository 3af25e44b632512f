"""Trees, shrubs, hedges, rocks and grass for the open air; each around the origin on up = 0."""

from __future__ import annotations

import math
from dataclasses import replace

from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.kinds.palette import Rng, bark, chance, darker, leaves, pick, rock, seed_of, uniform, vivid, whole
from openlyra.worlds.types import Cutout, Material


def foliage(
    scene: SceneBuilder,
    rng: Rng,
    size: tuple[float, float, float],
    green: Material,
    leaf: float,
    *,
    x: float = 0.0,
    up: float = 0.0,
    z: float = 0.0,
) -> None:
    """A blob of leaves: a dense core under a ragged, sparse shell. `leaf` is the size of a bunch, metres."""
    wide, tall, deep = size
    core = uniform(rng, 0.8, 0.92)
    dark = replace(green, color=darker(green.color, 0.75), color2=darker(green.color2, 0.7))
    airy = chance(rng, 0.25)
    holes = Cutout("leaves", leaf * 1.4, 0.75, seed_of(rng)) if airy else None
    scene.ellipsoid(wide * core, tall * core, deep * core, dark, x=x, up=up + tall * (1 - core) / 2, z=z, cutout=holes)
    shell = Cutout("leaves", leaf, uniform(rng, 0.35, 0.6), seed_of(rng))
    scene.ellipsoid(wide, tall, deep, green, x=x, up=up, z=z, yaw=uniform(rng, 0, 3), cutout=shell)


def broadleaf(
    scene: SceneBuilder,
    rng: Rng,
    height: float,
    crown: Material | None = None,
    trunk: Material | None = None,
    detail: int = 6,
) -> None:
    """A tree with boughs and a crown of several ragged blobs."""
    crown, trunk = crown or leaves(rng), trunk or bark(rng)
    stem, radius = height * uniform(rng, 0.25, 0.45), height * uniform(rng, 0.012, 0.024)
    lean = uniform(rng, -0.04, 0.04) * height
    scene.cylinder(radius * 1.25, stem * 1.02, trunk, top=0.75, up=-0.1, x=lean * 0.5)
    for index in range(detail):
        angle = index * 2.4 + uniform(rng, -0.4, 0.4)
        reach = height * uniform(rng, 0.05, 0.24)
        up = stem + (height - stem) * uniform(rng, 0.25, 0.75)
        x, z = lean + reach * math.sin(angle), reach * math.cos(angle)
        if index < 4:
            scene.tube((lean * 0.5, stem * 0.95, 0), (x, up, z), radius * 0.5, trunk)
        size = height * uniform(rng, 0.25, 0.42)
        tall, deep = size * uniform(rng, 0.6, 0.95), size * uniform(rng, 0.85, 1.1)
        foliage(scene, rng, (size, tall, deep), crown, 0.06 + 0.018 * height, x=x, up=up - size * 0.35, z=z)


def conifer(
    scene: SceneBuilder, rng: Rng, height: float, crown: Material | None = None, trunk: Material | None = None
) -> None:
    """A fir or cypress of stacked cones."""
    crown, trunk = crown or leaves(rng), trunk or bark(rng)
    wide = height * uniform(rng, 0.12, 0.24)
    scene.cylinder(height * 0.025, height * 0.5, trunk, top=0.5)
    layers = whole(rng, 3, 5)
    dark = replace(crown, color=darker(crown.color, 0.7), color2=darker(crown.color2, 0.7))
    for index in range(layers):
        share = index / layers
        shell = Cutout("leaves", 0.012 * height + 0.06, uniform(rng, 0.4, 0.6), seed_of(rng))
        radius, tall = wide * (1 - 0.7 * share), height * (0.95 - 0.75 * share) * 0.55
        up = height * (0.12 + 0.66 * share)
        scene.cone(radius, tall, crown, up=up, cutout=shell)
        scene.cone(radius * 0.8, tall * 0.9, dark, up=up + tall * 0.03)


def palm(scene: SceneBuilder, rng: Rng, height: float) -> None:
    """A palm."""
    trunk, crown = bark(rng), leaves(rng)
    bend = uniform(rng, -0.12, 0.12) * height
    scene.tube((0, -0.1, 0), (bend * 0.4, height * 0.5, 0), 0.15, trunk)
    scene.tube((bend * 0.4, height * 0.5, 0), (bend, height, 0), 0.12, trunk)
    for index in range(9):
        angle = index * 0.7 + uniform(rng, 0, 0.3)
        with scene.at(bend, 0.0, angle, up=height):
            scene.ellipsoid(0.5, 0.05, 2.4, crown, up=uniform(rng, -0.3, 0.1), z=1.0, pitch=uniform(rng, 0.1, 0.6))


def bare(scene: SceneBuilder, rng: Rng, height: float, depth: int = 2) -> None:
    """A tree without leaves: forking boughs."""
    wood = bark(rng)
    scene.tube((0, -0.1, 0), (0, height * 0.4, 0), height * 0.025, wood)
    tips = [(0.0, height * 0.4, 0.0)]
    for level in range(depth):
        grown = []
        for x, up, z in tips:
            for _ in range(3):
                angle, out = uniform(rng, 0, 6.28), height * uniform(rng, 0.1, 0.2)
                tip = (x + out * math.sin(angle), up + height * uniform(rng, 0.12, 0.28), z + out * math.cos(angle))
                scene.tube((x, up, z), tip, height * 0.011 / (level + 1), wood)
                grown.append(tip)
        tips = grown


def tree(scene: SceneBuilder, rng: Rng, height: float | None = None) -> None:
    """Some tree."""
    tall = height or uniform(rng, 3, 12)
    r = rng.random()
    if r < 0.62:
        broadleaf(scene, rng, tall)
    elif r < 0.88:
        conifer(scene, rng, tall)
    elif r < 0.95:
        bare(scene, rng, tall)
    else:
        palm(scene, rng, tall)


def bush(scene: SceneBuilder, rng: Rng, size: float | None = None, green: Material | None = None) -> None:
    """A shrub of two or three blobs, sometimes in bloom."""
    wide, green = size or uniform(rng, 0.4, 1.6), green or leaves(rng)
    for _ in range(whole(rng, 1, 3)):
        x, z = uniform(rng, -0.3, 0.3) * wide, uniform(rng, -0.3, 0.3) * wide
        extent = (wide, wide * uniform(rng, 0.6, 1.0), wide * uniform(rng, 0.8, 1.1))
        foliage(scene, rng, extent, green, 0.03 + 0.04 * wide, x=x, up=-0.1 * wide, z=z)
    if chance(rng, 0.2):
        bloom = Material("plain", vivid(rng), seed=seed_of(rng))
        for _ in range(6):
            x, z = uniform(rng, -0.45, 0.45) * wide, uniform(rng, -0.45, 0.45) * wide
            scene.ellipsoid(0.09, 0.08, 0.09, bloom, x=x, up=wide * uniform(rng, 0.45, 0.75), z=z)


def hedge(scene: SceneBuilder, rng: Rng, length: float, height: float | None = None) -> None:
    """A clipped hedge along x."""
    tall, green = height or uniform(rng, 0.6, 2.0), leaves(rng)
    scene.box(length, tall, uniform(rng, 0.5, 0.9), green, cutout=Cutout("leaves", 0.08, 0.93, seed_of(rng)))


def boulder(scene: SceneBuilder, rng: Rng, size: float, material: Material | None = None) -> None:
    """A rock of overlapping blobs and tilted blocks."""
    stone = material or rock(rng)
    for _ in range(whole(rng, 1, 3)):
        x, z = uniform(rng, -0.3, 0.3) * size, uniform(rng, -0.3, 0.3) * size
        yaw, pitch = uniform(rng, 0, 3), uniform(rng, -0.6, 0.6)
        wide, tall = size * uniform(rng, 0.6, 1.1), size * uniform(rng, 0.4, 0.8)
        if chance(rng, 0.75):
            scene.ellipsoid(
                wide, tall, wide * uniform(rng, 0.6, 1.0), stone, x=x, up=-0.2 * tall, z=z, yaw=yaw, pitch=pitch
            )
        else:
            scene.box(
                wide * 0.7,
                tall * 0.8,
                wide * 0.6,
                stone,
                x=x,
                up=-0.15 * tall,
                z=z,
                yaw=yaw,
                pitch=pitch,
                roll=pitch * 0.7,
            )


def tuft(scene: SceneBuilder, rng: Rng, green: Material) -> None:
    """Long blades of grass or reed."""
    for _ in range(whole(rng, 5, 9)):
        angle, reach, tall = uniform(rng, 0, 6.28), uniform(rng, 0.05, 0.25), uniform(rng, 0.2, 0.6)
        scene.tube((0, -0.02, 0), (reach * math.sin(angle), tall, reach * math.cos(angle)), 0.008, green)


def flowerbed(scene: SceneBuilder, rng: Rng, length: float, depth: float) -> None:
    """Soil with shrubs and flowers along x."""
    soil = Material("noise", (0.06, 0.045, 0.03), (0.03, 0.022, 0.016), scale=0.1, seed=seed_of(rng))
    scene.box(length, 0.08, depth, soil)
    green = [leaves(rng) for _ in range(2)]
    for _ in range(int(length * depth * 2) + 2):
        with scene.at(uniform(rng, -0.48, 0.48) * length, uniform(rng, -0.4, 0.4) * depth, up=0.05):
            pick(rng, (lambda s, r: bush(s, r, uniform(r, 0.25, 0.7), green[0]), lambda s, r: tuft(s, r, green[1])))(
                scene, rng
            )
