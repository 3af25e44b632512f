"""The passes that make a picture of a world (numba): truth, gathered light on a coarse grid, colour, outlines."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from openlyra.worlds.kernels import INFINITY, LEAN, OPTIONS
from openlyra.worlds.land_rays import COLUMNS, land_scratch
from openlyra.worlds.noise import hash3
from openlyra.worlds.packed import NO_HIT
from openlyra.worlds.ray_rows import first_hits, mark_blocked, put_ray
from openlyra.worlds.shade import gather, gather_rays, hemisphere, shade, sun_ray
from openlyra.worlds.sky import sky_color
from openlyra.worlds.trace import STACK, normal_at

FAR_SKY = 1e4
"""z-depth written where there is sky, metres."""
SUN_BLUR = 0.012
"""Radius of the sun as its shadows' edges see it, radians."""
STEP = 2
"""Pixels from one gathering point to the next."""


@njit(**LEAN)
def _ray(camera, column, row):  # type: ignore[no-untyped-def]
    """Direction with z = 1 in the camera, in world axes, so that t is z-depth."""
    a, b = (column - camera[14]) / camera[12], (row - camera[15]) / camera[13]
    return (
        camera[0] * a + camera[1] * b + camera[2], camera[4] * a + camera[5] * b + camera[6],
        camera[8] * a + camera[9] * b + camera[10],
    )  # fmt: skip


@njit(**OPTIONS)
def truth_pass(world, camera, depth, what, face, normal):  # type: ignore[no-untyped-def]
    """z-depth (H, W), what and face hit (H, W), normals in the world (H, W, 3)."""
    stack, width = np.zeros(STACK, np.int64), depth.shape[1]
    rays, crossing, scratch = np.zeros((width, COLUMNS)), np.zeros((width, 3)), land_scratch()
    ox, oy, oz = camera[3], camera[7], camera[11]
    for i in range(depth.shape[0]):
        for j in range(width):
            dx, dy, dz = _ray(camera, j + 0.5, i + 0.5)
            put_ray(rays[j], ox, oy, oz, dx, dy, dz, INFINITY, 0.0)
        first_hits(world, stack, rays, width, 1e-4, True, scratch, crossing, depth[i], what[i], face[i])
        for j in range(width):
            w, t, dx, dy, dz = what[i, j], depth[i, j], rays[j, 3], rays[j, 4], rays[j, 5]
            if w == NO_HIT:
                depth[i, j] = FAR_SKY
                continue
            a, b, c = normal_at(world, w, face[i, j], ox + t * dx, oy + t * dy, oz + t * dz, dx, dy, dz)
            normal[i, j, 0], normal[i, j, 1], normal[i, j, 2] = a, b, c


@njit(**OPTIONS)
def gather_pass(world, camera, depth, what, normal, count, points, lights):  # type: ignore[no-untyped-def]
    """On every STEP-th pixel: world point and normal (h, w, 6), light gathered by `count` rays (h, w, 3)."""
    stack, most = np.zeros(STACK, np.int64), points.shape[1] * count
    rays, crossing, scratch = np.zeros((most, COLUMNS)), np.zeros((most, 3)), land_scratch()
    hit, met, face = np.zeros(most), np.zeros(most, np.int64), np.zeros(most, np.int64)
    for i in range(points.shape[0]):
        number = 0
        for j in range(points.shape[1]):
            row, column = min(depth.shape[0] - 1, i * STEP), min(depth.shape[1] - 1, j * STEP)
            points[i, j, 0] = INFINITY
            if what[row, column] == NO_HIT:
                continue
            dx, dy, dz = _ray(camera, column + 0.5, row + 0.5)
            t = depth[row, column]
            x, y, z = camera[3] + t * dx, camera[7] + t * dy, camera[11] + t * dz
            nx, ny, nz = normal[row, column]
            points[i, j, 0], points[i, j, 1], points[i, j, 2] = x, y, z
            points[i, j, 3], points[i, j, 4], points[i, j, 5] = nx, ny, nz
            gather_rays(world, x, y, z, nx, ny, nz, t, count, i, j, rays[number : number + count])
            number += count
        first_hits(world, stack, rays, number, 0.0, False, scratch, crossing, hit, met, face)
        number = 0
        for j in range(points.shape[1]):
            if points[i, j, 0] < INFINITY:
                x, y, z, nx, ny, nz = points[i, j]
                end = number + count
                gather(world, stack, x, y, z, nx, ny, nz, rays[number:end], hit[number:end], met[number:end], i, j,
                       lights[i, j])  # fmt: skip
                number = end


