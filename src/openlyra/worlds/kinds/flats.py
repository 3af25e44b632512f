"""Several rooms joined by doors, for long walks that come back: flats, office floors, workshops with stores."""

from __future__ import annotations

import math
from itertools import pairwise

from openlyra.worlds.builder import Opening, SceneBuilder
from openlyra.worlds.kinds.layout import Piece, Plan, Rect, drop, stand
from openlyra.worlds.kinds.palette import (
    Rng,
    ceiling,
    chance,
    floor,
    furniture,
    glow,
    grey,
    one_of,
    pick,
    picture,
    plain,
    uniform,
    wall,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.kinds.parts_devices import floor_lamp, plant
from openlyra.worlds.kinds.parts_home import coat_rack
from openlyra.worlds.kinds.parts_room import against, new_room, pictures, rug, window
from openlyra.worlds.kinds.parts_seats import armchair, bed, chair, sofa
from openlyra.worlds.kinds.parts_small import basket, carton
from openlyra.worlds.kinds.parts_storage import bookshelf, drawers, filing, rack, wardrobe
from openlyra.worlds.kinds.parts_tables import laid_table, workbench
from openlyra.worlds.kinds.rooms import complete, open_sides
from openlyra.worlds.kinds.rooms_office import work_desk
from openlyra.worlds.kinds.skies import outside, through_windows
from openlyra.worlds.types import CameraRange, Material, Place, World

THICK = 0.14


def flat(rng: Rng) -> World:
    """A grid of furnished rooms with doorways between all neighbours."""
    scene = SceneBuilder("flat", int(rng.integers(2**31)))
    columns, rows = pick(rng, ((2, 1), (2, 2), (2, 2), (3, 2)))
    widths, depths = [uniform(rng, 3.0, 5.0) for _ in range(columns)], [uniform(rng, 3.0, 5.0) for _ in range(rows)]
    height, frame = uniform(rng, 2.4, 2.9), plain(rng, grey(rng, 0.85, 0.97)) if chance(rng, 0.6) else wood(rng)
    office = chance(rng, 0.35)
    xs = [sum(widths[:i]) + i * THICK - (sum(widths) + (columns - 1) * THICK) / 2 for i in range(columns)]
    zs = [sum(depths[:j]) + j * THICK - (sum(depths) + (rows - 1) * THICK) / 2 for j in range(rows)]
    doors_x = [[uniform(rng, 0.7, depths[j] - 0.7) for j in range(rows)] for _ in range(columns)]
    doors_z = [[uniform(rng, 0.7, widths[i] - 0.7) for _ in range(rows)] for i in range(columns)]
    places: list[Place] = []
    index: dict[tuple[int, int], list[int]] = {}
    for i in range(columns):
        for j in range(rows):
            west = (xs[i], zs[j] + doors_x[i - 1][j]) if i else None
            east = (xs[i] + widths[i], zs[j] + doors_x[i][j]) if i < columns - 1 else None
            south = (xs[i] + doors_z[i][j - 1], zs[j]) if j else None
            north = (xs[i] + doors_z[i][j], zs[j] + depths[j]) if j < rows - 1 else None
            area = Rect(xs[i], zs[j], xs[i] + widths[i], zs[j] + depths[j])
            plan = Plan(area)
            for door in (west, east, south, north):
                if door is not None:
                    plan.blocked.append(Rect.around(*door, 1.5, 1.5))
            _surfaces(scene, rng, area, height, office)
            _furnish(scene, rng, plan, office)
            plan.blocked = plan.blocked[sum(door is not None for door in (west, east, south, north)) :]
            plan.focus += [
                (2 * d[0] - area.center[0], 2 * d[1] - area.center[1])
                for d in (west, east, south, north)
                if d is not None
            ]
            found = stand(scene, plan, rng, 3, radius=0.35) or [scene.place(*area.center)]
            index[i, j] = list(range(len(places), len(places) + len(found)))
            places += found
    _inner_walls(scene, rng, xs, zs, widths, depths, doors_x, doors_z, height, frame)
    yaws = _outer_walls(scene, rng, xs, zs, widths, depths, height, frame)
    links, gates = _links(scene, index, places, xs, zs, widths, depths, doors_x, doors_z)
    mood = through_windows(rng, yaws)
    ground = outside(
        scene, rng, yaws, max(sum(widths), sum(depths)) / 2 + 2, pick(rng, (0.3, 3.2)), 0.06 if mood.dark else 1.0
    )
    pitch = (uniform(rng, 0, 20), 7.0)
    return scene.finish(
        places=places + gates,
        links=links,
        ground=ground,
        sky=mood.sky,
        light=mood.light,
        indoor=True,
        cameras=CameraRange((1.2, 1.75), pitch, 2.0, (45.0, 82.0)),
    )


def _surfaces(scene: SceneBuilder, rng: Rng, area: Rect, height: float, office: bool) -> None:
    x, z = area.center
    wide, deep = area.x1 - area.x0, area.z1 - area.z0
    style = "office" if office else pick(rng, ("home", "home", "wet"))
    scene.box(wide + THICK, 0.1, deep + THICK, floor(rng, style), x=x, z=z, up=-0.1)
    scene.box(wide + THICK, 0.1, deep + THICK, ceiling(rng, style), x=x, z=z, up=height)
    lit = chance(rng, 0.75)
    scene.cylinder(0.2, 0.08, glow(rng, 1.8) if lit else plain(rng, grey(rng, 0.8, 0.95)), x=x, z=z, up=height - 0.08)
    if lit and len(scene.lamps) < 7:
        scene.lamp(x, height - 0.3, z, uniform(rng, 0.7, 1.6))
    if not office and chance(rng, 0.5):
        with scene.at(x, z):
            rug(scene, rng, wide * 0.5, deep * 0.45)


def _furnish(scene: SceneBuilder, rng: Rng, plan: Plan, office: bool) -> None:
    home = (sofa, armchair, bookshelf, wardrobe, drawers, bed, bookshelf, lambda r: laid_table(r, True))
    work = (work_desk, work_desk, filing, bookshelf, rack, lambda r: laid_table(r, True))
    for _ in range(whole(rng, 4, 9)):
        piece = pick(rng, work if office else home)(rng)
        if piece.depth > 1.0 and piece.width < 1.0:
            _in_middle(scene, rng, plan, piece)
        else:
            _at_edge(scene, rng, plan, piece)
    for _ in range(whole(rng, 1, 4)):
        drop(scene, plan, rng, one_of(rng, plant, chair, basket, floor_lamp, carton, coat_rack))


def _in_middle(scene: SceneBuilder, rng: Rng, plan: Plan, piece: Piece) -> None:
    drop(scene, plan, rng, piece, turned=False, focus=True, margin=0.3)


def _at_edge(scene: SceneBuilder, rng: Rng, plan: Plan, piece: Piece) -> None:
    """Back to one of the four walls of the plan's area."""
    a = plan.area
    for _ in range(8):
        side = whole(rng, 0, 3)
        yaw = (0.0, math.pi / 2, math.pi, -math.pi / 2)[side]
        back = piece.depth / 2 + 0.03
        along_x = side % 2 == 0
        low, high = (a.x0, a.x1) if along_x else (a.z0, a.z1)
        if high - low < piece.width + 0.1:
            continue
        at = uniform(rng, low + piece.width / 2, high - piece.width / 2)
        x = at if along_x else (a.x1 - back if side == 1 else a.x0 + back)
        z = at if not along_x else (a.z1 - back if side == 0 else a.z0 + back)
        if plan.claim(Rect.around(x, z, piece.width, piece.depth, yaw), 0.0, focus=True):
            with scene.at(x, z, yaw):
                piece.build(scene)
            return


def _inner_walls(
    scene: SceneBuilder,
    rng: Rng,
    xs: list[float],
    zs: list[float],
    widths: list[float],
    depths: list[float],
    doors_x: list[list[float]],
    doors_z: list[list[float]],
    height: float,
    frame: Material,
) -> None:
    for i in range(len(xs)):
        for j in range(len(zs)):
            if i < len(xs) - 1:
                x = xs[i] + widths[i] + THICK / 2
                _with_door(
                    scene,
                    rng,
                    (x, zs[j] - THICK / 2),
                    (x, zs[j] + depths[j] + THICK / 2),
                    doors_x[i][j] + THICK / 2,
                    height,
                    frame,
                )
            if j < len(zs) - 1:
                z = zs[j] + depths[j] + THICK / 2
                _with_door(
                    scene,
                    rng,
                    (xs[i] - THICK / 2, z),
                    (xs[i] + widths[i] + THICK / 2, z),
                    doors_z[i][j] + THICK / 2,
                    height,
                    frame,
                )


def _with_door(
    scene: SceneBuilder,
    rng: Rng,
    start: tuple[float, float],
    end: tuple[float, float],
    at: float,
    height: float,
    frame: Material,
) -> None:
    """A wall with one open doorway whose middle is `at` metres from its start, and at times a leaf that stands open."""
    top, wide = 2.05, 0.9
    scene.wall(start, end, height, THICK, wall(rng), [Opening(at - wide / 2, wide, 0.0, top)])
    length = math.dist(start, end)
    yaw = math.atan2(-(end[1] - start[1]), end[0] - start[0])
    middle = (start[0] + (end[0] - start[0]) * at / length, start[1] + (end[1] - start[1]) * at / length)
    with scene.at(*middle, yaw):
        for x in (-1, 1):
            scene.box(0.06, top, THICK + 0.04, frame, x=x * (wide / 2 + 0.01))
        scene.box(wide + 0.14, 0.07, THICK + 0.04, frame, up=top)
        if chance(rng, 0.5):
            with scene.at(-wide / 2 + 0.02, 0.1, uniform(rng, -1.7, -1.3)), scene.at(wide / 2):
                scene.box(wide - 0.04, top - 0.02, 0.04, furniture(rng))
        for side in (-1, 1):
            if chance(rng, 0.5):
                scene.box(
                    uniform(rng, 0.3, 0.7),
                    uniform(rng, 0.3, 0.7),
                    0.02,
                    picture(rng),
                    x=pick(rng, (-1.1, 1.1)),
                    up=1.3,
                    z=side * (THICK / 2 + 0.01),
                )


def _outer_walls(
    scene: SceneBuilder,
    rng: Rng,
    xs: list[float],
    zs: list[float],
    widths: list[float],
    depths: list[float],
    height: float,
    frame: Material,
) -> list[float]:
    """Walls around everything, one piece a room, most with a window; returns the yaws that have windows."""
    x0, x1, z0, z1 = xs[0], xs[-1] + widths[-1], zs[0], zs[-1] + depths[-1]
    half, yaws = THICK / 2, set()
    pieces = []
    for x, w in zip(xs, widths):
        pieces += [
            ((x - half, z1 + half), (x + w + half, z1 + half), 0.0),
            ((x + w + half, z0 - half), (x - half, z0 - half), math.pi),
        ]
    for z, d in zip(zs, depths):
        pieces += [
            ((x1 + half, z + d + half), (x1 + half, z - half), math.pi / 2),
            ((x0 - half, z - half), (x0 - half, z + d + half), -math.pi / 2),
        ]
    for start, end, yaw in pieces:
        length, wide = math.dist(start, end), uniform(rng, 0.9, 2.0)
        holes = [Opening((length - wide) / 2, wide, 0.9, 2.15)] if chance(rng, 0.7) else []
        scene.wall(start, end, height, THICK, wall(rng), holes)
        if holes:
            yaws.add(yaw)
            middle = ((start[0] + end[0]) / 2 - math.sin(yaw) * half, (start[1] + end[1]) / 2 - math.cos(yaw) * half)
            with scene.at(*middle, yaw, up=0.9):
                window(scene, rng, wide, 1.25, frame)
    return sorted(yaws)


def _links(
    scene: SceneBuilder,
    index: dict[tuple[int, int], list[int]],
    places: list[Place],
    xs: list[float],
    zs: list[float],
    widths: list[float],
    depths: list[float],
    doors_x: list[list[float]],
    doors_z: list[list[float]],
) -> tuple[list[tuple[int, int]], list[Place]]:
    """A place in every doorway, linked to a place in the rooms on both of its sides; rooms are linked within."""
    links: list[tuple[int, int]] = []
    gates: list[Place] = []
    for members in index.values():
        links += [(a, b) for a, b in pairwise(members)]
    for (i, j), members in index.items():
        for other, x, z in (
            ((i + 1, j), xs[i] + widths[i] + THICK / 2, zs[j] + doors_x[i][j]),
            ((i, j + 1), xs[i] + doors_z[i][j], zs[j] + depths[j] + THICK / 2),
        ):
            if other in index:
                gate = len(places) + len(gates)
                gates.append(scene.place(x, z, radius=0.3))
                links += [(members[0], gate), (gate, index[other][0])]
    return links, gates


def workshop(rng: Rng) -> World:
    """A workshop, garage or store room: benches, racks, cartons, tools on the wall."""
    scene = SceneBuilder("workshop", int(rng.integers(2**31)))
    room = new_room(rng, uniform(rng, 3, 7), uniform(rng, 4, 9), uniform(rng, 2.4, 4), "rough")
    open_sides(room, rng, doors=1, windowed=0.6)
    for _ in range(whole(rng, 1, 3)):
        against(scene, room, rng, workbench(rng), low=chance(rng, 0.7), front=0.5)
    for _ in range(whole(rng, 2, 5)):
        against(scene, room, rng, one_of(rng, rack, rack, wardrobe, filing, bookshelf), front=0.3)
    if chance(rng, 0.5):
        drop(scene, room.plan, rng, workbench(rng), turned=False, margin=0.6, focus=True)
    for _ in range(whole(rng, 3, 10)):
        drop(scene, room.plan, rng, one_of(rng, carton, carton, basket, chair))
    pictures(scene, rng, room, whole(rng, 0, 4))
    return complete(scene, rng, room, clutter=whole(rng, 2, 5), look_down=0.4)
