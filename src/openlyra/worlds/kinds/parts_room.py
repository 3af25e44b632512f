"""The shell of a room: walls, doors, windows, floor, ceiling, skirting, lights, curtains, radiators, pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from openlyra.worlds.builder import Opening, SceneBuilder
from openlyra.worlds.kinds.layout import Piece, Plan, Rect
from openlyra.worlds.kinds.palette import (
    Rng,
    any_color,
    ceiling,
    chance,
    fabric,
    floor,
    furniture,
    glow,
    grey,
    metal,
    pick,
    picture,
    plain,
    planks,
    seed_of,
    uniform,
    vivid,
    wall,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.types import Cutout, Material

WALL = 0.2
"""Thickness of outer walls, metres."""
SIDES = (0.0, math.pi / 2, math.pi, -math.pi / 2)
"""Outward yaws of the walls at +z, +x, -z, -x."""


@dataclass
class Side:
    """One wall of a room, in its own frame: x along it from its middle, +z out of the room."""

    yaw: float
    length: float
    reach: float
    """Metres from the middle of the room to the inner face."""
    doors: list[tuple[float, float]] = field(default_factory=list)
    """(middle, width) along the wall."""
    windows: list[tuple[float, float]] = field(default_factory=list)
    solid: bool = True
    """False if there is no wall at all."""

    def taken(self, x: float, width: float, low: bool = False) -> bool:
        """Whether an interval meets a door, or a window unless the thing is low enough to stand under it."""
        holes = self.doors if low else self.doors + self.windows
        return any(abs(x - middle) < (width + extent) / 2 for middle, extent in holes)


@dataclass
class Room:
    """A rectangular room around the origin."""

    width: float
    depth: float
    height: float
    plan: Plan
    sides: list[Side]
    wall: Material
    style: str

    @property
    def windowed(self) -> list[Side]:
        """The walls with windows."""
        return [side for side in self.sides if side.windows]


def new_room(rng: Rng, width: float, depth: float, height: float, style: str) -> Room:
    """An empty room; styles are those of `palette.floor`."""
    plan = Plan(Rect(-width / 2, -depth / 2, width / 2, depth / 2))
    lengths, reaches = (width, depth, width, depth), (depth / 2, width / 2, depth / 2, width / 2)
    sides = [Side(yaw, length, reach) for yaw, length, reach in zip(SIDES, lengths, reaches)]
    return Room(width, depth, height, plan, sides, wall(rng), style)


def side_frame(scene: SceneBuilder, side: Side):  # type: ignore[no-untyped-def]
    """The frame of a wall: origin on the foot of its inner face, +z out of the room."""
    return scene.at(math.sin(side.yaw) * side.reach, math.cos(side.yaw) * side.reach, side.yaw)


def on_plan(side: Side, x: float, z: float, width: float, depth: float) -> Rect:
    """The rectangle in the room of something at (x, z) of a wall's frame."""
    c, s = math.cos(side.yaw), math.sin(side.yaw)
    far = side.reach + z
    return Rect.around(s * far + c * x, c * far - s * x, width, depth, side.yaw)


def against(scene: SceneBuilder, room: Room, rng: Rng, piece: Piece, *, low: bool | None = None, gap: float = 0.02,
            front: float = 0.0, focus: bool = True, tries: int = 10, side: Side | None = None,
            corner: bool = False) -> tuple[Side, float] | None:  # fmt: skip
    """Stand a piece with its back to a wall, `front` metres clear before it: wall and place along it, or None."""
    under = piece.height < 0.85 if low is None else low
    for _ in range(tries):
        wall_side = side or pick(rng, room.sides)
        half = (wall_side.length - piece.width) / 2 - 0.02
        if half < 0 or not wall_side.solid:
            continue
        x = pick(rng, (-half, half)) if corner else uniform(rng, -half, half)
        rect = on_plan(wall_side, x, -(piece.depth + front) / 2 - gap / 2, piece.width, piece.depth + front + gap)
        if wall_side.taken(x, piece.width, under) or not room.plan.fits(rect, 0.0):
            continue
        room.plan.blocked.append(on_plan(wall_side, x, -piece.depth / 2 - gap, piece.width, piece.depth))
        if focus:
            room.plan.focus.append(room.plan.blocked[-1].center)
        with side_frame(scene, wall_side), scene.at(x, -piece.depth / 2 - gap):
            piece.build(scene)
        return wall_side, x
    return None


