"""What stands in streets: cars, bicycles, lamps, signs, bollards, fences, stalls; around the origin on up = 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.kinds.layout import Piece
from openlyra.worlds.kinds.palette import (
    Rng,
    chance,
    fabric,
    glow,
    grey,
    hsv,
    leaves,
    metal,
    pick,
    picture,
    plain,
    plastic,
    seed_of,
    stone,
    uniform,
    vivid,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.kinds.parts_seats import chair
from openlyra.worlds.kinds.parts_small import bowl, carton, fruit_material
from openlyra.worlds.types import Cutout, Material


def _wheel(
    scene: SceneBuilder, x: float, z: float, radius: float, width: float, rubber: Material, rim: Material
) -> None:
    scene.cylinder(radius, width, rubber, x=x, up=radius - width / 2, z=z, roll=math.pi / 2)
    scene.cylinder(radius * 0.62, width + 0.02, rim, x=x, up=radius - width / 2 - 0.01, z=z, roll=math.pi / 2)


def car(rng: Rng) -> Piece:
    """A car along z, its nose towards -z: body with rounded ends, cabin, glass, lights, wheels."""
    length, width = uniform(rng, 3.6, 4.8), uniform(rng, 1.65, 1.85)
    kind = pick(rng, ("saloon", "hatch", "van"))
    paint = plain(rng, grey(rng, 0.05, 0.95) if chance(rng, 0.6) else vivid(rng), uniform(rng, 0.2, 0.5), 0.15)
    glass, rubber = plain(rng, (0.02, 0.025, 0.03), 0.8, 0.05), plain(rng, (0.015, 0.015, 0.016))
    rim, lamp, red = metal(rng), plain(rng, (0.8, 0.8, 0.75), 0.4, 0.1), plain(rng, (0.4, 0.01, 0.01), 0.3)
    roof_up = {"saloon": 1.42, "hatch": 1.5, "van": 1.95}[kind]

    def build(scene: SceneBuilder) -> None:
        belt = 0.9 if kind != "van" else 1.1
        scene.box(width, belt - 0.36, length - 0.5, paint, up=0.28)
        scene.box(width * 0.94, 0.14, length - 0.7, paint, up=belt - 0.1)
        for sign in (-1, 1):
            scene.ellipsoid(width, belt - 0.2, 1.1, paint, up=0.24, z=sign * (length / 2 - 0.52))
            _light_pair(scene, width, sign, length, lamp if sign < 0 else red)
        start, end = {"saloon": (-0.18, 0.3), "hatch": (-0.2, 0.42), "van": (-0.36, 0.47)}[kind]
        middle, long = (start + end) / 2 * length, (end - start) * length
        _cabin(scene, width, belt, roof_up, middle, long, paint, glass, kind == "van")
        for x in (-1, 1):
            for z in (-0.31, 0.31):
                _wheel(scene, x * (width / 2 - 0.1), z * length, 0.32, 0.21, rubber, rim)
            scene.ellipsoid(0.2, 0.14, 0.12, paint, x=x * (width / 2 + 0.06), up=belt, z=start * length + 0.2)
        scene.box(0.5, 0.12, 0.02, lamp, up=0.4, z=length / 2 + 0.02)

    return Piece(width + 0.2, length, roof_up, build)


def _cabin(
    scene: SceneBuilder,
    width: float,
    belt: float,
    top: float,
    middle: float,
    long: float,
    paint: Material,
    glass: Material,
    boxy: bool,
) -> None:
    """Glass all round under a roof of body colour, sloping at both ends."""
    tall, wide = top - belt - 0.05, width * 0.86
    slope = 0.3 if boxy else 0.55
    scene.box(wide, tall, long - 2 * slope, glass, up=belt, z=middle)
    for sign in (-1, 1):
        z = middle + sign * (long / 2 - slope / 2)
        scene.gable(slope, tall, wide, glass, ridge=-1.0, up=belt, z=z, yaw=-sign * math.pi / 2)
        scene.box(wide + 0.02, tall, 0.09, paint, up=belt, z=middle + sign * (long / 2 - slope))
    scene.box(wide + 0.02, tall, 0.1, paint, up=belt, z=middle)
    scene.box(wide + 0.02, 0.06, long - 2 * slope + 0.1, paint, up=top - 0.06, z=middle)
    scene.ellipsoid(wide, 0.1, long - 2 * slope, paint, up=top - 0.05, z=middle)


def _light_pair(scene: SceneBuilder, width: float, sign: int, length: float, lamp: Material) -> None:
    for x in (-1, 1):
        scene.ellipsoid(0.3, 0.16, 0.2, lamp, x=x * width * 0.34, up=0.58, z=sign * (length / 2 - 0.1))


def bicycle(rng: Rng) -> Piece:
    """A bicycle along z made of thin tubes."""
    radius, frame = (
        uniform(rng, 0.3, 0.36),
        plain(rng, vivid(rng) if chance(rng, 0.6) else grey(rng, 0.05, 0.8), 0.2, 0.3),
    )
    black, steel, lean, basket_ = (
        plain(rng, (0.02, 0.02, 0.02)),
        metal(rng),
        uniform(rng, -0.12, 0.12),
        chance(rng, 0.3),
    )

    def build(scene: SceneBuilder) -> None:
        base = 0.52
        for z in (-base, base):
            scene.ring(radius, 0.035, black, inner=0.93, up=radius - 0.0175, z=z, roll=math.pi / 2)
            scene.disc(2 * radius * 0.93, 2 * radius * 0.93, steel, up=radius * 0.07, z=z, yaw=math.pi / 2,
                       cutout=Cutout("spokes", 12, 0.08, 1))  # fmt: skip
        crank, seat, head = (0, 0.28, 0.02), (lean * 0.8, 0.86, 0.2), (lean * 0.8, 0.84, -0.34)
        back, front = (0, radius, base), (0, radius, -base)
        for a, b in ((crank, seat), (crank, head), (seat, head), (crank, back), (seat, back), (head, front)):
            scene.tube(a, b, 0.015, frame)
        scene.ellipsoid(0.15, 0.07, 0.26, black, x=lean * 0.8, up=0.9, z=0.2)
        scene.tube(head, (lean * 0.9, 1.0, -0.38), 0.013, steel)
        scene.tube((-0.26 + lean, 1.02, -0.3), (0.26 + lean, 1.02, -0.3), 0.012, black)
        scene.ring(0.09, 0.015, steel, inner=0.7, up=0.28, z=0.02, x=0.05, roll=math.pi / 2)
        if basket_:
            scene.box(0.34, 0.24, 0.26, steel, up=0.86, z=-0.58, cutout=Cutout("mesh", 0.04, 0.3, 2))
        for sign in (-1, 1):
            scene.box(0.09, 0.02, 0.07, black, x=sign * 0.12, up=0.28 + sign * 0.12, z=0.02)

    return Piece(0.6, 1.75, 1.05, build)


def street_lamp(scene: SceneBuilder, rng: Rng, height: float | None = None) -> None:
    """A lamp post: old with a lantern, or modern with an arm."""
    tall, post = height or uniform(rng, 3.2, 6.5), metal(rng, grey(rng, 0.05, 0.4))
    scene.cylinder(0.1, 0.5, post, top=0.7)
    scene.cylinder(0.05, tall, post, top=0.8)
    if chance(rng, 0.5):
        scene.cylinder(0.13, 0.4, glow(rng, 0.7), top=1.5, up=tall)
        scene.cone(0.26, 0.22, post, up=tall + 0.4)
    else:
        scene.tube((0, tall, 0), (0, tall + 0.25, -1.1), 0.04, post)
        scene.ellipsoid(0.22, 0.12, 0.6, post, up=tall + 0.17, z=-1.2)


def sign(scene: SceneBuilder, rng: Rng) -> None:
    """A traffic sign facing -z."""
    post, tall = metal(rng), uniform(rng, 2.0, 2.6)
    scene.tube((0, 0, 0), (0, tall + 0.5, 0), 0.03, post)
    face = (
        picture(rng)
        if chance(rng, 0.4)
        else plain(rng, pick(rng, (hsv(0.0, 0.9, 0.75), hsv(0.6, 0.9, 0.6), hsv(0.14, 0.9, 0.9))))
    )
    if chance(rng, 0.6):
        scene.cylinder(0.3, 0.02, face, up=tall + 0.2, z=-0.04, pitch=math.pi / 2)
    else:
        scene.box(0.55, 0.55, 0.02, face, up=tall, z=-0.04, roll=pick(rng, (0.0, math.pi / 4)))


def bollard(scene: SceneBuilder, rng: Rng, body: Material) -> None:
    """A short post."""
    scene.cylinder(0.08, 0.85, body, top=0.85)
    scene.ellipsoid(0.17, 0.17, 0.17, body, up=0.8)


def fence(scene: SceneBuilder, rng: Rng, length: float, kind: str | None = None, body: Material | None = None) -> None:
    """A fence or railing along x: pickets, rails, iron bars, wire mesh, chain, wall."""
    kind = kind or pick(rng, ("picket", "rails", "iron", "mesh", "wall", "chain"))
    body = body or (wood(rng) if kind in ("picket", "rails") else metal(rng) if kind != "wall" else stone(rng, 0.4))
    tall, posts = uniform(rng, 0.8, 1.3), max(2, round(length / 2.0) + 1)
    if kind == "wall":
        scene.box(length, tall, 0.3, body)
        scene.box(length, 0.08, 0.4, body, up=tall)
        return
    for index in range(posts):
        x = (index / (posts - 1) - 0.5) * length
        scene.box(0.1, tall + 0.1, 0.1, body, x=x) if kind in ("picket", "rails") else scene.cylinder(
            0.03, tall + 0.1, body, x=x
        )
    if kind == "picket":
        scene.box(length, tall - 0.1, 0.025, body, up=0.08, z=-0.06, cutout=Cutout("bars", 0.14, 0.65, 1))
        for up in (0.25, tall - 0.25):
            scene.box(length, 0.07, 0.04, body, up=up)
    elif kind == "rails":
        for share in (0.3, 0.6, 0.95):
            scene.tube((-length / 2, tall * share, 0), (length / 2, tall * share, 0), 0.045, body)
    elif kind == "iron":
        scene.box(length, tall, 0.02, body, up=0.05, cutout=Cutout("bars", 0.13, 0.17, 1))
        for up in (0.15, tall - 0.05):
            scene.box(length, 0.035, 0.035, body, up=up)
    elif kind == "mesh":
        scene.box(length, tall, 0.006, body, up=0.05, cutout=Cutout("mesh", 0.06, 0.1, 1))
        scene.tube((-length / 2, tall, 0), (length / 2, tall, 0), 0.02, body)
    else:
        _chain(scene, posts, length, tall, body)


def fence_along(scene: SceneBuilder, rng: Rng, points: Sequence[tuple[float, float, float]], kind: str) -> None:
    """A fence along points (x, z, up), each piece level."""
    body = stone(rng, 0.4) if kind == "wall" else wood(rng)
    for a, b in pairwise(points):
        turn = math.atan2(b[0] - a[0], b[1] - a[1]) + math.pi / 2
        with scene.at((a[0] + b[0]) / 2, (a[1] + b[1]) / 2, turn, up=min(a[2], b[2])):
            fence(scene, rng, math.hypot(b[0] - a[0], b[1] - a[1]) + 0.05, kind, body)


def _chain(scene: SceneBuilder, posts: int, length: float, tall: float, body: Material) -> None:
    for index in range(posts - 1):
        a, b = ((index + i) / (posts - 1) * length - length / 2 for i in (0, 1))
        middle = ((a + b) / 2, tall * 0.6, 0)
        scene.tube((a, tall * 0.95, 0), middle, 0.02, body)
        scene.tube(middle, (b, tall * 0.95, 0), 0.02, body)


def bin_(scene: SceneBuilder, rng: Rng) -> None:
    """A litter bin or wheeled bin."""
    body = plain(rng, pick(rng, (hsv(0.35, 0.6, 0.35), grey(rng, 0.1, 0.5), hsv(0.6, 0.6, 0.4), hsv(0.14, 0.8, 0.8))))
    if chance(rng, 0.5):
        scene.cylinder(0.22, 0.8, body, top=1.15)
    else:
        scene.box(0.55, 0.95, 0.6, body, up=0.08)
        scene.box(0.58, 0.07, 0.65, body, up=1.03, pitch=0.08)


def stall(rng: Rng) -> Piece:
    """A market stall with an awning, crates and fruit; customers at -z."""
    width, cloth, post = uniform(rng, 1.8, 3.2), fabric(rng), metal(rng)
    board, heaps = wood(rng), [fruit_material(rng) for _ in range(4)]
    offers = [carton(rng) for _ in range(2)] + [bowl(rng)]
    tilt = uniform(rng, 0.1, 0.35)

    def build(scene: SceneBuilder) -> None:
        for x in (-1, 1):
            for z in (-0.7, 0.7):
                scene.tube((x * width / 2, 0, z), (x * width / 2, 2.3 - z * 0.2, z), 0.025, post)
        scene.box(width + 0.4, 0.02, 1.9, cloth, up=2.3, pitch=tilt * 0.5)
        scene.box(width + 0.4, 0.25, 0.02, cloth, up=2.18, z=-0.95)
        scene.box(width, 0.05, 1.0, board, up=0.8, z=-0.1, pitch=0.12)
        scene.box(width, 0.75, 0.03, cloth, up=0.05, z=-0.55)
        for index, material in enumerate(heaps):
            for k in range(5):
                at = (index - 1.5) * width / 4.4 + 0.07 * math.sin(k * 2.4)
                scene.ellipsoid(0.1, 0.09, 0.1, material, x=at, up=0.87 + 0.05 * (k % 2), z=-0.25 + 0.12 * (k % 4))
        for index, piece in enumerate(offers):
            with scene.at((index - 1) * width / 3, 1.3):
                piece.build(scene)

    return Piece(width + 0.4, 2.0, 2.5, build)


def cafe_table(rng: Rng) -> Piece:
    """A small round table with two chairs and at times a parasol."""
    frame, shade_cloth, shaded = metal(rng), fabric(rng), chance(rng, 0.5)
    seats = [uniform(rng, 0, 6.28) for _ in range(whole(rng, 2, 3))]
    models = [chair(rng)] * len(seats)

    def build(scene: SceneBuilder) -> None:
        scene.cylinder(0.35, 0.02, frame, up=0.72)
        scene.cylinder(0.03, 0.72, frame)
        scene.cylinder(0.22, 0.02, frame)
        if shaded:
            scene.tube((0, 0.7, 0), (0, 2.5, 0), 0.025, frame)
            scene.cone(1.3, 0.45, shade_cloth, up=2.1)
        for angle, model in zip(seats, models):
            with scene.at(0.62 * math.sin(angle), 0.62 * math.cos(angle), angle):
                model.build(scene)

    return Piece(1.6, 1.6, 2.5 if shaded else 0.9, build)


def crates(rng: Rng) -> Piece:
    """A pile of wooden crates, sacks or barrels."""
    kind, body, hoop = pick(rng, ("crate", "barrel", "sack")), wood(rng), metal(rng)
    spots = [
        (uniform(rng, -0.4, 0.4), uniform(rng, -0.4, 0.4), uniform(rng, -0.4, 0.4)) for _ in range(whole(rng, 1, 4))
    ]
    cloth = Material("fabric", hsv(0.1, 0.3, 0.6), hsv(0.1, 0.3, 0.4), scale=0.5, seed=seed_of(rng))

    def build(scene: SceneBuilder) -> None:
        for index, (x, z, yaw) in enumerate(spots):
            stacked = index == 3
            with scene.at(0.0 if stacked else x * 1.6, 0.0 if stacked else z * 1.6, yaw, up=0.5 if stacked else 0.0):
                if kind == "crate":
                    scene.box(0.6, 0.5, 0.5, body)
                elif kind == "barrel":
                    scene.cylinder(0.26, 0.45, body, top=1.2)
                    scene.cylinder(0.31, 0.45, body, top=0.83, up=0.45)
                    for up in (0.15, 0.42, 0.7):
                        scene.ring(0.315, 0.05, hoop, inner=0.97, up=up)
                else:
                    scene.ellipsoid(0.6, 0.5, 0.45, cloth, up=-0.06)

    return Piece(1.4, 1.4, 1.0, build)


def planter(rng: Rng) -> Piece:
    """A tub with a shrub."""
    body = pick(rng, (wood, plastic, lambda r: stone(r, 0.3)))(rng)
    green, seed, tall = leaves(rng), seed_of(rng), uniform(rng, 0.5, 1.2)

    def build(scene: SceneBuilder) -> None:
        scene.cylinder(0.26, 0.45, body, top=1.2)
        scene.ellipsoid(0.64, tall * 0.92, 0.64, green, up=0.38)
        scene.ellipsoid(0.7, tall, 0.7, green, up=0.36, cutout=Cutout("leaves", 0.05, 0.5, seed))

    return Piece(0.7, 0.7, 0.45 + tall, build)
