"""Streets, blocks of streets, courtyards and gardens."""

from __future__ import annotations

import math

from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.kinds.layout import Plan, Rect, drop, grow, link, put, stand
from openlyra.worlds.kinds.palette import (
    Rng,
    chance,
    darker,
    grey,
    hsv,
    metal,
    one_of,
    pick,
    plain,
    seed_of,
    stone,
    uniform,
    vary,
    whole,
)  # fmt: skip
from openlyra.worlds.kinds.parts_building import cottage, house, printed_block
from openlyra.worlds.kinds.parts_plants import boulder, bush, flowerbed, hedge, tree
from openlyra.worlds.kinds.parts_seats import bench
from openlyra.worlds.kinds.parts_street import (
    bicycle,
    bin_,
    bollard,
    cafe_table,
    car,
    crates,
    fence,
    planter,
    sign,
    stall,
    street_lamp,
)  # fmt: skip
from openlyra.worlds.kinds.skies import outdoors
from openlyra.worlds.types import CameraRange, Ground, Material, Texture, World


def paving(rng: Rng, rough: bool = False) -> Material:
    """Asphalt, cobbles, slabs or gravel."""
    fine: tuple[Texture, ...] = ("asphalt", "asphalt", "cobble", "tile")
    coarse: tuple[Texture, ...] = ("cobble", "cobble", "stone", "gravel")
    kind = pick(rng, coarse if rough else fine)
    color = grey(rng, 0.25, 0.65) if chance(rng, 0.7) else vary(rng, (0.6, 0.52, 0.42))
    scale = {"cobble": uniform(rng, 0.1, 0.22), "tile": uniform(rng, 0.3, 0.6), "stone": uniform(rng, 0.3, 0.6)}.get(
        kind, 1.0
    )
    return Material(
        kind, color, darker(color, uniform(rng, 0.45, 0.7)), scale=scale, seed=seed_of(rng), bump=0.5, grime=0.4
    )


def lawn(rng: Rng) -> Material:
    """Grass."""
    color = hsv(uniform(rng, 0.2, 0.32), uniform(rng, 0.4, 0.75), uniform(rng, 0.35, 0.6))
    return Material(
        "grass",
        color,
        darker(color, uniform(rng, 0.6, 0.9)),
        hsv(0.13, 0.4, 0.55),
        scale=uniform(rng, 0.5, 2),
        seed=seed_of(rng),
    )


def _row(
    scene: SceneBuilder, rng: Rng, side: int, edge: float, length: float, storeys: tuple[int, int], detail: float
) -> None:
    """Houses along z on one side (x = side * edge); near ones in detail."""
    z = -8.0
    while z < length:
        width = uniform(rng, 5, 14)
        if chance(rng, 0.08):
            z += uniform(rng, 2, 6)
            continue
        near = z < detail
        with scene.at(side * (edge + uniform(rng, 0, 0.6)), z + width / 2, side * math.pi / 2):
            house(scene, rng, width, uniform(rng, 7, 12), whole(rng, *storeys), near=near)
        z += width


def _sidewalk(scene: SceneBuilder, rng: Rng, half: float, wide: float, length: float) -> Material:
    slab = paving(rng)
    for side in (-1, 1):
        scene.box(wide, 0.13, length + 20, slab, x=side * (half - wide / 2), z=length / 2)
        scene.box(0.14, 0.15, length + 20, plain(rng, grey(rng, 0.5, 0.8)), x=side * (half - wide - 0.07), z=length / 2)
    return slab


def _kerbside(scene: SceneBuilder, rng: Rng, plan: Plan, half: float, wide: float, length: float) -> None:
    """Parked cars, trees, lamps, signs and posts along both kerbs."""
    post, trees = metal(rng, grey(rng, 0.05, 0.4)), chance(rng, 0.45)
    for side in (-1, 1):
        inner = half - wide
        z = uniform(rng, -4, 4)
        while inner > 2.6 and z < length * 0.6 and chance(rng, 0.85):
            model = car(rng)
            put(scene, plan, model, side * (inner - model.width / 2 - 0.15), z, pick(rng, (0.0, math.pi)), focus=True)
            z += model.depth + uniform(rng, 0.6, 7)
        for z in range(int(rng.integers(0, 6)), int(length * 0.7), int(rng.integers(7, 16))):
            with scene.at(side * (inner + 0.4), z + uniform(rng, -1, 1), 0.0 if side > 0 else math.pi, up=0.1):
                if trees and wide > 1.8:
                    tree(scene, rng, uniform(rng, 4, 8))
                else:
                    with scene.at(yaw=side * math.pi / 2):
                        street_lamp(scene, rng)
            plan.blocked.append(Rect.around(side * (inner + 0.4), z, 0.6, 2.2))
        if chance(rng, 0.3):
            for index in range(8):
                with scene.at(side * (inner + 0.25), index * 1.7 + 1.0, up=0.1):
                    bollard(scene, rng, post)


