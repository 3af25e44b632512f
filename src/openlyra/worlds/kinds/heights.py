"""High places: bridges, terraces and cliff paths, with the sea, a valley or a town far below."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.kinds.harbours import boat
from openlyra.worlds.kinds.landscapes import lake, land_of
from openlyra.worlds.kinds.palette import (
    Rng,
    brick,
    chance,
    darker,
    facade_paint,
    grey,
    leaves,
    pick,
    plain,
    planks,
    rock,
    seed_of,
    stone,
    uniform,
    vary,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.kinds.parts_building import house, roof_material
from openlyra.worlds.kinds.parts_plants import boulder, broadleaf, bush, conifer
from openlyra.worlds.kinds.parts_street import fence, fence_along, planter, street_lamp
from openlyra.worlds.kinds.skies import outdoors
from openlyra.worlds.kinds.squares import tower
from openlyra.worlds.terrain import terrain_height
from openlyra.worlds.types import CameraRange, Ground, Material, Place, Terrain, Water, World

WAY = (-6.0, 40.0)
"""Where ways begin and end, metres along z; one stands around 0."""


def heights(rng: Rng) -> World:
    """What one sees from up there; y = 0 is far below, where the sea, the valley or the town lies."""
    scene = SceneBuilder("heights", int(rng.integers(2**31)))
    mood = outdoors(rng, haze=pick(rng, (1.0, 2.0, 4.0)))
    below = pick(rng, ("sea", "valley", "valley", "town"))
    drop = 10 ** (uniform(rng, 0.8, 1.4) if below == "town" else uniform(rng, 0.9, 1.9))
    ground, land, water = _bottom(scene, rng, below, drop)
    with scene.at(up=drop):
        places = pick(rng, (_bridge, _bridge, _terrace, _cliff_path))(scene, rng, drop)
    if below == "town":
        _town(scene, rng)
    else:
        _mountains(scene, rng, drop)
    for _ in range(whole(rng, 0, 4)):
        _neighbour(scene, rng, drop)
    eye = pick(rng, ((1.3, 1.9), (1.3, 1.9), (2.0, 5.0)))
    return scene.finish(
        places=places,
        links=[(i, i + 1) for i in range(len(places) - 1)],
        ground=ground,
        terrain=land,
        water=water,
        sky=mood.sky,
        light=mood.light,
        fog=mood.fog,
        cameras=CameraRange(eye, (uniform(rng, 0, 14), 6.0), 1.5, (42.0, 85.0)),
    )


def _bottom(
    scene: SceneBuilder, rng: Rng, kind: str, drop: float
) -> tuple[Ground | None, Terrain | None, Water | None]:
    if kind == "sea":
        for _ in range(whole(rng, 0, 4)):
            with scene.at(uniform(rng, -0.9, 0.9) * 3 * drop, uniform(rng, 0.5, 5) * drop, uniform(rng, 0, 6.28)):
                boat(scene, rng)
        return None, None, replace(lake(rng, 0.0), scale=uniform(rng, 0.6, 4.0))
    if kind == "valley":
        land = replace(
            land_of(rng, scene, pick(rng, ("meadow", "mountain", "mountain", "rocky", "forest"))),
            flat_radius=uniform(rng, 8, 25),
        )
        _woods(scene, rng, land, drop)
        return None, land, lake(rng, uniform(rng, -1.0, 2.0)) if chance(rng, 0.4) else None
    color, kind = grey(rng, 0.3, 0.6), pick(rng, ("asphalt", "cobble", "gravel"))
    street = Material(kind, color, darker(color, 0.7), scale=0.5, seed=seed_of(rng))  # type: ignore[arg-type]
    return Ground(scene.material(street)), None, None


def _woods(scene: SceneBuilder, rng: Rng, land: Terrain, drop: float) -> None:
    """Trees and rocks on the valley's floor and sides."""
    green, fir, firs, gray = leaves(rng), leaves(rng), chance(rng, 0.5), rock(rng)
    for _ in range(whole(rng, 10, 45)):
        far = drop * 10 ** uniform(rng, -0.3, 0.9)
        x, z = uniform(rng, -0.8, 0.8) * far, far
        with scene.at(x, z, uniform(rng, 0, 6.28), up=terrain_height(land, x, z) - 0.1):
            if chance(rng, 0.15):
                boulder(scene, rng, uniform(rng, 1, 5), gray)
            elif firs:
                conifer(scene, rng, uniform(rng, 6, 16), fir)
            else:
                broadleaf(scene, rng, uniform(rng, 5, 13), green, detail=2)


