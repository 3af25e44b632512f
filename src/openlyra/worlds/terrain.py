"""The height of the land: value noise in octaves, gentle near the origin."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from openlyra.worlds.noise import noise2
from openlyra.worlds.types import Terrain

OCTAVES = 7
AMPLITUDE, WAVELENGTH, RIDGED, ROUGHNESS, FLAT, SEED, PATH, FAR, SNOW, ORIGIN = range(10)
"""Places of the numbers in a packed terrain."""


def pack_terrain(terrain: Terrain) -> np.ndarray:
    """(10,) float64 for the kernels."""
    snow = 1e9 if terrain.snow_height is None else terrain.snow_height
    packed = np.array([
        terrain.amplitude, terrain.wavelength, terrain.ridged, terrain.roughness, terrain.flat_radius,
        terrain.seed % 65536, terrain.path_width, terrain.far, snow, 0.0,
    ], np.float64)  # fmt: skip
    packed[ORIGIN] = height_at(0.0, 0.0, packed, OCTAVES)
    return packed


def terrain_height(terrain: Terrain, x: float, z: float) -> float:
    """Metres above y = 0 at (x, z); the surface is at y = -height. The origin itself is at height 0."""
    return float(height_at(x, z, pack_terrain(terrain), OCTAVES))


def path_offset(terrain: Terrain, z: float) -> float:
    """x of the middle of the winding path at z, metres."""
    return float(path_x(z, terrain.seed % 65536, terrain.wavelength))


@njit(cache=True)
def path_x(z, seed, wavelength):  # type: ignore[no-untyped-def]
    """The path winds around x = 0 and passes through the origin."""
    phase = (seed % 97) * 0.13
    a, b = 17.0 + 0.05 * wavelength, 43.0 + 0.11 * wavelength
    return 1.5 * (math.sin(z / a + phase) - math.sin(phase)) + 4.0 * (math.sin(z / b + 2 * phase) - math.sin(2 * phase))


@njit(cache=True)
def height_at(x, z, packed, octaves):  # type: ignore[no-untyped-def]
    """Metres above the origin; fewer octaves are smoother."""
    seed = int(packed[SEED])
    frequency, weight, total, norm = 1.0 / packed[WAVELENGTH], 1.0, 0.0, 0.0
    for octave in range(octaves):
        # A different slant for every octave hides the lattice of the noise.
        c, s = math.cos(0.7 * octave + 0.3), math.sin(0.7 * octave + 0.3)
        value = noise2((c * x - s * z) * frequency + 17.3 * octave, (s * x + c * z) * frequency - 9.1, seed + octave)
        if packed[RIDGED] > 0.0:
            ridge = 1.0 - abs(2.0 * value - 1.0)
            value = value * (1.0 - packed[RIDGED]) + ridge * ridge * packed[RIDGED]
        total += weight * value
        norm += weight
        frequency *= 2.03
        weight *= packed[ROUGHNESS]
    distance = math.sqrt(x * x + z * z)
    flat = max(packed[FLAT], 1.0)
    share = min(1.0, distance / (4.0 * flat))
    near = 0.06 + 0.94 * share * share * (3.0 - 2.0 * share)
    return packed[AMPLITUDE] * (total / norm - 0.45) * near - packed[ORIGIN]
