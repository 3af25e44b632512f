"""Screens, computers, lamps, kitchen machines, plants in pots: what fills offices and homes."""

from __future__ import annotations

import math

from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.kinds.layout import Piece, Rect
from openlyra.worlds.kinds.palette import (
    Rng,
    chance,
    glow,
    grey,
    leaves,
    metal,
    pick,
    plain,
    plastic,
    screen,
    seed_of,
    uniform,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.kinds.parts_small import scatter
from openlyra.worlds.types import Cutout


def _case(rng: Rng):  # type: ignore[no-untyped-def]
    tone = grey(rng, 0.03, 0.15) if chance(rng, 0.65) else grey(rng, 0.6, 0.9)
    return plain(rng, tone, 0.08, 0.3)


def monitor(rng: Rng) -> Piece:
    """A flat display on a stand, or an old deep one; its picture towards -z."""
    width = uniform(rng, 0.4, 0.7)
    height, case, image = width * uniform(rng, 0.55, 0.72), _case(rng), screen(rng)
    deep, up, tilt = chance(rng, 0.12), uniform(rng, 0.06, 0.16), uniform(rng, -0.15, 0.05)

    def build(scene: SceneBuilder) -> None:
        if deep:
            scene.cylinder(0.13, 0.05, case)
            scene.box(width * 0.75, width * 0.6, 0.2, case, up=0.04)
            scene.box(width * 0.6, width * 0.45, 0.36, case, up=0.06, z=0.12)
            scene.box(width * 0.65, width * 0.48, 0.02, image, up=0.08, z=-0.1)
            return
        scene.box(width * 0.4, 0.015, 0.2, case, z=0.03)
        scene.box(0.06, up + height * 0.4, 0.03, case, z=0.08)
        scene.box(width, height, 0.03, case, up=up, pitch=tilt)
        scene.box(width - 0.03, height - 0.035, 0.034, image, up=up + 0.018, z=-0.003, pitch=tilt)

    return Piece(width, 0.26 if not deep else 0.5, up + height, build)


def keyboard(rng: Rng) -> Piece:
    """A keyboard with a mouse to its right."""
    case, width = _case(rng), uniform(rng, 0.32, 0.45)
    keys = _case(rng)

    def build(scene: SceneBuilder) -> None:
        scene.box(width, 0.018, 0.15, case)
        for row in range(4):
            scene.box(width - 0.03, 0.008, 0.025, keys, up=0.018, z=-0.05 + row * 0.033)
        scene.ellipsoid(0.06, 0.035, 0.1, case, x=width / 2 + 0.09, up=-0.002)

    return Piece(width + 0.2, 0.16, 0.03, build)


def laptop(rng: Rng) -> Piece:
    """An open laptop."""
    case, image, width = _case(rng), screen(rng), uniform(rng, 0.3, 0.38)
    depth, lean = width * 0.68, uniform(rng, -0.6, -0.15)

    def build(scene: SceneBuilder) -> None:
        scene.box(width, 0.018, depth, case)
        scene.box(width * 0.85, 0.004, depth * 0.45, plain_keys, up=0.018, z=depth * 0.12)
        back = depth / 2 + math.tan(-lean) * depth / 2
        scene.box(width, depth * 0.95, 0.012, case, up=0.01, z=back, pitch=lean)
        scene.box(width - 0.02, depth * 0.88, 0.014, image, up=0.02, z=back - 0.002, pitch=lean)

    plain_keys = _case(rng)
    return Piece(width, depth * 1.5, depth, build)


def computer(rng: Rng) -> Piece:
    """A tower case."""
    case, dark = _case(rng), plain(rng, grey(rng, 0.05, 0.2))
    width, height, depth = uniform(rng, 0.16, 0.22), uniform(rng, 0.35, 0.48), uniform(rng, 0.38, 0.48)

    def build(scene: SceneBuilder) -> None:
        scene.box(width, height, depth, case)
        scene.box(width * 0.8, height * 0.1, 0.01, dark, up=height * 0.75, z=-depth / 2)

    return Piece(width, depth, height, build)


def printer(rng: Rng) -> Piece:
    """A desktop printer or a copier on the floor."""
    case, dark, large = plain(rng, grey(rng, 0.5, 0.9)), _case(rng), chance(rng, 0.3)
    width, height, depth = (0.6, 1.05, 0.62) if large else (uniform(rng, 0.35, 0.48), uniform(rng, 0.2, 0.35), 0.38)

    def build(scene: SceneBuilder) -> None:
        scene.box(width, height * 0.85, depth, case)
        scene.box(width * 0.95, height * 0.15, depth * 0.9, dark, up=height * 0.85)
        scene.box(width * 0.7, 0.02, 0.2, dark, up=height * 0.4, z=-depth / 2 - 0.1)

    return Piece(width, depth + 0.2, height, build)


def phone(rng: Rng) -> Piece:
    """A desk telephone."""
    case = _case(rng)

    def build(scene: SceneBuilder) -> None:
        scene.gable(0.2, 0.06, 0.2, case, ridge=-1.0, yaw=math.pi / 2)
        scene.tube((-0.07, 0.07, -0.08), (-0.07, 0.08, 0.08), 0.018, case)

    return Piece(0.2, 0.2, 0.08, build)


def desk_lamp(rng: Rng) -> Piece:
    """A jointed lamp on a foot."""
    body = metal(rng) if chance(rng, 0.5) else plastic(rng)
    bulb, turn = glow(rng, 2.5), uniform(rng, -1.2, 1.2)

    def build(scene: SceneBuilder) -> None:
        with scene.at(yaw=turn):
            scene.cylinder(0.08, 0.025, body)
            scene.tube((0, 0.02, 0), (0, 0.24, 0.1), 0.008, body)
            scene.tube((0, 0.24, 0.1), (0, 0.42, -0.12), 0.008, body)
            scene.cylinder(0.08, 0.1, body, top=0.4, up=0.34, z=-0.14, pitch=0.3)
            scene.ellipsoid(0.05, 0.05, 0.05, bulb, up=0.33, z=-0.14)

    return Piece(0.2, 0.36, 0.45, build)


def table_lamp(rng: Rng, lit: bool = True) -> Piece:
    """A shade on a turned foot."""
    foot, warm = pick(rng, (wood, metal, plastic))(rng), (1.0, 0.85, uniform(rng, 0.5, 0.75))
    shade = glow(rng, uniform(rng, 0.9, 1.8), warm) if lit else plain(rng, grey(rng, 0.6, 0.95))
    radius, height = uniform(rng, 0.1, 0.18), uniform(rng, 0.3, 0.55)

    def build(scene: SceneBuilder) -> None:
        scene.cylinder(0.07, 0.02, foot)
        scene.ellipsoid(0.1, height * 0.5, 0.1, foot, up=0.01)
        scene.cylinder(radius, height * 0.45, shade, top=0.65, up=height * 0.55)
        if lit and len(scene.lamps) < 7:
            scene.lamp(0, height + 0.15, -0.1, 0.35, warm)

    return Piece(2 * radius, 2 * radius, height, build)


def floor_lamp(rng: Rng) -> Piece:
    """A standard lamp."""
    body, lit, warm = metal(rng), chance(rng, 0.6), (1.0, 0.85, uniform(rng, 0.5, 0.75))
    shade = glow(rng, uniform(rng, 0.9, 1.8), warm) if lit else plain(rng, grey(rng, 0.6, 0.95))
    height, tripod = uniform(rng, 1.3, 1.75), chance(rng, 0.3)

    def build(scene: SceneBuilder) -> None:
        if tripod:
            for index in range(3):
                angle = index * 2.1
                scene.tube((0.25 * math.sin(angle), 0.012, 0.25 * math.cos(angle)), (0, height - 0.2, 0), 0.012, body)
        else:
            scene.cylinder(0.14, 0.025, body)
            scene.tube((0, 0, 0), (0, height - 0.1, 0), 0.011, body)
        scene.cylinder(0.2, 0.26, shade, top=0.75, up=height - 0.24)
        if lit and len(scene.lamps) < 7:
            scene.lamp(0, height + 0.1, 0, 0.5, warm)

    return Piece(0.4, 0.4, height, build)


def television(rng: Rng) -> Piece:
    """A wide flat screen on feet."""
    width = uniform(rng, 0.8, 1.4)
    case, image = _case(rng), screen(rng)

    def build(scene: SceneBuilder) -> None:
        for x in (-0.3, 0.3):
            scene.box(0.04, 0.06, 0.22, case, x=x * width)
        scene.box(width, width * 0.57, 0.05, case, up=0.06)
        scene.box(width - 0.03, width * 0.57 - 0.035, 0.052, image, up=0.077, z=-0.003)

    return Piece(width, 0.24, width * 0.6, build)


def plant(rng: Rng, height: float | None = None) -> Piece:
    """A pot plant: a bush of leaves, long blades, or stalks with large leaves."""
    tall = height or pick(rng, (uniform(rng, 0.2, 0.45), uniform(rng, 0.6, 1.7)))
    pot, green, stalk = plastic(rng) if chance(rng, 0.5) else metal(rng), leaves(rng), plain(rng, (0.1, 0.12, 0.04))
    radius = max(0.06, tall * uniform(rng, 0.1, 0.17))
    kind, seed = pick(rng, ("bush", "blades", "palm")), seed_of(rng)
    ways = [
        (uniform(rng, 0, 6.28), uniform(rng, 0.15, 0.42), uniform(rng, 0.55, 1.0)) for _ in range(whole(rng, 7, 14))
    ]
    blobs = [
        (uniform(rng, -0.2, 0.2), uniform(rng, 0.35, 0.8), uniform(rng, -0.2, 0.2), uniform(rng, 0.25, 0.45))
        for _ in range(4)
    ]

    def build(scene: SceneBuilder) -> None:
        low = radius * 1.6
        scene.cylinder(radius * 0.8, low, pot, top=1.25)
        if kind == "bush":
            for index, (x, up, z, size) in enumerate(blobs):
                foot = low * 0.8 + (up - 0.35) * (tall - low)
                for share, holes in ((0.86, None), (1.0, Cutout("leaves", leaf_size(tall), 0.45, seed + index))):
                    wide = size * tall * share
                    scene.ellipsoid(
                        wide,
                        wide * 0.9,
                        wide,
                        green,
                        x=x * tall,
                        up=foot + (size * tall - wide) / 2,
                        z=z * tall,
                        cutout=holes,
                    )
            scene.tube((0, low * 0.8, 0), (0, tall * 0.7, 0), 0.012, stalk)
            return
        for angle, reach, share in ways:
            tip = (reach * tall * math.sin(angle), low + (tall - low) * share, reach * tall * math.cos(angle))
            scene.tube((0, low * 0.9, 0), tip, 0.006 if kind == "palm" else 0.01, stalk if kind == "palm" else green)
            if kind == "palm":
                with scene.at(tip[0], tip[2], angle, up=tip[1]):
                    scene.ellipsoid(0.1 * tall + 0.04, 0.015, 0.22 * tall + 0.06, green, up=-0.02, z=0.04, pitch=0.5)

    return Piece(max(2 * radius, 0.5 * tall), max(2 * radius, 0.5 * tall), tall, build)


def leaf_size(tall: float) -> float:
    """Size of a leaf for a plant of that height."""
    return 0.02 + 0.02 * tall


def desk_things(rng: Rng, width: float, depth: float) -> Piece:
    """A work place on a desk: displays at the back, keyboard in front, papers and clutter around."""
    shown = pick(rng, (0, 1, 1, 2, 2, 3)) if width > 1.3 else pick(rng, (0, 1, 1))
    screens = [monitor(rng) for _ in range(shown)]
    spare, spots = [], []
    x = uniform(rng, -0.15, 0.15) * width - (sum(m.width for m in screens) - 0.1) / 2
    for item in screens:
        center, z = x + item.width / 2, depth / 2 - 0.16 - uniform(rng, 0, 0.1)
        spots.append((center, z, uniform(rng, -0.2, 0.2)))
        spare.append(Rect.around(center, z, item.width, item.depth))
        x += item.width + 0.03
    input_device = keyboard(rng) if shown else laptop(rng)
    key_x = (spots[0][0] if spots else uniform(rng, -0.2, 0.2) * width) + uniform(rng, -0.1, 0.1)
    key_z = -depth / 2 + 0.2 if shown else 0.0
    used = chance(rng, 0.85)
    if used:
        spare.append(Rect.around(key_x, key_z, input_device.width, input_device.depth))
    extras = [maker(rng) for maker, share in ((desk_lamp, 0.3), (phone, 0.3), (printer, 0.1)) if chance(rng, share)]
    corners_free = [(-width / 2 + 0.24, depth / 2 - 0.2), (width / 2 - 0.24, depth / 2 - 0.2)]
    corner_spots = []
    for extra, (cx, cz) in zip(extras, corners_free):
        rect = Rect.around(cx, cz, extra.width, extra.depth)
        if not any(rect.overlaps(other) for other in spare):
            spare.append(rect)
            corner_spots.append((extra, cx, cz))
    clutter = scatter(rng, width * 0.96, depth * 0.94, whole(rng, 1, 10), pick(rng, ("office", "paper")), spare=spare)

    def build(scene: SceneBuilder) -> None:
        for item, (sx, sz, yaw) in zip(screens, spots):
            with scene.at(sx, sz, yaw):
                item.build(scene)
        if used:
            with scene.at(key_x, key_z):
                input_device.build(scene)
        for extra, cx, cz in corner_spots:
            with scene.at(cx, cz):
                extra.build(scene)
        clutter.build(scene)

    return Piece(width, depth, 0.6, build)
