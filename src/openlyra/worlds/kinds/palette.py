"""Colours and materials as they are found: painted walls, wood, cloth, metal, floors, masonry, leaves."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from openlyra.worlds.types import Color, Material, Texture

Rng = np.random.Generator
T = TypeVar("T")

WOODS = (
    (0.76, 0.60, 0.42), (0.36, 0.24, 0.16), (0.86, 0.71, 0.51), (0.90, 0.77, 0.55), (0.45, 0.22, 0.13),
    (0.21, 0.15, 0.11), (0.62, 0.56, 0.48), (0.58, 0.38, 0.22), (0.70, 0.46, 0.26), (0.80, 0.66, 0.50),
)  # fmt: skip
"""sRGB: oak, walnut, beech, pine, mahogany, wenge, weathered, teak, cherry, birch."""

STONES = ((0.62, 0.60, 0.56), (0.72, 0.66, 0.55), (0.48, 0.47, 0.45), (0.80, 0.77, 0.70), (0.55, 0.47, 0.40))
BRICKS = ((0.60, 0.30, 0.22), (0.70, 0.42, 0.30), (0.45, 0.25, 0.20), (0.78, 0.66, 0.50), (0.55, 0.50, 0.46))


def uniform(rng: Rng, low: float, high: float) -> float:
    """A number between the two."""
    return float(rng.uniform(low, high))


def chance(rng: Rng, share: float) -> bool:
    """True that often."""
    return bool(rng.random() < share)


def pick(rng: Rng, options: Sequence[T]) -> T:
    """One of them."""
    return options[int(rng.integers(len(options)))]


def one_of(rng: Rng, *makers: Callable[[Rng], T]) -> T:
    """What one of the makers makes."""
    return pick(rng, makers)(rng)


def whole(rng: Rng, low: int, high: int) -> int:
    """An integer from low to high, both included."""
    return int(rng.integers(low, high + 1))


def seed_of(rng: Rng) -> int:
    """A seed for a pattern."""
    return int(rng.integers(1, 60000))


def linear(color: Sequence[float] | np.ndarray) -> Color:
    """sRGB to linear RGB."""
    r, g, b = (float(np.clip(c, 0.0, 1.0)) ** 2.2 for c in color)
    return r, g, b


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Linear RGB of an sRGB hue (0 to 1), saturation and value."""
    return linear(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def vary(rng: Rng, color: Sequence[float], amount: float = 0.06) -> Color:
    """Linear RGB near an sRGB colour."""
    shift = rng.normal(0, amount)
    return linear([c + shift + rng.normal(0, amount * 0.3) for c in color])


def grey(rng: Rng, low: float = 0.2, high: float = 0.9) -> Color:
    """A grey with a breath of colour; bounds are sRGB."""
    base = rng.uniform(low, high)
    return linear(base + rng.normal(0, 0.012, 3))


def vivid(rng: Rng) -> Color:
    """A strong colour."""
    return hsv(rng.random(), rng.uniform(0.5, 0.95), rng.uniform(0.35, 0.95))


def pastel(rng: Rng) -> Color:
    """A pale colour."""
    return hsv(rng.random(), rng.uniform(0.05, 0.3), rng.uniform(0.7, 0.95))


def any_color(rng: Rng) -> Color:
    """Whatever things are made in: half of them grey, black, white or beige."""
    r = rng.random()
    if r < 0.15:
        return grey(rng, 0.82, 0.96)
    if r < 0.3:
        return grey(rng, 0.05, 0.2)
    if r < 0.45:
        return grey(rng, 0.25, 0.75)
    if r < 0.6:
        return hsv(rng.uniform(0.04, 0.12), rng.uniform(0.2, 0.5), rng.uniform(0.3, 0.85))
    return vivid(rng) if r < 0.85 else pastel(rng)


def darker(color: Color, factor: float = 0.6) -> Color:
    """The same colour with less light."""
    return color[0] * factor, color[1] * factor, color[2] * factor


def plain(rng: Rng, color: Color, gloss: float = 0.0, roughness: float = 0.6) -> Material:
    """Paint or plastic of one colour."""
    return Material("plain", color, darker(color), seed=seed_of(rng), gloss=gloss, roughness=roughness, grime=0.06)


def plastic(rng: Rng, color: Color | None = None) -> Material:
    """Smooth and a little shiny."""
    return plain(rng, color or any_color(rng), uniform(rng, 0.02, 0.12), uniform(rng, 0.2, 0.6))


def ceramic(rng: Rng) -> Material:
    """Glazed: mostly white, else of any colour."""
    return plain(rng, grey(rng, 0.85, 0.97) if chance(rng, 0.45) else any_color(rng), 0.12, 0.15)


def metal(rng: Rng, color: Color | None = None) -> Material:
    """Steel, chrome, brass or black lacquer."""
    if color is None:
        dark = chance(rng, 0.35)
        color = grey(rng, 0.06, 0.2) if dark else vary(rng, pick(rng, ((0.7, 0.7, 0.72), (0.8, 0.7, 0.5))), 0.05)
    return Material("metal", color, darker(color, 0.8), scale=0.3, seed=seed_of(rng),
                    gloss=uniform(rng, 0.1, 0.45), roughness=uniform(rng, 0.15, 0.5), grime=0.2)  # fmt: skip


def wood(rng: Rng) -> Material:
    """Grained wood of furniture."""
    base = pick(rng, WOODS)
    color = vary(rng, base, 0.05)
    return Material(
        "wood",
        color,
        darker(color, uniform(rng, 0.55, 0.85)),
        scale=uniform(rng, 0.08, 0.3),
        seed=seed_of(rng),
        gloss=uniform(rng, 0.0, 0.1),
        roughness=uniform(rng, 0.3, 0.8),
        bump=0.1,
        grime=0.1,
    )


def furniture(rng: Rng) -> Material:
    """What cupboards and tables are made of: wood, white or grey board, paint."""
    r = rng.random()
    if r < 0.5:
        return wood(rng)
    if r < 0.72:
        return plain(rng, grey(rng, 0.8, 0.95), 0.04)
    if r < 0.85:
        return plain(rng, grey(rng, 0.1, 0.7), 0.04)
    return plain(rng, any_color(rng), 0.04)


def fabric(rng: Rng, color: Color | None = None) -> Material:
    """Cloth of one colour, or striped, or chequered, or with a print."""
    first = color or any_color(rng)
    r = rng.random()
    texture: Texture = "fabric" if r < 0.66 else "stripes" if r < 0.76 else "checker" if r < 0.83 else "noise"
    second = any_color(rng) if texture != "fabric" else darker(first, 0.75)
    scale = uniform(rng, 0.15, 0.8) if texture == "fabric" else uniform(rng, 0.04, 0.15)
    return Material(texture, first, second, scale=scale, seed=seed_of(rng), sheen=uniform(rng, 0.0, 0.4), bump=0.3)


def leather(rng: Rng) -> Material:
    """Leather or vinyl."""
    color = pick(rng, (grey(rng, 0.05, 0.2), hsv(0.06, 0.6, rng.uniform(0.25, 0.6)), grey(rng, 0.7, 0.9), vivid(rng)))
    return Material("noise", color, darker(color, 0.85), scale=0.05, seed=seed_of(rng), gloss=0.08, roughness=0.4)


def paint(rng: Rng) -> Color:
    """Colour of a wall indoors."""
    r = rng.random()
    if r < 0.5:
        return vary(rng, (0.90, 0.89, 0.86), 0.05)
    if r < 0.7:
        return vary(rng, (0.86, 0.80, 0.68), 0.06)
    if r < 0.9:
        return pastel(rng)
    return vivid(rng) if chance(rng, 0.6) else grey(rng, 0.2, 0.6)


def wall(rng: Rng) -> Material:
    """Inside of a wall: mostly plain paint, sometimes paper, brick, boards or tiles."""
    color = paint(rng)
    kind = rng.choice(["plain", "plaster", "noise", "stripes", "wallpaper", "brick", "plank", "panel", "tile"],
                      p=[0.36, 0.24, 0.05, 0.07, 0.05, 0.09, 0.05, 0.05, 0.04])  # fmt: skip
    seed, grime = seed_of(rng), 0.4 * uniform(rng, 0.0, 1.0) ** 2
    if kind == "stripes":
        return Material("stripes", color, darker(color, uniform(rng, 0.5, 0.92)), scale=uniform(rng, 0.05, 0.3),
                        seed=seed, grime=grime, bump=0.05)  # fmt: skip
    if kind == "wallpaper":
        return Material("checker", color, darker(color, uniform(rng, 0.4, 0.9)), scale=uniform(rng, 0.06, 0.35),
                        seed=seed, grime=grime, bump=0.05)  # fmt: skip
    if kind == "brick":
        return brick(rng)
    if kind == "plank":
        return planks(rng, uniform(rng, 0.1, 0.2))
    if kind == "tile":
        return tiles(rng, uniform(rng, 0.1, 0.3))
    if kind == "panel":
        return Material("panel", color, darker(color, 0.6), scale=uniform(rng, 0.6, 1.4), seed=seed, grime=grime)
    texture: Texture = "plain" if kind == "plain" else "noise" if kind == "noise" else "plaster"
    return Material(texture, color, darker(color, uniform(rng, 0.88, 0.99)), scale=uniform(rng, 0.3, 2.0), seed=seed,
                    grime=grime, bump=0.15)  # fmt: skip


def brick(rng: Rng) -> Material:
    """Brickwork, sometimes whitewashed."""
    color = vary(rng, pick(rng, BRICKS)) if chance(rng, 0.8) else grey(rng, 0.7, 0.95)
    joint = vary(rng, (0.75, 0.72, 0.68), 0.08) if chance(rng, 0.7) else darker(color, 0.5)
    return Material("brick", color, joint, scale=uniform(rng, 0.2, 0.27), seed=seed_of(rng), bump=0.5, grime=0.4)


def planks(rng: Rng, width: float) -> Material:
    """Boards side by side."""
    color = vary(rng, pick(rng, WOODS))
    return Material("plank", color, darker(color, uniform(rng, 0.25, 0.7)), scale=width, seed=seed_of(rng),
                    gloss=uniform(rng, 0.0, 0.25), roughness=uniform(rng, 0.2, 0.7), bump=0.2, grime=0.12)  # fmt: skip


def tiles(rng: Rng, side: float) -> Material:
    """Glazed or stone tiles."""
    color = grey(rng, 0.5, 0.95) if chance(rng, 0.6) else pastel(rng) if chance(rng, 0.7) else vivid(rng)
    joint = grey(rng, 0.3, 0.9)
    return Material("tile", color, joint, scale=side, seed=seed_of(rng), gloss=uniform(rng, 0.02, 0.3),
                    roughness=uniform(rng, 0.1, 0.5), bump=0.2, grime=0.1)  # fmt: skip


def floor(rng: Rng, style: str = "any") -> Material:
    """Floor indoors; styles: any, home, office, wet, rough."""
    options = {
        "home": ["plank", "plank", "plank", "carpet", "tile", "marble"],
        "office": ["carpet", "carpet", "lino", "lino", "plank", "tile", "concrete"],
        "wet": ["tile", "tile", "tile", "checker", "lino"],
        "rough": ["concrete", "concrete", "stone", "plank", "tile"],
        "any": ["plank", "plank", "carpet", "tile", "lino", "concrete", "checker", "stone", "marble"],
    }[style]
    kind = pick(rng, options)
    gloss, rough, seed = uniform(rng, 0.0, 0.3), uniform(rng, 0.15, 0.6), seed_of(rng)
    if kind == "plank":
        return planks(rng, uniform(rng, 0.07, 0.22))
    if kind == "tile":
        return tiles(rng, uniform(rng, 0.2, 0.65))
    if kind == "checker":
        return Material("checker", grey(rng, 0.75, 0.95), any_color(rng), scale=uniform(rng, 0.2, 0.5), seed=seed,
                        gloss=gloss, roughness=rough)  # fmt: skip
    if kind == "stone":
        return stone(rng, uniform(rng, 0.3, 0.8))
    color = (
        grey(rng, 0.3, 0.75) if chance(rng, 0.6) else hsv(rng.random(), rng.uniform(0.1, 0.5), rng.uniform(0.3, 0.7))
    )
    if kind == "carpet":
        return Material(
            "noise",
            color,
            darker(color, uniform(rng, 0.6, 0.95)),
            scale=uniform(rng, 0.008, 0.05),
            seed=seed,
            grime=0.1,
        )
    if kind == "marble":
        return Material(
            "marble",
            grey(rng, 0.6, 0.95),
            grey(rng, 0.3, 0.6),
            scale=uniform(rng, 0.3, 1.0),
            seed=seed,
            gloss=0.15,
            roughness=0.1,
            grime=0.1,
        )
    return Material("noise", color, darker(color, uniform(rng, 0.85, 0.98)), scale=uniform(rng, 0.01, 0.3), seed=seed,
                    gloss=gloss * 0.7, roughness=rough, grime=0.12)  # fmt: skip


def ceiling(rng: Rng, style: str = "any") -> Material:
    """Ceiling indoors; office ceilings are often of plates."""
    r = rng.random()
    white = grey(rng, 0.8, 0.97)
    if style == "office" and r < 0.6:
        return Material("tile", white, darker(white, 0.55), scale=0.6, seed=seed_of(rng), grime=0.1, bump=0.1)
    if r > 0.9:
        return planks(rng, uniform(rng, 0.1, 0.2))
    return Material("plaster", white, darker(white, 0.96), scale=0.8, seed=seed_of(rng), grime=0.06, bump=0.1)


def stone(rng: Rng, size: float) -> Material:
    """Natural stone in blocks."""
    color = vary(rng, pick(rng, STONES))
    return Material("stone", color, darker(color, uniform(rng, 0.35, 0.7)), scale=size, seed=seed_of(rng), bump=0.5,
                    grime=0.5)  # fmt: skip


def facade_paint(rng: Rng) -> Material:
    """Outside of a wall."""
    r = rng.random()
    if r < 0.3:
        return brick(rng)
    if r < 0.45:
        return stone(rng, uniform(rng, 0.35, 0.9))
    if r < 0.52:
        return planks(rng, uniform(rng, 0.12, 0.25))
    if r < 0.6:
        color = grey(rng, 0.4, 0.85)
        return Material("panel", color, darker(color, 0.6), scale=uniform(rng, 1.0, 3.0), seed=seed_of(rng), grime=0.3)
    hue = rng.choice([0.09, 0.12, 0.05, 0.58, 0.33, 0.0])
    color = hsv(hue + rng.normal(0, 0.02), rng.uniform(0.05, 0.45), rng.uniform(0.55, 0.95))
    return Material("plaster", color, darker(color, 0.85), scale=uniform(rng, 0.3, 1.0), seed=seed_of(rng), grime=0.5)


def leaves(rng: Rng) -> Material:
    """Foliage: green, at times autumn."""
    autumn = chance(rng, 0.12)
    hue = rng.uniform(0.04, 0.14) if autumn else rng.uniform(0.2, 0.36)
    color = hsv(hue, rng.uniform(0.4, 0.85), rng.uniform(0.25, 0.6))
    return Material("foliage", color, darker(color, uniform(rng, 0.25, 0.6)), scale=uniform(rng, 0.1, 0.5),
                    seed=seed_of(rng), sheen=0.3, bump=0.6)  # fmt: skip


def bark(rng: Rng) -> Material:
    """Trunk of a tree."""
    color = vary(rng, pick(rng, ((0.36, 0.28, 0.2), (0.45, 0.4, 0.34), (0.3, 0.22, 0.16), (0.8, 0.79, 0.75))), 0.05)
    return Material("bark", color, darker(color, 0.5), scale=uniform(rng, 0.1, 0.3), seed=seed_of(rng), bump=0.7)


def rock(rng: Rng) -> Material:
    """Boulders and cliffs."""
    color = vary(rng, pick(rng, ((0.5, 0.48, 0.45), (0.58, 0.5, 0.42), (0.4, 0.38, 0.38), (0.62, 0.45, 0.35))))
    return Material("rock", color, darker(color, 0.55), scale=uniform(rng, 0.3, 1.5), seed=seed_of(rng), bump=0.8)


def glow(rng: Rng, strength: float, color: Color = (1.0, 0.95, 0.86)) -> Material:
    """Something that shines."""
    return Material("plain", color, color, seed=seed_of(rng), emission=strength, grime=0.0)


def screen(rng: Rng) -> Material:
    """A display: on with a random picture, or black."""
    if chance(rng, 0.35):
        return plain(rng, grey(rng, 0.02, 0.1), 0.2, 0.05)
    return Material("screen", vivid(rng), any_color(rng), any_color(rng), seed=seed_of(rng), gloss=0.05,
                    emission=uniform(rng, 0.5, 1.4), grime=0.0)  # fmt: skip


def picture(rng: Rng) -> Material:
    """A print that fills its face."""
    return Material("poster", any_color(rng), any_color(rng), any_color(rng), seed=seed_of(rng), grime=0.05,
                    scale=uniform(rng, 0.1, 0.6), gloss=0.05 if chance(rng, 0.5) else 0.0)  # fmt: skip


def label(rng: Rng) -> Material:
    """What a package looks like: a print half the time, else one colour, else cardboard."""
    r = rng.random()
    if r < 0.5:
        return picture(rng)
    return plastic(rng) if r < 0.8 else Material("noise", vary(rng, (0.7, 0.55, 0.38)), vary(rng, (0.6, 0.46, 0.3)),
                                                 scale=0.1, seed=seed_of(rng))  # fmt: skip