def add_door(
    room: Room, rng: Rng, side: Side | None = None, x: float | None = None, width: float | None = None
) -> bool:
    """Plan a door on a wall and keep the floor before it free."""
    for _ in range(8):
        chosen, extent = side or pick(rng, room.sides), width or uniform(rng, 0.8, 1.0)
        room_left = (chosen.length - extent) / 2 - 0.15
        if room_left < 0:
            continue
        middle = uniform(rng, -room_left, room_left) if x is None else x
        if chosen.taken(middle, extent + 0.3):
            continue
        chosen.doors.append((middle, extent))
        room.plan.blocked.append(on_plan(chosen, middle, -0.45, extent, 0.9))
        return True
    return False


def add_windows(room: Room, rng: Rng, side: Side, count: int, width: float) -> None:
    """Plan evenly spread windows on a wall."""
    pitch = side.length / count
    for index in range(count):
        middle, extent = -side.length / 2 + pitch * (index + 0.5), min(width, pitch - 0.25)
        if extent > 0.4 and not side.taken(middle, extent + 0.1):
            side.windows.append((middle, extent))


def build_shell(scene: SceneBuilder, rng: Rng, room: Room, *, sill: float | None = None, head: float | None = None,
                flat_ceiling: bool = True) -> None:  # fmt: skip
    """Floor, ceiling, four walls with their doors and windows, skirting."""
    w, d, h = room.width, room.depth, room.height
    scene.box(w + 0.8, 0.15, d + 0.8, floor(rng, room.style), up=-0.15)
    if flat_ceiling:
        scene.box(w + 2 * WALL, 0.15, d + 2 * WALL, ceiling(rng, room.style), up=h)
    bottom = sill if sill is not None else pick(rng, (0.85, 0.9, 0.8, 0.5, 0.02))
    top = min(h - 0.12, head or uniform(rng, 2.0, 2.5))
    accent = wall(rng) if chance(rng, 0.3) else room.wall
    accented = int(rng.integers(4))
    skirting = _skirting(rng)
    frame = plain(rng, grey(rng, 0.85, 0.97)) if chance(rng, 0.65) else wood(rng)
    for index, side in enumerate(room.sides):
        if not side.solid:
            continue
        material = accent if index == accented else room.wall
        with side_frame(scene, side):
            _build_side(scene, rng, side, h, material, frame, bottom, top)
            if skirting is not None:
                _skirt(scene, side, skirting)


def _build_side(scene: SceneBuilder, rng: Rng, side: Side, h: float, material: Material, frame: Material,
                bottom: float, top: float) -> None:  # fmt: skip
    half = side.length / 2 + WALL
    door_top = min(2.05, h - 0.1)
    holes = [Opening(half + x - e / 2, e, 0.0, door_top) for x, e in side.doors]
    holes += [Opening(half + x - e / 2, e, bottom, top) for x, e in side.windows]
    scene.wall((-half, WALL / 2), (half, WALL / 2), h, WALL, material, holes)
    for x, extent in side.doors:
        with scene.at(x):
            door(scene, rng, extent, door_top, frame)
    for x, extent in side.windows:
        with scene.at(x, up=bottom):
            window(scene, rng, extent, top - bottom, frame)


def _skirting(rng: Rng) -> Material | None:
    if chance(rng, 0.25):
        return None
    return plain(rng, grey(rng, 0.8, 0.95)) if chance(rng, 0.6) else wood(rng)


def _skirt(scene: SceneBuilder, side: Side, material: Material) -> None:
    edges, begin = sorted(side.doors), -side.length / 2
    for middle, extent in [*edges, (side.length / 2 + 0.1, 0.2)]:
        end = middle - extent / 2 - 0.06
        if end - begin > 0.05:
            scene.box(end - begin, 0.08, 0.014, material, x=(begin + end) / 2, z=-0.007)
        begin = middle + extent / 2 + 0.06


