"""The height of the land: value noise in octaves, gentle near the origin."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from openlyra.worlds.kernels import INFINITY, LEAN
from openlyra.worlds.noise import noise2
from openlyra.worlds.types import Terrain

OCTAVES, COARSE = 7, 3
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
def _octaves(x, z, packed, first, last):  # type: ignore[no-untyped-def]
    """Weighted sum of the octaves first ... last - 1."""
    seed, ridged = int(packed[SEED]), packed[RIDGED]
    frequency, weight, total = 1.0 / packed[WAVELENGTH], 1.0, 0.0
    for octave in range(last):
        if octave >= first:
            # A different slant for every octave hides the lattice of the noise.
            c, s = math.cos(0.7 * octave + 0.3), math.sin(0.7 * octave + 0.3)
            a, b = c * x - s * z, s * x + c * z
            value = noise2(a * frequency + 17.3 * octave, b * frequency - 9.1, seed + octave)
            if ridged > 0.0:
                ridge = 1.0 - abs(2.0 * value - 1.0)
                value = value * (1.0 - ridged) + ridge * ridge * ridged
            total += weight * value
        frequency *= 2.03
        weight *= packed[ROUGHNESS]
    return total


@njit(**LEAN)
def _size(x, z, packed):  # type: ignore[no-untyped-def]
    """Metres a unit of the weighted sum: gentle near the origin."""
    flat = max(packed[FLAT], 1.0)
    share = min(1.0, math.sqrt(x * x + z * z) / (4.0 * flat))
    r = packed[ROUGHNESS]
    norm = (1.0 - r**OCTAVES) / (1.0 - r)
    return packed[AMPLITUDE] * (0.06 + 0.94 * share * share * (3.0 - 2.0 * share)) / norm


@njit(**LEAN)
def height_at(x, z, packed):  # type: ignore[no-untyped-def]
    """Metres above the origin."""
    r = packed[ROUGHNESS]
    middle = 0.45 * (1.0 - r**OCTAVES) / (1.0 - r)
    return _size(x, z, packed) * (_octaves(x, z, packed, 0, OCTAVES) - middle) - packed[ORIGIN]


@njit(**LEAN)
def _gap(x, y, z, packed):  # type: ignore[no-untyped-def]
    """A lower bound of the height of (x, y, z) above the land, exact when it is small."""
    r = packed[ROUGHNESS]
    norm = (1.0 - r**OCTAVES) / (1.0 - r)
    rest = norm - (1.0 - r**COARSE) / (1.0 - r)
    size = _size(x, z, packed)
    total = _octaves(x, z, packed, 0, COARSE)
    # The finer octaves add at most `rest`.
    bound = -y - (size * (total + rest - 0.45 * norm) - packed[ORIGIN])
    if bound > 0.5 * size * rest:
        return bound
    return -y - (size * (total + _octaves(x, z, packed, COARSE, OCTAVES) - 0.45 * norm) - packed[ORIGIN])


@njit(**LEAN)
def hit_terrain(packed, ox, oy, oz, dx, dy, dz, near, far):  # type: ignore[no-untyped-def]
    """t of the first crossing from above within (near, far), by steps as long as the gap allows, then bisection."""
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    slope = 1.6 * packed[AMPLITUDE] / packed[WAVELENGTH]
    fall = (max(dy, 0.0) + slope * math.sqrt(dx * dx + dz * dz)) + 1e-9
    # No land is higher than this; above it a rising ray is free.
    top = packed[AMPLITUDE] * 0.55 - packed[ORIGIN]
    t, last = near, near
    for _ in range(400):
        y = oy + t * dy
        if dy <= 0.0 and -y > top:
            return INFINITY
        gap = _gap(ox + t * dx, y, oz + t * dz, packed)
        if gap < 0.0:
            break
        last = t
        t += max(gap / fall, (0.01 + 0.002 * t * length) / length)
        if t > far:
            return INFINITY
    else:
        return INFINITY
    if t == near:
        return INFINITY
    for _ in range(40):
        middle = 0.5 * (last + t)
        if oy + middle * dy + height_at(ox + middle * dx, oz + middle * dz, packed) < 0.0:
            last = middle
        else:
            t = middle
        if t - last < 1e-9 * t:
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
