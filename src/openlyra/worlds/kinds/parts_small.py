"""Small things for tables, shelves and floors, and how they are spread out. Each stands on up = 0 around the origin."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.kinds.layout import Piece, Plan, Rect
from openlyra.worlds.kinds.palette import (
    Rng,
    any_color,
    ceramic,
    chance,
    fabric,
    grey,
    hsv,
    label,
    leaves,
    metal,
    pick,
    picture,
    plain,
    plastic,
    seed_of,
    uniform,
    vary,
    vivid,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.types import Cutout, Material

Maker = Callable[[Rng], Piece]


def cup(rng: Rng) -> Piece:
    """A mug or a cup on a saucer."""
    radius, height = uniform(rng, 0.032, 0.045), uniform(rng, 0.06, 0.11)
    body, flare, saucer, turn = ceramic(rng), uniform(rng, 0.9, 1.3), chance(rng, 0.3), uniform(rng, 0, 6.28)
    drink = plain(rng, hsv(0.07, 0.7, uniform(rng, 0.1, 0.4)))

    def build(scene: SceneBuilder) -> None:
        low = 0.012 if saucer else 0.0
        if saucer:
            scene.cylinder(radius * 1.3, 0.012, body, top=1.3)
        if abs(flare - 1) < 0.12:
            scene.ring(radius, height, body, inner=0.9, up=low)
            scene.cylinder(radius * 0.92, height * 0.75, drink, up=low)
        else:
            scene.cylinder(radius, height, body, top=flare, up=low)
        with scene.at(yaw=turn):
            for a, b in ((0.25, 0.35), (0.35, 0.75), (0.75, 0.85)):
                out = radius * 1.7
                start = (radius if a == 0.25 else out, low + height * a, 0)
                scene.tube(start, (radius if b == 0.85 else out, low + height * b, 0), 0.005, body)

    return Piece(radius * 3.2, radius * 3.2, height, build)


def glass(rng: Rng) -> Piece:
    """A tumbler or a jar."""
    radius, height = uniform(rng, 0.028, 0.045), uniform(rng, 0.08, 0.16)
    body = plain(rng, grey(rng, 0.5, 0.85), 0.35, 0.05)

    def build(scene: SceneBuilder) -> None:
        scene.ring(radius, height, body, inner=0.9)
        scene.cylinder(radius * 0.9, height * 0.4, body)

    return Piece(2 * radius, 2 * radius, height, build)


def bottle(rng: Rng) -> Piece:
    """A bottle of drink, oil, soap or cleaner."""
    radius, height = uniform(rng, 0.028, 0.048), uniform(rng, 0.17, 0.33)
    color = pick(rng, (hsv(0.33, 0.7, 0.3), hsv(0.08, 0.8, 0.3), grey(rng, 0.6, 0.9), hsv(0.55, 0.3, 0.75), vivid(rng)))
    body, cap, tag = plain(rng, color, 0.25, 0.1), plastic(rng), label(rng)
    neck = uniform(rng, 0.25, 0.4)

    def build(scene: SceneBuilder) -> None:
        straight = height * (1 - neck) * 0.85
        scene.cylinder(radius, straight, body)
        scene.cylinder(radius * 1.02, straight * 0.5, tag, up=straight * 0.25)
        scene.cylinder(radius, height * 0.12, body, top=0.4, up=straight)
        scene.cylinder(radius * 0.4, height - straight - height * 0.12, body, up=straight + height * 0.12)
        scene.cylinder(radius * 0.45, 0.02, cap, up=height - 0.02)

    return Piece(2 * radius, 2 * radius, height, build)


def bowl(rng: Rng) -> Piece:
    """A bowl, empty or with fruit."""
    radius, height = uniform(rng, 0.06, 0.15), uniform(rng, 0.045, 0.09)
    body, fill = ceramic(rng) if chance(rng, 0.7) else wood(rng), whole(rng, 0, 5)
    balls = [fruit_material(rng) for _ in range(fill)]

    def build(scene: SceneBuilder) -> None:
        scene.cylinder(radius * 0.5, height, body, top=2.0)
        for index, material in enumerate(balls):
            angle, size = index * 2.4, 0.075
            reach = radius * 0.5 if index else 0.0
            scene.ellipsoid(
                size,
                size,
                size,
                material,
                x=reach * math.sin(angle),
                up=height - 0.015 + (0 if index else 0.02),
                z=reach * math.cos(angle),
            )

    return Piece(2 * radius, 2 * radius, height + 0.06, build)


def fruit_material(rng: Rng) -> Material:
    """Apple, orange, lemon, plum, pear."""
    color = hsv(
        pick(rng, (0.0, 0.08, 0.14, 0.25, 0.85)) + rng.normal(0, 0.015),
        uniform(rng, 0.6, 0.95),
        uniform(rng, 0.5, 0.95),
    )
    return Material("noise", color, vary(rng, color, 0.1), scale=0.05, seed=seed_of(rng), gloss=0.05, roughness=0.3)


def fruit(rng: Rng) -> Piece:
    """One fruit."""
    size, long, material = uniform(rng, 0.05, 0.1), uniform(rng, 0.85, 1.25), fruit_material(rng)

    def build(scene: SceneBuilder) -> None:
        scene.ellipsoid(size, size * long, size, material)

    return Piece(size, size, size * long, build)


def plate(rng: Rng) -> Piece:
    """A plate, at times with food or cutlery."""
    radius, body, food = uniform(rng, 0.09, 0.14), ceramic(rng), whole(rng, 0, 4)
    bits = [
        (fruit_material(rng), uniform(rng, -0.5, 0.5), uniform(rng, -0.5, 0.5), uniform(rng, 0.03, 0.08))
        for _ in range(food)
    ]
    steel, cutlery = metal(rng), chance(rng, 0.4)

    def build(scene: SceneBuilder) -> None:
        scene.cylinder(radius * 0.65, 0.018, body, top=1.5)
        for material, x, z, size in bits:
            scene.ellipsoid(size * 1.4, size * 0.8, size, material, x=x * radius, up=0.012, z=z * radius)
        if cutlery:
            for x in (-1, 1):
                scene.box(0.018, 0.004, 0.19, steel, x=x * (radius + 0.03))

    return Piece(2 * radius + 0.08, 2 * radius, 0.03, build)


def book(rng: Rng) -> Piece:
    """A book or magazine lying flat."""
    width, depth, thick = uniform(rng, 0.12, 0.23), uniform(rng, 0.18, 0.31), uniform(rng, 0.004, 0.05)
    cover, paper = label(rng), plain(rng, grey(rng, 0.85, 0.95))

    def build(scene: SceneBuilder) -> None:
        if thick > 0.015:
            scene.box(width - 0.008, thick - 0.006, depth - 0.012, paper, x=0.003, up=0.003)
            scene.box(width, 0.003, depth, cover)
            scene.box(0.004, thick, depth, cover, x=-width / 2)
        scene.box(width, 0.003, depth, cover, up=thick - 0.003)
        if thick <= 0.015:
            scene.box(width, thick - 0.003, depth, paper)

    return Piece(width, depth, thick, build)


def pile(rng: Rng) -> Piece:
    """A stack of books or papers, each a little turned."""
    parts = [(book(rng) if chance(rng, 0.7) else paper(rng), uniform(rng, -0.3, 0.3)) for _ in range(whole(rng, 2, 6))]

    def build(scene: SceneBuilder) -> None:
        up = 0.0
        for part, yaw in parts:
            with scene.at(yaw=yaw, up=up):
                part.build(scene)
            up += part.height

    return Piece(0.3, 0.34, sum(part.height for part, _ in parts), build)


def paper(rng: Rng) -> Piece:
    """A sheet, an open folder or a notebook."""
    width, depth = 0.21, 0.297
    sheet = plain(rng, grey(rng, 0.88, 0.98)) if chance(rng, 0.5) else picture(rng)

    def build(scene: SceneBuilder) -> None:
        scene.box(width, 0.003, depth, sheet)

    return Piece(width, depth, 0.003, build)


def package(rng: Rng) -> Piece:
    """A box: cereal, parcel, game, tissue, tea."""
    width, height, depth = uniform(rng, 0.05, 0.3), uniform(rng, 0.04, 0.32), uniform(rng, 0.04, 0.2)
    body = label(rng)

    def build(scene: SceneBuilder) -> None:
        scene.box(width, height, depth, body)

    return Piece(width, depth, height, build)


def can(rng: Rng) -> Piece:
    """A tin, a jar with a lid, a roll."""
    radius, height = uniform(rng, 0.03, 0.06), uniform(rng, 0.06, 0.16)
    body, lid = label(rng), metal(rng) if chance(rng, 0.6) else plastic(rng)

    def build(scene: SceneBuilder) -> None:
        scene.cylinder(radius, height * 0.92, body)
        scene.cylinder(radius * 0.96, height * 0.08, lid, up=height * 0.92)

    return Piece(2 * radius, 2 * radius, height, build)


def vase(rng: Rng) -> Piece:
    """A vase of two bulges, often with stalks and flowers."""
    radius, height, body = uniform(rng, 0.04, 0.09), uniform(rng, 0.12, 0.3), ceramic(rng)
    green, bloom, count = leaves(rng), plain(rng, vivid(rng)), whole(rng, 0, 8)
    tips = [(uniform(rng, -0.14, 0.14), uniform(rng, 0.1, 0.35), uniform(rng, -0.14, 0.14)) for _ in range(count)]

    def build(scene: SceneBuilder) -> None:
        scene.ellipsoid(2 * radius, height * 0.75, 2 * radius, body)
        scene.cylinder(radius * 0.4, height * 0.5, body, top=1.5, up=height * 0.5)
        for x, up, z in tips:
            scene.tube((0, height * 0.8, 0), (x, height + up, z), 0.004, green)
            scene.ellipsoid(0.06, 0.045, 0.06, bloom, x=x, up=height + up - 0.02, z=z)

    return Piece(2 * radius + 0.1, 2 * radius + 0.1, height + (0.3 if count else 0), build)


def toy(rng: Rng) -> Piece:
    """A ball, a cube with dots, blocks, or a stuffed animal of blobs."""
    kind, size, body = pick(rng, ("ball", "cube", "blocks", "animal")), uniform(rng, 0.06, 0.2), label(rng)
    parts = [plastic(rng) for _ in range(4)]
    fur, turn = fabric(rng), uniform(rng, 0, 1.5)

    def build(scene: SceneBuilder) -> None:
        if kind == "ball":
            scene.ellipsoid(size, size, size, body)
        elif kind == "cube":
            scene.box(size, size, size, body, yaw=turn)
        elif kind == "blocks":
            for index, part in enumerate(parts):
                scene.box(size * 0.4, size * 0.3, size * 0.4, part, up=index * size * 0.3, yaw=turn * index,
                          x=0.02 * math.sin(7.0 * index))  # fmt: skip
        else:
            scene.ellipsoid(size, size * 1.1, size * 0.8, fur)
            scene.ellipsoid(size * 0.7, size * 0.7, size * 0.7, fur, up=size * 0.95)
            for x in (-1, 1):
                scene.ellipsoid(size * 0.25, size * 0.3, size * 0.15, fur, x=x * size * 0.25, up=size * 1.5)
                scene.ellipsoid(size * 0.35, size * 0.3, size * 0.7, fur, x=x * size * 0.35, z=-size * 0.4)

    return Piece(size * 1.1, size * 1.3, size * 1.7 if kind == "animal" else size, build)


def globe(rng: Rng) -> Piece:
    """A terrestrial globe on a foot, or a large ball."""
    size = uniform(rng, 0.2, 0.34)
    sea = Material("noise", hsv(0.57, 0.6, 0.7), hsv(0.2, 0.4, 0.7), scale=size / 3, seed=seed_of(rng), gloss=0.1)
    foot = metal(rng)

    def build(scene: SceneBuilder) -> None:
        scene.cylinder(size * 0.35, 0.02, foot)
        scene.cylinder(0.012, 0.08, foot)
        scene.ellipsoid(size, size, size, sea, up=0.06)

    return Piece(size, size, size + 0.06, build)


def bag(rng: Rng) -> Piece:
    """A carrier bag, handbag or rucksack standing slumped."""
    width, height, depth = uniform(rng, 0.22, 0.42), uniform(rng, 0.25, 0.45), uniform(rng, 0.1, 0.22)
    body = picture(rng) if chance(rng, 0.4) else fabric(rng)
    lean = uniform(rng, -0.15, 0.15)

    def build(scene: SceneBuilder) -> None:
        scene.box(width * 0.92, height * 0.8, depth, body, pitch=lean)
        scene.ellipsoid(width, height, depth * 1.5, body, pitch=lean)
        for x in (-0.2, 0.2):
            scene.tube((x * width, height * 0.9, 0), (x * width * 0.4, height * 1.12, 0), 0.008, body)

    return Piece(width, depth * 1.5, height, build)


def pens(rng: Rng) -> Piece:
    """A pot with pens, brushes or kitchen tools."""
    radius, height, body = uniform(rng, 0.03, 0.06), uniform(rng, 0.08, 0.15), plastic(rng)
    sticks = [
        (plastic(rng), uniform(rng, -0.05, 0.05), uniform(rng, -0.05, 0.05), uniform(rng, 1.3, 1.8)) for _ in range(5)
    ]

    def build(scene: SceneBuilder) -> None:
        scene.cylinder(radius, height, body)
        for material, x, z, long in sticks:
            scene.tube((x * 0.3, height * 0.9, z * 0.3), (x, height * long, z), 0.004, material)

    return Piece(2 * radius, 2 * radius, height * 1.6, build)


def tool(rng: Rng) -> Piece:
    """A hammer, drill, stapler, scissors: a body and a handle lying down."""
    long, body, grip = uniform(rng, 0.12, 0.3), metal(rng), plastic(rng)

    def build(scene: SceneBuilder) -> None:
        scene.tube((-long / 2, 0.016, 0), (long * 0.2, 0.016, 0), 0.014, grip)
        scene.box(long * 0.3, 0.035, 0.03, body, x=long * 0.3)

    return Piece(long, 0.05, 0.04, build)


def cloth(rng: Rng) -> Piece:
    """A crumpled cloth, jacket or towel."""
    size, body = uniform(rng, 0.15, 0.4), fabric(rng)
    blobs = [(uniform(rng, -0.3, 0.3), uniform(rng, -0.3, 0.3), uniform(rng, 0.4, 0.8)) for _ in range(4)]

    def build(scene: SceneBuilder) -> None:
        for x, z, share in blobs:
            scene.ellipsoid(
                size * share, size * 0.3 * share, size * share * 0.8, body, x=x * size, up=-0.01, z=z * size
            )

    return Piece(size, size, size * 0.25, build)


def basket(rng: Rng) -> Piece:
    """A wicker basket, crate, bin or bucket."""
    radius, height = uniform(rng, 0.12, 0.22), uniform(rng, 0.2, 0.4)
    body = pick(rng, (wood, plastic, metal))(rng)
    square, net = chance(rng, 0.4), Cutout("mesh", 0.03, 0.6, seed_of(rng)) if chance(rng, 0.3) else None

    def build(scene: SceneBuilder) -> None:
        if square:
            for x in (-1, 1):
                scene.box(0.012, height, radius * 2, body, x=x * radius, cutout=net)
                scene.box(radius * 2, height, 0.012, body, z=x * radius, cutout=net)
            scene.box(radius * 2, 0.012, radius * 2, body)
        else:
            scene.ring(radius, height, body, inner=0.93)
            scene.cylinder(radius * 0.95, 0.02, body)

    return Piece(2 * radius, 2 * radius, height, build)


def carton(rng: Rng) -> Piece:
    """A moving box, closed, or open with flaps."""
    width, height, depth = uniform(rng, 0.25, 0.6), uniform(rng, 0.2, 0.5), uniform(rng, 0.25, 0.45)
    brown = vary(rng, (0.68, 0.52, 0.36))
    body = Material("noise", brown, vary(rng, (0.6, 0.46, 0.31)), scale=0.2, seed=seed_of(rng))
    tag, opened = picture(rng), chance(rng, 0.35)

    def build(scene: SceneBuilder) -> None:
        scene.box(width, height, depth, body)
        scene.box(width * 0.35, height * 0.3, 0.004, tag, x=-width * 0.2, up=height * 0.4, z=-depth / 2 - 0.001)
        if opened:
            for sign in (-1, 1):
                scene.box(width, 0.004, depth * 0.45, body, up=height + 0.09, z=sign * depth * 0.62, pitch=sign * -0.6)

    return Piece(width, depth * (1.6 if opened else 1.0), height, build)


STYLES: dict[str, Sequence[Maker]] = {
    "paper": (paper, paper, book, pile, cup, pens, bottle, tool, glass, package, paper),
    "office": (paper, paper, book, pile, cup, pens, bottle, tool, package, globe, bag, fruit, toy, can),
    "dining": (plate, plate, cup, glass, bottle, bowl, vase, fruit, can),
    "living": (book, pile, cup, vase, bowl, toy, paper, glass, package, fruit, bottle),
    "kitchen": (bottle, can, bowl, plate, cup, package, pens, fruit, glass, basket, cloth),
    "storage": (carton, package, package, basket, can, bag, cloth, bottle),
    "workshop": (tool, tool, can, bottle, package, pens, carton, tool, cloth, basket),
    "still": (cup, bottle, bowl, vase, fruit, fruit, book, plate, glass, can, toy, package, globe, cloth),
    "bath": (bottle, bottle, cup, can, cloth, glass),
    "floor": (bag, carton, basket, toy, cloth, pile, package, bag),
}
"""Which things lie about where."""


def scatter(rng: Rng, width: float, depth: float, count: int, style: str, *, tallest: float = 9.0,
            spare: Sequence[Rect] = ()) -> Piece:  # fmt: skip
    """Up to `count` things spread over a surface; `spare` is kept free."""
    plan = Plan(Rect(-width / 2, -depth / 2, width / 2, depth / 2), list(spare))
    placed: list[tuple[Piece, float, float, float]] = []
    for _ in range(count * 2):
        if len(placed) == count:
            break
        piece = pick(rng, STYLES[style])(rng)
        yaw = uniform(rng, -0.5, 0.5) if chance(rng, 0.7) else uniform(rng, -3, 3)
        x, z = uniform(rng, -width, width) / 2, uniform(rng, -depth, depth) / 2
        if piece.height <= tallest and plan.claim(Rect.around(x, z, piece.width, piece.depth, yaw), 0.005):
            placed.append((piece, x, z, yaw))

    def build(scene: SceneBuilder) -> None:
        for piece, x, z, yaw in placed:
            with scene.at(x, z, yaw):
                piece.build(scene)

    return Piece(width, depth, 0.3, build)


def solid_row(rng: Rng, length: float, height: float) -> list[tuple[float, float, float, Material]]:
    """Books or binders upright in a row: (middle, thickness, height, material) until the length is used up."""
    row: list[tuple[float, float, float, Material]] = []
    x = 0.0
    binder = chance(rng, 0.3)
    tone = any_color(rng)
    while True:
        thick = uniform(rng, 0.05, 0.08) if binder else uniform(rng, 0.012, 0.05)
        if x + thick > length or len(row) > 14:
            return row
        tall = height * (uniform(rng, 0.9, 0.97) if binder else uniform(rng, 0.6, 0.95))
        body = (
            plain(rng, tone)
            if binder and chance(rng, 0.7)
            else label(rng)
            if chance(rng, 0.2)
            else plain(rng, any_color(rng))
        )
        row.append((x + thick / 2, thick, tall, body))
        x += thick + 0.001
        if chance(rng, 0.05):
            x += uniform(rng, 0.02, 0.15)


def ornament(rng: Rng) -> Piece:
    """Something for a shelf or sill."""
    return pick(rng, (vase, globe, can, toy, package, bottle, bowl, cup))(rng)