def door(scene: SceneBuilder, rng: Rng, width: float, height: float, frame: Material) -> None:
    """Frame and leaf in an opening of a wall's frame; ajar doors show a small lobby behind."""
    for x in (-1, 1):
        scene.box(0.07, height + 0.07, WALL + 0.04, frame, x=x * (width / 2 + 0.02), z=WALL / 2)
    scene.box(width + 0.11, 0.07, WALL + 0.04, frame, up=height, z=WALL / 2)
    leaf = furniture(rng)
    r = rng.random()
    if r < 0.65:
        _leaf(scene, rng, width + 0.01, height, leaf, WALL * 0.35)
        return
    scene.room(width + 2.0, 2.5, 2.4, wall(rng), z=WALL + 1.2)
    scene.quad(width + 2.0, 2.4, floor(rng), up=-1.19, z=WALL + 1.2, pitch=math.pi / 2)
    if r < 0.9:  # opens outwards into the lobby
        with scene.at(-width / 2 + 0.03, WALL, uniform(rng, -2.0, -0.5)), scene.at(width / 2 - 0.03):
            _leaf(scene, rng, width - 0.06, height, leaf, 0.0)


def _leaf(scene: SceneBuilder, rng: Rng, width: float, height: float, material: Material, z: float) -> None:
    scene.box(width, height - 0.01, 0.04, material, up=0.005, z=z)
    handle = metal(rng)
    scene.tube((width * 0.42, 1.02, z - 0.02), (width * 0.42, 1.02, z - 0.07), 0.009, handle)
    scene.tube((width * 0.42, 1.02, z - 0.07), (width * 0.42 - 0.11, 1.02, z - 0.07), 0.009, handle)
    r = rng.random()
    if r < 0.35:  # raised panels
        for up, tall in ((0.15, 0.75), (1.05, 0.8)):
            scene.box(width * 0.7, tall, 0.055, material, up=up, z=z)
    elif r < 0.5:  # a glazed upper half
        pane = plain(rng, grey(rng, 0.5, 0.8), 0.3, 0.1)
        scene.box(width * 0.6, 0.8, 0.045, pane, up=1.05, z=z)


def window(scene: SceneBuilder, rng: Rng, width: float, height: float, frame: Material) -> None:
    """Frame, bars and sill in an opening; the origin is the middle of its lower edge on the inner face."""
    thick, z = uniform(rng, 0.04, 0.07), WALL * uniform(rng, 0.4, 0.8)
    for x in (-1, 1):
        scene.box(thick, height, 0.06, frame, x=x * (width - thick) / 2, z=z)
    for up in (0.0, height - thick):
        scene.box(width, thick, 0.06, frame, up=up, z=z)
    panes = max(1, round(width / uniform(rng, 0.6, 1.3)))
    for index in range(1, panes):
        scene.box(thick, height, 0.06, frame, x=-width / 2 + width * index / panes, z=z)
    if chance(rng, 0.35):
        scene.box(width, thick * 0.8, 0.05, frame, up=height * uniform(rng, 0.45, 0.75), z=z)
    if chance(rng, 0.75):
        scene.box(width + 0.12, 0.03, 0.2, frame, up=-0.03, z=-0.06)


def curtains(scene: SceneBuilder, rng: Rng, side: Side, height: float, low: float = 0.05) -> None:
    """Folds of cloth beside every window of a wall, with a rail, or a blind."""
    cloth = fabric(rng) if chance(rng, 0.6) else plain(rng, grey(rng, 0.75, 0.95))
    blind = chance(rng, 0.3)
    rail = metal(rng)
    for middle, extent in side.windows:
        top = min(height - 0.08, 2.5)
        if blind:
            drop = uniform(rng, 0.3, 1.0) * (top - 0.9)
            slats = Cutout("bars", 0.05, uniform(rng, 0.35, 0.8))
            slat = plain(rng, grey(rng, 0.6, 0.95))
            scene.quad(drop, extent + 0.05, slat, x=middle, up=top - drop / 2 - (extent + 0.05) / 2, z=-0.05,
                       roll=math.pi / 2, cutout=slats)  # fmt: skip
            continue
        scene.tube((middle - extent * 0.75, top, -0.1), (middle + extent * 0.75, top, -0.1), 0.012, rail)
        foot = low if chance(rng, 0.7) else 0.75
        for x in (-1, 1):
            _folds(scene, rng, middle + x * (extent / 2 + 0.02), foot, top, x * uniform(rng, 0.15, 0.5), cloth)


def _folds(scene: SceneBuilder, rng: Rng, x: float, low: float, top: float, inward: float, cloth: Material) -> None:
    count = max(3, int(abs(inward) / 0.06))
    for index in range(count):
        wide = abs(inward) / count * uniform(rng, 1.1, 1.6)
        at = x + 0.1 * (1 if inward > 0 else -1) - inward * (index + 0.5) / count
        scene.add(
            "frustum",
            (at, -(low + top) / 2, -0.1 + uniform(rng, -0.02, 0.02)),
            (wide / 2, (top - low) / 2, uniform(rng, 0.025, 0.05)),
            cloth,
            detail=uniform(rng, 0.8, 1.0),
        )


