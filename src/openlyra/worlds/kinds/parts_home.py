"""Large fixtures of homes: kitchen rows, fridge, hob, bath, wash basin, fireplace, mirror."""

from __future__ import annotations

import math

from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.kinds.layout import Piece
from openlyra.worlds.kinds.palette import (
    Rng,
    brick,
    ceramic,
    chance,
    furniture,
    glow,
    grey,
    metal,
    pick,
    plain,
    stone,
    tiles,
    uniform,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.kinds.parts_small import scatter, vase
from openlyra.worlds.types import Material


def kitchen_row(
    rng: Rng, width: float, front: Material, top: Material, *, wall_units: bool, sink: bool, hob: bool
) -> Piece:
    """Base cupboards with a worktop, and cupboards, shelves or a hood above; back at +z."""
    depth, height, knob = 0.6, uniform(rng, 0.85, 0.94), metal(rng)
    units = max(1, round(width / uniform(rng, 0.45, 0.65)))
    steel, dark = metal(rng, grey(rng, 0.6, 0.8)), plain(rng, grey(rng, 0.02, 0.08), 0.3, 0.1)
    unit = width / units
    sink_at = int(rng.integers(units)) if sink else -1
    hob_at = int(rng.integers(units)) if hob else -1
    bar, splash = chance(rng, 0.6), tiles(rng, uniform(rng, 0.08, 0.2)) if chance(rng, 0.6) else None
    loads = [
        scatter(rng, unit * 0.9, depth * 0.75, whole(rng, 0, 4), "kitchen") if index not in (sink_at, hob_at) else None
        for index in range(units)
    ]
    upper_up, upper_tall, open_shelf = uniform(rng, 1.35, 1.5), uniform(rng, 0.5, 0.8), chance(rng, 0.25)
    shelf_load = scatter(rng, width * 0.95, 0.24, whole(rng, 3, 10), "kitchen")
    rows = [pick(rng, (1, 1, 3)) for _ in range(units)]

    def build(scene: SceneBuilder) -> None:
        scene.box(width, 0.1, depth - 0.08, dark, z=0.03)
        scene.box(width, height - 0.14, depth - 0.03, front, up=0.1, z=0.01)
        scene.box(width, 0.04, depth + 0.02, top, up=height - 0.04)
        if splash is not None:
            scene.box(width, upper_up - height, 0.01, splash, up=height, z=depth / 2 - 0.006)
        for index in range(units):
            x = (index + 0.5) * unit - width / 2
            _fronts(scene, x, unit, height, depth, rows[index], front, knob, bar)
            with scene.at(x, 0.0, up=height):
                load = loads[index]
                if load is not None:
                    load.build(scene)
                elif index == sink_at:
                    _sink(scene, unit, steel)
                else:
                    _hob(scene, unit, height, upper_up, steel, dark, wall_units)
            if wall_units and index != hob_at and not open_shelf:
                scene.box(unit, upper_tall, 0.32, front, x=x, up=upper_up, z=depth / 2 - 0.16)
                scene.box(unit - 0.01, upper_tall - 0.01, 0.02, front, x=x, up=upper_up + 0.005, z=depth / 2 - 0.33)
                scene.box(0.12 if bar else 0.025, 0.015, 0.025, knob, x=x, up=upper_up + 0.05, z=depth / 2 - 0.352)
        if wall_units and open_shelf:
            scene.box(width, 0.025, 0.26, top, up=upper_up, z=depth / 2 - 0.13)
            with scene.at(0, depth / 2 - 0.13, up=upper_up + 0.025):
                shelf_load.build(scene)

    return Piece(width, depth + 0.02, upper_up + upper_tall if wall_units else height, build)


def _fronts(scene: SceneBuilder, x: float, unit: float, height: float, depth: float, rows: int, front: Material,
            knob: Material, bar: bool) -> None:  # fmt: skip
    tall = (height - 0.15) / rows
    for row in range(rows):
        up = 0.11 + row * tall
        scene.box(unit - 0.008, tall - 0.008, 0.02, front, x=x, up=up, z=-depth / 2 + 0.015)
        scene.box(0.14 if bar else 0.03, 0.015, 0.03, knob, x=x, up=up + tall - 0.06, z=-depth / 2 - 0.01)


def _sink(scene: SceneBuilder, unit: float, steel: Material) -> None:
    scene.box(unit * 0.85, 0.006, 0.42, steel)
    scene.box(unit * 0.7, 0.008, 0.32, Material("plain", (0.08, 0.08, 0.08), gloss=0.2, roughness=0.2), z=-0.02)
    scene.tube((0, 0, 0.22), (0, 0.24, 0.22), 0.014, steel)
    scene.tube((0, 0.24, 0.22), (0, 0.26, 0.08), 0.011, steel)


def _hob(
    scene: SceneBuilder, unit: float, height: float, upper: float, steel: Material, dark: Material, hood: bool
) -> None:
    scene.box(min(unit, 0.6) * 0.95, 0.008, 0.5, dark)
    for x in (-0.13, 0.13):
        for z in (-0.12, 0.12):
            scene.ring(0.08, 0.006, steel, inner=0.85, x=x, z=z, up=0.006)
    scene.cylinder(0.1, 0.13, steel, x=-0.13, z=0.12, up=0.01)
    scene.tube((-0.13, 0.12, 0.0), (-0.35, 0.13, -0.08), 0.01, dark)
    scene.box(min(unit, 0.6) * 0.92, 0.5, 0.02, dark, up=-0.66, z=-0.3)
    scene.box(min(unit, 0.6) * 0.7, 0.02, 0.03, steel, up=-0.22, z=-0.33)
    if hood:
        scene.box(0.58, 0.08, 0.45, steel, up=upper + 0.1 - height, z=0.07)
        scene.box(0.26, 0.7, 0.26, steel, up=upper + 0.18 - height, z=0.16)


def fridge(rng: Rng) -> Piece:
    """A fridge with two doors, notes and magnets."""
    width, height, depth = uniform(rng, 0.54, 0.85), uniform(rng, 1.4, 1.95), 0.62
    body, steel = plain(rng, grey(rng, 0.8, 0.95) if chance(rng, 0.6) else grey(rng, 0.3, 0.6), 0.1, 0.3), metal(rng)
    from_scatter = scatter(rng, width * 0.8, depth * 0.6, whole(rng, 0, 2), "storage")
    split, notes = (
        uniform(rng, 0.3, 0.7),
        [(uniform(rng, -0.3, 0.3), uniform(rng, 0.5, 0.9)) for _ in range(whole(rng, 0, 5))],
    )

    def build(scene: SceneBuilder) -> None:
        scene.box(width, height, depth - 0.06, body, z=0.03)
        scene.box(width, height * split - 0.01, 0.05, body, z=-depth / 2 + 0.03)
        scene.box(width, height * (1 - split) - 0.01, 0.05, body, up=height * split, z=-depth / 2 + 0.03)
        for up in (height * split - 0.35, height * split + 0.08):
            scene.box(0.02, 0.26, 0.04, steel, x=width / 2 - 0.06, up=up, z=-depth / 2 - 0.01)
        for x, share in notes:
            scene.box(0.1, 0.14, 0.004, ceramic_note(rng, x), x=x * width, up=share * height, z=-depth / 2 + 0.003)
        with scene.at(up=height):
            from_scatter.build(scene)

    return Piece(width, depth, height, build)


def ceramic_note(rng: Rng, x: float) -> Material:
    """Paper on a fridge; its colour follows from a number alone, since building must not draw from the generator."""
    shade = abs(x * 13.7) % 1.0
    return Material("plain", (0.9, 0.85 - 0.4 * shade, 0.4 + 0.4 * shade))


def bathtub(rng: Rng) -> Piece:
    """A built-in bath along a wall, its long side along x."""
    width, depth, height = uniform(rng, 1.5, 1.75), uniform(rng, 0.7, 0.8), uniform(rng, 0.52, 0.6)
    white, steel, front = ceramic(rng), metal(rng), tiles(rng, 0.15)

    def build(scene: SceneBuilder) -> None:
        rim = 0.07
        for z in (-1, 1):
            scene.box(width, height, rim, front if z < 0 else white, z=z * (depth - rim) / 2)
            scene.box(width, 0.02, rim + 0.01, white, up=height, z=z * (depth - rim) / 2)
        for x in (-1, 1):
            scene.box(rim, height, depth, white, x=x * (width - rim) / 2)
        scene.box(width - 0.1, 0.1, depth - 0.1, white, up=0.05)
        scene.tube(
            (-width / 2 + 0.12, height, depth / 2), (-width / 2 + 0.12, height + 0.2, depth / 2 - 0.02), 0.012, steel
        )
        scene.tube(
            (-width / 2 + 0.12, height + 0.2, depth / 2 - 0.02),
            (-width / 2 + 0.2, height + 0.2, depth / 2 - 0.14),
            0.012,
            steel,
        )

    return Piece(width, depth, height, build)


def toilet(rng: Rng) -> Piece:
    """A toilet with its cistern."""
    white = plain(rng, grey(rng, 0.85, 0.97), 0.12, 0.15)

    def build(scene: SceneBuilder) -> None:
        scene.cylinder(0.12, 0.3, white, top=1.2, z=0.02)
        scene.add("frustum", (0, -0.36, -0.08), (0.18, 0.05, 0.24), white, detail=1.05)
        scene.add("frustum", (0, -0.42, -0.08), (0.19, 0.012, 0.25), white, detail=1.0)
        scene.box(0.38, 0.36, 0.17, white, up=0.42, z=0.25)

    return Piece(0.42, 0.68, 0.8, build)


def washstand(rng: Rng) -> Piece:
    """A basin on a foot or a cupboard, with a mirror and a shelf above."""
    width, white, steel, case = (
        uniform(rng, 0.5, 0.9),
        plain(rng, grey(rng, 0.85, 0.97), 0.12, 0.15),
        metal(rng),
        furniture(rng),
    )
    closed = chance(rng, 0.6)
    mirror = Material("plain", (0.5, 0.53, 0.55), gloss=0.5, roughness=0.05)
    things = scatter(rng, width * 0.9, 0.1, whole(rng, 1, 5), "bath", tallest=0.25)
    lamp = glow(rng, 1.8)

    def build(scene: SceneBuilder) -> None:
        if closed:
            scene.box(width, 0.72, 0.42, case, up=0.08, z=0.02)
            scene.box(width * 0.48, 0.66, 0.02, case, x=-width * 0.25, up=0.1, z=-0.2)
            scene.box(width * 0.48, 0.66, 0.02, case, x=width * 0.25, up=0.1, z=-0.2)
        else:
            scene.cylinder(0.09, 0.75, white, top=1.2, z=0.05)
        scene.box(width, 0.06, 0.46, white, up=0.8)
        scene.add(
            "frustum", (0, -0.87, -0.02), (width * 0.4, 0.012, 0.17), Material("plain", (0.55, 0.56, 0.57), gloss=0.1)
        )
        scene.tube((0, 0.86, 0.18), (0, 0.99, 0.18), 0.014, steel)
        scene.tube((0, 0.99, 0.18), (0, 0.98, 0.04), 0.011, steel)
        scene.box(width * 0.95, 0.75, 0.02, mirror, up=1.15, z=0.21)
        scene.box(width * 0.6, 0.05, 0.07, lamp, up=1.95, z=0.19)
        scene.box(width, 0.015, 0.12, case, up=1.08, z=0.16)
        with scene.at(0, 0.16, up=1.095):
            things.build(scene)

    return Piece(width, 0.46, 2.0, build)


def fireplace(rng: Rng) -> Piece:
    """A fireplace with a mantelpiece, or an iron stove with its pipe."""
    body = pick(rng, (brick, lambda r: stone(r, 0.25), lambda r: plain(r, grey(r, 0.75, 0.95))))(rng)
    black, fire, iron = plain(rng, (0.01, 0.01, 0.01)), glow(rng, 2.0, (1.0, 0.4, 0.1)), chance(rng, 0.3)
    width, height, shelf = uniform(rng, 1.1, 1.6), uniform(rng, 1.0, 1.3), wood(rng)
    burning, things = chance(rng, 0.5), [vase(rng), vase(rng)]
    tall = uniform(rng, 2.2, 2.4)

    def build(scene: SceneBuilder) -> None:
        if iron:
            scene.box(0.5, 0.6, 0.42, black, up=0.15)
            scene.box(0.36, 0.3, 0.02, fire if burning else plain_grey, up=0.3, z=-0.215)
            scene.tube((0, 0.7, 0.05), (0, tall, 0.05), 0.07, black)
            for x in (-0.2, 0.2):
                scene.box(0.04, 0.15, 0.3, black, x=x)
            return
        for x in (-1, 1):
            scene.box(width * 0.25, height, 0.4, body, x=x * width * 0.375)
        scene.box(width, height * 0.3, 0.4, body, up=height * 0.7)
        scene.box(width * 0.5, height * 0.7, 0.05, black, z=0.16)
        scene.box(width * 1.1, 0.05, 0.48, shelf, up=height)
        for x in (-0.12, 0.0, 0.12):
            scene.tube((x, 0.08, -0.1), (x * 0.5, 0.16, 0.1), 0.045, fire if burning else shelf)
        for x, piece in zip((-0.35, 0.35), things):
            with scene.at(x * width, 0.05, up=height + 0.05):
                piece.build(scene)

    plain_grey = plain(rng, grey(rng, 0.1, 0.2), 0.2)
    return Piece(width * 1.1 if not iron else 0.55, 0.48, height, build)


def mirror(scene: SceneBuilder, rng: Rng, width: float, height: float, up: float) -> None:
    """A framed mirror on the inner face of a wall, reflecting only a little so that its depth is its own."""
    scene.box(width + 0.08, height + 0.08, 0.03, furniture(rng), up=up - 0.04, z=-0.015)
    scene.box(width, height, 0.034, Material("plain", (0.45, 0.48, 0.5), gloss=0.35, roughness=0.05), up=up, z=-0.0175)


def coat_rack(rng: Rng) -> Piece:
    """Coats on a stand."""
    post, coats = (
        wood(rng),
        [(whole_color, uniform(rng, 0.7, 1.0)) for whole_color in (furniture(rng), plain(rng, grey(rng)), wood(rng))],
    )

    def build(scene: SceneBuilder) -> None:
        scene.cylinder(0.2, 0.03, post)
        scene.tube((0, 0, 0), (0, 1.75, 0), 0.018, post)
        for index, (body, long) in enumerate(coats):
            angle = index * 2.1
            x, z = 0.13 * math.sin(angle), 0.13 * math.cos(angle)
            scene.tube((0, 1.6, 0), (x * 1.4, 1.68, z * 1.4), 0.01, post)
            scene.ellipsoid(0.34, long, 0.2, body, x=x, up=1.66 - long, z=z, yaw=angle)

    return Piece(0.6, 0.6, 1.75, build)