def _walkside(scene: SceneBuilder, rng: Rng, plan: Plan, half: float, wide: float, length: float) -> None:
    """Small things along the house walls."""
    makers = (bicycle, bicycle, planter, cafe_table, crates, bench, planter)
    for _ in range(whole(rng, 2, 9)):
        side, z, piece = pick(rng, (-1, 1)), uniform(rng, 1.5, min(length, 28)), pick(rng, makers)(rng)
        if piece.width > wide + 0.6 and piece.depth > wide + 0.6:
            continue
        along = piece.depth > piece.width
        yaw = 0.0 if along else side * math.pi / 2
        reach = (piece.width if along else piece.depth) / 2
        with scene.at(up=0.13 if wide > 0 else 0.0):
            put(scene, plan, piece, side * (half - reach - 0.12), z, yaw, focus=True)
    for _ in range(whole(rng, 0, 4)):
        side, z = pick(rng, (-1, 1)), uniform(rng, 3, 25)
        with scene.at(side * (half - max(0.45, wide - 0.5)), z, up=0.1):
            grow(scene, rng, sign, bin_, sign)


def street(rng: Rng) -> World:
    """A street between houses, from an alley to an avenue."""
    scene = SceneBuilder("street", int(rng.integers(2**31)))
    alley = chance(rng, 0.3)
    half = uniform(rng, 1.6, 3.2) if alley else uniform(rng, 3.5, 9)
    wide = 0.0 if alley else uniform(rng, 1.2, 3.0)
    length, storeys = uniform(rng, 40, 110), pick(rng, ((1, 2), (2, 4), (2, 5), (3, 6)))
    detail = uniform(rng, 8, 22)
    for side in (-1, 1):
        if not alley and chance(rng, 0.15):
            _green_side(scene, rng, side, half, length)
        else:
            _row(scene, rng, side, half, length, storeys, detail)
    if chance(rng, 0.7):
        with scene.at(uniform(rng, -3, 3), length + uniform(rng, 2, 15)):
            printed_block(scene, rng, uniform(rng, 12, 40), 10, uniform(rng, 6, 28))
    with scene.at(0, -9):
        printed_block(scene, rng, 30, -8, 10)
    plan = Plan(Rect(-half, -5, half, length))
    if wide:
        _sidewalk(scene, rng, half, wide, length)
        _kerbside(scene, rng, plan, half, wide, length)
    _walkside(scene, rng, plan, half, wide, length)
    if chance(rng, 0.25):
        _wires(scene, rng, half, length)
    plan.focus += [(0.0, length), (uniform(rng, -half, half) * 0.6, length * 0.5)] * 2
    mood = outdoors(rng)
    ground = Ground(scene.material(paving(rng, rough=alley)))
    near = Plan(Rect(-half + 0.3, -4, half - 0.3, min(length, 22)), plan.blocked, plan.focus)
    places = stand(scene, near, rng, 8, radius=0.5, near=4.0) or [scene.place(0.0, 0.0, facing=0.0)]
    return scene.finish(
        places=places,
        links=link(plan, places, 15.0),
        ground=ground,
        sky=mood.sky,
        light=mood.light,
        fog=mood.fog,
        cameras=_cameras(rng),
    )


def _cameras(rng: Rng) -> CameraRange:
    r = rng.random()
    if r < 0.75:
        return CameraRange((1.4, 1.8), (uniform(rng, -4, 7), 5.0), 1.5, (42.0, 82.0))
    if r < 0.9:
        return CameraRange((0.5, 1.2), (uniform(rng, -6, 4), 5.0), 2.0, (42.0, 82.0))
    return CameraRange((3.0, 7.0), (uniform(rng, 6, 20), 6.0), 1.0, (42.0, 82.0))


