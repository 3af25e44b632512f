"""Many rays against the land at once (numba): the march of `terrain.hit_terrain`, some rays side by side, and normals
where they meet it.

Every ray takes the steps it takes alone, but the noise is worked out for all of them in one loop, which the compiler
turns into vector instructions: several times as fast as one by one. A ray that ends makes room for the next. The march
is in float32, where vectors hold twice as many; the exact crossing is then found in float64.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from openlyra.worlds.kernels import INFINITY, LEAN, OPTIONS
from openlyra.worlds.terrain import (
    AMPLITUDE,
    FLAT,
    MIDDLE,
    OCTAVES,
    ORIGIN,
    RIDGED,
    SEED,
    TABLE,
    UNIT,
    WAVELENGTH,
    land_slopes,
)

LANES = 32
"""Rays side by side."""
EXACT, CLOSE, ROUGH = 40, 2, 0
"""How often the land is looked at, at most, to find out where a ray meets it: as exactly as numbers allow for the
truth, to a small part of a pixel for more samples on outlines, not at all for gathered and mirrored light."""
FAR_END, AWAY, COLUMNS = 6, 7, 8
"""A ray is a row of eight numbers: origin, direction, where it ends (t), and about how many metres its start is from
the viewer: no step is shorter than a pixel there."""
LAST, BEYOND, GAP = range(3)
"""A crossing is a row of three: last t above the land, first t below it (INFINITY: none), height there (negative)."""
_A, _B, _D = np.uint32(73856093), np.uint32(19349663), np.uint32(2654435761)
_MIX, _S13, _S16, _LOW = np.uint32(1274126177), np.uint32(13), np.uint32(16), np.uint32(0xFFFF)


@njit(**OPTIONS)
def land_scratch():  # type: ignore[no-untyped-def]
    """What the functions here work in: float32 for marches, float64 for crossings."""
    return np.zeros((22, LANES), np.float32), np.zeros((19, LANES))


@njit(**LEAN)
def _mixed(n):  # type: ignore[no-untyped-def]
    """The end of `noise.hash3` before it is divided, in 32 bits throughout so that it fits vectors."""
    n = np.uint32(np.uint32(n ^ (n >> _S13)) * _MIX)
    n = np.uint32(n ^ (n >> _S16))
    n = np.uint32(np.uint32(n ^ (n >> _S13)) * _MIX)
    return np.int32((n >> _S16) & _LOW)


# All numbers in the loops below have the type of the arrays: one float64 among them would halve the vectors.
@njit(**LEAN)
def _add_octave(x, z, packed, octave, total, count):  # type: ignore[no-untyped-def]
    """Add one weighted octave of the land at `count` places to total."""
    real = x.dtype.type
    c, s = real(packed[TABLE + 4 * octave]), real(packed[TABLE + 4 * octave + 1])
    weight, ridged = real(packed[TABLE + 4 * octave + 2]), real(packed[RIDGED])
    seed = np.uint32(np.uint32(int(packed[SEED]) + octave) * _D)
    shift, across, unit = real(17.3 * octave), real(9.1), real(1.0 / 65535.0)
    one, two, three = real(1.0), real(2.0), real(3.0)
    for k in range(count):
        u, v = c * x[k] - s * z[k] + shift, s * x[k] + c * z[k] - across
        ui, vi = np.floor(u), np.floor(v)
        fu, fv = u - ui, v - vi
        fu, fv = fu * fu * (three - two * fu), fv * fv * (three - two * fv)
        left = np.uint32(np.uint32(np.int32(ui)) * _A)
        right = np.uint32(left + _A)
        up = np.uint32(np.uint32(np.int32(vi)) * _B)
        down = np.uint32(np.uint32(up + _B) ^ seed)
        up = np.uint32(up ^ seed)
        a, b = real(_mixed(np.uint32(left ^ up))), real(_mixed(np.uint32(left ^ down)))
        a += (real(_mixed(np.uint32(right ^ up))) - a) * fu
        b += (real(_mixed(np.uint32(right ^ down))) - b) * fu
        value = (a + (b - a) * fv) * unit
        ridge = one - abs(two * value - one)
        total[k] += weight * (value * (one - ridged) + ridge * ridge * ridged)


# Each loop below writes one array: with more, the compiler would not see that they are apart, and not use vectors.
@njit(**LEAN)
def _bound(y, share, total, packed, octave, bound, open_, count):  # type: ignore[no-untyped-def]
    """`terrain._gap` after one more octave, for the rays still open; how many stay open."""
    real = y.dtype.type
    unit, origin, rest = real(packed[UNIT]), real(packed[ORIGIN]), real(packed[TABLE + 4 * octave + 3])
    none, matters = real(0.0), real(0.8 * packed[UNIT] * packed[TABLE + 4 * octave + 3])
    for k in range(count):
        value = origin - y[k] - unit * share[k] * (total[k] + rest)
        bound[k] = value if open_[k] > none else bound[k]
    for k in range(count):
        open_[k] = open_[k] if bound[k] <= matters * share[k] else none
    left = 0
    for k in range(count):
        left += int(open_[k] > none)
    return left


@njit(**LEAN)
def _along(start, direction, t, out, count):  # type: ignore[no-untyped-def]
    for k in range(count):
        out[k] = start[k] + t[k] * direction[k]


@njit(**LEAN)
def _shares(x, z, flat, share, count):  # type: ignore[no-untyped-def]
    """`terrain.height_share`."""
    real = x.dtype.type
    scale, one, two, three = real(1.0 / (4.0 * max(flat, 1.0))), real(1.0), real(2.0), real(3.0)
    least, more = real(0.06), real(0.94)
    for k in range(count):
        s = min(one, np.sqrt(x[k] * x[k] + z[k] * z[k]) * scale)
        share[k] = least + more * s * s * (three - two * s)


@njit(**LEAN)
def _next(t, bound, rise, slope, share, least, ahead, count):  # type: ignore[no-untyped-def]
    """The gap closes by the ray's own fall and by the steepest likely rise of the land."""
    real = t.dtype.type
    one, more, grow = real(1.0), real(0.2), real(0.003)
    for k in range(count):
        step = bound[k] / (rise[k] + slope[k] * min(one, share[k] + more))
        ahead[k] = t[k] + max(step, least[k] + grow * t[k])