@njit(**LEAN)
def _light_at(world, points, lights, row, column, x, y, z, nx, ny, nz, depth):  # type: ignore[no-untyped-def]
    """Gathered light near a pixel, from points that lie on the same surface."""
    i0, j0 = int(math.floor((row - 0.5) / STEP - 1.5)), int(math.floor((column - 0.5) / STEP - 1.5))
    r, g, b, total = 0.0, 0.0, 0.0, 0.0
    narrow = 1.0 / (0.02 * depth + 0.01)
    for i in range(max(0, i0), min(points.shape[0], i0 + 5)):
        for j in range(max(0, j0), min(points.shape[1], j0 + 5)):
            di, dj = (i * STEP + 0.5 - row) / STEP, (j * STEP + 0.5 - column) / STEP
            # Four points wide with soft ends: every direction of a 4 by 4 block counts the same.
            weight = min(1.0, max(0.0, 2.5 - abs(di))) * min(1.0, max(0.0, 2.5 - abs(dj)))
            p = points[i, j]
            if weight == 0.0 or p[0] == INFINITY:
                continue
            agree = p[3] * nx + p[4] * ny + p[5] * nz
            if agree < 0.5:
                continue
            away = abs((p[0] - x) * nx + (p[1] - y) * ny + (p[2] - z) * nz) * narrow
            if away > 3.0:
                continue
            weight *= math.exp(-away * away) * agree**8
            r, g, b = r + weight * lights[i, j, 0], g + weight * lights[i, j, 1], b + weight * lights[i, j, 2]
            total += weight
    if total < 1e-4:
        r, g, b = hemisphere(world.light, -ny)
        return 0.75 * r, 0.75 * g, 0.75 * b
    return r / total, g / total, b / total


@njit(**LEAN)
def _color(world, stack, camera, points, lights, row, column, dx, dy, dz, t, what, face, nx, ny, nz, sun):  # type: ignore[no-untyped-def]
    """Colour of what a ray hit."""
    x, y, z = camera[3] + t * dx, camera[7] + t * dy, camera[11] + t * dz
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    r, g, b = _light_at(world, points, lights, row, column, x, y, z, nx, ny, nz, t)
    foot = t / camera[13]
    return shade(
        world, stack, what, face, x, y, z, nx, ny, nz, dx / length, dy / length, dz / length, t * length, foot, sun,
        r, g, b,
    )  # fmt: skip


@njit(**LEAN)
def _background(world, dx, dy, dz):  # type: ignore[no-untyped-def]
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    r, g, b = sky_color(world.sky, world.light, dx / length, dy / length, dz / length, True)
    if world.light[15] > 0.0:
        # Fog thick enough to hide things at 300 m also veils the sky near the horizon.
        height = max(0.0, -dy / length)
        veil = (1.0 - math.exp(-300.0 * world.light[15])) * math.exp(-6.0 * height)
        r, g, b = r + veil * (world.fog[0] - r), g + veil * (world.fog[1] - g), b + veil * (world.fog[2] - b)
    return r, g, b


@njit(**OPTIONS)
def sun_pass(world, camera, depth, what, normal, sun):  # type: ignore[no-untyped-def]
    """Whether the sun reaches what a pixel shows: sun (H, W), zeros on entry, 1 where it does."""
    stack, width = np.zeros(STACK, np.int64), depth.shape[1]
    rays, crossing, scratch = np.zeros((width, COLUMNS)), np.zeros((width, 3)), land_scratch()
    hidden, where = np.zeros(width), np.zeros(width, np.int64)
    for i in range(depth.shape[0]):
        number = 0
        for j in range(width):
            if what[i, j] == NO_HIT:
                continue
            t, (dx, dy, dz), (nx, ny, nz) = depth[i, j], _ray(camera, j + 0.5, i + 0.5), normal[i, j]
            x, y, z = camera[3] + t * dx, camera[7] + t * dy, camera[11] + t * dz
            if sun_ray(world, x, y, z, nx, ny, nz, t, 0.0, 0.0, rays[number]):
                where[number] = j
                number += 1
        mark_blocked(world, stack, rays, number, scratch, crossing, hidden)
        for k in range(number):
            sun[i, where[k]] = 1.0 - hidden[k]


@njit(**OPTIONS)
def color_pass(world, camera, depth, what, face, normal, points, lights, sun, rgb):  # type: ignore[no-untyped-def]
    """One sample a pixel: rgb (H, W, 3) linear."""
    stack = np.zeros(STACK, np.int64)
    for i in range(depth.shape[0]):
        for j in range(depth.shape[1]):
            dx, dy, dz = _ray(camera, j + 0.5, i + 0.5)
            w = what[i, j]
            if w == NO_HIT:
                r, g, b = _background(world, dx, dy, dz)
            else:
                nx, ny, nz = normal[i, j]
                r, g, b = _color(world, stack, camera, points, lights, i + 0.5, j + 0.5, dx, dy, dz, depth[i, j], w,
                                 face[i, j], nx, ny, nz, sun[i, j])  # fmt: skip
            rgb[i, j, 0], rgb[i, j, 1], rgb[i, j, 2] = r, g, b


