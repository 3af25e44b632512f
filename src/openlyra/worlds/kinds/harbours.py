"""Quays and piers by the water, and boats."""

from __future__ import annotations

import math

from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.kinds.layout import Plan, Rect, drop, link, stand
from openlyra.worlds.kinds.palette import (
    Rng,
    any_color,
    chance,
    grey,
    one_of,
    pick,
    plain,
    planks,
    seed_of,
    stone,
    uniform,
    vary,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.kinds.parts_building import house
from openlyra.worlds.kinds.parts_seats import bench
from openlyra.worlds.kinds.parts_street import crates, fence, planter
from openlyra.worlds.kinds.skies import outdoors
from openlyra.worlds.types import CameraRange, Material, Water, World


def harbour(rng: Rng) -> World:
    """A quay or pier of planks by the water: posts, barrels, boats with masts, houses on the far shore."""
    scene = SceneBuilder("harbour", int(rng.integers(2**31)))
    low, quay = uniform(rng, 0.7, 1.6), planks(rng, uniform(rng, 0.18, 0.3)) if chance(rng, 0.6) else stone(rng, 0.8)
    width, length = uniform(rng, 3, 9), uniform(rng, 12, 25)
    scene.box(width, low + 1.0, length, quay, up=-low - 1.0, z=length / 2 - 4)
    scene.box(60, low + 1.0, 12, quay, up=-low - 1.0, z=-9.9)
    plan = Plan(Rect(-width / 2, -8, width / 2, length - 4.3))
    post = wood(rng)
    for side in (-1, 1):
        for z in range(-2, int(length) - 4, 3):
            scene.cylinder(0.16, low + 2.0, post, x=side * (width / 2 - 0.2), z=z, up=-low - 1.0)
    if chance(rng, 0.4):
        with scene.at(width / 2 - 0.1, length / 2 - 4, math.pi / 2):
            fence(scene, rng, length)
    for _ in range(whole(rng, 2, 6)):
        drop(scene, plan, rng, one_of(rng, crates, crates, bench, planter), margin=0.3, focus=True)
    for _ in range(whole(rng, 1, 5)):
        side, far = pick(rng, (-1, 1)), uniform(rng, 2, 35)
        x = side * (width / 2 + uniform(rng, 2.5, 18))
        with scene.at(x, far, uniform(rng, 0, 6.28), up=-low):
            boat(scene, rng)
        plan.focus.append((x, far))
    for side in (-1, 1):
        if chance(rng, 0.6):
            for index in range(5):
                with scene.at(side * uniform(rng, 18, 30), index * 12, side * math.pi / 2, up=-0.1):
                    scene.box(12, low + 1, 9, quay, up=-low - 1, z=4)
                    house(scene, rng, uniform(rng, 7, 11), 8, whole(rng, 1, 4), near=False)
    for _ in range(whole(rng, 0, 7)):
        scene.ellipsoid(
            uniform(rng, 60, 300),
            uniform(rng, 8, 70),
            80,
            Material("foliage", (0.06, 0.11, 0.07), (0.04, 0.08, 0.06), scale=6.0, seed=seed_of(rng)),
            x=uniform(rng, -300, 300),
            z=uniform(rng, 150, 400),
            up=-12,
        )
    plan.focus += [(0.0, 60.0)]
    water = Water(
        low,
        vary(rng, pick(rng, ((0.2, 0.35, 0.38), (0.15, 0.3, 0.42), (0.2, 0.28, 0.22))), 0.05),
        uniform(rng, 0.05, 0.9),
        uniform(rng, 0.4, 2.0),
    )
    mood = outdoors(rng)
    places = stand(scene, plan, rng, 8, radius=0.4, near=2.0) or [scene.place(0, -4, facing=0.0)]
    return scene.finish(
        places=places,
        links=link(plan, places),
        water=water,
        sky=mood.sky,
        light=mood.light,
        fog=mood.fog,
        cameras=CameraRange((1.3, 2.2), (uniform(rng, 0, 10), 5.0), 1.5, (42.0, 85.0)),
    )


def boat(scene: SceneBuilder, rng: Rng) -> None:
    """A boat along z floating at up = 0, with masts and rigging or a cabin."""
    long, hull, deck = (
        uniform(rng, 3, 14),
        plain(rng, any_color(rng), 0.1) if chance(rng, 0.5) else planks(rng, 0.2),
        wood(rng),
    )
    wide, high = long * uniform(rng, 0.24, 0.32), long * uniform(rng, 0.09, 0.14) + 0.25
    scene.add("frustum", (0, -high * 0.4, 0), (wide * 0.42, high * 0.75, long * 0.44), hull, detail=1.18)
    scene.add("frustum", (0, -high * 1.13, 0), (wide * 0.47, 0.03, long * 0.5), deck, detail=1.0)
    if chance(rng, 0.65):
        mast, tall = wood(rng), long * uniform(rng, 0.8, 1.2)
        for z in (-0.15, 0.2) if long > 8 else (-0.1,):
            scene.tube((0, high, z * long), (0, tall, z * long), 0.012 * long, mast)
            for share in (0.55, 0.8):
                scene.tube(
                    (-wide * 0.9, tall * share, z * long), (wide * 0.9, tall * share, z * long), 0.007 * long, mast
                )
            for x in (-1, 1):
                scene.tube((x * wide * 0.45, high, z * long), (0, tall * 0.95, z * long), 0.004 * long, mast)
            if chance(rng, 0.4):
                scene.box(wide * 1.5, tall * 0.22, 0.05, plain(rng, grey(rng, 0.7, 0.95)), up=tall * 0.56, z=z * long)
        scene.tube((0, high, -long * 0.48), (0, tall * 0.9, -long * 0.1), 0.004 * long, mast)
    else:
        scene.box(wide * 0.6, high * 0.9, long * 0.3, plain(rng, grey(rng, 0.7, 0.95)), up=high * 1.1, z=long * 0.1)
        scene.box(
            wide * 0.62, high * 0.35, long * 0.31, plain(rng, (0.03, 0.03, 0.04), 0.5, 0.1), up=high * 1.5, z=long * 0.1
        )