def radiators(scene: SceneBuilder, rng: Rng, side: Side) -> None:
    """Heaters under the windows: ribs or a plate."""
    white = plain(rng, grey(rng, 0.8, 0.95))
    ribbed = chance(rng, 0.5)
    for middle, extent in side.windows:
        width = extent * uniform(rng, 0.6, 0.95)
        if not ribbed:
            scene.box(width, 0.55, 0.07, white, x=middle, up=0.12, z=-0.07)
            continue
        count = max(4, int(width / 0.09))
        for index in range(count):
            scene.box(0.05, 0.55, 0.11, white, x=middle + (index + 0.5 - count / 2) * 0.085, up=0.12, z=-0.09)


def ceiling_lights(scene: SceneBuilder, rng: Rng, room: Room, on: float = 0.6) -> None:
    """Panels, tubes, bulbs, bowls or pendants in a grid; those that are on give light."""
    kind = pick(
        rng, ("panel", "tube", "pendant", "bowl", "spots") if room.style != "office" else ("panel", "tube", "panel")
    )
    lit = chance(rng, on)
    warm = (1.0, uniform(rng, 0.78, 1.0), uniform(rng, 0.55, 1.0))
    shine = glow(rng, uniform(rng, 1.2, 3.0), warm) if lit else plain(rng, grey(rng, 0.8, 0.95))
    body = metal(rng) if chance(rng, 0.5) else plain(rng, vivid(rng))
    nx = max(1, round(room.width / uniform(rng, 2.2, 3.6)))
    nz = max(1, round(room.depth / uniform(rng, 2.2, 3.6)))
    if kind in ("pendant", "bowl"):
        nx, nz = min(nx, 2), min(nz, 2)
    strength = min(3.0, 0.35 * room.width * room.depth * room.height / (nx * nz) / 4.0)
    for i in range(nx):
        for j in range(nz):
            x, z = ((i + 0.5) / nx - 0.5) * room.width, ((j + 0.5) / nz - 0.5) * room.depth
            with scene.at(x, z):
                low = _fixture(scene, rng, kind, room.height, shine, body)
            if lit and len(scene.lamps) < 6:
                scene.lamp(x, low, z, strength * uniform(rng, 0.5, 1.1), warm)


def _fixture(scene: SceneBuilder, rng: Rng, kind: str, h: float, shine: Material, body: Material) -> float:
    if kind == "panel":
        scene.box(0.58, 0.03, 0.58 if chance(rng, 0.6) else 1.18, shine, up=h - 0.02)
        return h - 0.12
    if kind == "tube":
        scene.box(0.14, 0.05, 1.3, body, up=h - 0.05)
        scene.tube((0, h - 0.08, -0.6), (0, h - 0.08, 0.6), 0.02, shine)
        return h - 0.2
    if kind == "bowl":
        scene.ellipsoid(0.4, 0.16, 0.4, shine, up=h - 0.14)
        return h - 0.3
    if kind == "spots":
        scene.cylinder(0.05, 0.02, shine, up=h - 0.015)
        return h - 0.1
    low = h - uniform(rng, 0.5, min(1.1, h - 1.6))
    scene.tube((0, low, 0), (0, h, 0), 0.006, body)
    scene.cylinder(uniform(rng, 0.12, 0.25), 0.2, body, top=uniform(rng, 0.2, 0.9), up=low - 0.12)
    scene.ellipsoid(0.1, 0.12, 0.1, shine, up=low - 0.2)
    return low - 0.28


def pictures(scene: SceneBuilder, rng: Rng, room: Room, count: int) -> None:
    """Framed prints, posters, clocks and boards on free stretches of wall."""
    for _ in range(count):
        side = pick(rng, room.sides)
        width, height = uniform(rng, 0.2, 1.1), uniform(rng, 0.2, 0.9)
        x = uniform(rng, -1, 1) * (side.length - width) / 2 * 0.92
        if not side.solid or side.taken(x, width + 0.2):
            continue
        middle = uniform(rng, 1.35, 1.75)
        with side_frame(scene, side), scene.at(x, 0.0, up=middle - height / 2):
            if chance(rng, 0.1):
                scene.cylinder(0.15, 0.04, plain(rng, grey(rng, 0.85, 0.97)), up=0.2, z=-0.03, pitch=math.pi / 2)
            elif chance(rng, 0.35):
                scene.box(width, height, 0.006, picture(rng), z=-0.004)
            else:
                scene.box(width + 0.06, height + 0.06, 0.025, furniture(rng), up=-0.03, z=-0.013)
                scene.box(width, height, 0.03, picture(rng), z=-0.0155)


