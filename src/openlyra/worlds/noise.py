"""Value noise for the kernels: cheap, seeded, the same on every machine."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from openlyra.worlds.kernels import LEAN

_A, _B, _C, _D = np.uint32(73856093), np.uint32(19349663), np.uint32(83492791), np.uint32(2654435761)
_MIX, _S13, _S16, _LOW = np.uint32(1274126177), np.uint32(13), np.uint32(16), np.uint32(0xFFFF)


@njit(**LEAN)
def hash3(x, y, z, seed):  # type: ignore[no-untyped-def]
    """[0, 1] of three integers and a seed."""
    n = (np.uint32(np.int64(x)) * _A) ^ (np.uint32(np.int64(y)) * _B) ^ (np.uint32(np.int64(z)) * _C)
    n = np.uint32(n ^ (np.uint32(np.int64(seed)) * _D))
    n = np.uint32(np.uint32(n ^ (n >> _S13)) * _MIX)
    n = np.uint32(n ^ (n >> _S16))
    n = np.uint32(np.uint32(n ^ (n >> _S13)) * _MIX)
    return np.float64((n >> _S16) & _LOW) / 65535.0


@njit(**LEAN)
def noise2(x, y, seed):  # type: ignore[no-untyped-def]
    """[0, 1], smooth, one blob a unit."""
    xi, yi = math.floor(x), math.floor(y)
    fx, fy = x - xi, y - yi
    fx, fy = fx * fx * (3.0 - 2.0 * fx), fy * fy * (3.0 - 2.0 * fy)
    a = hash3(xi, yi, 0, seed) * (1.0 - fx) + hash3(xi + 1, yi, 0, seed) * fx
    b = hash3(xi, yi + 1, 0, seed) * (1.0 - fx) + hash3(xi + 1, yi + 1, 0, seed) * fx
    return a * (1.0 - fy) + b * fy


@njit(**LEAN)
def noise3(x, y, z, seed):  # type: ignore[no-untyped-def]
    """[0, 1], smooth, one blob a unit."""
    xi, yi, zi = math.floor(x), math.floor(y), math.floor(z)
    fx, fy, fz = x - xi, y - yi, z - zi
    fx, fy, fz = fx * fx * (3.0 - 2.0 * fx), fy * fy * (3.0 - 2.0 * fy), fz * fz * (3.0 - 2.0 * fz)
    a = hash3(xi, yi, zi, seed) * (1.0 - fx) + hash3(xi + 1, yi, zi, seed) * fx
    b = hash3(xi, yi + 1, zi, seed) * (1.0 - fx) + hash3(xi + 1, yi + 1, zi, seed) * fx
    c = hash3(xi, yi, zi + 1, seed) * (1.0 - fx) + hash3(xi + 1, yi, zi + 1, seed) * fx
    d = hash3(xi, yi + 1, zi + 1, seed) * (1.0 - fx) + hash3(xi + 1, yi + 1, zi + 1, seed) * fx
    return (a * (1.0 - fy) + b * fy) * (1.0 - fz) + (c * (1.0 - fy) + d * fy) * fz


@njit(**LEAN)
def octave_share(foot):  # type: ignore[no-untyped-def]
    """How much of an octave a pixel shows whose footprint is `foot` of its blobs: all below a third, 0 from 1 on."""
    return min(1.0, max(0.0, 1.5 - 1.5 * foot))


@njit(**LEAN)
def fbm3(x, y, z, seed, octaves, foot):  # type: ignore[no-untyped-def]
    """[0, 1] sum of octaves; the largest blob is one unit. For a pixel of `foot` units; see `octave_share`."""
    weight, total, norm = 1.0, 0.0, 0.0
    for octave in range(octaves):
        share = octave_share(foot)
        if share > 0.0:
            total += weight * share * (noise3(x, y, z, seed + octave) - 0.5)
        norm += weight
        weight *= 0.5
        x, y, z, foot = x * 2.03 + 5.1, y * 2.03 + 1.7, z * 2.03 + 9.2, foot * 2.03
    return 0.5 + total / max(norm, 1e-9)


@njit(**LEAN)
def fbm2(x, y, seed, octaves, foot):  # type: ignore[no-untyped-def]
    """[0, 1] sum of octaves; the largest blob is one unit. For a pixel of `foot` units; see `octave_share`."""
    weight, total, norm = 1.0, 0.0, 0.0
    for octave in range(octaves):
        share = octave_share(foot)
        if share > 0.0:
            total += weight * share * (noise2(x, y, seed + octave) - 0.5)
        norm += weight
        weight *= 0.5
        x, y, foot = 1.62 * x - 1.22 * y + 5.1, 1.22 * x + 1.62 * y + 1.7, foot * 2.03
    return 0.5 + total / max(norm, 1e-9)