def _mountains(scene: SceneBuilder, rng: Rng, drop: float) -> None:
    """Steep rocks and wooded hills that rise beside and behind."""
    gray, green = rock(rng), replace(leaves(rng), scale=uniform(rng, 1.0, 5.0))
    gray = replace(gray, scale=uniform(rng, 2.0, 8.0))
    for _ in range(whole(rng, 0, 9)):
        far, angle = uniform(rng, 30, 300), float(rng.normal(0, 0.6))
        tall, wide = drop + uniform(rng, -0.5, 1.2) * min(far, 120) * 0.5, far * uniform(rng, 0.1, 0.4)
        x, z, body = far * math.sin(angle), far * math.cos(angle), pick(rng, (gray, green))
        if chance(rng, 0.5):
            deep, lean = wide * uniform(rng, 0.6, 1.2), uniform(rng, -0.15, 0.15)
            scene.ellipsoid(wide, 2 * tall, deep, body, x=x, z=z, up=-tall, roll=lean)
        else:
            scene.cylinder(wide / 2, tall, body, top=uniform(rng, 0.1, 0.6), x=x, z=z)


def _town(scene: SceneBuilder, rng: Rng) -> None:
    """Roofs in rows with streets between, and a tower or two."""
    block, turn = uniform(rng, 9, 14), uniform(rng, -0.6, 0.6)
    with scene.at(yaw=turn):
        for row in range(9):
            for column in range(-4, 5):
                x = (column + uniform(rng, -0.15, 0.15)) * block * (1.0 + 0.08 * row)
                z = 8 + row * block * 1.5
                if chance(rng, 0.15) or (abs(x) < 6 and z < 30):
                    continue
                with scene.at(x, z, pick(rng, (0.0, 0.0, math.pi / 2)) + float(rng.normal(0, 0.05))):
                    wide, deep = block * uniform(rng, 0.6, 0.95), block * uniform(rng, 0.6, 0.9)
                    house(scene, rng, wide, deep, whole(rng, 1, 4), near=False)
    for _ in range(whole(rng, 0, 2)):
        with scene.at(uniform(rng, -60, 60), uniform(rng, 40, 130), uniform(rng, 0, 1.5)):
            tower(scene, rng, uniform(rng, 4, 8), uniform(rng, 18, 40), stone(rng, 0.6))


def _neighbour(scene: SceneBuilder, rng: Rng, drop: float) -> None:
    """A building that stands below and reaches up beside the way, or stands on a rock of its own."""
    far, side = uniform(rng, 8, 60), pick(rng, (-1, 1))
    x = side * (7 + uniform(rng, 0.1, 0.6) * far)
    if chance(rng, 0.4):
        scene.cylinder(uniform(rng, 4, 9), drop * uniform(rng, 0.7, 1.0), rock(rng), top=0.8, x=x, z=far)
        with scene.at(x, far, uniform(rng, 0, 6.28), up=0.75 * drop):
            _pagoda(scene, rng, uniform(rng, 4, 7), whole(rng, 1, 4))
    else:
        with scene.at(x, far, uniform(rng, 0, 6.28)):
            tower(scene, rng, uniform(rng, 4, 9), drop + uniform(rng, -4, 12), stone(rng, uniform(rng, 0.4, 0.9)))


