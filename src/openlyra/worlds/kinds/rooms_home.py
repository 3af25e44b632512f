"""Rooms of a home: living room, bedroom, kitchen, bathroom, attic."""

from __future__ import annotations

import math

from openlyra.worlds.builder import SceneBuilder, rotation
from openlyra.worlds.kinds.layout import Piece, drop, put
from openlyra.worlds.kinds.palette import (
    Rng,
    chance,
    furniture,
    grey,
    metal,
    one_of,
    pick,
    plain,
    planks,
    stone,
    tiles,
    uniform,
    wall,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.kinds.parts_devices import floor_lamp, plant, table_lamp, television
from openlyra.worlds.kinds.parts_home import (
    bathtub,
    coat_rack,
    fireplace,
    fridge,
    kitchen_row,
    mirror,
    toilet,
    washstand,
)  # fmt: skip
from openlyra.worlds.kinds.parts_room import Room, Side, against, new_room, on_plan, pictures, rug, side_frame
from openlyra.worlds.kinds.parts_seats import armchair, bed, chair, sofa, stool
from openlyra.worlds.kinds.parts_small import basket, scatter
from openlyra.worlds.kinds.parts_storage import bookshelf, cupboard, drawers, wall_shelf, wardrobe
from openlyra.worlds.kinds.parts_tables import laid_table
from openlyra.worlds.kinds.rooms import complete, open_sides
from openlyra.worlds.kinds.rooms_office import seat_at, work_desk
from openlyra.worlds.types import Material, World


def topped(rng: Rng, base: Piece, top: Piece) -> Piece:
    """One piece upon another."""

    def build(scene: SceneBuilder) -> None:
        base.build(scene)
        with scene.at(up=base.height):
            top.build(scene)

    return Piece(base.width, base.depth, base.height + top.height, build)


def seating_group(scene: SceneBuilder, rng: Rng, room: Room, x: float, z: float, yaw: float) -> None:
    """Sofa, low table, armchairs and a rug around (x, z); the sofa's back towards `yaw`."""
    if chance(rng, 0.65):
        with scene.at(x, z, yaw):
            rug(scene, rng, uniform(rng, 1.6, 2.8), uniform(rng, 1.2, 2.0))
    table = laid_table(rng, False, low=True)
    put(scene, room.plan, table, x, z, yaw, focus=True)
    places = [
        (0.0, 1.15, 0.0, sofa(rng)),
        (-1.5, 0.0, -math.pi / 2, armchair(rng)),
        (1.5, 0.0, math.pi / 2, armchair(rng)),
        (0.2, -1.3, math.pi, armchair(rng)),
    ]
    for dx, dz, turn, piece in places[: whole(rng, 1, 4)]:
        px, pz = x + math.cos(yaw) * dx + math.sin(yaw) * dz, z - math.sin(yaw) * dx + math.cos(yaw) * dz
        put(
            scene,
            room.plan,
            piece,
            px,
            pz,
            yaw + turn + (uniform(rng, -0.2, 0.2) if piece.width < 1.2 else 0.0),
            focus=True,
        )


def dining_group(scene: SceneBuilder, rng: Rng, room: Room) -> None:
    """A laid table with chairs."""
    table = laid_table(rng, True)
    spot = room.plan.free_point(rng, max(table.width, table.depth) / 2 + 0.5) or room.plan.free_point(rng, 0.7)
    if spot is None:
        return
    yaw = pick(rng, (0.0, math.pi / 2))
    if not put(scene, room.plan, table, *spot, yaw, focus=True):
        return
    seat = pick(rng, (chair, chair, stool))
    for side in range(4):
        turn = yaw + side * math.pi / 2
        reach = (table.depth if side % 2 == 0 else table.width) / 2
        if chance(rng, 0.75):
            seat_at(scene, room, rng, *spot, turn, reach - 0.15, seat)


def wall_things(scene: SceneBuilder, rng: Rng, room: Room, count: int) -> None:
    """Boards with ornaments, and mirrors, on free stretches of wall."""
    for _ in range(count):
        side, width = pick(rng, room.sides), uniform(rng, 0.5, 1.2)
        x = uniform(rng, -1, 1) * (side.length - width) / 2 * 0.9
        if side.taken(x, width + 0.1):
            continue
        with side_frame(scene, side), scene.at(x):
            if chance(rng, 0.75):
                wall_shelf(scene, rng, width, uniform(rng, 1.2, 1.8))
            else:
                mirror(scene, rng, width * 0.6, uniform(rng, 0.5, 1.1), 1.0)


def living(rng: Rng) -> World:
    """Sofa group, shelves, television or fireplace, lamps, plants, pictures, perhaps a dining table."""
    scene = SceneBuilder("living", int(rng.integers(2**31)))
    room = new_room(rng, uniform(rng, 3.2, 5.5), uniform(rng, 3.4, 6.5), uniform(rng, 2.4, 3.3), "home")
    open_sides(room, rng, doors=whole(rng, 1, 2), windowed=0.9)
    if chance(rng, 0.5):  # the sofa stands at a wall
        piece = sofa(rng)
        spot = against(scene, room, rng, piece, front=0.4, low=True)
        if spot is not None:
            side, x = spot
            reach = side.reach - piece.depth - 0.75
            cx = math.sin(side.yaw) * reach + math.cos(side.yaw) * x
            cz = math.cos(side.yaw) * reach - math.sin(side.yaw) * x
            put(scene, room.plan, laid_table(rng, False, low=True), cx, cz, side.yaw, focus=True)
            with scene.at(cx, cz, side.yaw):
                rug(scene, rng, uniform(rng, 1.4, 2.4), uniform(rng, 1.0, 1.6))
    else:
        spot_free = room.plan.free_point(rng, 1.4) or (0.0, 0.0)
        seating_group(scene, rng, room, *spot_free, pick(rng, (0.0, math.pi / 2, math.pi, -math.pi / 2)))
    if chance(rng, 0.6):
        board = drawers(rng, top=0)
        against(scene, room, rng, topped(rng, board, television(rng)), low=False, front=0.3)
    if chance(rng, 0.35):
        against(scene, room, rng, fireplace(rng), low=False, front=0.3)
    for _ in range(whole(rng, 2, 4)):
        against(scene, room, rng, one_of(rng, bookshelf, bookshelf, drawers, wardrobe), front=0.15)
    if chance(rng, 0.45):
        dining_group(scene, rng, room)
    if chance(rng, 0.3):
        against(scene, room, rng, armchair(rng), low=True, gap=0.2)
    _corners(scene, rng, room, whole(rng, 2, 5))
    wall_things(scene, rng, room, whole(rng, 0, 3))
    pictures(scene, rng, room, whole(rng, 1, 7))
    return complete(scene, rng, room, clutter=whole(rng, 1, 5), look_down=0.35)


def _corners(scene: SceneBuilder, rng: Rng, room: Room, count: int) -> None:
    for _ in range(count):
        maker = pick(rng, (plant, plant, floor_lamp, basket, stool))
        against(scene, room, rng, maker(rng), low=chance(rng, 0.5), gap=0.1, corner=chance(rng, 0.5), focus=False)


def bedroom(rng: Rng) -> World:
    """Bed, bedside tables with lamps, wardrobe, a desk or chest, rug, clothes."""
    scene = SceneBuilder("bedroom", int(rng.integers(2**31)))
    room = new_room(rng, uniform(rng, 2.8, 5), uniform(rng, 3.2, 5.5), uniform(rng, 2.3, 3.0), "home")
    open_sides(room, rng, doors=1, windowed=0.9)
    piece = bed(rng)
    spot = against(scene, room, rng, piece, low=True, front=0.3, tries=25, corner=chance(rng, 0.4))
    if spot is not None:
        side, x = spot
        for sign in (-1, 1):
            table = cupboard(rng, uniform(rng, 0.35, 0.5), uniform(rng, 0.4, 0.6), 0.4, rows=2)
            full = topped(rng, table, table_lamp(rng, chance(rng, 0.5))) if chance(rng, 0.7) else table
            at = x + sign * (piece.width / 2 + table.width / 2 + 0.06)
            _on_wall(scene, room, side, full, at)
    against(scene, room, rng, wardrobe(rng), front=0.4, tries=20)
    if chance(rng, 0.6):
        desk = work_desk(rng, uniform(rng, 0.9, 1.3))
        found = against(scene, room, rng, desk, front=0.6, low=True)
        if found is not None:
            side, x = found
            reach = side.reach - desk.depth / 2
            seat_at(scene, room, rng, math.sin(side.yaw) * reach + math.cos(side.yaw) * x,
                    math.cos(side.yaw) * reach - math.sin(side.yaw) * x, side.yaw, desk.depth / 2, chair)  # fmt: skip
    for _ in range(whole(rng, 0, 2)):
        against(scene, room, rng, one_of(rng, drawers, bookshelf, armchair), front=0.2)
    with scene.at(uniform(rng, -0.6, 0.6), uniform(rng, -0.6, 0.6), pick(rng, (0.0, math.pi / 2))):
        if chance(rng, 0.6):
            rug(scene, rng, uniform(rng, 0.8, 2), uniform(rng, 1, 1.6))
    _corners(scene, rng, room, whole(rng, 1, 4))
    wall_things(scene, rng, room, whole(rng, 0, 2))
    pictures(scene, rng, room, whole(rng, 1, 5))
    return complete(scene, rng, room, clutter=whole(rng, 1, 5), look_down=0.4)


def _on_wall(scene: SceneBuilder, room: Room, side: Side, piece: Piece, x: float) -> None:
    """Stand a piece at a given place along a wall if it is free."""
    if abs(x) > (side.length - piece.width) / 2 or side.taken(x, piece.width, piece.height < 0.85):
        return
    if room.plan.claim(on_plan(side, x, -piece.depth / 2 - 0.02, piece.width, piece.depth), 0.0):
        with side_frame(scene, side), scene.at(x, -piece.depth / 2 - 0.02):
            piece.build(scene)


def kitchen(rng: Rng) -> World:
    """Rows of cupboards with sink and hob along one or two walls, fridge, table with chairs, perhaps an island."""
    scene = SceneBuilder("kitchen", int(rng.integers(2**31)))
    room = new_room(
        rng, uniform(rng, 2.4, 4.8), uniform(rng, 2.8, 5.5), uniform(rng, 2.4, 2.9), pick(rng, ("wet", "home"))
    )
    sides = list(room.sides)
    rng.shuffle(sides)  # type: ignore[arg-type]
    open_sides(room, rng, doors=1, windowed=0.8, keep=sides[0])
    front, top = (
        furniture(rng),
        one_of(rng, wood, lambda r: stone(r, 5.0), lambda r: plain(r, grey(r, 0.1, 0.6), 0.1)),
    )
    for index, side in enumerate(sides[: whole(rng, 1, 2)]):
        gap = 0.65 if index == 0 else 1.5
        width = (side.length - gap) * uniform(rng, 0.7, 1.0)
        tall = not side.windows and chance(rng, 0.8)
        row = kitchen_row(rng, width, front, top, wall_units=tall, sink=index == 1 or chance(rng, 0.6), hob=index == 0)
        against(scene, room, rng, row, low=not tall, side=side, front=0.3, corner=True, gap=0.0)
    against(scene, room, rng, fridge(rng), low=False, front=0.3, tries=20, corner=True)
    if chance(rng, 0.75):
        dining_group(scene, rng, room)
    elif chance(rng, 0.6):
        island = cupboard(
            rng, uniform(rng, 1.2, 2), 0.92, 0.8, body=front, front=front, top=whole(rng, 1, 5), style="kitchen"
        )
        drop(scene, room.plan, rng, island, turned=False, margin=0.5, focus=True)
    for _ in range(whole(rng, 0, 2)):
        against(scene, room, rng, one_of(rng, drawers, bookshelf, plant, basket, wardrobe), front=0.2)
    wall_things(scene, rng, room, whole(rng, 0, 2))
    pictures(scene, rng, room, whole(rng, 0, 4))
    return complete(scene, rng, room, clutter=whole(rng, 0, 3), look_down=0.5)


def bathroom(rng: Rng) -> World:
    """Bath, basin with mirror, toilet, tiles, towels, cupboards."""
    scene = SceneBuilder("bathroom", int(rng.integers(2**31)))
    room = new_room(rng, uniform(rng, 1.9, 3.2), uniform(rng, 2.2, 3.8), uniform(rng, 2.3, 2.8), "wet")
    if chance(rng, 0.75):
        room.wall = tiles(rng, uniform(rng, 0.08, 0.35))
    open_sides(room, rng, doors=1, windowed=0.5)
    against(scene, room, rng, bathtub(rng), low=True, corner=True, gap=0.0, tries=20)
    against(scene, room, rng, washstand(rng), low=False, front=0.4, tries=20)
    against(scene, room, rng, toilet(rng), low=True, front=0.3, tries=20)
    for _ in range(whole(rng, 0, 2)):
        against(scene, room, rng, one_of(rng, drawers, basket, plant, stool), front=0.1)
    towel = plain(rng, grey(rng, 0.3, 0.9)) if chance(rng, 0.4) else furniture(rng)
    side = pick(rng, room.sides)
    if not side.taken(0.0, 0.8):
        with side_frame(scene, side):
            scene.tube((-0.35, 1.3, -0.08), (0.35, 1.3, -0.08), 0.012, metal(rng))
            scene.box(0.5, 0.55, 0.03, towel, up=0.76, z=-0.08)
    mat = scatter(rng, 0.3, 0.3, 1, "floor")
    drop(scene, room.plan, rng, mat)
    pictures(scene, rng, room, whole(rng, 0, 2))
    return complete(scene, rng, room, clutter=whole(rng, 0, 1), look_down=0.5)


def attic(rng: Rng) -> World:
    """A room under a sloping roof: bedroom, study or store."""
    scene = SceneBuilder("attic", int(rng.integers(2**31)))
    width, depth, knee = uniform(rng, 3.5, 6), uniform(rng, 3.5, 8), uniform(rng, 0.6, 1.4)
    slope = uniform(rng, 0.6, 1.0)
    peak = min(knee + math.tan(slope) * width / 2, 3.4)
    room = new_room(rng, width, depth, peak, "home")
    for index in (1, 3):
        room.sides[index].doors.append((0.0, 99.0))  # nothing tall at the low walls; they are built here
    gable = pick(rng, (room.sides[0], room.sides[2]))
    gable.windows.append((uniform(rng, -0.2, 0.2) * width, uniform(rng, 0.7, 1.2)))
    roof = wall(rng) if chance(rng, 0.6) else planks(rng, 0.14)
    _slopes(scene, width, depth, knee, peak, roof)
    if chance(rng, 0.6):
        _beams(scene, rng, width, depth, knee, peak)
    for _ in range(whole(rng, 1, 2)):
        against(
            scene,
            room,
            rng,
            one_of(rng, bed, work_desk, drawers),
            side=pick(rng, (room.sides[0], room.sides[2])),
            low=True,
            front=0.4,
        )
    for index in (1, 3):
        room.sides[index].doors.clear()
        for _ in range(whole(rng, 1, 3)):
            low = pick(
                rng,
                (
                    lambda r: bookshelf(r, height=knee * 0.85),
                    lambda r: cupboard(r, 1.0, knee * 0.8, 0.4, top=1),
                    armchair,
                    basket,
                    bed,
                ),
            )
            piece = low(rng)
            if piece.height < knee + 0.35:
                against(scene, room, rng, piece, side=room.sides[index], low=True, gap=0.15)
    for _ in range(whole(rng, 1, 3)):
        drop(scene, room.plan, rng, one_of(rng, armchair, floor_lamp, plant, coat_rack, stool))
    with scene.at(0, uniform(rng, -1, 1)):
        rug(scene, rng, uniform(rng, 1, 2), uniform(rng, 1.2, 2.4))
    for index in (1, 3):
        room.sides[index].solid = False
        with side_frame(scene, room.sides[index]):
            scene.box(depth + 0.4, knee + 0.1, 0.2, room.wall, z=0.1)
    return complete(scene, rng, room, clutter=whole(rng, 1, 4), look_down=0.3, ceiling=False)


def _slopes(scene: SceneBuilder, width: float, depth: float, knee: float, peak: float, material: Material) -> None:
    """Two thin sloping plates that meet over the middle, or leave a flat strip."""
    rise, half = peak - knee, width / 2
    run = half * 0.999
    length = math.hypot(rise, run)
    tilt = math.atan2(rise, run)
    for sign in (-1, 1):
        turn = rotation(roll=sign * tilt)
        middle = (sign * half / 2, -(knee + peak) / 2)
        normal = (sign * math.sin(tilt) * 0.06, -math.cos(tilt) * 0.06)
        scene.add(
            "box",
            (middle[0] + normal[0], middle[1] + normal[1], 0.0),
            (length / 2 + 0.15, 0.06, depth / 2 + 0.2),
            material,
            turn=turn,
        )


def _beams(scene: SceneBuilder, rng: Rng, width: float, depth: float, knee: float, peak: float) -> None:
    beam, count = wood(rng), whole(rng, 2, 5)
    for index in range(count):
        z = ((index + 0.5) / count - 0.5) * depth
        for sign in (-1, 1):
            scene.tube((sign * width / 2, knee, z), (0, peak, z), 0.07, beam)
        if chance(rng, 0.7):
            up = knee + (peak - knee) * 0.75
            reach = width / 2 * 0.27
            if up > 2.0:
                scene.box(2 * reach, 0.14, 0.1, beam, up=up, z=z)