def whiteboard(scene: SceneBuilder, rng: Rng, room: Room) -> None:
    """A writing board on one wall."""
    width = uniform(rng, 1.0, 2.4)
    side = pick(rng, room.sides)
    x = uniform(rng, -1, 1) * max(0.0, side.length - width) / 2 * 0.9
    if not side.solid or side.taken(x, width + 0.1) or side.length < width + 0.3:
        return
    board = plain(rng, grey(rng, 0.9, 0.97) if chance(rng, 0.8) else (0.02, 0.07, 0.04), 0.15, 0.2)
    with side_frame(scene, side), scene.at(x):
        scene.box(width + 0.06, 1.26, 0.03, metal(rng), up=0.87, z=-0.015)
        scene.box(width, 1.2, 0.034, board, up=0.9, z=-0.018)
        scene.box(width * 0.6, 0.02, 0.08, metal(rng), up=0.86, z=-0.05)
        for _ in range(whole(rng, 0, 6)):
            scene.box(uniform(rng, 0.08, 0.4), uniform(rng, 0.06, 0.3), 0.002, picture(rng),
                      x=uniform(rng, -0.35, 0.35) * width, up=uniform(rng, 1.0, 1.7), z=-0.037)  # fmt: skip


def structure(scene: SceneBuilder, rng: Rng, room: Room) -> None:
    """A column, beams under the ceiling, a corner cut out of the plan, pipes or ducts: each now and then."""
    w, d, h = room.width, room.depth, room.height
    if chance(rng, 0.15) and w > 3.5 and d > 3.5:
        size = uniform(rng, 0.3, 0.5)
        x, z = uniform(rng, -0.3, 0.3) * w, uniform(rng, -0.3, 0.3) * d
        if room.plan.claim(Rect.around(x, z, size, size), 0.3):
            if chance(rng, 0.5):
                scene.box(size, h, size, room.wall, x=x, z=z)
            else:
                scene.cylinder(size / 2, h, room.wall, x=x, z=z)
    if chance(rng, 0.15):
        beam = planks(rng, 0.3) if chance(rng, 0.6) else room.wall
        count = whole(rng, 2, 6)
        for index in range(count):
            scene.box(w, uniform(rng, 0.14, 0.24), 0.16, beam, up=h - 0.2, z=((index + 0.5) / count - 0.5) * d)
    if chance(rng, 0.2):
        _nook(scene, rng, room)
    if chance(rng, 0.12):
        side = pick(rng, (-1, 1))
        pipe = metal(rng)
        for offset in (0.12, 0.26):
            scene.tube(
                (side * (w / 2 - offset), h - 0.18, -d / 2), (side * (w / 2 - offset), h - 0.18, d / 2), 0.045, pipe
            )


def _nook(scene: SceneBuilder, rng: Rng, room: Room) -> None:
    """Fill one corner with a block, so that the free plan is an L."""
    a, b = room.width * uniform(rng, 0.15, 0.35), room.depth * uniform(rng, 0.15, 0.35)
    sx, sz = pick(rng, (-1, 1)), pick(rng, (-1, 1))
    x, z = sx * (room.width - a) / 2, sz * (room.depth - b) / 2
    hit = Rect.around(x, z, a, b)
    for side in room.sides:
        for middle, extent in side.doors + side.windows:
            if on_plan(side, middle, -0.3, extent + 0.1, 0.7).overlaps(hit):
                return
    if room.plan.claim(hit, 0.0):
        scene.box(a, room.height, b, room.wall, x=x, z=z)


def rug(scene: SceneBuilder, rng: Rng, width: float, depth: float) -> None:
    """A rug on the floor around the origin."""
    cloth = (
        fabric(rng)
        if chance(rng, 0.4)
        else Material("carpet", any_color(rng), any_color(rng), any_color(rng), seed=seed_of(rng))
    )
    scene.box(width, 0.012, depth, cloth)