@njit(**LEAN)
def _places(packed, ray, t, x, y, z, share, total, count):  # type: ignore[no-untyped-def]
    """Where the rays are at t, the share of the full height there, and the sum of no octaves."""
    _along(ray[0], ray[3], t, x, count)
    _along(ray[1], ray[4], t, y, count)
    _along(ray[2], ray[5], t, z, count)
    _shares(x, z, packed[FLAT], share, count)
    total[:count] = -packed[MIDDLE]


@njit(**LEAN)
def land_crossings(packed, rays, count, near, scratch, out):  # type: ignore[no-untyped-def]
    """Bracket the first crossing of the first `count` rays (N, COLUMNS) from `near` on, into out (N, 3)."""
    lane = scratch[0]
    ray, t, last, number, tries = lane[:6], lane[6], lane[7], lane[8], lane[9]
    x, y, z, share, total = lane[10], lane[11], lane[12], lane[13], lane[14]
    bound, open_, ahead = lane[15], lane[16], lane[17]
    rise, slope, least, far = lane[18], lane[19], lane[20], lane[21]
    steepest = 1.6 * packed[AMPLITUDE] / packed[WAVELENGTH]
    # No land is higher than this; above it a rising ray is free.
    top = packed[AMPLITUDE] * 0.55 - packed[ORIGIN]
    following, active = 0, 0
    while True:
        while active < LANES and following < count:
            r = rays[following]
            out[following, BEYOND] = INFINITY
            if r[FAR_END] > near and not (r[4] <= 0.0 and -(r[1] + near * r[4]) > top):
                k, flat = active, r[3] * r[3] + r[5] * r[5]
                for i in range(6):
                    ray[i, k] = r[i]
                t[k], last[k], number[k], tries[k], far[k] = near, near, following, 0.0, r[FAR_END]
                rise[k], slope[k] = max(r[4], 0.0) + 1e-9, steepest * math.sqrt(flat)
                least[k] = (0.01 + 0.003 * r[AWAY]) / math.sqrt(flat + r[4] * r[4])
                active += 1
            following += 1
        if active == 0:
            return
        _places(packed, ray, t, x, y, z, share, total, active)
        open_[:active] = 1.0
        for octave in range(OCTAVES):
            _add_octave(x, z, packed, octave, total, active)
            if _bound(y, share, total, packed, octave, bound, open_, active) == 0:
                break
        _next(t, bound, rise, slope, share, least, ahead, active)
        for k in range(active - 1, -1, -1):
            gap = bound[k]
            over = gap < 0.0
            if over:
                if t[k] > near:
                    i = int(number[k])
                    out[i, LAST], out[i, BEYOND], out[i, GAP] = last[k], t[k], gap
            else:
                last[k], t[k] = t[k], ahead[k]
                tries[k] += 1.0
                over = t[k] > far[k] or tries[k] >= 400.0
                over = over or (ray[4, k] <= 0.0 and -(ray[1, k] + t[k] * ray[4, k]) > top)
            if over:
                active -= 1
                # The last one moves here; it has had its step, since the loop comes from that end.
                for i in range(10):
                    lane[i, k] = lane[i, active]
                for i in range(18, 22):
                    lane[i, k] = lane[i, active]


