"""The light that a surface sends to the camera (numba): pattern, sun with shadow, gathered light, gloss, fog."""

from __future__ import annotations

import math

from numba import njit

from openlyra.worlds.kernels import INFINITY, LEAN
from openlyra.worlds.noise import fbm2, hash3, noise2
from openlyra.worlds.packed import ANCHOR, GROUND, HALF, LAND, MATERIAL, NO_HIT, SHAPE, WATER
from openlyra.worlds.patterns import (
    BOOKS,
    CARPET,
    FACADE,
    POSTER,
    ROUGHNESS,
    SCREEN,
    SHEEN,
    keep,
    ramp,
    surface,
)
from openlyra.worlds.patterns import METAL as METAL_TEXTURE
from openlyra.worlds.ray_rows import put_ray
from openlyra.worlds.shapes import CURVED, ELLIPSOID
from openlyra.worlds.sky import sky_color
from openlyra.worlds.terrain import PATH, SEED, SNOW, WAVELENGTH, path_x
from openlyra.worlds.trace import blocked, normal_at

SUN, SUN_COLOR, AMBIENT, SKY_COLOR, BOUNCE, INDOOR, FOG, LAMPS = 3, 4, 7, 8, 11, 14, 15, 16
"""Places in a packed light."""
OFFSET = 1e-3
"""How far shadow rays start above a surface, metres; grows with distance."""
LIFT = 2e-3
"""How far gathering rays start above a surface, metres."""


@njit(**LEAN)
def hemisphere(light, up):  # type: ignore[no-untyped-def]
    """Open-air light from a direction whose upward part is `up`, -1 to 1: ground below, sky above."""
    share = ramp(up, -0.35, 0.35)
    a = light[AMBIENT]
    low = 0.55
    return (
        a * (light[BOUNCE] * low * (1 - share) + light[SKY_COLOR] * share),
        a * (light[BOUNCE + 1] * low * (1 - share) + light[SKY_COLOR + 1] * share),
        a * (light[BOUNCE + 2] * low * (1 - share) + light[SKY_COLOR + 2] * share),
    )


@njit(**LEAN)
def _average(world, index):  # type: ignore[no-untyped-def]
    """Rough colour of a material seen in a reflection."""
    m = world.materials[index]
    return 0.7 * m[1] + 0.3 * m[4], 0.7 * m[2] + 0.3 * m[5], 0.7 * m[3] + 0.3 * m[6]


@njit(**LEAN)
def plain_light(world, ny):  # type: ignore[no-untyped-def]
    """Gathered light where nothing is known of it, for a normal whose downward part is `ny`."""
    r, g, b = hemisphere(world.light, -ny)
    return 0.75 * r, 0.75 * g, 0.75 * b


@njit(**LEAN)
def mirrored(world, x, y, z, dx, dy, dz, t, what, face):  # type: ignore[no-untyped-def]
    """What a reflected ray saw at t, roughly: the sky, or a plainly lit surface."""
    if what == NO_HIT or what == WATER:
        if world.light[INDOOR] > 0 and what == NO_HIT:
            return 1.0, 1.0, 1.0
        return sky_color(world.sky, world.light, dx, min(dy, -0.02), dz, False)
    nx, ny, nz = normal_at(world, what, face, x + t * dx, y + t * dy, z + t * dz, dx, dy, dz)
    index = int(world.ground[2]) if what == GROUND else int(world.terrain[11])
    emission = 0.0
    if what >= 0:
        index = int(world.primitives[what, MATERIAL])
        emission = world.materials[index, 17]
    r, g, b = _average(world, index)
    a, c, e = hemisphere(world.light, -ny)
    sun = world.light[SUN] * max(0.0, nx * world.light[0] + ny * world.light[1] + nz * world.light[2])
    if world.light[INDOOR] > 0:
        sun = 0.0
    fade = 0.6 if world.light[INDOOR] > 0 else 0.8
    return r * (fade * a + sun + emission), g * (fade * c + sun + emission), b * (fade * e + sun + emission)


