"""Shelves, cupboards, wardrobes, drawers, racks: backs at +z, fronts at -z."""

from __future__ import annotations

from openlyra.worlds.builder import SceneBuilder, corners
from openlyra.worlds.kinds.layout import Piece
from openlyra.worlds.kinds.palette import (
    Rng,
    any_color,
    chance,
    furniture,
    grey,
    metal,
    pick,
    plain,
    seed_of,
    uniform,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.kinds.parts_small import ornament, scatter, solid_row
from openlyra.worlds.types import Material


def _books(rng: Rng, width: float, height: float, depth: float) -> Piece:
    """What stands in one compartment: single books, a printed row, ornaments, boxes or nothing."""
    r = rng.random()
    if r < 0.3:
        row, tall = solid_row(rng, width * uniform(rng, 0.4, 1.0), height), height
        start = -width / 2 if chance(rng, 0.7) else -width / 2 + uniform(rng, 0, 0.1)

        def spines(scene: SceneBuilder) -> None:
            for x, thick, up, body in row:
                scene.box(thick, up, depth * 0.7, body, x=start + x, z=depth * 0.1)

        return Piece(width, depth, tall, spines)
    if r < 0.55:
        share, tall = uniform(rng, 0.4, 1.0), height * uniform(rng, 0.65, 0.92)
        rows = Material("books", any_color(rng), any_color(rng), any_color(rng), scale=tall, seed=seed_of(rng))

        def row_of_books(scene: SceneBuilder) -> None:
            scene.box(width * share, tall, depth * 0.7, rows, x=-width * (1 - share) / 2, z=depth * 0.1)

        return Piece(width, depth, tall, row_of_books)
    if r < 0.85:
        return scatter(
            rng,
            width * 0.9,
            depth * 0.8,
            whole(rng, 1, 3),
            pick(rng, ("storage", "living", "office", "kitchen")),
            tallest=height * 0.95,
        )
    return Piece(width, depth, 0.0, lambda scene: None)


def bookshelf(rng: Rng, width: float | None = None, height: float | None = None) -> Piece:
    """An open shelf with books, binders and things."""
    width, height = width or uniform(rng, 0.6, 1.8), height or uniform(rng, 0.7, 2.2)
    depth, body = uniform(rng, 0.24, 0.38), furniture(rng)
    rows, columns = max(2, round(height / uniform(rng, 0.3, 0.42))), max(1, round(width / uniform(rng, 0.5, 1.0)))
    tall, wide = height / rows, width / columns
    inner = [[_books(rng, wide - 0.03, tall - 0.04, depth) for _ in range(columns)] for _ in range(rows)]
    backed, on_top = chance(rng, 0.75), scatter(rng, width * 0.9, depth * 0.8, whole(rng, 0, 3), "living")

    def build(scene: SceneBuilder) -> None:
        for column in range(columns + 1):
            scene.box(0.02, height, depth, body, x=column * wide - width / 2)
        for row in range(rows + 1):
            scene.box(width, 0.02, depth, body, up=row * tall - (0.02 if row else 0.0))
        if backed:
            scene.box(width, height, 0.01, body, z=depth / 2 - 0.005)
        for row, line in enumerate(inner):
            for column, piece in enumerate(line):
                with scene.at((column + 0.5) * wide - width / 2, 0.0, up=row * tall + (0.0 if row else 0.02)):
                    piece.build(scene)
        with scene.at(up=height):
            on_top.build(scene)

    return Piece(width, depth, height, build)


def cupboard(
    rng: Rng,
    width: float,
    height: float,
    depth: float,
    *,
    rows: int = 1,
    handles: bool = True,
    body: Material | None = None,
    front: Material | None = None,
    top: int = 0,
    style: str = "living",
) -> Piece:
    """A closed cupboard or chest of drawers with fronts and handles, and `top` things on it."""
    case = body or furniture(rng)
    face = front or (case if chance(rng, 0.7) else furniture(rng))
    knob, columns = metal(rng), max(1, round(width / uniform(rng, 0.4, 0.6)))
    foot = 0.0 if chance(rng, 0.5) else uniform(rng, 0.04, 0.15)
    bar, things = chance(rng, 0.6), scatter(rng, width * 0.9, depth * 0.75, top, style)

    def build(scene: SceneBuilder) -> None:
        scene.box(width, height - foot, depth - 0.02, case, up=foot, z=0.01)
        if foot:
            for x, z in corners(width - 0.08, depth - 0.1):
                scene.box(0.04, foot, 0.04, case, x=x, z=z)
        tall, wide = (height - foot) / rows, width / columns
        for row in range(rows):
            for column in range(columns):
                x, up = (column + 0.5) * wide - width / 2, foot + row * tall
                scene.box(wide - 0.01, tall - 0.01, 0.02, face, x=x, up=up + 0.005, z=-depth / 2 + 0.012)
                if handles:
                    _handle(scene, bar, rows, column, x, up, wide, tall, depth, knob)
        with scene.at(up=height):
            things.build(scene)

    return Piece(width, depth, height, build)


def _handle(scene: SceneBuilder, bar: bool, rows: int, column: int, x: float, up: float, wide: float, tall: float,
            depth: float, knob: Material) -> None:  # fmt: skip
    z = -depth / 2 - 0.012
    if rows > 2 or tall < wide * 0.7:  # a drawer
        scene.box(0.12 if bar else 0.03, 0.015, 0.025, knob, x=x, up=up + tall * 0.55, z=z)
        return
    side = 1 if column % 2 == 0 else -1
    scene.box(0.015, 0.14 if bar else 0.03, 0.025, knob, x=x + side * (wide / 2 - 0.05), up=up + tall * 0.5, z=z)


def wardrobe(rng: Rng) -> Piece:
    """A tall wardrobe, sometimes with boxes on top."""
    width, height, depth = uniform(rng, 0.8, 2.2), uniform(rng, 1.8, 2.3), uniform(rng, 0.5, 0.65)
    return cupboard(rng, width, height, depth, rows=1 if chance(rng, 0.6) else 2, top=whole(rng, 0, 2), style="storage")


def drawers(rng: Rng, top: int = 3, style: str = "living") -> Piece:
    """A chest of drawers or a sideboard."""
    width, height = uniform(rng, 0.45, 1.6), uniform(rng, 0.5, 1.05)
    return cupboard(rng, width, height, uniform(rng, 0.35, 0.5), rows=pick(rng, (1, 2, 3, 4)), top=top, style=style)


def filing(rng: Rng) -> Piece:
    """A metal filing cabinet or a rolling drawer unit."""
    tall = pick(rng, (uniform(rng, 0.5, 0.62), uniform(rng, 1.0, 1.35)))
    paint = plain(rng, grey(rng, 0.25, 0.85), 0.06)
    return cupboard(rng, uniform(rng, 0.4, 0.5), tall, uniform(rng, 0.5, 0.6), rows=3 if tall < 0.7 else 4, body=paint,
                    front=paint, top=whole(rng, 0, 2), style="paper")  # fmt: skip


def rack(rng: Rng) -> Piece:
    """An open metal or wooden rack with boxes, tins and baskets."""
    width, height, depth = uniform(rng, 0.8, 1.9), uniform(rng, 1.4, 2.2), uniform(rng, 0.35, 0.55)
    frame, board = metal(rng), wood(rng) if chance(rng, 0.6) else metal(rng)
    levels = whole(rng, 3, 5)
    step = height / levels
    loads = [
        scatter(
            rng, width * 0.95, depth * 0.9, whole(rng, 2, 6), pick(rng, ("storage", "workshop")), tallest=step * 0.9
        )
        for _ in range(levels)
    ]

    def build(scene: SceneBuilder) -> None:
        for x, z in corners(width - 0.04, depth - 0.04):
            scene.box(0.035, height, 0.035, frame, x=x, z=z)
        for index, load in enumerate(loads):
            up = 0.1 + index * step * 0.98
            scene.box(width, 0.025, depth, board, up=up)
            with scene.at(up=up + 0.025):
                load.build(scene)

    return Piece(width, depth, height, build)


def wall_shelf(scene: SceneBuilder, rng: Rng, width: float, up: float) -> None:
    """A board on a wall's inner face (the frame's z = 0) with a row of things."""
    board, x = furniture(rng), -width / 2 + 0.12
    scene.box(width, 0.025, 0.24, board, up=up, z=-0.12)
    while x < width / 2 - 0.12:
        piece = ornament(rng)
        if chance(rng, 0.6) and piece.width < 0.24:
            with scene.at(x, -0.12, up=up + 0.025):
                piece.build(scene)
        x += piece.width + uniform(rng, 0.02, 0.2)
