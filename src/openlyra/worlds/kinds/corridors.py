"""Ways indoors: corridors of offices, schools and flats, stairwells with galleries."""

from __future__ import annotations

import math
from dataclasses import dataclass

from openlyra.worlds.builder import Opening, SceneBuilder
from openlyra.worlds.kinds.layout import Plan, Rect, drop, link, put, stand
from openlyra.worlds.kinds.palette import (
    Rng,
    ceiling,
    chance,
    floor,
    furniture,
    glow,
    grey,
    metal,
    one_of,
    pick,
    picture,
    plain,
    plastic,
    uniform,
    vivid,
    wall,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.kinds.parts_devices import plant, printer
from openlyra.worlds.kinds.parts_room import door, window
from openlyra.worlds.kinds.parts_seats import bench, chair
from openlyra.worlds.kinds.parts_small import basket, carton, scatter
from openlyra.worlds.kinds.parts_storage import bookshelf, cupboard, filing, rack
from openlyra.worlds.kinds.skies import outside, through_windows
from openlyra.worlds.types import CameraRange, Material, World

WALL = 0.2


@dataclass(frozen=True)
class Dress:
    """The materials of one corridor."""

    wall: Material
    other: Material
    floor: Material
    ceiling: Material
    frame: Material
    shine: Material
    lit: bool
    dado: Material | None
    skirting: Material | None


def _dress(rng: Rng) -> Dress:
    lit = chance(rng, 0.8)
    tint = (1.0, uniform(rng, 0.88, 1.0), uniform(rng, 0.75, 1.0))
    shine = glow(rng, uniform(rng, 1.2, 3.0), tint) if lit else plain(rng, grey(rng, 0.8, 0.95))
    return Dress(
        wall(rng),
        wall(rng) if chance(rng, 0.3) else plain(rng, grey(rng, 0.75, 0.95)),
        floor(rng, pick(rng, ("office", "office", "any"))),
        ceiling(rng, "office"),
        plain(rng, grey(rng, 0.7, 0.95)) if chance(rng, 0.5) else wood(rng),
        shine,
        lit,
        plain(rng, vivid(rng) if chance(rng, 0.4) else grey(rng, 0.3, 0.8)) if chance(rng, 0.2) else None,
        furniture(rng) if chance(rng, 0.7) else None,
    )


def _doors(rng: Rng, length: float, dense: float) -> list[tuple[float, float]]:
    """(start, width) of the openings along a wall."""
    spots, z = [], uniform(rng, 0.4, 2.0)
    while z < length - 1.3:
        width = uniform(rng, 0.85, 1.0) if chance(rng, 0.85) else uniform(rng, 1.4, 1.8)
        if z + width > length - 0.3:
            break
        spots.append((z, width))
        z += width + uniform(rng, 0.8, 4.5) / dense
    return spots


def arm(scene: SceneBuilder, rng: Rng, dress: Dress, width: float, length: float, height: float, *, windowed: bool,
        closed: bool = True, start: float = 0.0) -> list[tuple[float, float]]:  # fmt: skip
    """A straight piece of corridor from z = start to `length` around x = 0; returns (side, z) of its doors."""
    scene.box(width + 2 * WALL, 0.1, length - start, dress.floor, up=-0.1, z=(start + length) / 2)
    scene.box(width + 2 * WALL, 0.1, length - start, dress.ceiling, up=height, z=(start + length) / 2)
    found: list[tuple[float, float]] = []
    top = min(2.08, height - 0.15)
    for side in (-1, 1):
        material = dress.wall if side < 0 else dress.other
        glazed = windowed and side > 0
        # The wall runs so that its frame has +z pointing out of the corridor.
        begin, end = ((side * (width / 2 + WALL / 2), length), (side * (width / 2 + WALL / 2), start))
        if side < 0:
            begin, end = end, begin
        spots = _windows(rng, length - start) if glazed else _doors(rng, length - start, 1.0)
        holes = [Opening(a, w, 0.9 if glazed else 0.0, min(2.2, height - 0.2) if glazed else top) for a, w in spots]
        scene.wall(begin, end, height, WALL, material, holes)
        turn = math.pi / 2 if side > 0 else -math.pi / 2
        for a, w in spots:
            z = length - a - w / 2 if side > 0 else start + a + w / 2
            with scene.at(side * width / 2, z, turn):
                if glazed:
                    with scene.at(up=0.9):
                        window(scene, rng, w, min(2.2, height - 0.2) - 0.9, dress.frame)
                else:
                    door(scene, rng, w, top, dress.frame)
                    _door_sign(scene, rng, w)
            found.append((side, z))
        _strips(scene, dress, side, width, start, length, [] if glazed else spots)
    if closed:
        _end(scene, rng, dress, width, length, height, windowed)
    _lights(scene, rng, dress, width, start, length, height)
    return found


def _windows(rng: Rng, length: float) -> list[tuple[float, float]]:
    width, gap = uniform(rng, 0.8, 2.2), uniform(rng, 0.3, 1.5)
    count = max(1, int((length - gap) / (width + gap)))
    return [(gap + index * (width + gap), width) for index in range(count)]


def _strips(scene: SceneBuilder, dress: Dress, side: int, width: float, start: float, length: float,
            doors: list[tuple[float, float]]) -> None:  # fmt: skip
    """Skirting and a painted dado between the doors."""
    edges = sorted((length - a - w if side > 0 else start + a, w) for a, w in doors)
    begin = start
    for z, w in [*edges, (length, 0.0)]:
        if z - begin > 0.2:
            middle, long, x = (begin + z) / 2, z - begin - 0.14, side * (width / 2 - 0.006)
            if dress.skirting is not None:
                scene.box(0.014, 0.09, long, dress.skirting, x=x, z=middle)
            if dress.dado is not None:
                scene.box(0.008, 1.1, long, dress.dado, x=x, z=middle)
        begin = z + w


def _door_sign(scene: SceneBuilder, rng: Rng, width: float) -> None:
    if chance(rng, 0.5):
        scene.box(0.15, 0.1, 0.012, picture(rng), x=width / 2 + 0.22, up=1.5, z=-0.006)


def _end(
    scene: SceneBuilder, rng: Rng, dress: Dress, width: float, length: float, height: float, windowed: bool
) -> None:
    half = width / 2 + WALL
    r = rng.random()
    holes = []
    if r < 0.45 and windowed:
        holes = [Opening(half - width * 0.3, width * 0.6, 0.9, min(2.2, height - 0.2))]
    elif r < 0.85 and width > 1.3:
        holes = [Opening(half - 0.47, 0.94, 0.0, min(2.08, height - 0.15))]
    scene.wall((-half, length + WALL / 2), (half, length + WALL / 2), height, WALL, dress.wall, holes)
    with scene.at(0, length):
        if holes and holes[0].bottom > 0:
            with scene.at(up=0.9):
                window(scene, rng, width * 0.6, holes[0].top - 0.9, dress.frame)
        elif holes:
            door(scene, rng, 0.94, holes[0].top, dress.frame)
        else:
            scene.box(min(1.2, width * 0.6), 0.8, 0.02, picture(rng), up=1.1, z=-0.01)


def _lights(
    scene: SceneBuilder, rng: Rng, dress: Dress, width: float, start: float, length: float, height: float
) -> None:
    gap = uniform(rng, 2.0, 4.5)
    count = min(16, max(1, int((length - start) / gap)))
    kind, along = pick(rng, ("panel", "strip", "round", "tube")), chance(rng, 0.5)
    for index in range(count):
        z = start + (index + 0.5) * (length - start) / count
        if kind == "panel":
            scene.box(min(0.6, width * 0.6), 0.03, 0.6 if along else 1.2, dress.shine, up=height - 0.02, z=z)
        elif kind == "strip":
            scene.box(0.16 if along else width * 0.6, 0.05, 1.3 if along else 0.16, dress.shine, up=height - 0.05, z=z)
        elif kind == "round":
            scene.ellipsoid(0.34, 0.16, 0.34, dress.shine, up=height - 0.1, z=z)
        else:
            scene.tube((0, height - 0.08, z - 0.6), (0, height - 0.08, z + 0.6), 0.02, dress.shine)
        if dress.lit and len(scene.lamps) < 8 and index * 8 // max(count, 1) >= len(scene.lamps):
            scene.lamp(0, height - 0.25, z, uniform(rng, 0.5, 1.1))


def _furnish(
    scene: SceneBuilder, rng: Rng, plan: Plan, width: float, length: float, doors: list[tuple[float, float]]
) -> None:
    """Things along the walls that leave a way free, pictures, signs, cables under the ceiling."""
    makers = (
        bench,
        chair,
        plant,
        lambda r: cupboard(r, uniform(r, 0.5, 1.2), uniform(r, 0.8, 1.9), 0.38, top=1),
        filing,
        carton,
        basket,
        printer,
        bookshelf,
        rack,
        lambda r: scatter(r, 0.4, 0.4, 1, "floor"),
    )
    for _ in range(int(length / 2.0 * uniform(rng, 0.2, 1.2))):
        piece, side, z = pick(rng, makers)(rng), pick(rng, (-1, 1)), uniform(rng, 0.8, length - 0.8)
        if piece.depth > width - 0.7 or any(s == side and abs(z - d) < piece.width / 2 + 0.65 for s, d in doors):
            continue
        yaw = side * math.pi / 2
        put(scene, plan, piece, side * (width / 2 - piece.depth / 2 - 0.03), z, yaw, focus=True)
    for _ in range(int(length / 2.5 * rng.random() * 1.5)):
        side, z = pick(rng, (-1, 1)), uniform(rng, 0.5, length - 0.5)
        if any(s == side and abs(z - d) < 1.1 for s, d in doors):
            continue
        wide, tall = uniform(rng, 0.25, 1.2), uniform(rng, 0.25, 0.9)
        with scene.at(side * (width / 2), z, side * math.pi / 2):
            scene.box(wide + 0.05, tall + 0.05, 0.025, furniture(rng), up=1.55 - tall / 2 - 0.025, z=-0.0125)
            scene.box(wide, tall, 0.03, picture(rng), up=1.55 - tall / 2, z=-0.0151)


def _overhead(scene: SceneBuilder, rng: Rng, dress: Dress, width: float, length: float, height: float) -> None:
    """Exit signs, pipes and fire doors."""
    if chance(rng, 0.25):
        pipe = metal(rng)
        for offset in (0.15, 0.3):
            scene.tube((width / 2 - offset, height - 0.14, 0), (width / 2 - offset, height - 0.14, length), 0.05, pipe)
    if chance(rng, 0.4):
        scene.box(0.35, 0.18, 0.03, glow(rng, 1.2, (0.1, 0.8, 0.3)), up=height - 0.3, z=uniform(rng, 0.4, 0.9) * length)
    if chance(rng, 0.3):  # a portal across the way
        z, frame = uniform(rng, 0.3, 0.8) * length, dress.frame
        for x in (-1, 1):
            scene.box(0.12, height, 0.1, frame, x=x * (width / 2 - 0.06), z=z)
        scene.box(width, max(0.06, height - 2.15), 0.1, frame, up=min(2.15, height - 0.06), z=z)
        if chance(rng, 0.5):
            with scene.at(-width / 2 + 0.12, z, uniform(rng, -1.5, -0.9)), scene.at(width * 0.22):
                scene.box(width * 0.44, min(2.1, height - 0.1), 0.045, furniture(rng))


def corridor(rng: Rng) -> World:
    """A long straight corridor, at times with a second one that turns off, seen along its length."""
    scene = SceneBuilder("corridor", int(rng.integers(2**31)))
    width, length, height = uniform(rng, 1.25, 3.0), uniform(rng, 8, 36), uniform(rng, 2.3, 3.3)
    dress, windowed = _dress(rng), chance(rng, 0.4)
    turning = chance(rng, 0.4)
    doors = arm(scene, rng, dress, width, length, height, windowed=windowed, closed=not turning)
    plan = Plan(Rect(-width / 2, 0.0, width / 2, length))
    if turning:
        _turn(scene, rng, dress, width, length, height)
    half = width / 2 + WALL
    scene.wall((half, -WALL / 2), (-half, -WALL / 2), height, WALL, dress.wall)
    _furnish(scene, rng, plan, width, length, doors)
    _overhead(scene, rng, dress, width, length, height)
    plan.focus.extend([(0.0, length), (0.0, length * 0.7)])
    yaws = [math.pi / 2, 0.0] if windowed else []
    mood = through_windows(rng, yaws)
    ground = outside(scene, rng, yaws, length / 2, pick(rng, (0.3, 3.2, 6.5)), 0.06 if mood.dark else 1.0)
    places = _along(scene, rng, plan, width, length)
    pitch = (uniform(rng, -2, 14), 6.0)
    return scene.finish(
        places=places,
        links=link(plan, places, 12.0),
        ground=ground,
        sky=mood.sky,
        light=mood.light,
        fog=mood.fog,
        indoor=True,
        cameras=CameraRange((1.2, 1.75), pitch, uniform(rng, 0.5, 3), (42.0, 80.0)),
    )


def _turn(scene: SceneBuilder, rng: Rng, dress: Dress, width: float, length: float, height: float) -> None:
    """A cross corridor at the far end, to one side."""
    side, reach = pick(rng, (-1, 1)), uniform(rng, 4, 12)
    half = width / 2 + WALL
    with scene.at(0.0, length + width / 2, side * math.pi / 2):
        arm(scene, rng, dress, width, reach, height, windowed=False, start=width / 2)
        scene.box(width, 0.1, width, dress.floor, up=-0.1)
        scene.box(width + 2 * WALL, 0.1, width + 2 * WALL, dress.ceiling, up=height)
    scene.wall((-half, length + width + WALL / 2), (half, length + width + WALL / 2), height, WALL, dress.wall)
    x = -side * (width / 2 + WALL / 2)
    scene.wall((x, length), (x, length + width), height, WALL, dress.other)


def _along(scene: SceneBuilder, rng: Rng, plan: Plan, width: float, length: float) -> list:  # type: ignore[type-arg]
    """Places along the middle that look down the corridor, and a few that look at its walls."""
    places = []
    for z in rng.uniform(0.4, max(0.6, length * 0.75), 6):
        x = uniform(rng, -0.25, 0.25) * width
        if plan.clearance(x, float(z)) < 0.25:
            continue
        forward = chance(rng, 0.8)
        facing = uniform(rng, -0.18, 0.18) + (0.0 if forward or z < length * 0.3 else math.pi)
        places.append(scene.place(x, float(z), radius=max(0.25, plan.clearance(x, float(z))), facing=facing))
    if chance(rng, 0.6):
        places += stand(scene, plan, rng, 2, radius=0.3, near=1.0)
    return places or [scene.place(0.0, 0.5, facing=0.0)]


def stairwell(rng: Rng) -> World:
    """A hall with a flight of stairs, railings, a gallery above and doors around."""
    scene = SceneBuilder("stairs", int(rng.integers(2**31)))
    width, depth, storey = uniform(rng, 3.5, 8), uniform(rng, 6, 11), uniform(rng, 2.8, 3.6)
    height, dress = storey + uniform(rng, 2.4, 3.2), _dress(rng)
    windowed = chance(rng, 0.6)
    plan = Plan(Rect(-width / 2, -depth / 2, width / 2, depth / 2))
    with scene.at(0, -depth / 2):
        arm(scene, rng, dress, width, depth, height, windowed=windowed)
    half = width / 2 + WALL
    scene.wall((half, -depth / 2 - WALL / 2), (-half, -depth / 2 - WALL / 2), height, WALL, dress.wall)
    steps = round(storey / 0.175)
    tread, flight = uniform(rng, 0.26, 0.31), uniform(rng, 1.1, min(2.0, width * 0.4))
    run, side = steps * tread, pick(rng, (-1, 1))
    x, foot = side * (width / 2 - flight / 2 - 0.02), depth / 2 - 1.4 - run
    rise, stone_, rail = storey / steps, one_of(rng, lambda r: floor(r, "rough"), wood, furniture), metal(rng)
    solid = chance(rng, 0.6)
    for index in range(steps):
        top = (index + 1) * rise
        low = 0.0 if solid else max(0.0, top - 0.3)
        scene.box(flight, top - low, tread, stone_, x=x, up=low, z=foot + (index + 0.5) * tread)
    edge = x - side * (flight / 2 - 0.04)
    _railing(scene, rng, (edge, 0.0, foot), (edge, storey, foot + run), rail)
    deck = depth / 2 - (foot + run)
    scene.box(width, 0.22, deck, dress.ceiling, up=storey - 0.22, z=depth / 2 - deck / 2)
    scene.box(width, 0.02, deck, dress.floor, up=storey - 0.01, z=depth / 2 - deck / 2)
    _railing(scene, rng, (edge - side * 0.02, storey, foot + run), (-side * width / 2, storey, foot + run), rail)
    plan.claim(Rect.around(x, foot + run / 2, flight, run), 0.0, focus=True)
    for _ in range(whole(rng, 1, 5)):
        drop(scene, plan, rng, one_of(rng, plant, bench, chair, carton, basket), margin=0.2)
    if chance(rng, 0.3):
        scene.cylinder(0.18, storey - 0.22, plastic(rng), x=-side * width * 0.25, z=foot + run + 0.2)
    plan.focus += [(0.0, depth / 2), (x, foot)]
    yaws = [math.pi / 2] if windowed else []
    mood = through_windows(rng, yaws)
    ground = outside(scene, rng, yaws, depth, 0.4, 0.06 if mood.dark else 1.0)
    places = stand(scene, plan, rng, 7, radius=0.35, near=1.2)
    gallery = [
        scene.place(dx, depth / 2 - deck / 2, up=storey, radius=0.4, facing=math.pi)
        for dx in (-width * 0.2, width * 0.2)
    ]
    places = (places or [scene.place(-x * 0.5, -depth / 2 + 0.6, facing=0.0)]) + (gallery if deck > 1.0 else [])
    return scene.finish(
        places=places,
        links=link(plan, places[:7]),
        ground=ground,
        sky=mood.sky,
        light=mood.light,
        fog=mood.fog,
        indoor=True,
        cameras=CameraRange((1.3, 1.75), (uniform(rng, -6, 10), 8.0), 2.0, (48.0, 88.0)),
    )


def _railing(
    scene: SceneBuilder, rng: Rng, start: tuple[float, float, float], end: tuple[float, float, float], metal_: Material
) -> None:
    """A handrail on posts with bars or a closed panel between, from one (x, up, z) to another."""
    length = math.dist(start, end)
    count = max(2, int(length / pick(rng, (0.14, 0.14, 0.9))))
    scene.tube((start[0], start[1] + 0.95, start[2]), (end[0], end[1] + 0.95, end[2]), 0.025, metal_)
    for index in range(count + 1):
        t = index / count
        a = [s + (e - s) * t for s, e in zip(start, end)]
        scene.tube((a[0], a[1] + 0.05, a[2]), (a[0], a[1] + 0.95, a[2]), 0.009 if count > 12 else 0.018, metal_)
    if count <= 12:
        for up in (0.3, 0.6):
            scene.tube((start[0], start[1] + up, start[2]), (end[0], end[1] + up, end[2]), 0.01, metal_)