@njit(**LEAN)
def _frame(nx, ny, nz):  # type: ignore[no-untyped-def]
    """Two unit tangents: the first level, the second pointing down the surface."""
    if abs(ny) > 0.95:
        tx, ty, tz = 1.0, 0.0, 0.0
    else:
        length = math.sqrt(nx * nx + nz * nz)
        tx, ty, tz = -nz / length, 0.0, nx / length
    bx, by, bz = ny * tz - nz * ty, nz * tx - nx * tz, nx * ty - ny * tx
    length = math.sqrt(bx * bx + by * by + bz * bz)
    return tx, ty, tz, bx / length, by / length, bz / length


@njit(**LEAN)
def _primitive_surface(world, what, face, x, y, z, foot):  # type: ignore[no-untyped-def]
    """`surface` of a primitive at a world point, and its material number."""
    p = world.primitives[what]
    a, b, c = p[HALF], p[HALF + 1], p[HALF + 2]
    # The point in the primitive's axes from its middle, and from the world's origin.
    lx = a * (p[0] * x + p[1] * y + p[2] * z + p[3])
    ly = b * (p[4] * x + p[5] * y + p[6] * z + p[7])
    lz = c * (p[8] * x + p[9] * y + p[10] * z + p[11])
    ax, ay, az = lx + p[ANCHOR], ly + p[ANCHOR + 1], lz + p[ANCHOR + 2]
    index = int(p[MATERIAL])
    m = world.materials[index]
    kind = int(m[0])
    own = kind == SCREEN or kind == POSTER or kind == BOOKS or kind == FACADE or kind == CARPET
    if face >= CURVED:
        angle = math.atan2(lz, lx)
        u, v, eu, ev = angle * a, (ly if own else ay), math.pi * a, b
        if int(p[SHAPE]) == ELLIPSOID and not own:
            # Around the poles the angle is meaningless; a slanted plane is good enough for patterns.
            u, v = ax + 0.3 * az, ay + 0.3 * az
    elif face < 2:
        u, v, eu, ev = (lz, ly, c, b) if own else (az, ay, c, b)
        if own and face == 0:
            u = -u
    elif face < 4:
        u, v, eu, ev = (lx, lz, a, c) if own else (ax, az, a, c)
    else:
        u, v, eu, ev = (lx, ly, a, b) if own else (ax, ay, a, b)
        if own and face == 5:
            u = -u
    return surface(m, u, v, eu, ev, ax, ay, az, foot), index


@njit(**LEAN)
def _ground_surface(world, x, z, foot):  # type: ignore[no-untyped-def]
    """Ground with its patches."""
    g = world.ground
    index = int(g[2])
    if g[3] >= 0:
        size = max(g[4], 1e-2)
        value = 0.7 * fbm2(x / size, z / size, 77 + index, 4, 0.0)
        value += 0.3 * noise2(x / size * 9.0, z / size * 9.0, 78)
        level = 0.5 + 0.35 * (0.5 - g[5])
        if value > level:
            index = int(g[3])
    m = world.materials[index]
    return surface(m, x, z, 50.0, 50.0, x, world.ground[1], z, foot), index


@njit(**LEAN)
def _land_surface(world, x, y, z, ny, foot):  # type: ignore[no-untyped-def]
    """Grass, rock where it is steep, snow where it is high, and the path."""
    terrain = world.terrain
    blur = 0.16 * (fbm2(x * 0.6, z * 0.6, 5, 4, foot * 0.6) - 0.5)
    index = int(terrain[12]) if -ny + blur < 0.78 else int(terrain[11])
    if terrain[PATH] > 0 and terrain[13] >= 0:
        middle = path_x(z, terrain[SEED], terrain[WAVELENGTH])
        if abs(x - middle) < 0.5 * terrain[PATH] * (1.0 + 3.0 * blur):
            index = int(terrain[13])
    m = world.materials[index]
    r, g, b, tu, tv, gloss, emission = surface(m, x, z, 50.0, 50.0, x, y, z, foot)
    snow = ramp(-y + 40.0 * blur, terrain[SNOW], terrain[SNOW] + 3.0) * ramp(-ny + blur, 0.6, 0.72)
    return (
        r + snow * (0.85 - r), g + snow * (0.88 - g), b + snow * (0.95 - b), tu, tv, gloss * (1 - snow), emission
    ), index  # fmt: skip


