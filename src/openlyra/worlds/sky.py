"""The colour of the sky in a direction (numba): gradient, haze, sun and clouds of several shapes."""

from __future__ import annotations

import math

from numba import njit

from openlyra.worlds.kernels import LEAN
from openlyra.worlds.noise import fbm2, noise2

KIND, COVER, SIZE, HAZE, GLOW, SEED = range(12, 18)
"""Places in a packed sky after four colours."""
SEAM = 0.5
"""Radians over which heaps of clouds close the circle."""
_CUMULUS, _STRATUS, _CIRRUS, _BROKEN = 1, 2, 3, 4


@njit(**LEAN)
def _step(value, low, high):  # type: ignore[no-untyped-def]
    x = min(1.0, max(0.0, (value - low) / (high - low)))
    return x * x * (3.0 - 2.0 * x)


@njit(**LEAN)
def _towers(azimuth, height, cover, size, seed):  # type: ignore[no-untyped-def]
    """Heaps that stand above the horizon, flat below and puffed above: (share, brightness)."""
    a = azimuth * 5.0 / size
    base = 0.03 + 0.05 * noise2(a * 0.35, 1.5, seed + 3)
    there = _step(noise2(a * 0.4, 3.3, seed + 6), 0.75 - cover, 0.95 - cover)
    top = base + (0.05 + 0.3 * noise2(a * 0.6, 7.7, seed + 4)) * there
    puffs = fbm2(a * 3.0, height * 16.0 / size, seed + 5, 5, 0.0)
    edge = height - (top + 0.12 * (puffs - 0.5))
    share = (1.0 - _step(edge, -0.012, 0.006)) * _step(height - base - 0.02 * (puffs - 0.5), 0.0, 0.012)
    bright = 0.35 + 0.65 * _step((height - base) / max(top - base, 0.02), 0.0, 0.8) + 0.7 * (puffs - 0.5)
    return share, bright


@njit(**LEAN)
def _heaps(azimuth, height, cover, size, seed):  # type: ignore[no-untyped-def]
    """`_towers` all around: before the direction where the azimuth jumps they become those that stand behind it."""
    share, bright = _towers(azimuth, height, cover, size, seed)
    on = _step(azimuth, math.pi - SEAM, math.pi)
    if on == 0.0:
        return share, bright
    behind, lit = _towers(azimuth - 2.0 * math.pi, height, cover, size, seed)
    there = share * (1.0 - on) + behind * on
    return there, (bright * share * (1.0 - on) + lit * behind * on) / max(there, 1e-6)


@njit(**LEAN)
def _layer(kind, x, y, cover, seed, sun_x, sun_y):  # type: ignore[no-untyped-def]
    """Clouds on a plane overhead: (share, brightness)."""
    if kind == _STRATUS:
        deep = fbm2(x * 0.5, y * 0.5, seed, 5, 0.0)
        return 0.75 + 0.25 * _step(deep, 0.2, 0.6), 0.55 + 0.8 * (deep - 0.35)
    if kind == _CIRRUS:
        warp = 1.5 * fbm2(x * 0.3, y * 0.3, seed + 1, 3, 0.0)
        streak = fbm2(x * 0.5 + warp, y * 3.0 + 2.0 * warp, seed, 5, 0.0)
        return 0.8 * _step(streak, 0.72 - 0.45 * cover, 1.0 - 0.3 * cover), 0.95
    scale = 1.0 if kind == _CUMULUS else 2.6
    warp = noise2(x * 0.7 * scale, y * 0.7 * scale, seed + 2) - 0.5
    x, y = x + 0.5 * warp / scale, y - 0.4 * warp / scale
    density = fbm2(x * scale, y * scale, seed, 6, 0.0)
    level = 0.66 - 0.33 * cover
    soft = 0.09 if kind == _CUMULUS else 0.14
    share = _step(density, level, level + soft)
    towards = fbm2((x + 0.25 * sun_x) * scale, (y + 0.25 * sun_y) * scale, seed, 4, 0.0)
    bright = 0.85 + 1.6 * (density - towards) - 0.9 * max(0.0, density - level - 0.06)
    return share, bright


@njit(**LEAN)
def sky_color(sky, light, dx, dy, dz, disc):  # type: ignore[no-untyped-def]
    """(red, green, blue) in a unit direction, linear; with `disc` the sun itself is drawn."""
    height = max(0.0, -dy)
    up = _step(height**0.55, 0.05, 1.0)
    r = sky[3] + (sky[0] - sky[3]) * up
    g = sky[4] + (sky[1] - sky[4]) * up
    b = sky[5] + (sky[2] - sky[5]) * up
    toward = dx * light[0] + dy * light[1] + dz * light[2]
    glow = sky[GLOW] * (0.35 * max(0.0, toward) ** 8 + 0.9 * max(0.0, toward) ** 64)
    r, g, b = r + glow * light[4], g + glow * light[5], b + glow * 0.9 * light[6]
    if disc and toward > 0.99985 and light[3] > 0.2:
        r, g, b = r + 8.0, g + 7.6, b + 7.0
    kind, size, seed, cover = int(sky[KIND]), max(sky[SIZE], 0.1), int(sky[SEED]), sky[COVER]
    if kind > 0 and cover > 0.0 and dy < 0.02:
        flat = 1.1 / (height + 0.1) / size
        share, bright = _layer(kind, dx * flat, dz * flat, cover, seed, light[0], light[2])
        # Far away the layer thins out into haze.
        share *= _step(height, 0.0, 0.08 if kind == _STRATUS else 0.14)
        if kind == _CUMULUS:
            heap, lit = _heaps(math.atan2(dx, dz), height, cover, size, seed)
            if heap > 0.0:
                bright = (bright * share * (1.0 - heap) + lit * heap) / max(share * (1.0 - heap) + heap, 1e-6)
                share = share * (1.0 - heap) + heap
        bright = min(1.15, max(0.0, bright)) + 0.25 * glow
        r += share * (sky[9] + (sky[6] - sky[9]) * bright - r)
        g += share * (sky[10] + (sky[7] - sky[10]) * bright - g)
        b += share * (sky[11] + (sky[8] - sky[11]) * bright - b)
    haze = sky[HAZE] * (1.0 - _step(height, 0.0, 0.3))
    return r + haze * (sky[3] * 1.05 - r), g + haze * (sky[4] * 1.05 - g), b + haze * (sky[5] * 1.05 - b)