@njit(**LEAN)
def _is_outline(depth, what, face, sun, i, j):  # type: ignore[no-untyped-def]
    """Whether a pixel's neighbours show another surface, or another side of a shadow's edge."""
    for k in range(4):
        a, b = i + (k == 0) - (k == 1), j + (k == 2) - (k == 3)
        if 0 <= a < depth.shape[0] and 0 <= b < depth.shape[1]:
            if what[a, b] != what[i, j] or face[a, b] != face[i, j] or sun[a, b] != sun[i, j]:
                return True
            if abs(depth[a, b] - depth[i, j]) > 0.1 * depth[i, j] and what[i, j] >= 0:
                return True
    return False


@njit(**OPTIONS)
def outline_pass(world, camera, depth, what, face, sun, points, lights, samples, rgb):  # type: ignore[no-untyped-def]
    """More samples on outlines and shadow edges; changes rgb (H, W, 3) in place, the truth stays that of the centre."""
    stack, shadow, most = np.zeros(STACK, np.int64), np.zeros(STACK, np.int64), depth.shape[1] * samples
    rays, suns, crossing = np.zeros((most, COLUMNS)), np.zeros((most, COLUMNS)), np.zeros((most, 3))
    scratch, hit, lit, hidden = land_scratch(), np.zeros(most), np.zeros(most), np.zeros(most)
    met, side, where = np.zeros(most, np.int64), np.zeros(most, np.int64), np.zeros(most, np.int64)
    pixels, places, normals = np.zeros(depth.shape[1], np.int64), np.zeros((most, 4)), np.zeros((most, 3))
    ox, oy, oz = camera[3], camera[7], camera[11]
    for i in range(depth.shape[0]):
        number = 0
        for j in range(depth.shape[1]):
            if _is_outline(depth, what, face, sun, i, j):
                pixels[number] = j
                for k in range(samples):
                    s = number * samples + k
                    # Points of a turned grid around the centre.
                    angle = 2.0 * math.pi * (k + 0.5 * hash3(i, j, 1, 1)) / samples
                    up, right = math.sin(angle), math.cos(angle)
                    row, column = i + 0.5 + 0.36 * up, j + 0.5 + 0.36 * right
                    places[s, 0], places[s, 1], places[s, 2], places[s, 3] = row, column, up, right
                    dx, dy, dz = _ray(camera, column, row)
                    put_ray(rays[s], ox, oy, oz, dx, dy, dz, INFINITY, 0.0)
                number += 1
        first_hits(world, stack, rays, number * samples, 1e-4, True, scratch, crossing, hit, met, side)
        facing = 0
        for s in range(number * samples):
            lit[s] = 0.0
            if met[s] == NO_HIT:
                continue
            t, dx, dy, dz = hit[s], rays[s, 3], rays[s, 4], rays[s, 5]
            x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
            nx, ny, nz = normal_at(world, met[s], side[s], x, y, z, dx, dy, dz)
            normals[s, 0], normals[s, 1], normals[s, 2] = nx, ny, nz
            a, b = SUN_BLUR * places[s, 3], SUN_BLUR * places[s, 2]
            if sun_ray(world, x, y, z, nx, ny, nz, t, a, b, suns[facing]):
                where[facing] = s
                facing += 1
        mark_blocked(world, shadow, suns, facing, scratch, crossing, hidden)
        for k in range(facing):
            lit[where[k]] = 1.0 - hidden[k]
        for n in range(number):
            j, limit = pixels[n], 4.0
            red, green, blue = min(limit, rgb[i, j, 0]), min(limit, rgb[i, j, 1]), min(limit, rgb[i, j, 2])
            for k in range(samples):
                s = n * samples + k
                dx, dy, dz = rays[s, 3], rays[s, 4], rays[s, 5]
                if met[s] == NO_HIT:
                    r, g, b = _background(world, dx, dy, dz)
                else:
                    nx, ny, nz = normals[s]
                    r, g, b = _color(world, stack, camera, points, lights, places[s, 0], places[s, 1], dx, dy, dz,
                                     hit[s], met[s], side[s], nx, ny, nz, lit[s])  # fmt: skip
                red, green, blue = red + min(limit, r), green + min(limit, g), blue + min(limit, b)
            share = 1.0 / (samples + 1)
            rgb[i, j, 0], rgb[i, j, 1], rgb[i, j, 2] = red * share, green * share, blue * share
