"""Tables, desks and counters; what lies on them comes from `parts_small`."""

from __future__ import annotations

import math

from openlyra.worlds.builder import SceneBuilder, corners
from openlyra.worlds.kinds.layout import Piece
from openlyra.worlds.kinds.palette import Rng, chance, furniture, metal, pick, uniform, wood
from openlyra.worlds.kinds.parts_seats import legs
from openlyra.worlds.kinds.parts_small import scatter
from openlyra.worlds.types import Material


def _desk_frame(scene: SceneBuilder, kind: str, width: float, depth: float, height: float, frame: Material,
                board: Material) -> None:  # fmt: skip
    if kind == "legs":
        legs(scene, width - 0.06, depth - 0.06, height, frame, 0.05)
    elif kind == "tee":
        for x in (-width * 0.42, width * 0.42):
            scene.box(0.08, height, 0.06, frame, x=x, z=depth * 0.1)
            scene.box(0.07, 0.04, depth * 0.85, frame, x=x)
        scene.box(width * 0.84, 0.06, 0.03, frame, up=height - 0.1, z=depth * 0.1)
    elif kind == "sides":
        for x in (-1, 1):
            scene.box(0.03, height, depth * 0.94, board, x=x * (width / 2 - 0.02))
        scene.box(width - 0.06, height * 0.6, 0.02, board, up=height * 0.35, z=depth * 0.4)
    elif kind == "trestle":
        for x in (-width * 0.36, width * 0.36):
            for z in (-1, 1):
                scene.tube((x, 0.015, z * depth * 0.42), (x, height, z * depth * 0.1), 0.018, frame)
            scene.tube((x, 0.3, -depth * 0.28), (x, 0.3, depth * 0.28), 0.012, frame)
    else:  # drawers on one side, legs on the other
        scene.box(0.42, height - 0.06, depth * 0.9, board, x=width / 2 - 0.23, up=0.05)
        for index in range(3):
            scene.box(0.38, (height - 0.12) / 3 - 0.02, 0.02, board, x=width / 2 - 0.23,
                      up=0.08 + index * (height - 0.12) / 3, z=-depth * 0.46)  # fmt: skip
            scene.box(0.12, 0.012, 0.02, frame, x=width / 2 - 0.23, up=0.16 + index * (height - 0.12) / 3,
                      z=-depth * 0.46 - 0.02)  # fmt: skip
        for z in (-1, 1):
            scene.box(0.05, height, 0.05, frame, x=-width / 2 + 0.05, z=z * (depth / 2 - 0.05))


def table_top(rng: Rng, width: float, depth: float, height: float, kind: str | None = None) -> Piece:
    """An empty rectangular table or desk."""
    board, frame = furniture(rng), metal(rng) if chance(rng, 0.6) else wood(rng)
    kind = kind or pick(rng, ("legs", "legs", "tee", "sides", "trestle", "drawers"))
    thick = uniform(rng, 0.02, 0.045)

    def build(scene: SceneBuilder) -> None:
        scene.box(width, thick, depth, board, up=height - thick)
        _desk_frame(scene, kind, width, depth, height - thick, frame, board)

    return Piece(width, depth, height, build)


def round_table(rng: Rng, radius: float, height: float) -> Piece:
    """An empty round table on one foot or three legs."""
    board, frame, central = furniture(rng), metal(rng) if chance(rng, 0.5) else wood(rng), chance(rng, 0.6)

    def build(scene: SceneBuilder) -> None:
        scene.cylinder(radius, 0.03, board, up=height - 0.03)
        if central:
            scene.cylinder(0.04, height - 0.03, frame)
            scene.cylinder(radius * 0.5, 0.03, frame, top=0.8)
            return
        for index in range(3):
            angle = index * 2 * math.pi / 3
            foot = (radius * 0.85 * math.sin(angle), 0.015, radius * 0.85 * math.cos(angle))
            scene.tube(foot, (foot[0] * 0.5, height - 0.03, foot[2] * 0.5), 0.018, frame)

    return Piece(2 * radius, 2 * radius, height, build)


def laid_table(rng: Rng, seats_at: bool, low: bool = False, density: float = 1.0) -> Piece:
    """A dining, meeting, side or coffee table with things on it; chairs are the caller's."""
    height = uniform(rng, 0.34, 0.5) if low else uniform(rng, 0.7, 0.77)
    if chance(rng, 0.3):
        radius = uniform(rng, 0.3, 0.5) if low else uniform(rng, 0.4, 0.65)
        table, width, depth = round_table(rng, radius, height), radius * 1.35, radius * 1.35
    else:
        width = uniform(rng, 0.7, 1.3) if low else uniform(rng, 0.9, 2.2 if seats_at else 1.4)
        depth = uniform(rng, 0.45, 0.7) if low else uniform(rng, 0.7, 1.0)
        table = table_top(rng, width, depth, height, pick(rng, ("legs", "legs", "tee", "sides")))
        if low and chance(rng, 0.4):
            table = _with_shelf(table, furniture(rng))
    style = "living" if low else pick(rng, ("dining", "paper", "living"))
    spread = scatter(rng, width * 0.94, depth * 0.92, int(rng.integers(2, 8) * density), style)

    def build(scene: SceneBuilder) -> None:
        table.build(scene)
        with scene.at(up=height):
            spread.build(scene)

    return Piece(table.width, table.depth, height, build)


def _with_shelf(table: Piece, board: Material) -> Piece:
    def build(scene: SceneBuilder) -> None:
        table.build(scene)
        scene.box(table.width * 0.9, 0.02, table.depth * 0.85, board, up=table.height * 0.35)

    return Piece(table.width, table.depth, table.height, build)


def workbench(rng: Rng) -> Piece:
    """A heavy bench with tools and boxes on it."""
    width, depth, height = uniform(rng, 1.2, 2.4), uniform(rng, 0.6, 0.8), uniform(rng, 0.82, 0.95)
    board, frame = wood(rng), wood(rng) if chance(rng, 0.5) else metal(rng)
    things, below = scatter(rng, width * 0.95, depth * 0.85, int(rng.integers(5, 14)), "workshop"), chance(rng, 0.6)
    store = scatter(rng, width * 0.85, depth * 0.7, int(rng.integers(2, 7)), "storage")

    def build(scene: SceneBuilder) -> None:
        for x, z in corners(width - 0.14, depth - 0.14):
            scene.box(0.09, height - 0.05, 0.09, frame, x=x, z=z)
        scene.box(width, 0.05, depth, board, up=height - 0.05)
        with scene.at(up=height):
            things.build(scene)
        if below:
            scene.box(width - 0.1, 0.025, depth - 0.1, board, up=0.2)
            with scene.at(up=0.225):
                store.build(scene)

    return Piece(width, depth, height, build)