def _pagoda(scene: SceneBuilder, rng: Rng, width: float, storeys: int) -> None:
    """Storeys that shrink upwards, each under crossed roofs with wide eaves; the middle of its foot at the origin."""
    body, tiles, post, up = facade_paint(rng), roof_material(rng), wood(rng), 0.0
    high = uniform(rng, 2.4, 3.6)
    for level in range(storeys):
        wide = width * 0.84**level
        scene.box(wide, high, wide, body, up=up)
        for x in (-1, 1):
            for z in (-1, 1):
                scene.cylinder(0.16, high, post, x=x * wide * 0.55, z=z * wide * 0.55, up=up)
        for turn in (0.0, math.pi / 2):
            scene.gable(wide * 1.5, wide * 0.32, wide * 1.4, tiles, up=up + high - 0.1, yaw=turn)
        up += high + 0.1 * wide


def _paving(rng: Rng) -> Material:
    return pick(rng, (stone, stone, _boards, _cobbles, _bricks))(rng, uniform(rng, 0.3, 0.9))


def _boards(rng: Rng, size: float) -> Material:
    return planks(rng, 0.1 + 0.2 * size)


def _cobbles(rng: Rng, size: float) -> Material:
    color = vary(rng, (0.5, 0.48, 0.45))
    return Material("cobble", color, darker(color, 0.5), scale=0.4 * size, seed=seed_of(rng), bump=0.6)


def _bricks(rng: Rng, size: float) -> Material:
    return replace(brick(rng), scale=0.4 * size)


def _bridge(scene: SceneBuilder, rng: Rng, drop: float) -> list[Place]:
    """A straight way on piers, level or falling, with parapets, pipes or railings; it ends at a building or a rock."""
    width, start, end, body = uniform(rng, 1.6, 6.0), WAY[0], uniform(rng, 12, WAY[1]), _paving(rng)
    fall = uniform(rng, 0.0, 0.3) if chance(rng, 0.5) else 0.0
    fall = min(fall, 0.6 * drop / end)

    def level(z: float) -> float:
        return -fall * z

    long = math.hypot(end - start, fall * (end - start))
    middle, pitch = (start + end) / 2, math.atan(fall)
    thick = 0.5
    scene.box(width, thick, long, body, up=level(middle) - thick, z=middle, pitch=pitch)
    pier = stone(rng, 0.6)
    for z in range(int(start), int(end), 6):
        scene.box(width * 0.9, drop, 1.2, pier, up=level(z) - drop - 0.4, z=z)
    rail, edge = pick(rng, ("wall", "wall", "pipe", "rails", "picket", "iron", "none")), stone(rng, 0.4)
    size, post = uniform(rng, 0.12, 0.4), wood(rng) if chance(rng, 0.5) else plain(rng, vary(rng, (0.5, 0.2, 0.12)))
    tall = uniform(rng, 0.5, 1.2)
    for side in (-1, 1):
        x = side * (width / 2 - 0.15)
        if rail == "wall":
            scene.box(0.35, tall, long, edge, x=x, up=level(middle), z=middle, pitch=pitch)
        elif rail == "pipe":
            scene.tube((x, level(start) + size, start), (x, level(end) + size, end), size, post)
        elif rail != "none":
            fence_along(scene, rng, [(x, z, level(z)) for z in _steps(start, end, 2.5)], rail)
    with scene.at(0.0, end + 3.0, up=level(end)):
        _far_end(scene, rng, drop + level(end))
    spots = range(-3, int(0.5 * end), 3)
    return [scene.place(0.0, z, up=level(z), radius=0.4 * width, facing=float(rng.normal(0, 0.35))) for z in spots]


def _far_end(scene: SceneBuilder, rng: Rng, drop: float) -> None:
    """Where a bridge arrives."""
    scene.cylinder(uniform(rng, 5, 9), drop, pick(rng, (rock, lambda r: stone(r, 0.7)))(rng), top=0.75, up=-drop)
    if chance(rng, 0.6):
        _pagoda(scene, rng, uniform(rng, 4, 8), whole(rng, 1, 5))
    elif chance(rng, 0.5):
        with scene.at(0.0, -2.0):
            house(scene, rng, uniform(rng, 5, 9), 6.0, whole(rng, 1, 3), near=True)
    else:
        tower(scene, rng, uniform(rng, 4, 7), uniform(rng, 8, 25), stone(rng, 0.6))