@njit(**LEAN)
def _water(world, ray, t, length, foot, ir, ig, ib, rgb, bounce, strength):  # type: ignore[no-untyped-def]
    """`shade` of ripples that mirror the sky and the shore; here the light includes the sun's."""
    w = world.water
    dx, dy, dz = ray[3] / length, ray[4] / length, ray[5] / length
    x, y, z = ray[0] + t * ray[3], ray[1] + t * ray[4], ray[2] + t * ray[5]
    scale = max(w[6], 1e-2)
    some = 0.25 * w[5] * (0.25 + 0.75 * keep(foot, scale))
    tilt_x = some * (fbm2(x / scale, z / scale * 0.6, 3, 4, 0.0) - 0.5)
    tilt_z = some * (fbm2(x / scale, z / scale * 0.6, 9, 4, 0.0) - 0.5)
    tall = math.sqrt(1.0 + tilt_x * tilt_x + tilt_z * tilt_z)
    nx, ny, nz = tilt_x / tall, -1.0 / tall, tilt_z / tall
    cosine = -(dx * nx + dy * ny + dz * nz)
    mirror = 0.03 + 0.97 * (1.0 - min(1.0, max(0.0, cosine))) ** 5
    rx, ry, rz = dx + 2 * cosine * nx, dy + 2 * cosine * ny, dz + 2 * cosine * nz
    glint = max(0.0, rx * world.light[0] + ry * world.light[1] + rz * world.light[2]) ** 200 * 3.0 * world.light[SUN]
    put_ray(bounce, x, y - OFFSET, z, rx, min(ry, -0.01), rz, INFINITY, t * length)
    strength[0], strength[1], strength[2] = mirror, mirror, mirror
    rgb[0] = w[2] * ir * (1 - mirror) + mirror * glint
    rgb[1] = w[3] * ig * (1 - mirror) + mirror * glint
    rgb[2] = w[4] * ib * (1 - mirror) + mirror * glint


@njit(**LEAN)
def sun_ray(world, x, y, z, nx, ny, nz, distance, jitter_x, jitter_y, ray):  # type: ignore[no-untyped-def]
    """Whether a surface point faces the sun, and then the ray there; jitter (radians) picks a point of its disc."""
    light = world.light
    if light[SUN] <= 0.0 or nx * light[0] + ny * light[1] + nz * light[2] <= 0.0:
        return False
    lift = OFFSET * (1.0 + 0.3 * distance)
    put_ray(ray, x + lift * nx, y + lift * ny, z + lift * nz, light[0] + jitter_x, light[1] + jitter_y, light[2],
            INFINITY, distance)  # fmt: skip
    return True


@njit(**LEAN)
def fog(world, ray, t, rgb):  # type: ignore[no-untyped-def]
    """Put the haze up to t before a colour, in place; brighter towards the sun."""
    dx, dy, dz = ray[3], ray[4], ray[5]
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    share = 1.0 - math.exp(-world.light[FOG] * t * length)
    toward = max(0.0, dx * world.light[0] + dy * world.light[1] + dz * world.light[2]) / length
    extra = 0.3 * world.sky[16] * toward**8
    rgb[0] += share * (world.fog[0] + extra - rgb[0])
    rgb[1] += share * (world.fog[1] + extra - rgb[1])
    rgb[2] += share * (world.fog[2] + 0.9 * extra - rgb[2])