def _green_side(scene: SceneBuilder, rng: Rng, side: int, edge: float, length: float) -> None:
    """A park or gardens instead of houses."""
    with scene.at(side * (edge + 0.2), length / 2 - 5, math.pi / 2):
        fence(scene, rng, length)
    grass = lawn(rng)
    scene.box(40, 0.06, length + 20, grass, x=side * (edge + 20.2), z=length / 2)
    for _ in range(whole(rng, 6, 14)):
        with scene.at(side * (edge + uniform(rng, 1.5, 16)), uniform(rng, -4, length * 0.7)):
            grow(scene, rng, tree, tree, bush)
    if chance(rng, 0.6):
        for index in range(whole(rng, 1, 4)):
            with scene.at(side * (edge + uniform(rng, 8, 25)), index * 14 + uniform(rng, 0, 6), side * math.pi / 2):
                house(scene, rng, uniform(rng, 7, 12), 8, whole(rng, 1, 2), near=False)


def _wires(scene: SceneBuilder, rng: Rng, half: float, length: float) -> None:
    """Wires or washing across the street."""
    line = plain(rng, (0.02, 0.02, 0.02))
    for _ in range(whole(rng, 1, 4)):
        z, up = uniform(rng, 4, length * 0.5), uniform(rng, 4.5, 7)
        scene.tube((-half, up, z), (0, up - 0.3, z), 0.012, line)
        scene.tube((0, up - 0.3, z), (half, up, z + uniform(rng, -1, 1)), 0.012, line)
        if half < 3.5 and chance(rng, 0.5):
            for index in range(5):
                scene.box(
                    0.5, 0.6, 0.02, plain(rng, grey(rng, 0.3, 0.95)), x=(index - 2) * half * 0.3, up=up - 0.85, z=z
                )


def blocks(rng: Rng) -> World:
    """Several blocks of houses joined by streets, for long walks."""
    scene = SceneBuilder("blocks", int(rng.integers(2**31)))
    lane, block, count = uniform(rng, 5, 10), uniform(rng, 16, 26), 3
    pitch = lane + block
    slab = paving(rng)
    for i in range(-1, count - 1):
        for j in range(count):
            with scene.at((i + 0.0) * pitch, (j + 0.5) * pitch):
                scene.box(block + 2.4, 0.13, block + 2.4, slab)
                _block(scene, rng, block)
    places = []
    for i in range(-1, count):
        for j in range(count + 1):
            facing = 0.0 if j == 0 else math.pi if j == count else None
            places.append(scene.place((i - 0.5) * pitch, j * pitch, radius=lane / 2 - 1.3, facing=facing))
    rows = count + 1
    links = [(a, a + 1) for a in range(len(places) - 1) if (a + 1) % rows] + [
        (a, a + rows) for a in range(len(places) - rows)
    ]
    for place in places:
        x, z = place.position[0] + lane / 2 - 1.0, place.position[2] + lane / 2 - 1.0
        with scene.at(x, z):
            if chance(rng, 0.5):
                street_lamp(scene, rng)
            else:
                sign(scene, rng)
    for _ in range(whole(rng, 4, 12)):
        i, j = whole(rng, -1, count - 1), whole(rng, 0, count - 1)
        with scene.at(
            (i - 0.5) * pitch + pick(rng, (-1, 1)) * (lane / 2 - 2.3), j * pitch + pitch / 2 + uniform(rng, -6, 6)
        ):
            car(rng).build(scene)
    mood = outdoors(rng)
    return scene.finish(
        places=places,
        links=links,
        ground=Ground(scene.material(paving(rng))),
        sky=mood.sky,
        light=mood.light,
        fog=mood.fog,
        cameras=_cameras(rng),
    )


def _block(scene: SceneBuilder, rng: Rng, side: float) -> None:
    """Houses around the edge of a square block."""
    for turn in range(4):
        with scene.at(yaw=turn * math.pi / 2):
            z, parts = -side / 2, 2
            for index in range(parts):
                width = (side - 8) / parts if turn % 2 else side / parts
                x = (index - 0.5) * width
                if chance(rng, 0.92):
                    with scene.at(x, z):
                        house(scene, rng, width, 8.0, whole(rng, 1, 3), near=chance(rng, 0.2))


