"""Places of work: offices, laboratories, lecture and meeting rooms."""

from __future__ import annotations

import math
from collections.abc import Callable

from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.kinds.layout import Piece, Rect, drop, put
from openlyra.worlds.kinds.palette import (
    Rng,
    chance,
    fabric,
    metal,
    one_of,
    pick,
    plain,
    screen,
    uniform,
    vary,
    whole,
    wood,
)
from openlyra.worlds.kinds.parts_devices import computer, desk_things, plant, printer
from openlyra.worlds.kinds.parts_room import Room, against, new_room, pictures, whiteboard
from openlyra.worlds.kinds.parts_seats import chair, stool, swivel_chair
from openlyra.worlds.kinds.parts_small import basket, scatter
from openlyra.worlds.kinds.parts_storage import bookshelf, cupboard, filing, rack, wardrobe
from openlyra.worlds.kinds.parts_tables import table_top
from openlyra.worlds.kinds.rooms import complete, open_sides
from openlyra.worlds.types import Material, World


def work_desk(rng: Rng, width: float | None = None, shelf: bool = False) -> Piece:
    """A desk with its things, its user at -z; at times with a screen of cloth or a raised shelf behind."""
    width = width or uniform(rng, 1.1, 1.9)
    depth, height = uniform(rng, 0.65, 0.85), uniform(rng, 0.7, 0.76)
    desk, things = table_top(rng, width, depth, height), desk_things(rng, width, depth)
    tower, tower_x = (computer(rng) if chance(rng, 0.3) else None), pick(rng, (-0.35, 0.35)) * width
    divider = fabric(rng) if chance(rng, 0.2) else None
    tall, raised = uniform(rng, 1.1, 1.5), shelf or chance(rng, 0.12)
    board, load = wood(rng), scatter(rng, width * 0.7, 0.24, whole(rng, 1, 5), "office")
    cable = plain(rng, (0.02, 0.02, 0.02)) if chance(rng, 0.5) else None

    def build(scene: SceneBuilder) -> None:
        desk.build(scene)
        with scene.at(up=height):
            things.build(scene)
            if raised and divider is None:
                for x in (-0.38, 0.38):
                    scene.box(0.02, 0.34, 0.26, board, x=x * width, z=depth / 2 - 0.14)
                scene.box(width * 0.8, 0.02, 0.28, board, up=0.34, z=depth / 2 - 0.14)
                with scene.at(0, depth / 2 - 0.14, up=0.36):
                    load.build(scene)
        if tower is not None:
            with scene.at(tower_x, 0.05):
                tower.build(scene)
        if divider is not None:
            scene.box(width + 0.05, tall - 0.05, 0.04, divider, up=0.05, z=depth / 2 + 0.03)
        if cable is not None:
            scene.tube((0.1 * width, height, depth / 2 - 0.05), (0.2 * width, 0.02, depth / 2 - 0.1), 0.004, cable)
            scene.tube((0.2 * width, 0.012, depth / 2 - 0.1), (0.42 * width, 0.012, depth * 0.1), 0.004, cable)

    return Piece(width + 0.06, depth + 0.06, tall if divider is not None else height, build)


def seat_at(scene: SceneBuilder, room: Room, rng: Rng, x: float, z: float, yaw: float, reach: float,
            maker: Callable[[Rng], Piece] = swivel_chair) -> None:  # fmt: skip
    """A chair before a desk that stands at (x, z) with its back towards `yaw`; pulled out or turned at random."""
    seat = maker(rng)
    out, side = reach + uniform(rng, 0.2, 0.65), uniform(rng, -0.25, 0.25)
    cx, cz = x - math.sin(yaw) * out + math.cos(yaw) * side, z - math.cos(yaw) * out - math.sin(yaw) * side
    turn = yaw + math.pi + (uniform(rng, -0.4, 0.4) if chance(rng, 0.6) else uniform(rng, -3, 3))
    core = Rect.around(cx, cz, seat.width * 0.6, seat.depth * 0.6)
    if room.plan.claim(core, 0.0):
        with scene.at(cx, cz, turn):
            seat.build(scene)


