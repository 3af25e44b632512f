"""Random pictures for posters, paintings and screens (numba): flat things full of apparent depth."""

from __future__ import annotations

import math

from numba import njit

from openlyra.worlds.kernels import LEAN
from openlyra.worlds.noise import fbm2, hash3


@njit(**LEAN)
def hue(h, saturation, value):  # type: ignore[no-untyped-def]
    """RGB of a hue in [0, 1)."""
    r = max(0.0, min(1.0, abs(6.0 * h - 3.0) - 1.0))
    g = max(0.0, min(1.0, 2.0 - abs(6.0 * h - 2.0)))
    b = max(0.0, min(1.0, 2.0 - abs(6.0 * h - 4.0)))
    k = 1.0 - saturation
    return value * (k + saturation * r), value * (k + saturation * g), value * (k + saturation * b)


@njit(**LEAN)
def _landscape(u, v, seed):  # type: ignore[no-untyped-def]
    """Sky over hills over a plain."""
    r, g, b = hue(0.55 + 0.1 * hash3(seed, 1, 1, 4), 0.3 + 0.3 * v, 0.85)
    cloud = fbm2(u * 1.5, v * 4.0, seed + 5, 4, 0.0)
    if cloud > 0.55:
        r, g, b = 0.9, 0.9, 0.9
    tone = hash3(seed, 2, 1, 4)
    for layer in range(3):
        line = -0.25 + 0.28 * layer + 0.9 * (fbm2(u * (1.0 + layer), 3.0 * layer, seed + layer, 4, 0.0) - 0.5)
        if v > line:
            r, g, b = hue(0.2 + 0.25 * tone, 0.25 + 0.2 * layer, 0.55 - 0.16 * layer)
            shade = 0.7 + 0.6 * fbm2(u * 7.0, v * 9.0, seed + 11 + layer, 3, 0.0)
            r, g, b = r * shade, g * shade, b * shade
    return r, g, b


@njit(**LEAN)
def _shapes(u, v, aspect, seed):  # type: ignore[no-untyped-def]
    """Overlapping discs and bars on a ground."""
    r, g, b = hue(hash3(seed, 1, 2, 4), 0.5 * hash3(seed, 2, 2, 4), 0.2 + 0.7 * hash3(seed, 3, 2, 4))
    for i in range(3 + int(6 * hash3(seed, 4, 2, 4))):
        x = (2.0 * hash3(seed, i, 5, 4) - 1.0) * aspect
        y = 2.0 * hash3(seed, i, 6, 4) - 1.0
        wide, high = 0.1 + 0.6 * hash3(seed, i, 7, 4), 0.1 + 0.6 * hash3(seed, i, 8, 4)
        a, c = abs(u * aspect - x) / wide, abs(v - y) / high
        inside = a * a + c * c < 1.0 if hash3(seed, i, 9, 4) < 0.5 else max(a, c) < 1.0
        if inside:
            r, g, b = hue(hash3(seed, i, 10, 4), 0.8 * hash3(seed, i, 11, 4), 0.1 + 0.85 * hash3(seed, i, 12, 4))
            r, g, b = r * (1.1 - 0.3 * c), g * (1.1 - 0.3 * c), b * (1.1 - 0.3 * c)
    return r, g, b


@njit(**LEAN)
def _text(u, v, aspect, seed, foot, dark):  # type: ignore[no-untyped-def]
    """Headline, lines of words and a picture: a page or a program's window."""
    paper, ink = (0.03, 0.6) if dark else (0.85, 0.08)
    r, g, b = paper, paper, paper
    if v < -0.72:
        return hue(hash3(seed, 1, 3, 4), 0.6, 0.35)
    if hash3(seed, 2, 3, 4) > 0.4 and u > 0.05 and abs(v) < 0.55:
        return _shapes(2.2 * u - 1.2, 1.8 * v, 0.5 * aspect, seed + 3)
    size = 0.09 + 0.05 * hash3(seed, 3, 3, 4)
    line = math.floor(v / size)
    inside = v / size - line
    word = hash3(math.floor((u + 0.37 * hash3(line, 0, 1, seed)) * aspect / 0.16), line, 2, seed)
    stop = -0.9 + 1.8 * hash3(line, 1, 1, seed) ** 0.3
    if abs(u) < 0.9 and 0.25 < inside < 0.7 and word > 0.22 and u < stop:
        strength = max(0.35, 1.0 - 0.5 * foot / size)
        mixed = paper + (ink - paper) * strength
        r, g, b = mixed, mixed, mixed
    return r, g, b


@njit(**LEAN)
def picture(screen, u, v, aspect, seed, foot):  # type: ignore[no-untyped-def]
    """RGB at (u, v) in [-1, 1]^2 of a face `aspect` times as wide as high; foot in half heights."""
    style = hash3(seed, 7, 7, 4)
    border = 0.0 if screen or style > 0.75 else 0.05 + 0.2 * hash3(seed, 8, 7, 4)
    if border > 0.0:
        edge = min((1.0 - abs(u)) * aspect, 1.0 - abs(v))
        if edge < border:
            tone = 0.04 if edge < 0.3 * border and style < 0.5 else 0.82
            return tone, tone * 0.98, tone * 0.93
        u, v = u / (1.0 - border / aspect), v / (1.0 - border)
    which = hash3(seed, 9, 7, 4)
    if which < 0.35:
        return _landscape(u * aspect, v, seed)
    if which < (0.55 if screen else 0.75):
        return _shapes(u, v, aspect, seed)
    return _text(u, v, aspect, seed, foot, screen and style > 0.5)