def courtyard(rng: Rng) -> World:
    """A yard between house walls with trees, bicycles, benches, bins, crates."""
    scene = SceneBuilder("courtyard", int(rng.integers(2**31)))
    width, depth = uniform(rng, 7, 20), uniform(rng, 8, 22)
    plan = Plan(Rect(-width / 2, -depth / 2, width / 2, depth / 2))
    for turn, (wide, reach) in enumerate(((width, depth), (depth, width), (width, depth), (depth, width))):
        with scene.at(yaw=turn * math.pi / 2), scene.at(0, reach / 2):
            if chance(rng, 0.85):
                house(scene, rng, wide + 8 if turn % 2 == 0 else wide, 8.0, whole(rng, 1, 4), near=True)
            else:
                fence(scene, rng, wide)
    makers = (bicycle, planter, crates, bench, cafe_table, planter, stall)
    for _ in range(whole(rng, 4, 12)):
        drop(scene, plan, rng, pick(rng, makers)(rng), margin=0.3, focus=True)
    for _ in range(whole(rng, 0, 4)):
        spot = plan.free_point(rng, 1.2)
        if spot is not None:
            plan.blocked.append(Rect.around(*spot, 0.8, 0.8))
            with scene.at(*spot):
                grow(scene, rng, lambda s, r: tree(s, r, uniform(r, 3, 7)), bush, bin_, street_lamp)
    mood = outdoors(rng)
    ground = Ground(
        scene.material(paving(rng, rough=chance(rng, 0.6))),
        patches=scene.material(lawn(rng)) if chance(rng, 0.4) else None,
    )
    places = stand(scene, plan, rng, 8, radius=0.5, near=2.0) or [scene.place(0.0, 0.0)]
    return scene.finish(
        places=places,
        links=link(plan, places),
        ground=ground,
        sky=mood.sky,
        light=mood.light,
        fog=mood.fog,
        cameras=_cameras(rng),
    )


def garden(rng: Rng) -> World:
    """A house in its garden: lawn, path, beds, trees, hedge, terrace, a fence and neighbours."""
    scene = SceneBuilder("garden", int(rng.integers(2**31)))
    plan = Plan(Rect(-11, -9, 11, 12))
    with scene.at(uniform(rng, -4, 4), 10.0, uniform(rng, -0.15, 0.15)):
        house(scene, rng, uniform(rng, 7, 13), 8.0, whole(rng, 1, 2), near=True)
    terrace = stone(rng, 0.5) if chance(rng, 0.5) else paving(rng)
    scene.box(9, 0.08, 3, terrace, z=8.3)
    scene.box(1.3, 0.05, 17, terrace, x=uniform(rng, -2, 2))
    for side in (-1, 1):
        with scene.at(side * 11, 1.0, math.pi / 2):
            if chance(rng, 0.5):
                hedge(scene, rng, 20)
            else:
                fence(scene, rng, 20)
        with scene.at(side * uniform(rng, 17, 24), uniform(rng, 2, 14), side * uniform(rng, 0.5, 1.5)):
            cottage(scene, rng)
        with scene.at(side * 8.5, uniform(rng, -4, 5), math.pi / 2):
            flowerbed(scene, rng, uniform(rng, 4, 9), 1.3)
    for _ in range(whole(rng, 3, 9)):
        spot = plan.free_point(rng, 0.9)
        if spot is not None and abs(spot[0]) > 1.5:
            plan.blocked.append(Rect.around(*spot, 1.0, 1.0))
            plan.focus.append(spot)
            with scene.at(*spot):
                grow(scene, rng, tree, tree, bush, lambda s, r: boulder(s, r, uniform(r, 0.4, 1.2)))
    for _ in range(whole(rng, 1, 5)):
        drop(scene, plan, rng, one_of(rng, bench, cafe_table, planter, bicycle), margin=0.3, focus=True)
    for _ in range(whole(rng, 4, 10)):
        with scene.at(uniform(rng, -30, 30), uniform(rng, 20, 40)):
            tree(scene, rng)
    plan.focus += [(0.0, 10.0)] * 3
    mood = outdoors(rng)
    ground = Ground(
        scene.material(lawn(rng)), patches=scene.material(paving(rng, rough=True)) if chance(rng, 0.2) else None
    )
    places = stand(scene, Plan(Rect(-9, -8, 9, 6), plan.blocked, plan.focus), rng, 8, radius=0.5, near=3.0) or [
        scene.place(0, 0)
    ]
    return scene.finish(
        places=places,
        links=link(plan, places),
        ground=ground,
        sky=mood.sky,
        light=mood.light,
        fog=mood.fog,
        cameras=_cameras(rng),
    )
