"""Houses from outside: walls with real windows and doors nearby, printed ones far away, roofs, chimneys, balconies."""

from __future__ import annotations

import math
from dataclasses import dataclass

from openlyra.worlds.builder import Opening, SceneBuilder, rotation
from openlyra.worlds.kinds.palette import (
    Rng,
    chance,
    darker,
    fabric,
    facade_paint,
    furniture,
    glow,
    grey,
    hsv,
    metal,
    pick,
    picture,
    plain,
    seed_of,
    uniform,
    vary,
    vivid,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.kinds.parts_plants import bush
from openlyra.worlds.types import Cutout, Material


@dataclass(frozen=True)
class Front:
    """The look of one facade."""

    wall: Material
    trim: Material
    frame: Material
    glass: Material
    shutter: Material | None
    window_width: float
    window_height: float
    bay: float
    storey: float
    ground: str
    """plain: windows and a door; shop: large panes; arcade: arches on pillars; gate: a wide door."""
    timbered: bool = False


def new_front(rng: Rng) -> Front:
    """A random facade."""
    storey = uniform(rng, 2.7, 3.8)
    width = uniform(rng, 0.8, 1.6)
    glass = plain(rng, hsv(0.58, uniform(rng, 0.05, 0.4), uniform(rng, 0.08, 0.4)), uniform(rng, 0.4, 0.9), 0.05)
    trim = plain(rng, grey(rng, 0.6, 0.95)) if chance(rng, 0.6) else wood(rng)
    shutter = (
        plain(rng, pick(rng, (hsv(0.35, 0.5, 0.4), hsv(0.6, 0.4, 0.5), vivid(rng)))) if chance(rng, 0.25) else None
    )
    return Front(
        facade_paint(rng),
        trim,
        trim if chance(rng, 0.5) else plain(rng, grey(rng, 0.2, 0.95)),
        glass,
        shutter,
        width,
        storey * uniform(rng, 0.45, 0.62),
        width + uniform(rng, 0.7, 1.8),
        storey,
        pick(rng, ("plain", "plain", "shop", "shop", "arcade", "gate")),
        chance(rng, 0.12),
    )


def roof_material(rng: Rng) -> Material:
    """Tiles, slate or sheet metal."""
    color = vary(
        rng, pick(rng, ((0.6, 0.3, 0.2), (0.5, 0.26, 0.2), (0.35, 0.35, 0.38), (0.25, 0.25, 0.27), (0.45, 0.4, 0.36)))
    )
    return Material(
        "roof", color, darker(color, 0.5), scale=uniform(rng, 0.2, 0.35), seed=seed_of(rng), bump=0.6, grime=0.5
    )


def detailed_facade(scene: SceneBuilder, rng: Rng, front: Front, width: float, storeys: int) -> float:
    """A facade along x, its outer face at z = 0 and its street on the side of -z; returns its height."""
    bays = max(1, int((width - 0.6) / front.bay))
    pitch, thick = width / bays, 0.35
    height = storeys * front.storey + uniform(rng, 0.2, 0.6)
    holes_of = [_ground_holes(rng, front, bays, pitch)] + [_upper_holes(front, bays, pitch) for _ in range(storeys - 1)]
    for level, holes in enumerate(holes_of):
        tall = front.storey if level < storeys - 1 else height - level * front.storey
        scene.wall(
            (-width / 2, thick / 2), (width / 2, thick / 2), tall, thick, front.wall, holes, up=level * front.storey
        )
        scene.box(width - 0.1, tall, 0.05, front.glass, up=level * front.storey, z=thick - 0.08)
        for hole in holes:
            with scene.at(hole.start + hole.width / 2 - width / 2, 0.0, up=level * front.storey + hole.bottom):
                if level == 0 and hole.bottom < 0.1 and hole.width < 1.4:
                    _house_door(scene, rng, front, hole.width, hole.top)
                else:
                    _pane(scene, rng, front, hole.width, hole.top - hole.bottom, level)
        if level and chance(rng, 0.4):
            scene.box(width + 0.04, 0.14, 0.16, front.trim, up=level * front.storey - 0.1, z=-0.05)
    if front.ground == "shop":
        _shop_sign(scene, rng, front, width)
    if front.timbered:
        _timber(scene, rng, front, width, height)
    scene.box(width + 0.1, 0.3, 0.5, front.trim, up=height - 0.15, z=-0.02)
    if storeys > 1 and chance(rng, 0.3):
        _balconies(scene, rng, front, bays, pitch, width, storeys)
    return height


def _upper_holes(front: Front, bays: int, pitch: float) -> list[Opening]:
    low = (front.storey - front.window_height) * 0.55
    wide = min(front.window_width, pitch - 0.3)
    return [Opening((i + 0.5) * pitch - wide / 2, wide, low, low + front.window_height) for i in range(bays)]


def _ground_holes(rng: Rng, front: Front, bays: int, pitch: float) -> list[Opening]:
    top = front.storey - 0.45
    if front.ground in ("shop", "arcade"):
        wide = pitch * (0.82 if front.ground == "shop" else 0.7)
        low = 0.45 if front.ground == "shop" else 0.05
        return [Opening((i + 0.5) * pitch - wide / 2, wide, 0.0 if i == bays // 2 else low, top) for i in range(bays)]
    holes = _upper_holes(front, bays, pitch)
    at = int(rng.integers(bays))
    wide = min(pitch - 0.3, 2.6 if front.ground == "gate" else 1.05)
    holes[at] = Opening((at + 0.5) * pitch - wide / 2, wide, 0.0, min(top, 2.4))
    return holes


def _pane(scene: SceneBuilder, rng: Rng, front: Front, width: float, height: float, level: int) -> None:
    """Frame, bars, sill, and sometimes shutters, flowers or curtains in an opening (its lower edge at up = 0)."""
    bar, z = 0.06, 0.2
    for x in (-1, 1):
        scene.box(bar, height, 0.08, front.frame, x=x * (width - bar) / 2, z=z)
    scene.box(width, bar, 0.08, front.frame, up=height - bar, z=z)
    scene.box(width, bar, 0.08, front.frame, z=z)
    if width > 0.9:
        scene.box(bar, height, 0.06, front.frame, z=z)
    if height > 1.3:
        scene.box(width, bar * 0.8, 0.06, front.frame, up=height * 0.68, z=z)
    scene.box(width + 0.16, 0.06, 0.16, front.trim, up=-0.06, z=-0.06)
    if level and front.shutter is not None:
        for x in (-1, 1):
            scene.box(width * 0.5, height, 0.045, front.shutter, x=x * (width * 0.75 + 0.02), z=-0.03)
    if level and chance(rng, 0.12):
        scene.box(width, 0.18, 0.2, wood(rng), up=-0.02, z=-0.14)
        with scene.at(0, -0.14, up=0.1):
            bush(scene, rng, 0.32)
            with scene.at(width * 0.25):
                bush(scene, rng, 0.3)


def _house_door(scene: SceneBuilder, rng: Rng, front: Front, width: float, height: float) -> None:
    leaf = furniture(rng) if chance(rng, 0.6) else plain(rng, vivid(rng))
    scene.box(width, height, 0.06, leaf, z=0.24)
    for up in (0.2, height * 0.55):
        scene.box(width * 0.65, height * 0.32, 0.08, leaf, up=up, z=0.24)
    scene.ellipsoid(0.06, 0.06, 0.06, metal(rng), x=width * 0.38, up=1.0, z=0.18)
    for x in (-1, 1):
        scene.box(0.12, height + 0.1, 0.1, front.trim, x=x * (width / 2 + 0.06), z=-0.02)
    scene.box(width + 0.24, 0.14, 0.14, front.trim, up=height, z=-0.03)
    scene.box(width + 0.3, 0.14, 0.5, front.trim, z=-0.2)


def _shop_sign(scene: SceneBuilder, rng: Rng, front: Front, width: float) -> None:
    wide = width * uniform(rng, 0.5, 0.95)
    scene.box(
        wide, 0.4, 0.1, picture(rng) if chance(rng, 0.6) else plain(rng, vivid(rng)), up=front.storey - 0.43, z=-0.06
    )
    if chance(rng, 0.4):  # an awning
        deep, cloth = uniform(rng, 0.8, 1.4), fabric(rng)
        scene.add(
            "box",
            (0.0, -(front.storey - 0.72), -deep / 2),
            (wide / 2, 0.015, deep / 2 * 1.08),
            cloth,
            turn=rotation(pitch=-0.42),
        )
    if chance(rng, 0.3):  # a sign that juts out
        x = uniform(rng, -0.4, 0.4) * width
        scene.tube((x, front.storey - 0.1, 0), (x, front.storey - 0.1, -0.9), 0.02, metal(rng))
        scene.box(0.05, 0.6, 0.7, picture(rng), x=x, up=front.storey - 0.75, z=-0.5)


def _timber(scene: SceneBuilder, rng: Rng, front: Front, width: float, height: float) -> None:
    """Beams laid on the wall above the ground floor."""
    beam = wood(rng)
    beam = plain(rng, darker(beam.color, 0.4))
    count = max(2, int(width / 1.3))
    for index in range(count + 1):
        x = (index / count - 0.5) * (width - 0.2)
        scene.box(0.16, height - front.storey, 0.05, beam, x=x, up=front.storey, z=-0.02)
    for level in range(1, int(height / front.storey) + 1):
        scene.box(width, 0.18, 0.06, beam, up=level * front.storey - 0.1, z=-0.025)


def _balconies(
    scene: SceneBuilder, rng: Rng, front: Front, bays: int, pitch: float, width: float, storeys: int
) -> None:
    rail, solid = metal(rng), chance(rng, 0.3)
    for level in range(1, storeys):
        for index in range(bays):
            if (index + level) % 2 or chance(rng, 0.3):
                continue
            x, up = (index + 0.5) * pitch - width / 2, level * front.storey
            wide, deep = pitch * 0.85, 0.9
            scene.box(wide, 0.16, deep, front.trim, x=x, up=up - 0.16, z=-deep / 2)
            bars = None if solid else Cutout("bars", 0.11, 0.18, 1)
            scene.box(wide, 0.95, 0.025, rail, x=x, up=up, z=-deep + 0.03, cutout=bars)
            for side in (-1, 1):
                scene.box(0.025, 0.95, deep, rail, x=x + side * (wide / 2 - 0.02), up=up, z=-deep / 2, cutout=bars)
            scene.box(wide, 0.05, 0.05, rail, x=x, up=up + 0.93, z=-deep + 0.03)


def roof(scene: SceneBuilder, rng: Rng, width: float, depth: float, up: float, *, along: bool) -> None:
    """A roof over x = +-width/2, z = 0 to depth: gable along or across the street, hipped by look, or flat."""
    tiles_, r = roof_material(rng), rng.random()
    if r < 0.15:
        scene.box(width, 0.4, depth, plain(rng, grey(rng, 0.3, 0.7)), up=up, z=depth / 2)
        for _ in range(whole(rng, 0, 3)):
            scene.box(
                uniform(rng, 0.6, 2.5),
                uniform(rng, 0.5, 1.8),
                uniform(rng, 0.6, 2),
                plain(rng, grey(rng, 0.4, 0.8)),
                x=uniform(rng, -0.35, 0.35) * width,
                up=up + 0.4,
                z=uniform(rng, 0.2, 0.8) * depth,
            )
        return
    span = depth if along else width
    rise = span * uniform(rng, 0.28, 0.55)
    if along:
        scene.gable(depth + 0.7, rise, width + 0.3, tiles_, up=up, z=depth / 2, yaw=math.pi / 2)
    else:
        scene.gable(width + 0.5, rise, depth + 0.5, tiles_, up=up, z=depth / 2)
    for _ in range(whole(rng, 0, 2)):
        x = uniform(rng, -0.35, 0.35) * width
        z = depth / 2 + (uniform(rng, -0.2, 0.2) * depth if along else uniform(rng, -0.3, 0.3) * depth)
        scene.box(0.6, rise + 0.9, 0.6, facade_paint(rng), x=x, up=up, z=z)
        scene.cylinder(0.14, 0.35, plain(rng, vary(rng, (0.55, 0.3, 0.22))), x=x, up=up + rise + 0.9, z=z)
    if along and chance(rng, 0.35):  # dormers
        for index in range(whole(rng, 1, 3)):
            x = (index - 1) * width * 0.28
            with scene.at(x, depth * 0.18, up=up):
                scene.box(1.3, rise * 0.55, depth * 0.3, plain(rng, grey(rng, 0.6, 0.9)))
                scene.box(
                    0.8, rise * 0.35, 0.05, plain(rng, grey(rng, 0.1, 0.3), 0.5, 0.1), up=rise * 0.12, z=-depth * 0.15
                )
                scene.gable(1.6, 0.6, depth * 0.34, tiles_, up=rise * 0.55)


def printed_block(scene: SceneBuilder, rng: Rng, width: float, depth: float, height: float) -> None:
    """A building whose windows are only drawn on it, its front at z = 0."""
    body = facade_paint(rng)
    printed = Material(
        "facade",
        body.color,
        hsv(0.58, 0.3, uniform(rng, 0.08, 0.35)),
        grey(rng, 0.6, 0.95),
        scale=uniform(rng, 2.8, 3.8),
        seed=seed_of(rng),
        gloss=0.1,
        grime=0.5,
    )
    scene.box(width, height, depth, printed, z=depth / 2)


def house(scene: SceneBuilder, rng: Rng, width: float, depth: float, storeys: int, *, near: bool) -> None:
    """A house with its front along x at z = 0, facing -z; `near` ones have real windows."""
    front = new_front(rng)
    if near:
        height = detailed_facade(scene, rng, front, width, storeys)
        scene.box(width, height, depth - 0.36, front.wall, z=depth / 2 + 0.18)
    else:
        height = storeys * front.storey
        printed_block(scene, rng, width, depth, height)
    roof(scene, rng, width, depth, height, along=chance(rng, 0.65))
    if near and chance(rng, 0.5):
        pipe = metal(rng)
        scene.tube((width / 2 - 0.1, 0, -0.08), (width / 2 - 0.1, height, -0.08), 0.05, pipe)
    if near and chance(rng, 0.35):
        x = uniform(rng, -0.45, 0.45) * width
        scene.tube((x, 2.7, 0), (x, 2.75, -0.35), 0.025, metal(rng))
        scene.ellipsoid(0.2, 0.26, 0.2, glow(rng, 0.8), x=x, up=2.45, z=-0.4)


def cottage(scene: SceneBuilder, rng: Rng) -> None:
    """A free-standing small house or hut around the origin, its door towards -z."""
    width, depth = uniform(rng, 3, 9), uniform(rng, 3, 7)
    with scene.at(0, -depth / 2):
        house(scene, rng, width, depth, pick(rng, (1, 1, 2)), near=True)
