"""Squares and monuments: pillars, arches, stairs, fountains, statues, towers, market stalls, ruins, harbours."""

from __future__ import annotations

import math

from openlyra.worlds.builder import Opening, SceneBuilder, rotation
from openlyra.worlds.kinds.layout import Plan, Rect, drop, link, stand
from openlyra.worlds.kinds.palette import (
    Rng,
    chance,
    facade_paint,
    grey,
    metal,
    one_of,
    pick,
    plain,
    stone,
    uniform,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.kinds.parts_building import house, printed_block, roof_material
from openlyra.worlds.kinds.parts_plants import boulder, bush, flowerbed, tree, tuft
from openlyra.worlds.kinds.parts_seats import bench
from openlyra.worlds.kinds.parts_street import cafe_table, crates, planter, stall, street_lamp
from openlyra.worlds.kinds.skies import outdoors
from openlyra.worlds.kinds.streets import lawn, paving
from openlyra.worlds.types import CameraRange, Ground, Material, Water, World


def column(scene: SceneBuilder, rng: Rng, height: float, radius: float, body: Material) -> None:
    """A pillar with base and capital."""
    scene.box(radius * 2.6, radius * 0.5, radius * 2.6, body)
    scene.cylinder(radius * 1.15, radius * 0.4, body, up=radius * 0.5)
    scene.cylinder(radius, height - radius * 1.6, body, top=uniform(rng, 0.82, 1.0), up=radius * 0.9)
    scene.cylinder(radius * 0.9, radius * 0.4, body, top=1.35, up=height - radius * 0.9)
    scene.box(radius * 2.6, radius * 0.5, radius * 2.6, body, up=height - radius * 0.5)


def arch(
    scene: SceneBuilder, span: float, spring: float, thick: float, body: Material, parts: int = 9, rise: float = 1.0
) -> None:
    """Voussoirs over an opening along x, on two piers; the middle of its foot at the origin."""
    radius = span / 2 + thick / 2
    for side in (-1, 1):
        scene.box(thick, spring, thick * 1.1, body, x=side * radius)
    step = math.pi / parts
    for index in range(parts):
        angle = (index + 0.5) * step
        x, y = -radius * math.cos(angle), -(spring + rise * radius * math.sin(angle))
        half = (radius + thick / 2) * math.tan(step / 2) * 1.04
        scene.add("box", (x, y, 0), (half, thick / 2, thick * 0.55), body, turn=rotation(roll=angle - math.pi / 2))


def arcade(scene: SceneBuilder, rng: Rng, bays: int, span: float, body: Material, storeys: int = 1) -> float:
    """A wall on arches along x; returns its height."""
    thick, spring = span * 0.16, span * uniform(rng, 0.6, 1.0)
    level = spring + span / 2 + thick + uniform(rng, 0.3, 1.0)
    for storey in range(storeys):
        with scene.at(up=storey * level):
            for bay in range(bays):
                with scene.at((bay - (bays - 1) / 2) * (span + thick)):
                    arch(scene, span, spring, thick, body, 7)
            width = bays * (span + thick) + thick
            scene.box(
                width, level - spring - span / 2 - thick * 0.9, thick * 1.1, body, up=spring + span / 2 + thick * 0.9
            )
            for bay in range(bays + 1):  # fill between the arches
                x = (bay - bays / 2) * (span + thick)
                scene.gable(span * 0.5, span * 0.5, thick, body, x=x, up=spring + thick * 0.6, yaw=0.0)
                scene.box(thick, span / 2 + thick, thick, body, x=x, up=spring)
            scene.box(width + 0.2, 0.2, thick * 1.5, body, up=level - 0.1)
    return storeys * level


def steps(scene: SceneBuilder, rng: Rng, width: float, count: int, body: Material, sides: bool = True) -> float:
    """A flight that rises towards +z from z = 0; returns its depth."""
    rise, tread = uniform(rng, 0.14, 0.17), uniform(rng, 0.3, 0.4)
    for index in range(count):
        scene.box(width, (index + 1) * rise, tread, body, z=(index + 0.5) * tread)
    if sides and chance(rng, 0.6):
        for x in (-1, 1):
            for index in range(0, count, 3):
                scene.box(
                    0.5, (index + 3) * rise + 0.4, tread * 3, body, x=x * (width / 2 + 0.25), z=(index + 1.5) * tread
                )
    return count * tread


def fountain(scene: SceneBuilder, rng: Rng, radius: float) -> None:
    """A round basin with water and a pillar of bowls."""
    body, water = (
        stone(rng, uniform(rng, 0.3, 0.8)),
        Material("water", (0.05, 0.16, 0.18), (0.08, 0.2, 0.22), scale=0.3, gloss=0.6, roughness=0.1),
    )
    for index in range(2):
        scene.cylinder(radius + 0.4 - index * 0.35, 0.15, body, up=index * 0.15)
    scene.ring(radius, 0.55, body, inner=0.88, up=0.25)
    scene.cylinder(radius * 0.89, 0.42, water, up=0.25)
    scene.cylinder(radius * 0.12, 1.5, body, up=0.3)
    scene.cylinder(radius * 0.2, 0.3, body, top=2.2, up=1.3)
    scene.cylinder(radius * 0.42, 0.02, water, up=1.585)
    scene.cylinder(radius * 0.07, 0.7, body, up=1.5)
    scene.cylinder(radius * 0.1, 0.2, body, top=2.2, up=2.1)
    if chance(rng, 0.4):
        with scene.at(up=2.3):
            statue(scene, rng, 1.2, body, pedestal=False)


def statue(scene: SceneBuilder, rng: Rng, height: float, body: Material, pedestal: bool = True) -> None:
    """A figure of blobs, standing or riding, on a pedestal."""
    up = 0.0
    if pedestal:
        base = stone(rng, 0.7)
        scene.box(height * 0.7, 0.25, height * 0.7, base)
        up = uniform(rng, 0.5, 1.0) * height
        scene.box(height * 0.45, up, height * 0.45, base, up=0.2)
        up += 0.2
    with scene.at(up=up, yaw=uniform(rng, -0.6, 0.6)):
        h = height
        if chance(rng, 0.25):  # a horse under the rider
            scene.ellipsoid(h * 0.3, h * 0.32, h * 0.8, body, up=h * 0.35)
            for x, z in ((-0.1, -0.28), (0.1, -0.28), (-0.1, 0.28), (0.1, 0.28)):
                scene.tube((x * h, 0, z * h), (x * h * 0.8, h * 0.45, z * h * 0.9), h * 0.04, body)
            scene.tube((0, h * 0.55, -h * 0.3), (0, h * 0.85, -h * 0.5), h * 0.08, body)
            scene.ellipsoid(h * 0.14, h * 0.16, h * 0.34, body, up=h * 0.78, z=-h * 0.58, pitch=0.5)
            up = h * 0.55
        else:
            for x in (-1, 1):
                scene.tube((x * h * 0.07, 0, 0), (x * h * 0.06, h * 0.5, 0), h * 0.06, body)
            up = h * 0.45
        scene.ellipsoid(h * 0.26, h * 0.42, h * 0.18, body, up=up)
        scene.ellipsoid(h * 0.13, h * 0.16, h * 0.14, body, up=up + h * 0.4)
        lift = uniform(rng, -0.2, 0.4)
        scene.tube((h * 0.12, up + h * 0.34, 0), (h * 0.3, up + h * (0.2 + lift), -h * 0.1), h * 0.035, body)
        scene.tube((-h * 0.12, up + h * 0.34, 0), (-h * 0.2, up + h * 0.08, -h * 0.05), h * 0.035, body)


def tower(scene: SceneBuilder, rng: Rng, width: float, height: float, body: Material) -> None:
    """A church or town tower with slits, a clock, battlements or a spire."""
    scene.box(width, height, width, body)
    dark, trim = plain(rng, (0.02, 0.02, 0.025)), stone(rng, 0.5)
    for level in range(1, int(height / 4)):
        scene.box(width + 0.25, 0.3, width + 0.25, trim, up=level * 4.0)
        for turn in range(4):
            with scene.at(yaw=turn * math.pi / 2):
                scene.box(0.5 + 0.4 * (level % 2), 1.4, 0.12, dark, up=level * 4 - 2.2, z=-width / 2)
    if chance(rng, 0.5):
        scene.cylinder(
            width * 0.28,
            0.1,
            plain(rng, grey(rng, 0.8, 0.95)),
            up=height - width * 0.8,
            z=-width / 2 - 0.05,
            pitch=math.pi / 2,
        )
    if chance(rng, 0.45):
        for turn in range(4):
            with scene.at(yaw=turn * math.pi / 2):
                for index in range(4):
                    scene.box(width / 8, 0.9, 0.4, body, x=(index - 1.5) * width / 3.4, up=height, z=-width / 2 + 0.2)
    else:
        scene.cone(width * 0.72, width * uniform(rng, 0.8, 2.2), roof_material(rng), up=height)


def square(rng: Rng) -> World:
    """A square with houses around and something in its middle."""
    scene = SceneBuilder("square", int(rng.integers(2**31)))
    half = uniform(rng, 9, 20)
    plan = Plan(Rect(-half, -half, half, half))
    for turn in range(4):
        with scene.at(yaw=turn * math.pi / 2), scene.at(0, half + 1):
            _front_row(scene, rng, 2 * half + 6)
    with scene.at(uniform(rng, -0.9, 0.9) * half, half + uniform(rng, 8, 30)):
        if chance(rng, 0.6):
            tower(scene, rng, uniform(rng, 4, 7), uniform(rng, 16, 34), facade_paint(rng))
    _centre(scene, rng, plan)
    for _ in range(whole(rng, 2, 10)):
        drop(
            scene,
            plan,
            rng,
            one_of(rng, stall, cafe_table, bench, planter, crates, cafe_table),
            margin=0.5,
            focus=True,
        )
    for _ in range(whole(rng, 0, 8)):
        _stick(scene, rng, plan, pick(rng, (street_lamp, tree, bush, street_lamp)))
    plan.focus += [(0.0, half), (half, 0.0), (-half, 0.0)]
    return _open(scene, rng, plan, half, near=3.5)


def _stick(scene: SceneBuilder, rng: Rng, plan: Plan, make) -> None:  # type: ignore[no-untyped-def]
    spot = plan.free_point(rng, 0.8)
    if spot is not None:
        plan.blocked.append(Rect.around(*spot, 0.8, 0.8))
        with scene.at(*spot):
            make(scene, rng)


def _front_row(scene: SceneBuilder, rng: Rng, width: float) -> None:
    r = rng.random()
    if r < 0.15:
        arcade(scene, rng, int(width / 5), 3.6, stone(rng, 0.7), pick(rng, (1, 2)))
        with scene.at(0, 4):
            printed_block(scene, rng, width, 8, uniform(rng, 8, 14))
        return
    if r < 0.25:
        for _ in range(8):
            with scene.at(uniform(rng, -0.5, 0.5) * width, uniform(rng, 1, 10)):
                tree(scene, rng)
        return
    x = -width / 2
    while x < width / 2 - 3:
        wide = uniform(rng, 5, 11)
        if chance(rng, 0.9):
            with scene.at(x + wide / 2, 0.0):
                house(scene, rng, wide, uniform(rng, 7, 10), whole(rng, 1, 4), near=chance(rng, 0.4))
        x += wide


def _centre(scene: SceneBuilder, rng: Rng, plan: Plan) -> None:
    kind = pick(rng, ("fountain", "fountain", "statue", "statue", "column", "gate", "tree", "none"))
    z = uniform(rng, -2, 3)
    if kind == "none":
        return
    radius = uniform(rng, 1.8, 3.2)
    plan.claim(Rect.around(0, z, 2 * radius + 0.6, 2 * radius + 0.6), focus=True)
    plan.focus += [(0.0, z)] * 3
    with scene.at(0, z):
        if kind == "fountain":
            fountain(scene, rng, radius)
        elif kind == "statue":
            statue(scene, rng, uniform(rng, 1.8, 3.0), metal(rng) if chance(rng, 0.5) else stone(rng, 1.5))
        elif kind == "column":
            steps(scene, rng, 3.0, 3, stone(rng, 0.6), sides=False)
            column(scene, rng, uniform(rng, 6, 12), 0.55, stone(rng, 0.8))
        elif kind == "gate":
            arch(scene, uniform(rng, 3, 5), uniform(rng, 2.5, 4), 1.1, stone(rng, 0.6), 11)
        else:
            tree(scene, rng, uniform(rng, 6, 11))
            scene.ring(1.2, 0.5, stone(rng, 0.4), inner=0.8)


def _open(scene: SceneBuilder, rng: Rng, plan: Plan, half: float, *, near: float, water: Water | None = None,
          ground: Material | None = None) -> World:  # fmt: skip
    mood = outdoors(rng)
    floor = ground or paving(rng, rough=chance(rng, 0.5))
    patches = scene.material(lawn(rng)) if chance(rng, 0.25) else None
    places = stand(scene, plan, rng, 9, radius=0.5, near=near) or [scene.place(0.0, -half * 0.8, facing=0.0)]
    height = (1.4, 1.8) if chance(rng, 0.75) else pick(rng, ((0.5, 1.2), (2.5, 6.0)))
    return scene.finish(
        places=places,
        links=link(plan, places, 15.0),
        ground=Ground(scene.material(floor), patches=patches, patch_size=3.0),
        sky=mood.sky,
        light=mood.light,
        fog=mood.fog,
        water=water,
        cameras=CameraRange(height, (uniform(rng, -5, 6), 5.0), 1.5, (42.0, 85.0)),
    )


def temple(rng: Rng) -> World:
    """Colonnades, stairs and arches: a cloister, a ruin, a temple front, an amphitheatre."""
    scene = SceneBuilder("temple", int(rng.integers(2**31)))
    kind = pick(rng, ("front", "cloister", "ruin", "theatre", "gate"))
    half, body = uniform(rng, 9, 15), stone(rng, uniform(rng, 0.5, 1.4))
    plan = Plan(Rect(-half, -half, half, half * 0.5))
    {"front": _temple_front, "cloister": _cloister, "ruin": _ruin, "theatre": _theatre, "gate": _gate}[kind](
        scene, rng, plan, body
    )
    for _ in range(whole(rng, 0, 6)):
        _stick(scene, rng, plan, pick(rng, (bush, tree, lambda s, r: boulder(s, r, uniform(r, 0.5, 2.0), body))))
    for _ in range(whole(rng, 0, 3)):
        drop(scene, plan, rng, one_of(rng, bench, planter, crates), margin=0.5)
    for _ in range(whole(rng, 0, 12)):
        angle, far = uniform(rng, -1.3, 1.3), uniform(rng, 25, 60)
        with scene.at(far * math.sin(angle), far * math.cos(angle)):
            tree(scene, rng)
    plan.focus += [(0.0, half)] * 3
    grass = lawn(rng) if kind in ("ruin", "gate") or chance(rng, 0.3) else None
    return _open(scene, rng, plan, half, near=2.5, ground=grass)


def _temple_front(scene: SceneBuilder, rng: Rng, plan: Plan, body: Material) -> None:
    count, gap, height = whole(rng, 4, 8), uniform(rng, 1.8, 3.0), uniform(rng, 4, 8)
    width = (count - 1) * gap + 2
    with scene.at(0, 3.0):
        depth = steps(scene, rng, width + 2, whole(rng, 4, 9), body)
        up = depth / 0.35 * 0.155
        with scene.at(0, depth, up=0.0):
            scene.box(width + 2, up, 9, body, z=4.5)
            for index in range(count):
                with scene.at((index - (count - 1) / 2) * gap, 0.8, up=up):
                    column(scene, rng, height, uniform(rng, 0.3, 0.3) + 0.03 * height, body)
            scene.box(width, 0.9, 2.0, body, up=up + height, z=0.8)
            scene.gable(width + 0.6, width * 0.17, 8.4, body, up=up + height + 0.9, z=4.0)
            scene.wall(
                (-width / 2, 4.0),
                (width / 2, 4.0),
                height,
                0.5,
                body,
                [Opening(width / 2 - 1.2, 2.4, 0, height * 0.7)],
                up=up,
            )
    plan.blocked.append(Rect(-width, 2.8, width, 30))


def _cloister(scene: SceneBuilder, rng: Rng, plan: Plan, body: Material) -> None:
    bays, span = whole(rng, 3, 5), uniform(rng, 2.2, 3.4)
    reach = bays * span * 1.16 / 2 + 0.2
    for turn in range(4):
        with scene.at(yaw=turn * math.pi / 2), scene.at(0, reach):
            high = arcade(scene, rng, bays, span, body)
            scene.box(2 * reach + 8, high + 1, 0.4, body, z=3.6)
            scene.box(2 * reach + 6, 0.3, 3.6, wood(rng), up=high, z=1.8)
    plan.focus += [(0.0, 0.0)] * 2
    with scene.at():
        if chance(rng, 0.6):
            plan.claim(Rect.around(0, 0, 3.4, 3.4))
            fountain(scene, rng, 1.3)
    plan.area = Rect(-reach + 0.6, -reach + 0.6, reach - 0.6, reach - 0.6)


def _ruin(scene: SceneBuilder, rng: Rng, plan: Plan, body: Material) -> None:
    for _ in range(whole(rng, 6, 14)):
        radius, height = uniform(rng, 0.25, 0.5), uniform(rng, 1, 6)
        spot = plan.free_point(rng, 1.2)
        if spot is None:
            continue
        plan.claim(Rect.around(*spot, 1.2, 1.2), focus=True)
        with scene.at(*spot, uniform(rng, 0, 3)):
            if chance(rng, 0.5):
                column(scene, rng, height, radius, body)
            elif chance(rng, 0.5):
                scene.cylinder(radius, height * 0.4, body, pitch=math.pi / 2, up=radius - height * 0.2)
            else:
                scene.wall(
                    (-1.5, 0), (1.5, 0), height * 0.7, 0.5, body, [Opening(1.0, 1.0, 0.5, 1.8)] if height > 3.5 else []
                )
    for index in range(whole(rng, 1, 3)):
        with scene.at(uniform(rng, -6, 6), 7.0 + 4 * index, uniform(rng, -0.4, 0.4)):
            arch(scene, uniform(rng, 2, 4), uniform(rng, 2, 3.5), 0.8, body)


def _theatre(scene: SceneBuilder, rng: Rng, plan: Plan, body: Material) -> None:
    """Rising rings of seats around, with arches on top."""
    radius, rows = uniform(rng, 8, 12), whole(rng, 4, 8)
    for row in range(rows):
        reach = radius + row * 0.9
        for index in range(18):
            angle = (index - 8.5) * 0.19
            if row and index % 6 == 3:
                continue
            with scene.at(reach * math.sin(angle), reach * math.cos(angle), angle):
                scene.box(reach * 0.195, 0.45 * (row + 1), 0.95, body)
    high = radius + rows * 0.9 + 1
    for index in range(9):
        angle = (index - 4) * 0.38
        with scene.at(high * math.sin(angle), high * math.cos(angle), angle, up=0.45 * rows):
            arch(scene, high * 0.24, 2.4, high * 0.09, body, 7)
    plan.area = Rect(-5, -6, 5, radius - 3)
    plan.focus += [(0.0, radius)] * 4


def _gate(scene: SceneBuilder, rng: Rng, plan: Plan, body: Material) -> None:
    """A free-standing arch on a flight of steps with walls at both sides."""
    with scene.at(0, 2.0):
        depth = steps(scene, rng, 5, whole(rng, 3, 7), body)
        up = depth / 0.35 * 0.15
        with scene.at(0, depth + 1.0):
            scene.box(6, up, 3, body)
            with scene.at(up=up):
                arch(scene, uniform(rng, 2.6, 3.6), uniform(rng, 0.6, 2.2), 0.8, body, 11)
            for x in (-1, 1):
                for index in range(4):
                    scene.box(1.2, up + 1.6 - index * 0.35, 1.0, body, x=x * (3.2 + index * 1.2))
    plan.blocked.append(Rect(-8, 1.8, 8, 8))
    plan.focus += [(0.0, 5.0)] * 3


def plaza_stairs(rng: Rng) -> World:
    """A modern place: broad steps, terraces, benches, concrete, glass blocks, trees in tubs."""
    scene = SceneBuilder("terraces", int(rng.integers(2**31)))
    half = uniform(rng, 10, 18)
    plan = Plan(Rect(-half, -half * 0.6, half, half))
    tone = plain(rng, grey(rng, 0.45, 0.8)) if chance(rng, 0.5) else stone(rng, 1.2)
    for _ in range(whole(rng, 2, 5)):
        width = uniform(rng, 3, 12)
        x, z, yaw = uniform(rng, -half, half) * 0.7, uniform(rng, 0, half), pick(rng, (0.0, math.pi / 2, -math.pi / 2))
        if plan.claim(Rect.around(x, z, width + 1.5, 5, yaw), 0.3, focus=True):
            with scene.at(x, z, yaw):
                with scene.at(0, -2.0):
                    count = whole(rng, 3, 10)
                    deep = steps(scene, rng, width, count, tone)
                scene.box(width, count * 0.155, max(0.5, 4.5 - deep), tone, z=-2.0 + deep + max(0.5, 4.5 - deep) / 2)
    for _ in range(whole(rng, 3, 8)):
        drop(scene, plan, rng, one_of(rng, bench, planter, planter, cafe_table), margin=0.4, focus=True)
    for _ in range(whole(rng, 3, 8)):
        _stick(scene, rng, plan, pick(rng, (tree, street_lamp)))
    with scene.at(uniform(rng, -4, 4), half * 0.3):
        flowerbed(scene, rng, 3, 1.0)
    for _ in range(whole(rng, 4, 9)):
        angle = uniform(rng, -2.2, 2.2)
        with scene.at((half + 8) * math.sin(angle), (half + 8) * math.cos(angle), angle):
            printed_block(scene, rng, uniform(rng, 8, 22), 10, uniform(rng, 6, 35))
    for _ in range(whole(rng, 0, 3)):
        with scene.at(uniform(rng, -half, half), uniform(rng, -2, half)):
            tuft(scene, rng, Material("plain", (0.1, 0.2, 0.04)))
    plan.focus.append((0.0, half))
    return _open(scene, rng, plan, half, near=3.0)