def _desks_on_walls(scene: SceneBuilder, rng: Rng, room: Room, count: int) -> None:
    for _ in range(count):
        desk = work_desk(rng)
        spot = against(scene, room, rng, desk, front=0.7, low=chance(rng, 0.8))
        if spot is not None:
            side, x = spot
            room.plan.focus += room.plan.focus[-1:] * 2
            reach = side.reach - desk.depth / 2
            cx = math.sin(side.yaw) * reach + math.cos(side.yaw) * x
            cz = math.cos(side.yaw) * reach - math.sin(side.yaw) * x
            seat_at(scene, room, rng, cx, cz, side.yaw, desk.depth / 2)


def _island(scene: SceneBuilder, rng: Rng, room: Room) -> None:
    """Desks back to back, in one or more pairs."""
    width, yaw = uniform(rng, 1.2, 1.6), pick(rng, (0.0, math.pi / 2))
    pairs = whole(rng, 1, 3)
    center = room.plan.free_point(rng, 1.0)
    if center is None:
        return
    for index in range(pairs):
        for facing in (0.0, math.pi):
            desk = work_desk(rng, width)
            along = (index - (pairs - 1) / 2) * (width + 0.1)
            back = -(desk.depth / 2 + 0.01) if facing == 0.0 else desk.depth / 2 + 0.01
            x = center[0] + math.cos(yaw) * along + math.sin(yaw) * back
            z = center[1] - math.sin(yaw) * along + math.cos(yaw) * back
            if put(scene, room.plan, desk, x, z, yaw + facing, margin=-0.02, focus=True):
                seat_at(scene, room, rng, x, z, yaw + facing, desk.depth / 2)


def _storage(scene: SceneBuilder, rng: Rng, room: Room, count: int) -> None:
    for _ in range(count):
        maker = pick(rng, (bookshelf, bookshelf, filing, wardrobe, rack))
        against(scene, room, rng, maker(rng), front=0.2)


def office(rng: Rng) -> World:
    """One to eight work places with displays, chairs, shelves, a board, plants, paper."""
    scene = SceneBuilder("office", int(rng.integers(2**31)))
    large = chance(rng, 0.3)
    room = new_room(
        rng,
        uniform(rng, 3, 5) if not large else uniform(rng, 5, 11),
        uniform(rng, 3, 6) if not large else uniform(rng, 5, 10),
        uniform(rng, 2.4, 3.2),
        "office",
    )
    open_sides(room, rng, doors=whole(rng, 1, 2), windowed=0.8)
    _desks_on_walls(scene, rng, room, whole(rng, 2, 4) if not large else whole(rng, 2, 6))
    if large or chance(rng, 0.35):
        for _ in range(whole(rng, 1, 3)):
            _island(scene, rng, room)
    _storage(scene, rng, room, whole(rng, 2, 5))
    for _ in range(whole(rng, 1, 5)):
        drop(scene, room.plan, rng, one_of(rng, plant, printer, basket, chair, basket, stool))
    if chance(rng, 0.6):
        whiteboard(scene, rng, room)
    pictures(scene, rng, room, whole(rng, 1, 9))
    return complete(scene, rng, room, clutter=whole(rng, 1, 5), look_down=0.6)


