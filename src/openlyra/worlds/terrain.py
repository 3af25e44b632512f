"""The height of the land: value noise in octaves, gentle near the origin."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from openlyra.worlds.kernels import INFINITY, LEAN
from openlyra.worlds.noise import hash3, noise2
from openlyra.worlds.types import Terrain

OCTAVES = 7
AMPLITUDE, WAVELENGTH, RIDGED, ROUGHNESS, FLAT, SEED, PATH, FAR, SNOW, ORIGIN = range(10)
"""Places of the numbers in a packed terrain."""
UNIT, MIDDLE, WEIGHTS, TABLE = 14, 15, 16, 17
"""Places of what follows from them: metres a unit of the weighted sum of octaves far from the origin, the sum at height
0, the sum of the weights, and four numbers an octave: cosine and sine of its slant times its frequency, its weight, and
the weights of all finer ones. Working these out at every look at the land would take longer than the noise itself."""
PACKED = TABLE + 4 * OCTAVES


def pack_terrain(terrain: Terrain) -> np.ndarray:
    """(PACKED,) float64 for the kernels; places 10 to 13 are left to `pack_world`."""
    snow = 1e9 if terrain.snow_height is None else terrain.snow_height
    roughness = min(max(terrain.roughness, 0.05), 0.95)
    packed = np.zeros(PACKED)
    packed[:ORIGIN] = [
        terrain.amplitude, terrain.wavelength, terrain.ridged, roughness, terrain.flat_radius,
        terrain.seed % 65536, terrain.path_width, terrain.far, snow,
    ]  # fmt: skip
    octaves = np.arange(OCTAVES)
    # A different slant for every octave hides the lattice of the noise.
    slant, frequency, weight = 0.7 * octaves + 0.3, 2.03**octaves / terrain.wavelength, roughness**octaves
    packed[WEIGHTS] = weight.sum()
    packed[MIDDLE], packed[UNIT] = 0.45 * packed[WEIGHTS], terrain.amplitude / packed[WEIGHTS]
    rest = np.append(weight[::-1].cumsum()[::-1][1:], 0.0)
    packed[TABLE:] = np.stack([frequency * np.cos(slant), frequency * np.sin(slant), weight, rest], 1).ravel()
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
def _octave(x, z, packed, octave):  # type: ignore[no-untyped-def]
    """[0, 1]: one octave of the land."""
    c, s = packed[TABLE + 4 * octave], packed[TABLE + 4 * octave + 1]
    value = noise2(c * x - s * z + 17.3 * octave, s * x + c * z - 9.1, int(packed[SEED]) + octave)
    ridged = packed[RIDGED]
    if ridged > 0.0:
        ridge = 1.0 - abs(2.0 * value - 1.0)
        value = value * (1.0 - ridged) + ridge * ridge * ridged
    return value


@njit(**LEAN)
def _octave_slope(x, z, packed, octave):  # type: ignore[no-untyped-def]
    """`_octave` and its derivatives by x and z."""
    c, s = packed[TABLE + 4 * octave], packed[TABLE + 4 * octave + 1]
    u, v, seed = c * x - s * z + 17.3 * octave, s * x + c * z - 9.1, int(packed[SEED]) + octave
    ui, vi = math.floor(u), math.floor(v)
    fu, fv = u - ui, v - vi
    du, dv = 6.0 * fu * (1.0 - fu), 6.0 * fv * (1.0 - fv)
    fu, fv = fu * fu * (3.0 - 2.0 * fu), fv * fv * (3.0 - 2.0 * fv)
    corner, right = hash3(ui, vi, 0, seed), hash3(ui + 1, vi, 0, seed)
    below, across = hash3(ui, vi + 1, 0, seed), hash3(ui + 1, vi + 1, 0, seed)
    twist = corner - right - below + across
    value = corner + (right - corner) * fu + (below - corner) * fv + twist * fu * fv
    du, dv = du * (right - corner + twist * fv), dv * (below - corner + twist * fu)
    ridged = packed[RIDGED]
    if ridged > 0.0:
        side = 1.0 if value < 0.5 else -1.0
        ridge = 1.0 - abs(2.0 * value - 1.0)
        value = value * (1.0 - ridged) + ridge * ridge * ridged
        steeper = 1.0 - ridged + 4.0 * side * ridge * ridged
        du, dv = du * steeper, dv * steeper
    return value, c * du + s * dv, c * dv - s * du


@njit(**LEAN)
def height_share(x, z, packed):  # type: ignore[no-untyped-def]
    """Share of the full height: little near the origin, 1 far away."""
    share = min(1.0, math.sqrt(x * x + z * z) / (4.0 * max(packed[FLAT], 1.0)))
    return 0.06 + 0.94 * share * share * (3.0 - 2.0 * share)


@njit(**LEAN)
def height_at(x, z, packed):  # type: ignore[no-untyped-def]
    """Metres above the origin."""
    total = -packed[MIDDLE]
    for octave in range(OCTAVES):
        total += packed[TABLE + 4 * octave + 2] * _octave(x, z, packed, octave)
    return packed[UNIT] * height_share(x, z, packed) * total - packed[ORIGIN]


@njit(**LEAN)
def _gap(x, y, z, near, packed):  # type: ignore[no-untyped-def]
    """A lower bound of the height of (x, y, z) above the land, exact when it is negative; `near` is that of the place.

    Octaves are added until those that are left matter little beside the gap.
    """
    size = packed[UNIT] * near
    level, total, bound = packed[ORIGIN] - y, -packed[MIDDLE], 0.0
    for octave in range(OCTAVES):
        total += packed[TABLE + 4 * octave + 2] * _octave(x, z, packed, octave)
        rest = size * packed[TABLE + 4 * octave + 3]
        # The octaves that are left add between 0 and `rest`.
        bound = level - size * total - rest
        if bound > 0.8 * rest:
            return bound
    return bound


@njit(**LEAN)
def _march(packed, ox, oy, oz, dx, dy, dz, near, far):  # type: ignore[no-untyped-def]
    """(last t above the land, first t below it, gap there), by steps as long as the gap allows.

    The second is INFINITY where the ray stays above, or starts below. Steps are never shorter than a pixel's detail for
    a viewer at the start.
    """
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    level = math.sqrt(dx * dx + dz * dz)
    slope = 1.6 * packed[AMPLITUDE] / packed[WAVELENGTH] * level
    rise = max(dy, 0.0) + 1e-9
    least, grow = 0.01 / length, 0.003
    # No land is higher than this; above it a rising ray is free.
    top = packed[AMPLITUDE] * 0.55 - packed[ORIGIN]
    t, last = near, near
    for _ in range(400):
        y = oy + t * dy
        if dy <= 0.0 and -y > top:
            return last, INFINITY, 0.0
        x, z = ox + t * dx, oz + t * dz
        share = height_share(x, z, packed)
        gap = _gap(x, y, z, share, packed)
        if gap < 0.0:
            return last, t if t > near else INFINITY, gap
        last = t
        # The gap closes by the ray's own fall and by the steepest likely rise of the land.
        t += max(gap / (rise + slope * min(1.0, share + 0.2)), least + grow * t)
        if t > far:
            return last, INFINITY, 0.0
    return last, INFINITY, 0.0


@njit(**LEAN)
def hit_terrain(packed, ox, oy, oz, dx, dy, dz, near, far):  # type: ignore[no-untyped-def]
    """t of the first crossing from above within (near, far)."""
    last, t, below = _march(packed, ox, oy, oz, dx, dy, dz, near, far)
    if t == INFINITY:
        return INFINITY
    # False position with halving (the Illinois rule): both ends close in, in a handful of steps.
    above, side = -oy - last * dy - height_at(ox + last * dx, oz + last * dz, packed), 0
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
def near_terrain(packed, ox, oy, oz, dx, dy, dz, near, far):  # type: ignore[no-untyped-def]
    """About `hit_terrain`, to within a step: enough for light."""
    last, t, _ = _march(packed, ox, oy, oz, dx, dy, dz, near, far)
    return 0.5 * (last + t) if t < INFINITY else INFINITY


@njit(**LEAN)
def land_slopes(packed, x, z, total, a, b):  # type: ignore[no-untyped-def]
    """Derivatives of `height_at` by x and z, from the sum of octaves and its derivatives a and b."""
    near, reach = height_share(x, z, packed), 4.0 * max(packed[FLAT], 1.0)
    share = math.sqrt(x * x + z * z) / reach
    # `height_share` falls off as share^2, so that its derivative has no pole at the origin.
    fall = 5.64 * (1.0 - share) / (reach * reach) if share < 1.0 else 0.0
    return packed[UNIT] * (near * a + fall * x * total), packed[UNIT] * (near * b + fall * z * total)


@njit(**LEAN)
def terrain_normal(packed, x, z):  # type: ignore[no-untyped-def]
    """Unit normal of the land, pointing up (y negative): the derivative of `height_at`."""
    total, a, b = -packed[MIDDLE], 0.0, 0.0
    for octave in range(OCTAVES):
        value, along_x, along_z = _octave_slope(x, z, packed, octave)
        weight = packed[TABLE + 4 * octave + 2]
        total, a, b = total + weight * value, a + weight * along_x, b + weight * along_z
    a, b = land_slopes(packed, x, z, total, a, b)
    length = math.sqrt(a * a + b * b + 1.0)
    return -a / length, -1.0 / length, -b / length