@njit(**LEAN)
def shade(world, what, face, ray, t, length, normal, foot, sun, gathered, rgb, bounce, strength):  # type: ignore[no-untyped-def]
    """Colour of a surface point without haze and mirror images, into rgb (3,). Whether it mirrors: then `bounce` is the
    ray whose colour times `strength` (3,) is still to be added.

    The point is at t of a ray whose direction has that length; sun 0 to 1, gathered light (3,).
    """
    light, ir, ig, ib = world.light, gathered[0], gathered[1], gathered[2]
    if what == WATER:
        more = sun * light[SUN]
        _water(world, ray, t, length, foot, ir + more, ig + more, ib + more, rgb, bounce, strength)
        return True
    nx, ny, nz = normal[0], normal[1], normal[2]
    dx, dy, dz = ray[3] / length, ray[4] / length, ray[5] / length
    x, y, z = ray[0] + t * ray[3], ray[1] + t * ray[4], ray[2] + t * ray[5]
    # The pixel's long side on a slanted surface decides what blurs; between the two sides is what looks right.
    slant = max(0.12, abs(nx * dx + ny * dy + nz * dz))
    foot = foot / math.sqrt(slant)
    if what == GROUND:
        found, index = _ground_surface(world, x, z, foot)
    elif what == LAND:
        found, index = _land_surface(world, x, y, z, ny, foot)
    else:
        found, index = _primitive_surface(world, what, face, x, y, z, foot)
    r, g, b, tilt_u, tilt_v, gloss, emission = found
    m = world.materials[index]
    tx, ty, tz, bx, by, bz = _frame(nx, ny, nz)
    sx, sy, sz = nx + tilt_u * tx + tilt_v * bx, ny + tilt_u * ty + tilt_v * by, nz + tilt_u * tz + tilt_v * bz
    tall = math.sqrt(sx * sx + sy * sy + sz * sz)
    sx, sy, sz = sx / tall, sy / tall, sz / tall
    direct = sun * light[SUN] * max(0.0, sx * light[0] + sy * light[1] + sz * light[2])
    # A tilted normal sees a little more or less of what is gathered.
    turn = 1.0 - 0.25 * (tilt_u * (0.6 * tx - 0.4) + tilt_v)
    turn = min(1.4, max(0.6, turn))
    lr, lg, lb = ir * turn, ig * turn, ib * turn
    facing = -(dx * sx + dy * sy + dz * sz)
    facing = min(1.0, max(0.0, facing))
    edge = 1.0 + 0.8 * m[SHEEN] * (1.0 - facing) ** 3
    cr = r * edge * (lr + direct * light[SUN_COLOR]) + r * emission
    cg = g * edge * (lg + direct * light[SUN_COLOR + 1]) + g * emission
    cb = b * edge * (lb + direct * light[SUN_COLOR + 2]) + b * emission
    mirrors = False
    if gloss > 0.02:
        rough = m[ROUGHNESS]
        rx, ry, rz = dx + 2 * facing * sx, dy + 2 * facing * sy, dz + 2 * facing * sz
        power = 4.0 + 300.0 * (1.0 - rough) ** 4
        toward = max(0.0, rx * light[0] + ry * light[1] + rz * light[2])
        spot = sun * light[SUN] * gloss * toward**power * (0.2 + 1.5 * (1.0 - rough))
        metal = int(m[0]) == METAL_TEXTURE
        mirror = gloss * (0.5 if metal else 0.05 + 0.95 * (1.0 - facing) ** 5) * (1.0 - 0.75 * rough)
        if mirror > 0.02 and rx * nx + ry * ny + rz * nz > 0.0:
            mirrors = True
            put_ray(bounce, x + OFFSET * nx, y + OFFSET * ny, z + OFFSET * nz, rx, ry, rz, INFINITY, t * length)
            tr, tg, tb = (r, g, b) if metal else (1.0, 1.0, 1.0)
            strength[0], strength[1], strength[2] = mirror * tr, mirror * tg, mirror * tb
            cr, cg, cb = cr * (1.0 - mirror), cg * (1.0 - mirror), cb * (1.0 - mirror)
        cr, cg, cb = cr + spot * light[SUN_COLOR], cg + spot * light[SUN_COLOR + 1], cb + spot * light[SUN_COLOR + 2]
    rgb[0], rgb[1], rgb[2] = cr, cg, cb
    return mirrors