def lab(rng: Rng) -> World:
    """A laboratory or computer room: rows of benches, racks, stools, machines."""
    scene = SceneBuilder("lab", int(rng.integers(2**31)))
    room = new_room(rng, uniform(rng, 5, 9), uniform(rng, 6, 12), uniform(rng, 2.7, 3.6), "office")
    open_sides(room, rng, doors=whole(rng, 1, 2), windowed=0.7)
    length, rows = room.width * uniform(rng, 0.35, 0.6), whole(rng, 2, 4)
    top, under = vary(rng, (0.8, 0.8, 0.8), 0.1), metal(rng)
    for index in range(rows):
        z = ((index + 0.5) / rows - 0.5) * room.depth * 0.8
        bench = _bench_row(rng, length, plain(rng, top, 0.05), under)
        if put(scene, room.plan, bench, uniform(rng, -0.1, 0.1) * room.width, z, focus=True):
            for _ in range(whole(rng, 1, 4)):
                seat_at(
                    scene,
                    room,
                    rng,
                    uniform(rng, -0.5, 0.5) * length,
                    z,
                    0.0,
                    bench.depth / 2,
                    pick(rng, (stool, swivel_chair)),
                )
    _storage(scene, rng, room, whole(rng, 2, 5))
    for _ in range(whole(rng, 1, 3)):
        against(
            scene,
            room,
            rng,
            cupboard(rng, uniform(rng, 1, 2.5), 0.9, 0.6, top=whole(rng, 1, 5), style="storage"),
            front=0.3,
        )
    pictures(scene, rng, room, whole(rng, 0, 4))
    if chance(rng, 0.5):
        whiteboard(scene, rng, room)
    return complete(scene, rng, room, clutter=whole(rng, 0, 3), look_down=0.4)


def _bench_row(rng: Rng, length: float, top: Material, under: Material) -> Piece:
    depth, height = uniform(rng, 0.75, 1.4), uniform(rng, 0.74, 0.92)
    count = max(1, int(length / 1.5))
    loads = [
        desk_things(rng, 1.4, depth)
        if chance(rng, 0.6)
        else scatter(rng, 1.3, depth * 0.9, whole(rng, 1, 5), "workshop")
        for _ in range(count)
    ]
    shelf = chance(rng, 0.4)

    def build(scene: SceneBuilder) -> None:
        scene.box(length, 0.04, depth, top, up=height - 0.04)
        for index in range(count + 1):
            x = (index / count - 0.5) * (length - 0.1)
            scene.box(0.05, height - 0.04, depth * 0.9, under, x=x)
        for index, load in enumerate(loads):
            with scene.at(((index + 0.5) / count - 0.5) * length, 0.0, up=height):
                load.build(scene)
        if shelf:
            for x in (-0.48, 0.48):
                scene.box(0.04, 0.65, 0.04, under, x=x * length, up=height, z=depth / 2 - 0.06)
            scene.box(length, 0.025, 0.3, top, up=height + 0.62, z=depth / 2 - 0.1)

    return Piece(length, depth, height, build)


def lecture(rng: Rng) -> World:
    """Rows of tables or seats towards a board and a projection, or a meeting room."""
    if chance(rng, 0.45):
        return _meeting(rng)
    scene = SceneBuilder("lecture", int(rng.integers(2**31)))
    width, depth = uniform(rng, 6, 12), uniform(rng, 7, 14)
    room = new_room(rng, width, depth, uniform(rng, 2.8, 4.2), "office")
    front = room.sides[0]
    front_board(scene, rng, room)
    open_sides(room, rng, doors=2, windowed=0.7, keep=front)
    tier, rows = (0.16 if chance(rng, 0.3) else 0.0), max(2, int((depth - 4) / uniform(rng, 1.0, 1.5)))
    table, seat = table_top(rng, 1.4, 0.45, 0.74, pick(rng, ("legs", "tee", "sides"))), chair(rng)
    columns, pad = max(1, int((width - 2) / 1.6)), plain(rng, vary(rng, (0.5, 0.48, 0.45)))
    with_tables = chance(rng, 0.75)
    for row in range(rows):
        z, up = depth / 2 - 3.2 - row * (depth - 4) / rows, tier * row
        if tier and row:
            scene.box(width, up, (depth - 4) / rows, pad, z=z - 0.2)
        for column in range(columns):
            x = (column - (columns - 1) / 2) * 1.6 + (
                0.3 if column * 2 >= columns and columns % 2 == 0 else -0.3 if columns % 2 == 0 else 0.0
            )
            _lecture_seat(scene, rng, room, table if with_tables else None, seat, x, z, up)
    pictures(scene, rng, room, whole(rng, 0, 3))
    return complete(scene, rng, room, clutter=0, look_down=0.2)


