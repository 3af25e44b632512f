"""The passes that make a picture of a world (numba): truth, light gathered on a coarse grid and spread, sun, colour,
outlines."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from openlyra.worlds.kernels import INFINITY, LEAN, OPTIONS
from openlyra.worlds.land_rays import CLOSE, COLUMNS, EXACT, ROUGH, land_scratch, normal_scratch
from openlyra.worlds.noise import hash3
from openlyra.worlds.packed import NO_HIT
from openlyra.worlds.ray_rows import first_hits, mark_blocked, normals_at, put_ray
from openlyra.worlds.shade import fog, gather, gather_rays, mirrored, plain_light, shade, sun_ray
from openlyra.worlds.sky import sky_color
from openlyra.worlds.spread import LIGHT, NORMAL, RIM, STEP, THERE, X, pixel_scratch, put_pixel, spread_row
from openlyra.worlds.trace import STACK

FAR_SKY = 1e4
"""z-depth written where there is sky, metres."""
SUN_BLUR = 0.012
"""Radius of the sun as its shadows' edges see it, radians."""


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
    ox, oy, oz, ends = camera[3], camera[7], camera[11], normal_scratch(width)
    for i in range(depth.shape[0]):
        for j in range(width):
            dx, dy, dz = _ray(camera, j + 0.5, i + 0.5)
            put_ray(rays[j], ox, oy, oz, dx, dy, dz, INFINITY, 0.0)
        first_hits(world, stack, rays, width, 1e-4, EXACT, scratch, crossing, depth[i], what[i], face[i])
        normals_at(world, rays, width, depth[i], what[i], face[i], ends, normal[i])
        for j in range(width):
            if what[i, j] == NO_HIT:
                depth[i, j] = FAR_SKY


@njit(**OPTIONS)
def gather_pass(world, camera, depth, what, normal, count, grid):  # type: ignore[no-untyped-def]
    """Light gathered by `count` rays on every STEP-th pixel, into a grid of points (see `spread`), zeros on entry."""
    stack, most = np.zeros(STACK, np.int64), grid.shape[2] * count
    rays, crossing, scratch = np.zeros((most, COLUMNS)), np.zeros((most, 3)), land_scratch()
    hit, met, face = np.zeros(most), np.zeros(most, np.int64), np.zeros(most, np.int64)
    columns = np.zeros(grid.shape[2], np.int64)
    ox, oy, oz = camera[3], camera[7], camera[11]
    for i in range(grid.shape[0]):
        number, row = 0, i * STEP
        for j in range(grid.shape[2] - 2 * RIM):
            column, point = j * STEP, grid[i, :, RIM + j]
            if what[row, column] == NO_HIT:
                continue
            dx, dy, dz = _ray(camera, column + 0.5, row + 0.5)
            t, (nx, ny, nz) = depth[row, column], normal[row, column]
            x, y, z = t * dx, t * dy, t * dz
            point[X], point[X + 1], point[X + 2], point[THERE] = x, y, z, 1.0
            point[NORMAL], point[NORMAL + 1], point[NORMAL + 2] = nx, ny, nz
            start = number * count
            gather_rays(world, ox + x, oy + y, oz + z, nx, ny, nz, t, count, i, j, rays[start : start + count])
            columns[number] = j
            number += 1
        first_hits(world, stack, rays, number * count, 0.0, ROUGH, scratch, crossing, hit, met, face)
        for n in range(number):
            j, start, end = columns[n], n * count, (n + 1) * count
            nx, ny, nz = normal[row, j * STEP]
            gather(world, stack, nx, ny, nz, rays[start:end], hit[start:end], met[start:end], i, j,
                   grid[i, LIGHT : LIGHT + 3, RIM + j])  # fmt: skip


@njit(**OPTIONS)
def spread_pass(world, camera, depth, what, normal, grid, light):  # type: ignore[no-untyped-def]
    """Gathered light of every pixel, light (H, W, 3); zeros in the sky."""
    width, pixels = depth.shape[1], pixel_scratch(depth.shape[1])
    for i in range(depth.shape[0]):
        for j in range(width):
            (dx, dy, dz), t, (nx, ny, nz) = _ray(camera, j + 0.5, i + 0.5), depth[i, j], normal[i, j]
            put_pixel(pixels, j, t * dx, t * dy, t * dz, nx, ny, nz, t)
        spread_row(grid, i, pixels, light[i])
        for j in range(width):
            if what[i, j] == NO_HIT:
                light[i, j] = 0.0
            elif light[i, j, 0] < 0.0:
                r, g, b = plain_light(world, normal[i, j, 1])
                light[i, j, 0], light[i, j, 1], light[i, j, 2] = r, g, b


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
def color_pass(world, camera, depth, what, face, normal, light, sun, rgb):  # type: ignore[no-untyped-def]
    """One sample a pixel: rgb (H, W, 3) linear."""
    stack, width = np.zeros(STACK, np.int64), depth.shape[1]
    rays, mirrors = np.zeros((width, COLUMNS)), mirror_scratch(width)
    for i in range(depth.shape[0]):
        for j in range(width):
            dx, dy, dz = _ray(camera, j + 0.5, i + 0.5)
            put_ray(rays[j], camera[3], camera[7], camera[11], dx, dy, dz, INFINITY, 0.0)
        shade_row(world, stack, camera, rays, width, depth[i], what[i], face[i], normal[i], sun[i], light[i], mirrors,
                  rgb[i])  # fmt: skip