@njit(**LEAN)
def gather_rays(world, x, y, z, nx, ny, nz, distance, count, row, column, rays):  # type: ignore[no-untyped-def]
    """`count` rays that gather light at a surface point, into rays (count, COLUMNS).

    `row` and `column` are those of the point in its grid, `distance` is how far the camera is.
    """
    # Beyond `reach` things hide no light: out of doors far walls are themselves lit.
    reach = 1e5 if world.light[INDOOR] > 0 else 5.0
    tx, ty, tz, bx, by, bz = _frame(nx, ny, nz)
    # Any 4 by 4 points share one well-spread set of directions, so that their plain mean is smooth.
    place = (4 * (row % 4) + 7 * (column % 4)) % 16
    x, y, z = x + LIFT * nx, y + LIFT * ny, z + LIFT * nz
    for k in range(count):
        angle = 2.0 * math.pi * ((16 * k + place) * 0.6180339887 % 1.0)
        square = (k + (place + 0.5) / 16.0) / count
        radius, up = math.sqrt(square), math.sqrt(1.0 - square)
        a, c = radius * math.cos(angle), radius * math.sin(angle)
        put_ray(rays[k], x, y, z, a * tx + c * bx + up * nx, a * ty + c * by + up * ny, a * tz + c * bz + up * nz,
                reach, distance)  # fmt: skip


@njit(**LEAN)
def gather(world, stack, nx, ny, nz, rays, hit, what, row, column, out):  # type: ignore[no-untyped-def]
    """Light at a surface point from everywhere but the sun, into out (3,).

    From what its `gather_rays` met (t and what, each (count,)), and by one shadow ray a lamp.
    """
    light, count = world.light, hit.shape[0]
    indoor = light[INDOOR] > 0
    near = 0.6 if indoor else 0.9
    seed = row * 7919 + column
    r, g, b = 0.0, 0.0, 0.0
    x, y, z = rays[0, 0], rays[0, 1], rays[0, 2]
    for k in range(count):
        t, dy = hit[k], rays[k, 4]
        hr, hg, hb = hemisphere(light, -dy)
        if what[k] == NO_HIT:
            strength = 2.5 if indoor else 1.0
            r, g, b = r + strength * hr, g + strength * hg, b + strength * hb
            continue
        share = t / (t + near)
        if not indoor:
            share = share + 0.15 * (1.0 - share)
        glow = 0.0
        cr, cg, cb = 0.7, 0.7, 0.7
        if what[k] >= 0:
            index = int(world.primitives[what[k], MATERIAL])
            glow = world.materials[index, 17]
            cr, cg, cb = _average(world, index)
        if indoor:
            # Ceilings and upper walls get more light than floors.
            level = light[AMBIENT] * (1.05 - 0.3 * dy)
            hr, hg, hb = level, level * 0.98, level * 0.95
        # Nearby colours bleed.
        r += share * hr * (0.35 + 0.85 * cr) + min(2.0, glow) * cr
        g += share * hg * (0.35 + 0.85 * cg) + min(2.0, glow) * cg
        b += share * hb * (0.35 + 0.85 * cb) + min(2.0, glow) * cb
    r, g, b = r / count, g / count, b / count
    for i in range(world.lamps.shape[0]):
        lx, ly, lz = world.lamps[i, 0] - x, world.lamps[i, 1] - y, world.lamps[i, 2] - z
        square = lx * lx + ly * ly + lz * lz
        cosine = (lx * nx + ly * ny + lz * nz) / math.sqrt(square + 1e-9)
        strength = cosine / (square + 0.15)
        if strength < 0.004:
            continue
        # Lamps have some size: aim at a point within 10 cm, and stop short of the bulb itself.
        lx += 0.2 * (hash3(seed, i, 5, 3) - 0.5)
        ly += 0.1 * (hash3(seed, i, 6, 3) - 0.5)
        lz += 0.2 * (hash3(seed, i, 7, 3) - 0.5)
        stop = max(0.0, 1.0 - 0.25 / math.sqrt(square + 1e-9))
        if not blocked(world, stack, x, y, z, lx, ly, lz, 0.0, stop):
            r += strength * world.lamps[i, 3]
            g += strength * world.lamps[i, 4]
            b += strength * world.lamps[i, 5]
    out[0], out[1], out[2] = r, g, b
