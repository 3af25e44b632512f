"""Things to sit and lie on; sitters look towards -z."""

from __future__ import annotations

import math
from itertools import pairwise

from openlyra.worlds.builder import SceneBuilder, corners, rotation
from openlyra.worlds.kinds.layout import Piece
from openlyra.worlds.kinds.palette import (
    Rng,
    chance,
    fabric,
    furniture,
    grey,
    leather,
    metal,
    pick,
    plain,
    plastic,
    uniform,
    vivid,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.types import Material


def legs(scene: SceneBuilder, width: float, depth: float, height: float, material: Material, thick: float,
         spread: float = 0.0) -> None:  # fmt: skip
    """Four legs under a rectangle, splayed outwards by `spread` metres at the floor."""
    for x, z in corners(width - thick, depth - thick):
        sx, sz = math.copysign(spread, x), math.copysign(spread, z)
        if spread:
            scene.tube((x + sx, thick / 2, z + sz), (x, height, z), thick / 2, material)
        else:
            scene.box(thick, height, thick, material, x=x, z=z)


def chair(rng: Rng) -> Piece:
    """A dining or visitor's chair."""
    width, depth, seat = uniform(rng, 0.38, 0.48), uniform(rng, 0.38, 0.48), uniform(rng, 0.43, 0.48)
    height = seat + uniform(rng, 0.35, 0.55)
    body = pick(rng, (wood, furniture, plastic))(rng)
    frame = body if chance(rng, 0.5) else metal(rng)
    thick, spread = uniform(rng, 0.022, 0.045), 0.04 if chance(rng, 0.35) else 0.0
    back, cushion, arms = pick(rng, ("board", "slats", "rungs", "round")), chance(rng, 0.3), chance(rng, 0.2)
    lean, cloth, shell = uniform(rng, -0.22, -0.05), fabric(rng), chance(rng, 0.5)

    def build(scene: SceneBuilder) -> None:
        legs(scene, width, depth, seat, frame, thick, spread)
        if shell:
            scene.ellipsoid(width * 1.08, 0.06, depth * 1.08, body, up=seat - 0.03)
        scene.box(width, 0.03, depth, body, up=seat - 0.02)
        if cushion:
            scene.ellipsoid(width * 0.95, 0.07, depth * 0.95, cloth, up=seat - 0.01)
        with scene.at(0, depth / 2 - 0.02, up=seat):
            _chair_back(scene, width, height - seat, back, lean, body, frame, thick)
        if arms:
            for x in (-width / 2, width / 2):
                scene.tube((x, seat, -depth / 4), (x, seat + 0.2, -depth / 4), 0.015, frame)
                scene.tube((x, seat + 0.2, -depth / 3), (x, seat + 0.22, depth / 2), 0.02, frame)

    return Piece(width + 0.1, depth + 0.14, height, build)


def _chair_back(scene: SceneBuilder, width: float, tall: float, kind: str, lean: float, body: Material,
                frame: Material, thick: float) -> None:  # fmt: skip
    top = math.tan(-lean) * tall
    for x in (-1, 1):
        scene.tube((x * (width - thick) / 2, 0, 0), (x * (width - thick) / 2, tall, top), thick / 2, frame)
    if kind == "board":
        scene.box(width - thick, tall * 0.5, 0.025, body, up=tall * 0.45, z=top * 0.7, pitch=lean)
    elif kind == "round":
        scene.ellipsoid(width * 1.05, tall * 0.75, 0.05, body, up=tall * 0.25, z=top * 0.6, pitch=lean)
    elif kind == "slats":
        for index in range(4):
            at = (index - 1.5) * width / 5
            scene.tube((at, 0, 0), (at, tall, top), 0.009, body)
        scene.box(width, 0.05, 0.025, body, up=tall - 0.05, z=top, pitch=lean)
    else:
        for share in (0.35, 0.65, 0.95):
            scene.box(width - thick, 0.05, 0.02, body, up=tall * share - 0.05, z=top * share, pitch=lean)


def swivel_chair(rng: Rng) -> Piece:
    """An office chair on castors."""
    seat, width = uniform(rng, 0.44, 0.54), uniform(rng, 0.44, 0.52)
    tall = uniform(rng, 0.35, 0.65)
    cloth = fabric(rng, grey(rng, 0.05, 0.3) if chance(rng, 0.5) else vivid(rng)) if chance(rng, 0.8) else leather(rng)
    shell = cloth if chance(rng, 0.75) else wood(rng)
    frame = plain(rng, grey(rng, 0.04, 0.15), 0.05) if chance(rng, 0.7) else metal(rng)
    arms, lean, twist, boxy = chance(rng, 0.6), uniform(rng, -0.25, -0.08), uniform(rng, 0, 1.2), chance(rng, 0.3)

    def build(scene: SceneBuilder) -> None:
        for index in range(5):
            angle = twist + index * 2 * math.pi / 5
            x, z = 0.29 * math.sin(angle), 0.29 * math.cos(angle)
            scene.tube((0, 0.13, 0), (x, 0.08, z), 0.022, frame)
            scene.ellipsoid(0.055, 0.06, 0.055, frame, x=x, z=z)
        scene.cylinder(0.03, seat - 0.15, frame, up=0.1)
        scene.box(width * 0.5, 0.05, width * 0.5, frame, up=seat - 0.1)
        with scene.at(up=seat - 0.06):
            _cushion(scene, width, 0.1, width * 0.98, shell, boxy)
        with scene.at(0, width * 0.48, up=seat):
            scene.tube((0, -0.08, -0.1), (0, tall * 0.5, 0.05), 0.022, frame)
            back = scene.box if boxy else scene.ellipsoid
            size = 1.0 if boxy else 1.12
            back(width * 0.92 * size, tall * size, 0.09, shell, up=0.12, z=0.03, pitch=lean)
        if arms:
            for x in (-width * 0.56, width * 0.56):
                scene.tube((x, seat - 0.04, 0.06), (x, seat + 0.2, 0.06), 0.018, frame)
                scene.box(0.06, 0.03, 0.26, frame, x=x, up=seat + 0.2, z=0.0)

    return Piece(0.66, 0.68, seat + 0.12 + tall, build)


def _cushion(scene: SceneBuilder, width: float, height: float, depth: float, material: Material, boxy: bool) -> None:
    if boxy:
        scene.box(width, height * 0.8, depth, material)
    else:
        scene.ellipsoid(width * 1.1, height, depth * 1.1, material)
        scene.box(width * 0.8, height * 0.7, depth * 0.8, material, up=height * 0.1)


def sofa(rng: Rng, seats: int | None = None) -> Piece:
    """An armchair (one seat) or a sofa."""
    count = seats or pick(rng, (2, 3, 3))
    arm = uniform(rng, 0.08, 0.24)
    width, depth = 0.62 * count + 2 * arm + uniform(rng, 0, 0.15), uniform(rng, 0.8, 1.0)
    base, seat, tall = uniform(rng, 0.05, 0.16), uniform(rng, 0.38, 0.46), uniform(rng, 0.65, 0.95)
    cloth = fabric(rng) if chance(rng, 0.75) else leather(rng)
    foot, pillows, soft = wood(rng), [fabric(rng) for _ in range(whole(rng, 0, 3))], chance(rng, 0.7)
    turns = [uniform(rng, -0.4, 0.4) for _ in range(3)]
    arm_up = uniform(rng, 0.52, 0.66)
    throw = fabric(rng) if chance(rng, 0.2) else None

    def build(scene: SceneBuilder) -> None:
        legs(scene, width - 0.1, depth - 0.1, base, foot, 0.05)
        scene.box(width, seat - base - 0.14, depth, cloth, up=base)
        scene.box(width, tall - base, 0.16, cloth, up=base, z=depth / 2 - 0.08)
        if soft:
            scene.add(
                "capsule", (0, -tall, depth / 2 - 0.08), (0.08, width / 2, 0.08), cloth, turn=rotation(roll=math.pi / 2)
            )
        for x in (-1, 1):
            scene.box(arm, arm_up - base, depth - 0.02, cloth, x=x * (width - arm) / 2, up=base)
            if soft:
                scene.cylinder(arm / 2, depth - 0.02, cloth, x=x * (width - arm) / 2, up=arm_up - (depth - 0.02) / 2,
                               pitch=math.pi / 2)  # fmt: skip
        inner = (width - 2 * arm) / count
        for index in range(count):
            at = (index + 0.5) * inner - width / 2 + arm
            with scene.at(at, -0.07, up=seat - 0.15):
                scene.box(inner - 0.015, 0.13, depth - 0.16, cloth)
                scene.ellipsoid(inner * 1.1, 0.24, (depth - 0.16) * 1.1, cloth, up=-0.04)
            scene.ellipsoid(
                inner * 1.05, (tall - seat) * 1.15, 0.3, cloth, x=at, up=seat - 0.02, z=depth / 2 - 0.22, pitch=-0.2
            )
        for index, pillow in enumerate(pillows):
            at = (index - 1) * (width - 2 * arm - 0.4) / 2
            scene.ellipsoid(
                0.46, 0.42, 0.16, pillow, x=at, up=seat - 0.03, z=depth / 2 - 0.36, pitch=-0.35, yaw=turns[index]
            )
        if throw is not None:
            scene.box(0.5, 0.02, depth * 0.7, throw, x=width * 0.2, up=seat + 0.05, z=-0.1)
            scene.box(0.5, 0.32, 0.02, throw, x=width * 0.2, up=seat - 0.25, z=-depth / 2 - 0.02)

    return Piece(width, depth, tall, build)


def armchair(rng: Rng) -> Piece:
    """An upholstered armchair, or a light one with curved tubular arms."""
    if chance(rng, 0.6):
        return sofa(rng, 1)
    width, depth, seat = uniform(rng, 0.6, 0.7), uniform(rng, 0.7, 0.85), uniform(rng, 0.36, 0.44)
    cloth = fabric(rng) if chance(rng, 0.7) else leather(rng)
    frame = metal(rng) if chance(rng, 0.5) else wood(rng)
    tall = uniform(rng, 0.45, 0.7)

    def build(scene: SceneBuilder) -> None:
        scene.box(width - 0.1, 0.09, depth * 0.75, cloth, up=seat - 0.09, z=-0.05, pitch=-0.1)
        scene.ellipsoid((width - 0.1) * 1.05, 0.16, depth * 0.8, cloth, up=seat - 0.1, z=-0.05, pitch=-0.1)
        scene.box(width - 0.1, tall, 0.08, cloth, up=seat - 0.05, z=depth / 2 - 0.1, pitch=-0.3)
        for x in (-width / 2, width / 2):
            path = [
                (x, 0.02, depth * 0.45),
                (x, 0.02, -depth * 0.3),
                (x, 0.06, -depth * 0.44),
                (x, 0.3, -depth * 0.5),
                (x, seat + 0.14, -depth * 0.46),
                (x, seat + 0.2, -depth * 0.3),
                (x, seat + 0.2, depth * 0.3),
            ]
            for start, end in pairwise(path):
                scene.tube(start, end, 0.02, frame)

    return Piece(width + 0.04, depth + 0.1, seat + tall, build)


def stool(rng: Rng) -> Piece:
    """A stool, low or at bar height, or a pouf."""
    height, radius = pick(rng, (uniform(rng, 0.42, 0.5), uniform(rng, 0.6, 0.78))), uniform(rng, 0.15, 0.2)
    top = furniture(rng) if chance(rng, 0.6) else fabric(rng)
    frame = metal(rng) if chance(rng, 0.5) else wood(rng)
    pouf = chance(rng, 0.25)

    def build(scene: SceneBuilder) -> None:
        if pouf:
            scene.ellipsoid(radius * 2.8, 0.42, radius * 2.8, top)
            return
        scene.cylinder(radius, 0.04, top, up=height - 0.04)
        for x, z in corners(radius * 1.2, radius * 1.2):
            scene.tube((x * 1.4, 0.012, z * 1.4), (x, height - 0.03, z), 0.012, frame)
        scene.ring(radius * 0.78, 0.02, frame, inner=0.9, up=height * 0.3)

    return Piece(radius * 2.8, radius * 2.8, 0.42 if pouf else height, build)


def bench(rng: Rng) -> Piece:
    """A bench of boards, with or without a back: parks, corridors, halls."""
    width, seat, back = uniform(rng, 1.0, 2.0), 0.45, chance(rng, 0.65)
    board = wood(rng) if chance(rng, 0.8) else metal(rng)
    frame = metal(rng) if chance(rng, 0.6) else plain(rng, grey(rng, 0.4, 0.7))

    def build(scene: SceneBuilder) -> None:
        for x in (-width * 0.42, width * 0.42):
            scene.box(0.06, seat - 0.03, 0.4, frame, x=x)
            if back:
                scene.tube((x, seat, 0.2), (x, 0.85, 0.3), 0.025, frame)
        for index in range(4):
            scene.box(width, 0.03, 0.09, board, up=seat - 0.03, z=-0.17 + index * 0.115)
        if back:
            for index in range(3):
                scene.box(width, 0.09, 0.025, board, up=0.52 + index * 0.12, z=0.205 + index * 0.03, pitch=-0.25)

    return Piece(width, 0.65, 0.9 if back else seat, build)


def bed(rng: Rng) -> Piece:
    """A bed, its head at +z, with mattress, blankets and pillows."""
    width, depth = pick(rng, (0.95, 1.25, 1.5, 1.7)), uniform(rng, 1.98, 2.12)
    frame, sheet, cover = furniture(rng), plain(rng, grey(rng, 0.8, 0.97)), fabric(rng)
    base, head = uniform(rng, 0.22, 0.34), uniform(rng, 0.7, 1.15)
    cases = [sheet if chance(rng, 0.6) else fabric(rng) for _ in range(2)]
    reach, lumps = (
        uniform(rng, 0.6, 0.8),
        [(uniform(rng, -0.35, 0.35), uniform(rng, -0.4, 0.2)) for _ in range(whole(rng, 2, 6))],
    )
    yaws, blanket = [uniform(rng, -0.25, 0.25) for _ in range(3)], fabric(rng) if chance(rng, 0.4) else None
    padded = chance(rng, 0.3)

    def build(scene: SceneBuilder) -> None:
        legs(scene, width - 0.08, depth - 0.08, base - 0.14, frame, 0.07)
        scene.box(width, 0.16, depth, frame, up=base - 0.14)
        scene.box(width, head, 0.06 if not padded else 0.12, cover if padded else frame, z=depth / 2 - 0.03)
        scene.box(width - 0.06, 0.2, depth - 0.1, sheet, up=base + 0.01)
        top, cut = base + 0.2, depth * reach
        scene.box(width + 0.05, 0.26, cut, cover, up=base + 0.02, z=-depth / 2 + cut / 2 - 0.02)
        for x, z in lumps:
            scene.ellipsoid(
                uniform_like(x, 0.35, 0.9) * width,
                0.18,
                0.7,
                cover,
                x=x * width,
                up=top - 0.02,
                z=z * depth * 0.6 - 0.25,
            )
        if blanket is not None:
            scene.box(width + 0.09, 0.29, depth * 0.28, blanket, up=base + 0.01, z=-depth * 0.33)
        count = 1 if width < 1.2 else 2
        for index in range(count):
            x = 0.0 if count == 1 else (index - 0.5) * width * 0.5
            scene.ellipsoid(
                0.66, 0.2, 0.44, cases[index], x=x, up=top - 0.02, z=depth / 2 - 0.36, yaw=yaws[index], pitch=-0.25
            )

    return Piece(width + 0.1, depth + 0.05, head, build)


def uniform_like(x: float, low: float, high: float) -> float:
    """A number between the two that depends on another one only."""
    return low + (high - low) * (abs(x * 7.31) % 1.0)