@njit(**OPTIONS)
def mirror_scratch(most):  # type: ignore[no-untyped-def]
    """What `shade_row` works in."""
    rays, crossing, strength = np.zeros((most, COLUMNS)), np.zeros((most, 3)), np.zeros((most, 3))
    hit, met, side = np.zeros(most), np.zeros(most, np.int64), np.zeros(most, np.int64)
    return rays, crossing, land_scratch(), strength, hit, met, side, np.zeros(most, np.int64)


@njit(**OPTIONS)
def shade_row(world, stack, camera, rays, count, t, what, face, normal, sun, light, mirrors, rgb):  # type: ignore[no-untyped-def]
    """Colour of what `count` rays from the camera hit, into rgb (count, 3): first all but mirror images, then these."""
    bounces, crossing, scratch, strength, hit, met, side, where = mirrors
    number = 0
    for k in range(count):
        dx, dy, dz = rays[k, 3], rays[k, 4], rays[k, 5]
        if what[k] == NO_HIT:
            r, g, b = _background(world, dx, dy, dz)
            rgb[k, 0], rgb[k, 1], rgb[k, 2] = r, g, b
            continue
        length = math.sqrt(dx * dx + dy * dy + dz * dz)
        if shade(world, what[k], face[k], rays[k], t[k], length, normal[k], t[k] / camera[13], sun[k], light[k], rgb[k],
                 bounces[number], strength[number]):  # fmt: skip
            where[number] = k
            number += 1
    first_hits(world, stack, bounces, number, 1e-4, ROUGH, scratch, crossing, hit, met, side)
    for n in range(number):
        k, r = where[n], bounces[n]
        red, green, blue = mirrored(world, r[0], r[1], r[2], r[3], r[4], r[5], hit[n], met[n], side[n])
        rgb[k, 0] += strength[n, 0] * red
        rgb[k, 1] += strength[n, 1] * green
        rgb[k, 2] += strength[n, 2] * blue
    for k in range(count):
        if what[k] != NO_HIT:
            fog(world, rays[k], t[k], rgb[k])


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


@njit(**LEAN)
def _light_near(world, light, depth, what, face, i, j, t, w, f, ny, out):  # type: ignore[no-untyped-def]
    """Gathered light of a sample beside pixel (i, j) into out (3,): that of the pixel around it which shows the same
    surface at the most similar depth.
    """
    best = INFINITY
    for reach in range(1, 3):
        for a in range(max(0, i - reach), min(depth.shape[0], i + reach + 1)):
            for b in range(max(0, j - reach), min(depth.shape[1], j + reach + 1)):
                away = abs(depth[a, b] - t)
                if what[a, b] == w and face[a, b] == f and away < best:
                    best = away
                    out[0], out[1], out[2] = light[a, b, 0], light[a, b, 1], light[a, b, 2]
        if best < 0.1 * t:
            return
    if best == INFINITY:
        out[0], out[1], out[2] = plain_light(world, ny)


@njit(**OPTIONS)
def outline_pass(world, camera, depth, what, face, sun, light, samples, rgb):  # type: ignore[no-untyped-def]
    """More samples on outlines and shadow edges; changes rgb (H, W, 3) in place, the truth stays that of the centre."""
    stack, shadow, most = np.zeros(STACK, np.int64), np.zeros(STACK, np.int64), depth.shape[1] * samples
    rays, suns, crossing = np.zeros((most, COLUMNS)), np.zeros((most, COLUMNS)), np.zeros((most, 3))
    scratch, hit, lit, hidden = land_scratch(), np.zeros(most), np.zeros(most), np.zeros(most)
    met, side, where = np.zeros(most, np.int64), np.zeros(most, np.int64), np.zeros(most, np.int64)
    pixels, places, normals = np.zeros(depth.shape[1], np.int64), np.zeros((most, 2)), np.zeros((most, 3))
    ends = normal_scratch(most)
    lights, colors, mirrors = np.zeros((most, 3), np.float32), np.zeros((most, 3)), mirror_scratch(most)
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
                    places[s, 0], places[s, 1] = up, right
                    dx, dy, dz = _ray(camera, j + 0.5 + 0.36 * right, i + 0.5 + 0.36 * up)
                    put_ray(rays[s], ox, oy, oz, dx, dy, dz, INFINITY, 0.0)
                number += 1
        total = number * samples
        first_hits(world, stack, rays, total, 1e-4, CLOSE, scratch, crossing, hit, met, side)
        normals_at(world, rays, total, hit, met, side, ends, normals)
        facing = 0
        for s in range(total):
            lit[s] = 0.0
            if met[s] == NO_HIT:
                continue
            t, dx, dy, dz = hit[s], rays[s, 3], rays[s, 4], rays[s, 5]
            x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
            nx, ny, nz = normals[s]
            _light_near(world, light, depth, what, face, i, pixels[s // samples], t, met[s], side[s], ny, lights[s])
            a, b = SUN_BLUR * places[s, 1], SUN_BLUR * places[s, 0]
            if sun_ray(world, x, y, z, nx, ny, nz, t, a, b, suns[facing]):
                where[facing] = s
                facing += 1
        mark_blocked(world, shadow, suns, facing, scratch, crossing, hidden)
        for k in range(facing):
            lit[where[k]] = 1.0 - hidden[k]
        shade_row(world, stack, camera, rays, total, hit, met, side, normals, lit, lights, mirrors, colors)
        for n in range(number):
            pixel, limit, share = rgb[i, pixels[n]], 4.0, 1.0 / (samples + 1)
            for channel in range(3):
                value = min(limit, pixel[channel])
                for s in range(n * samples, (n + 1) * samples):
                    value += min(limit, colors[s, channel])
                pixel[channel] = value * share
