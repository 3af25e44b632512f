"""What the rays of a row of the picture hit (numba): `trace` for everything but the land, `land_rays` for it."""

from __future__ import annotations

from numba import njit

from openlyra.worlds.kernels import INFINITY, LEAN
from openlyra.worlds.land_rays import AWAY, BEYOND, FAR_END, LAST, ROUGH, land_crossings, land_hits, land_normals
from openlyra.worlds.packed import LAND, NO_HIT
from openlyra.worlds.shapes import CURVED
from openlyra.worlds.terrain import FAR
from openlyra.worlds.trace import PRESENT, before_land, blocked_before_land, normal_at


@njit(**LEAN)
def put_ray(ray, ox, oy, oz, dx, dy, dz, far, away):  # type: ignore[no-untyped-def]
    """Fill a row of rays; see `land_rays.COLUMNS`."""
    ray[0], ray[1], ray[2], ray[3], ray[4], ray[5] = ox, oy, oz, dx, dy, dz
    ray[FAR_END], ray[AWAY] = far, away


@njit(**LEAN)
def first_hits(world, stack, rays, count, near, looks, scratch, crossing, t, what, face):  # type: ignore[no-untyped-def]
    """`trace.nearest` of the first `count` rays into t, what and face (N,); changes where rays end.

    `looks` is EXACT, CLOSE or ROUGH (see `land_rays`): how exactly the land is met.
    """
    for k in range(count):
        r = rays[k]
        t[k], what[k], face[k] = before_land(world, stack, r[0], r[1], r[2], r[3], r[4], r[5], near, r[FAR_END])
        r[FAR_END] = min(t[k], world.terrain[FAR])
    if world.terrain[PRESENT] > 0:
        if looks > ROUGH:
            land_hits(world.terrain, rays, count, near, looks, scratch, crossing)
        else:
            land_crossings(world.terrain, rays, count, near, scratch, crossing)
    for k in range(count):
        if world.terrain[PRESENT] > 0 and crossing[k, BEYOND] < INFINITY:
            land = crossing[k, BEYOND] if looks > ROUGH else 0.5 * (crossing[k, LAST] + crossing[k, BEYOND])
            if land < t[k]:
                t[k], what[k], face[k] = land, LAND, CURVED
        if what[k] == NO_HIT:
            t[k] = INFINITY


@njit(**LEAN)
def mark_blocked(world, stack, rays, count, scratch, crossing, hidden):  # type: ignore[no-untyped-def]
    """Whether anything is in the way of the first `count` rays, into hidden (N,) of 0 and 1; changes where rays end."""
    for k in range(count):
        r = rays[k]
        blocked = blocked_before_land(world, stack, r[0], r[1], r[2], r[3], r[4], r[5], 0.0, r[FAR_END])
        hidden[k] = 1.0 if blocked else 0.0
        r[FAR_END] = 0.0 if blocked else min(r[FAR_END], world.terrain[FAR])
    if world.terrain[PRESENT] > 0:
        land_crossings(world.terrain, rays, count, 0.0, scratch, crossing)
        for k in range(count):
            if crossing[k, BEYOND] < INFINITY:
                hidden[k] = 1.0


@njit(**LEAN)
def normals_at(world, rays, count, t, what, face, scratch, normal):  # type: ignore[no-untyped-def]
    """`trace.normal_at` where the first `count` rays end, into normal (N, 3); 0 in the sky.

    scratch: `land_rays.normal_scratch` of at least `count`.
    """
    number = 0
    for k in range(count):
        ox, oy, oz, dx, dy, dz = rays[k, 0], rays[k, 1], rays[k, 2], rays[k, 3], rays[k, 4], rays[k, 5]
        if what[k] == LAND:
            scratch[0, number], scratch[1, number] = ox + t[k] * dx, oz + t[k] * dz
            number += 1
            continue
        a, b, c = 0.0, 0.0, 0.0
        if what[k] != NO_HIT:
            a, b, c = normal_at(world, what[k], face[k], ox + t[k] * dx, oy + t[k] * dy, oz + t[k] * dz, dx, dy, dz)
        normal[k, 0], normal[k, 1], normal[k, 2] = a, b, c
    land_normals(world.terrain, scratch, number)
    number = 0
    for k in range(count):
        if what[k] == LAND:
            a, b, c = scratch[2, number], scratch[3, number], scratch[4, number]
            number += 1
            if a * rays[k, 3] + b * rays[k, 4] + c * rays[k, 5] > 0.0:
                a, b, c = -a, -b, -c
            normal[k, 0], normal[k, 1], normal[k, 2] = a, b, c
