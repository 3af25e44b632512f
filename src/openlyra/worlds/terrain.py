"""The height of the land: value noise in octaves, gentle near the origin."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from openlyra.worlds.kernels import INFINITY, LEAN
from openlyra.worlds.noise import noise2
from openlyra.worlds.types import Terrain

OCTAVES = 7
AMPLITUDE, WAVELENGTH, RIDGED, ROUGHNESS, FLAT, SEED, PATH, FAR, SNOW, ORIGIN = range(10)
"""Places of the numbers in a packed terrain."""


def pack_terrain(terrain: Terrain) -> np.ndarray:
    """(10,) float64 for the kernels."""
    snow = 1e9 if terrain.snow_height is None else terrain.snow_height
    roughness = min(max(terrain.roughness, 0.05), 0.95)
    packed = np.array([
        terrain.amplitude, terrain.wavelength, terrain.ridged, roughness, terrain.flat_radius,
        terrain.seed % 65536, terrain.path_width, terrain.far, snow, 0.0,
    ], np.float64)  # fmt: skip
    packed[ORIGIN] = height_at(0.0, 0.0, packed)
    return packed


def terrain_height(terrain: Terrain, x: float, z: float) -> float:
    """Metres above y = 0 at (x, z); the surface is at y = -height. The origin itself is at height 0."""
    return float(height_at(x, z, pack_terrain(terrain)))


def path_offset(terrain: Terrain, z: float) -> float:
    """x of the middle of the winding path at z, metres."""
    return float(path_x(z, terrain.seed % 65536, terrain.wavelength))


@njit(**LEAN)
def path_x(z, seed, wavelength):  # type: ignore[no-untyped-def]
    """The path winds around x = 0 and passes through the origin."""
    phase = (seed % 97) * 0.13
    a, b = 17.0 + 0.05 * wavelength, 43.0 + 0.11 * wavelength
    return 1.5 * (math.sin(z / a + phase) - math.sin(phase)) + 4.0 * (math.sin(z / b + 2 * phase) - math.sin(2 * phase))


@njit(**LEAN)
def _octave(x, z, packed, octave, frequency):  # type: ignore[no-untyped-def]
    """[0, 1]: one octave of the land."""
    # A different slant for every octave hides the lattice of the noise.
    c, s = math.cos(0.7 * octave + 0.3), math.sin(0.7 * octave + 0.3)
    a, b = c * x - s * z, s * x + c * z
    value = noise2(a * frequency + 17.3 * octave, b * frequency - 9.1, int(packed[SEED]) + octave)
    ridged = packed[RIDGED]
    if ridged > 0.0:
        ridge = 1.0 - abs(2.0 * value - 1.0)
        value = value * (1.0 - ridged) + ridge * ridge * ridged
    return value


@njit(**LEAN)
def _near(x, z, packed):  # type: ignore[no-untyped-def]
    """Share of the full height: little near the origin, 1 far away."""
    share = min(1.0, math.sqrt(x * x + z * z) / (4.0 * max(packed[FLAT], 1.0)))
    return 0.06 + 0.94 * share * share * (3.0 - 2.0 * share)


@njit(**LEAN)
def _size(x, z, packed):  # type: ignore[no-untyped-def]
    """Metres a unit of the weighted sum of octaves."""
    r = packed[ROUGHNESS]
    return packed[AMPLITUDE] * _near(x, z, packed) * (1.0 - r) / (1.0 - r**OCTAVES)


@njit(**LEAN)
def height_at(x, z, packed):  # type: ignore[no-untyped-def]
    """Metres above the origin."""
    r, total, norm = packed[ROUGHNESS], 0.0, 0.0
    frequency, weight = 1.0 / packed[WAVELENGTH], 1.0
    for octave in range(OCTAVES):
        total += weight * _octave(x, z, packed, octave, frequency)
        norm += weight
        frequency *= 2.03
        weight *= r
    return _size(x, z, packed) * (total - 0.45 * norm) - packed[ORIGIN]


@njit(**LEAN)
def _gap(x, y, z, packed):  # type: ignore[no-untyped-def]
    """A lower bound of the height of (x, y, z) above the land, exact when it is negative.

    Octaves are added until those that are left matter little beside the gap.
    """
    r = packed[ROUGHNESS]
    norm = (1.0 - r**OCTAVES) / (1.0 - r)
    size = _size(x, z, packed)
    total, rest = 0.0, norm
    frequency, weight = 1.0 / packed[WAVELENGTH], 1.0
    bound = 0.0
    for octave in range(OCTAVES):
        total += weight * _octave(x, z, packed, octave, frequency)
        rest -= weight
        # The octaves that are left add between 0 and `rest`.
        bound = -y - size * (total + rest - 0.45 * norm) + packed[ORIGIN]
        if bound > 0.8 * size * rest and octave + 1 < OCTAVES:
            return bound
        frequency *= 2.03
        weight *= r
    return bound


@njit(**LEAN)
def hit_terrain(packed, ox, oy, oz, dx, dy, dz, near, far):  # type: ignore[no-untyped-def]
    """t of the first crossing from above within (near, far), by steps as long as the gap allows."""
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    slope = 1.6 * packed[AMPLITUDE] / packed[WAVELENGTH]
    level = math.sqrt(dx * dx + dz * dz)
    # No land is higher than this; above it a rising ray is free.
    top = packed[AMPLITUDE] * 0.55 - packed[ORIGIN]
    t, last, gap = near, near, 0.0
    for _ in range(400):
        y = oy + t * dy
        if dy <= 0.0 and -y > top:
            return INFINITY
        x, z = ox + t * dx, oz + t * dz
        gap = _gap(x, y, z, packed)
        if gap < 0.0:
            break
        last = t
        # The gap closes by the ray's own fall and by the steepest likely rise of the land.
        fall = max(dy, 0.0) + slope * min(1.0, _near(x, z, packed) + 0.2) * level + 1e-9
        t += max(gap / fall, (0.01 + 0.003 * t * length) / length)
        if t > far:
            return INFINITY
    else:
        return INFINITY
    if t == near:
        return INFINITY
    # False position with halving (the Illinois rule): both ends close in, in a handful of steps.
    above = -oy - last * dy - height_at(ox + last * dx, oz + last * dz, packed)
    below, side = gap, 0
    for _ in range(40):
        middle = (last * below - t * above) / (below - above)
        value = -oy - middle * dy - height_at(ox + middle * dx, oz + middle * dz, packed)
        if value > 0.0:
            last, above = middle, value
            if side > 0:
                below *= 0.5
            side = 1
        else:
            t, below = middle, value
            if side < 0:
                above *= 0.5
            side = -1
        if abs(value) < 1e-9 * (1.0 + t) or t - last < 1e-10 * t:
            t = middle
            break
    return t if t < far else INFINITY


@njit(**LEAN)
def terrain_normal(packed, x, z):  # type: ignore[no-untyped-def]
    """Unit normal of the land, pointing up (y negative)."""
    e = 0.02
    a = (height_at(x + e, z, packed) - height_at(x - e, z, packed)) / (2 * e)
    b = (height_at(x, z + e, packed) - height_at(x, z - e, packed)) / (2 * e)
    length = math.sqrt(a * a + b * b + 1.0)
    return -a / length, -1.0 / length, -b / length