def _lecture_seat(scene: SceneBuilder, rng: Rng, room: Room, table: Piece | None, seat: Piece, x: float, z: float,
                  up: float) -> None:  # fmt: skip
    if not room.plan.claim(Rect.around(x, z - 0.25, 1.4, 1.0), 0.0, focus=True):
        return
    load = scatter(rng, 1.2, 0.35, whole(rng, 0, 2), "paper")
    with scene.at(x, z, up=up):
        if table is not None:
            table.build(scene)
            with scene.at(up=table.height):
                load.build(scene)
        for cx in (-0.35, 0.35):
            if chance(rng, 0.85):
                with scene.at(cx, -0.5 + uniform(rng, -0.1, 0.1), math.pi + uniform(rng, -0.2, 0.2)):
                    seat.build(scene)


def front_board(scene: SceneBuilder, rng: Rng, room: Room) -> None:
    """A blackboard or projection and a lectern at the front wall (+z)."""
    width = room.width * uniform(rng, 0.35, 0.6)
    kind = pick(rng, ("black", "white", "projection"))
    board = plain(rng, vary(rng, (0.15, 0.28, 0.22) if kind == "black" else (0.95, 0.95, 0.95), 0.03), 0.08, 0.3)
    if kind == "projection":
        board = screen(rng)
    z = room.depth / 2
    scene.box(width + 0.1, 1.4, 0.04, metal(rng), up=0.85, z=z - 0.02)
    scene.box(width, 1.3, 0.05, board, up=0.9, z=z - 0.026)
    room.plan.focus.append((0.0, z - 0.1))
    desk = work_desk(rng, 1.6)
    put(scene, room.plan, desk, room.width * uniform(rng, -0.25, 0.25), z - 1.5, math.pi, focus=True)


def _meeting(rng: Rng) -> World:
    """A long table with chairs all around."""
    scene = SceneBuilder("lecture", int(rng.integers(2**31)))
    room = new_room(rng, uniform(rng, 3.5, 6), uniform(rng, 4.5, 9), uniform(rng, 2.5, 3.2), "office")
    open_sides(room, rng, doors=whole(rng, 1, 2), windowed=0.8)
    width, length = uniform(rng, 1.0, 1.6), room.depth * uniform(rng, 0.4, 0.6)
    table, seat = (
        table_top(rng, width, length, 0.74, pick(rng, ("tee", "legs", "sides"))),
        pick(rng, (chair, swivel_chair)),
    )
    load, base = scatter(rng, width * 0.9, length * 0.9, whole(rng, 2, 10), "paper"), seat(rng)
    put(scene, room.plan, table, 0.0, 0.0, focus=True)
    with scene.at(up=0.74):
        load.build(scene)
    for index in range(int(length / 0.75)):
        z = (index + 0.5) * 0.75 - length / 2
        for side in (-1, 1):
            if chance(rng, 0.85):
                x = side * (width / 2 + uniform(rng, 0.1, 0.45))
                room.plan.blocked.append(Rect.around(x, z, 0.5, 0.5))
                with scene.at(x, z, -side * math.pi / 2 + uniform(rng, -0.4, 0.4)):
                    base.build(scene)
    whiteboard(scene, rng, room)
    _storage(scene, rng, room, whole(rng, 0, 2))
    pictures(scene, rng, room, whole(rng, 0, 4))
    return complete(scene, rng, room, clutter=0, look_down=0.4)