@njit(**LEAN)
def land_hits(packed, rays, count, near, looks, scratch, out):  # type: ignore[no-untyped-def]
    """`land_crossings`, then the t of each into out[:, BEYOND], by false position with halving: `looks` times (after
    one at the upper end), or until it is exact, which takes about ten.
    """
    land_crossings(packed, rays, count, near, scratch, out)
    lane = scratch[1]
    ray, t, last, number, tries = lane[:6], lane[6], lane[7], lane[8], lane[9]
    x, y, z, share, total = lane[10], lane[11], lane[12], lane[13], lane[14]
    above, below, side, middle = lane[15], lane[16], lane[17], lane[18]
    following, active = 0, 0
    while True:
        while active < LANES and following < count:
            if out[following, BEYOND] < INFINITY:
                for i in range(6):
                    ray[i, active] = rays[following, i]
                last[active], t[active] = out[following, LAST], out[following, BEYOND]
                below[active] = out[following, GAP]
                # The first look is at the upper end, whose exact height the march did not need.
                number[active], tries[active], side[active], middle[active] = following, -1.0, 0.0, last[active]
                active += 1
            following += 1
        if active == 0:
            return
        _places(packed, ray, middle, x, y, z, share, total, active)
        for octave in range(OCTAVES):
            _add_octave(x, z, packed, octave, total, active)
        for k in range(active - 1, -1, -1):
            value = packed[ORIGIN] - y[k] - packed[UNIT] * share[k] * total[k]
            over = False
            if tries[k] < 0.0:
                above[k] = value
                # Rounded, the march may have taken a place a hair below the land for one above it.
                over = value <= 0.0
            else:
                if value > 0.0:
                    last[k], above[k] = middle[k], value
                    below[k] *= 0.5 if side[k] > 0.0 else 1.0
                    side[k] = 1.0
                else:
                    t[k], below[k] = middle[k], value
                    above[k] *= 0.5 if side[k] < 0.0 else 1.0
                    side[k] = -1.0
                over = abs(value) < 1e-9 * (1.0 + t[k]) or t[k] - last[k] < 1e-10 * t[k]
            tries[k] += 1.0
            if not over:
                middle[k] = (last[k] * below[k] - t[k] * above[k]) / (below[k] - above[k])
            if over or tries[k] >= looks:
                i, end = int(number[k]), middle[k]
                out[i, BEYOND] = end if end < rays[i, FAR_END] else INFINITY
                active -= 1
                for i in range(19):
                    lane[i, k] = lane[i, active]


@njit(**OPTIONS)
def normal_scratch(most):  # type: ignore[no-untyped-def]
    """What `land_normals` works in: rows of x, z, sum of octaves, its derivatives by x and z."""
    return np.zeros((5, most))


@njit(**LEAN)
def _add_slopes(x, z, packed, octave, along_x, along_z, count):  # type: ignore[no-untyped-def]
    """Add the derivatives of one weighted octave of the land: `terrain._octave_slope`."""
    c, s = packed[TABLE + 4 * octave], packed[TABLE + 4 * octave + 1]
    weight, ridged = packed[TABLE + 4 * octave + 2], packed[RIDGED]
    seed = np.uint32(np.uint32(int(packed[SEED]) + octave) * _D)
    shift, unit = 17.3 * octave, 1.0 / 65535.0
    for k in range(count):
        u, v = c * x[k] - s * z[k] + shift, s * x[k] + c * z[k] - 9.1
        ui, vi = np.floor(u), np.floor(v)
        fu, fv = u - ui, v - vi
        du, dv = 6.0 * fu * (1.0 - fu), 6.0 * fv * (1.0 - fv)
        fu, fv = fu * fu * (3.0 - 2.0 * fu), fv * fv * (3.0 - 2.0 * fv)
        left = np.uint32(np.uint32(np.int32(ui)) * _A)
        right = np.uint32(left + _A)
        up = np.uint32(np.uint32(np.int32(vi)) * _B)
        down = np.uint32(np.uint32(up + _B) ^ seed)
        up = np.uint32(up ^ seed)
        a, b = np.float64(_mixed(np.uint32(left ^ up))), np.float64(_mixed(np.uint32(left ^ down)))
        a_right = np.float64(_mixed(np.uint32(right ^ up))) - a
        b_right = np.float64(_mixed(np.uint32(right ^ down))) - b
        upper, lower = a + a_right * fu, b + b_right * fu
        value = (upper + (lower - upper) * fv) * unit
        ridge = 1.0 - abs(2.0 * value - 1.0)
        side = 1.0 if value < 0.5 else -1.0
        steeper = weight * unit * (1.0 - ridged + 4.0 * side * ridge * ridged)
        du *= steeper * (a_right + (b_right - a_right) * fv)
        dv *= steeper * (lower - upper)
        along_x[k] += c * du + s * dv
        along_z[k] += c * dv - s * du


@njit(**LEAN)
def land_normals(packed, scratch, count):  # type: ignore[no-untyped-def]
    """`terrain.terrain_normal` at `count` places, x and z in the first two rows of a `normal_scratch`; into its last
    three.
    """
    x, z, total, along_x, along_z = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    total[:count], along_x[:count], along_z[:count] = -packed[MIDDLE], 0.0, 0.0
    for octave in range(OCTAVES):
        _add_octave(x, z, packed, octave, total, count)
        _add_slopes(x, z, packed, octave, along_x, along_z, count)
    for k in range(count):
        a, c = land_slopes(packed, x[k], z[k], total[k], along_x[k], along_z[k])
        length = math.sqrt(a * a + c * c + 1.0)
        total[k], along_x[k], along_z[k] = -a / length, -1.0 / length, -c / length