def _steps(start: float, end: float, step: float) -> list[float]:
    count = max(2, round((end - start) / step) + 1)
    return [start + (end - start) * k / (count - 1) for k in range(count)]


def _terrace(scene: SceneBuilder, rng: Rng, drop: float) -> list[Place]:
    """A platform, balcony or flat roof with a parapet at its far edge."""
    width, depth, body = uniform(rng, 5, 25), uniform(rng, 4, 14), _paving(rng)
    scene.box(width, drop, depth + 8, pick(rng, (facade_paint, rock))(rng), up=-drop - 0.2, z=depth / 2 - 4)
    scene.box(width + 0.3, 0.2, depth + 8.3, body, up=-0.2, z=depth / 2 - 4)
    kind = pick(rng, ("wall", "wall", "iron", "rails", "chain"))
    with scene.at(0.0, depth - 0.2):
        fence(scene, rng, width, kind)
    for side in (-1, 1):
        with scene.at(side * (width / 2 - 0.2), depth / 2 - 4, math.pi / 2):
            fence(scene, rng, depth + 8, kind)
    for _ in range(whole(rng, 0, 4)):
        with scene.at(uniform(rng, -0.4, 0.4) * width, uniform(rng, 2.5, max(2.6, depth - 1)), uniform(rng, 0, 6.28)):
            if chance(rng, 0.5):
                planter(rng).build(scene)
            else:
                street_lamp(scene, rng, uniform(rng, 2.5, 4))
    return [scene.place(x, 0.0, radius=0.5, facing=float(rng.normal(0, 0.4))) for x in (-0.25 * width, 0, 0.25 * width)]


def _cliff_path(scene: SceneBuilder, rng: Rng, drop: float) -> list[Place]:
    """A winding way along a rock wall; on its other side a railing and nothing."""
    width, body, gray, side = uniform(rng, 1.5, 3.5), _paving(rng), rock(rng), pick(rng, (-1, 1))
    bend, phase, fall = uniform(rng, 0.0, 3.0), uniform(rng, 0, 6.28), uniform(rng, -0.12, 0.12)

    def point(z: float) -> tuple[float, float, float]:
        return bend * (math.sin(0.13 * z + phase) - math.sin(phase)), z, fall * z

    points = [point(z) for z in _steps(*WAY, 2.5)]
    for a, b in pairwise(points):
        turn = math.atan2(b[0] - a[0], b[1] - a[1])
        with scene.at((a[0] + b[0]) / 2, (a[1] + b[1]) / 2, turn, up=min(a[2], b[2])):
            scene.box(width, 0.8, 2.9, body, up=-0.8)
            scene.box(width * 1.1, drop, 3.2, gray, up=-drop - 0.6, roll=0.05 * side)
            wall, lean = uniform(rng, 2, 9), uniform(rng, -0.1, 0.35)
            scene.box(4.0, drop + wall, 3.6, gray, x=side * (width / 2 + 1.9 + 0.3 * wall * lean), up=-drop,
                      yaw=float(rng.normal(0, 0.2)), roll=side * lean, pitch=float(rng.normal(0, 0.06)))  # fmt: skip
            with scene.at(side * (width / 2 + 0.3)):
                if chance(rng, 0.5):
                    boulder(scene, rng, uniform(rng, 0.4, 1.6), gray)
                elif chance(rng, 0.6):
                    bush(scene, rng)
    if chance(rng, 0.8):
        edge = [(p[0] - side * (width / 2 - 0.1), p[1], p[2]) for p in points]
        fence_along(scene, rng, edge, pick(rng, ("rails", "picket", "wall", "iron", "chain")))
    if chance(rng, 0.4):
        x, z, up = point(uniform(rng, 14, 30))
        with scene.at(x + side * (width / 2 + 3), z, uniform(rng, -0.3, 0.3), up=up - 0.5):
            _pagoda(scene, rng, uniform(rng, 3.5, 6), whole(rng, 1, 3))
    spots = [point(z) for z in range(-3, 18, 3)]
    return [
        scene.place(x, z, up=up, radius=0.4 * width, facing=float(rng.normal(-side * 0.15, 0.3))) for x, z, up in spots
    ]
