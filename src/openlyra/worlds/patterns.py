"""What a material looks like at a point (numba): colour, tilt of the shading normal and gloss.

A pattern sees metres on the surface (u along, v down), the same point in the object's own axes, and the footprint of
the pixel. Everything finer than the footprint fades to its mean, so that surfaces stay calm in the distance. Noise of
which only the peaks show is left as it is, or its result faded: the peaks of faded noise would vanish.
"""

from __future__ import annotations

import math

from numba import njit

from openlyra.worlds.kernels import LEAN
from openlyra.worlds.noise import fbm2, fbm3, hash3, noise2, noise3, octave_share
from openlyra.worlds.pictures import picture
from openlyra.worlds.types import TEXTURES

SCALE, SEED, GLOSS, ROUGHNESS, SHEEN, BUMP, GRIME, EMISSION = range(10, 18)
"""Places in a packed material after the texture and three colours."""

(
    PLAIN, NOISE, BRICK, TILE, PLANK, PLASTER, FOLIAGE, FABRIC, STONE, FACADE, BOOKS, SCREEN, POSTER, GRAVEL, ASPHALT,
    GRASS, WATER, CHECKER, CARPET, STRIPES, BARK, MARBLE, ROOF, WOOD, SAND, ROCK, SNOW, METAL, PANEL, COBBLE,
) = range(len(TEXTURES))  # fmt: skip


@njit(**LEAN)
def keep(footprint, size):  # type: ignore[no-untyped-def]
    """How much of a detail of this size a pixel can show: 1 when it spans many pixels, 0 below two."""
    x = 1.25 - 1.5 * footprint / size
    return min(1.0, max(0.0, x))


@njit(**LEAN)
def ramp(value, low, high):  # type: ignore[no-untyped-def]
    """0 below low, 1 above high, smooth between."""
    x = min(1.0, max(0.0, (value - low) / (high - low)))
    return x * x * (3.0 - 2.0 * x)


@njit(**LEAN)
def rows(u, v, length, height, joint, jitter, seed):  # type: ignore[no-untyped-def]
    """Courses of bricks: (share of joint 0 or 1 softly, random number of the brick, tilt towards the edge u, v)."""
    row = math.floor(v / height)
    shift = 0.5 * (int(row) % 2) if jitter == 0.0 else hash3(row, 5, 1, seed)
    at = u / length + shift
    column = math.floor(at)
    # Joints wander, so that blocks differ in length.
    before = jitter * (hash3(column, row, 7, seed) - 0.5)
    after = jitter * (hash3(column + 1, row, 7, seed) - 0.5)
    if at - column < before:
        column, after = column - 1, before
        before = jitter * (hash3(column, row, 7, seed) - 0.5)
    elif at - column - 1.0 > after:
        column, before = column + 1, after
        after = jitter * (hash3(column + 1, row, 7, seed) - 0.5)
    left, right = at - column - before, column + 1 + after - at
    top, bottom = v / height - row, row + 1 - v / height
    side = min(left, right) * length
    ends = min(top, bottom) * height
    mortar = 1.0 - ramp(min(side, ends), 0.35 * joint, 0.65 * joint)
    tilt_u = (1.0 if left > right else -1.0) * (1.0 - ramp(side, 0.4 * joint, 1.6 * joint))
    tilt_v = (1.0 if top > bottom else -1.0) * (1.0 - ramp(ends, 0.4 * joint, 1.6 * joint))
    return mortar, hash3(column, row, 3, seed), tilt_u, tilt_v


@njit(**LEAN)
def cells(u, v, seed):  # type: ignore[no-untyped-def]
    """Pebbles, one a unit: (distance to the border 0 to about 0.5, random number of the pebble)."""
    ui, vi = math.floor(u), math.floor(v)
    first, second, name = 9.0, 9.0, 0.0
    for i in range(-1, 2):
        for j in range(-1, 2):
            a, b = hash3(ui + i, vi + j, 1, seed), hash3(ui + i, vi + j, 2, seed)
            du, dv = ui + i + 0.15 + 0.7 * a - u, vi + j + 0.15 + 0.7 * b - v
            distance = du * du + dv * dv
            if distance < first:
                first, second, name = distance, first, hash3(ui + i, vi + j, 3, seed)
            elif distance < second:
                second = distance
    return math.sqrt(second) - math.sqrt(first), name


@njit(**LEAN)
def _window(a, b, wide, high, frame, foot_a, foot_b):  # type: ignore[no-untyped-def]
    """(glass, frame) shares at (a, b) in a cell [0, 1]^2 for a window of this size in its middle."""
    da, db = 0.5 * wide - abs(a - 0.5), 0.5 * high - abs(b - 0.5)
    inside = min(ramp(da, -0.5 * foot_a, 0.5 * foot_a), ramp(db, -0.5 * foot_b, 0.5 * foot_b))
    bar = max(1.0 - ramp(min(da, abs(a - 0.5)), frame, frame + foot_a + 0.005),
              1.0 - ramp(min(db, abs(b - 0.38)), frame, frame + foot_b + 0.005))  # fmt: skip
    return inside * (1.0 - bar), inside * bar


@njit(**LEAN)
def _facade(u, v, eu, ev, scale, seed, foot):  # type: ignore[no-untyped-def]
    """Storeys of windows that fit the face: (glass, frame, shade, ledge, random number of the window)."""
    storeys = max(1.0, round(2.0 * ev / scale))
    style = hash3(seed, 11, 1, 3)
    bays = max(1.0, round(2.0 * eu / (scale * (0.55 + 0.5 * style))))
    a, b = (u + eu) / (2.0 * eu) * bays, (v + ev) / (2.0 * ev) * storeys
    column, storey = math.floor(a), math.floor(b)
    a, b = a - column, b - storey
    wide, high = 0.3 + 0.5 * hash3(seed, 12, 1, 3), 0.45 + 0.35 * hash3(seed, 13, 1, 3)
    ground = storey >= storeys - 1.0
    if ground and style > 0.4:
        wide, high = 0.82, 0.75
    foot_a, foot_b = foot * bays / (2.0 * eu) + 1e-4, foot * storeys / (2.0 * ev) + 1e-4
    glass, frame = _window(a, b, wide, high, 0.02 + 0.03 * style, foot_a, foot_b)
    name = hash3(column, storey, 5, seed)
    # The reveal above and the sill below throw and catch light.
    over = ramp(b - (0.5 - 0.5 * high), -0.03, 0.0) * (1.0 - ramp(b - (0.5 - 0.5 * high), 0.02, 0.09))
    shade = 1.0 - 0.5 * over * (glass + frame)
    ledge = 0.0
    if hash3(seed, 14, 1, 3) > 0.4:
        ledge = 1.0 - ramp(min(b, 1.0 - b), 0.015, 0.03 + foot_b)
    sill = ramp(b - (0.5 + 0.5 * high), -0.005, 0.005) * (1.0 - ramp(b - (0.5 + 0.5 * high), 0.02, 0.03))
    ledge = max(ledge, sill * (1.0 if abs(a - 0.5) < 0.5 * wide + 0.03 else 0.0))
    return glass, frame, shade, ledge, name


@njit(**LEAN)
def _rug(u, v, eu, ev, seed, foot):  # type: ignore[no-untyped-def]
    """(second colour, third colour) of a carpet with borders and a repeated ornament."""
    edge = min(eu - abs(u), ev - abs(v)) / max(1e-3, min(eu, ev))
    if edge < 0.06:
        return 1.0, 0.0
    if edge < 0.2:
        stripe = math.sin(40.0 * edge) * keep(foot, 0.05)
        return (0.0, 1.0) if stripe > 0.2 else (0.25, 0.0)
    size = 0.25 + 0.3 * hash3(seed, 2, 2, 1)
    a, b = abs(u / size - round(u / size)), abs(v / size - round(v / size))
    figure = a + b if seed % 2 == 0 else math.sqrt(a * a + b * b)
    wave = math.sin(figure * (14.0 + 10.0 * hash3(seed, 3, 2, 1)))
    fade = keep(foot, 0.2 * size)
    return max(0.0, wave) * fade, max(0.0, -wave - 0.4) * fade


@njit(**LEAN)
def _books(u, v, eu, ev, scale, seed, foot):  # type: ignore[no-untyped-def]
    """Rows of spines over a face: (red, green, blue, tilt)."""
    count = max(1.0, round(2.0 * ev / scale))
    b = (v + ev) / (2.0 * ev) * count
    row = math.floor(b)
    b = 1.0 - (b - row)
    unit = 0.038
    at = u / unit
    column = math.floor(at)
    a = at - column - 0.6 * (hash3(column, row, 1, seed) - 0.5)
    if a < 0.0:
        column -= 1
    tall = 0.6 + 0.32 * hash3(column, row, 2, seed) * hash3(math.floor(column / 5), row, 8, seed) ** 0.3
    hue, value = hash3(column, row, 3, seed), 0.08 + 0.7 * hash3(column, row, 4, seed) ** 1.5
    if hash3(column, row, 9, seed) < 0.08 or b > tall:
        return 0.03, 0.026, 0.022, 0.0
    grey = hash3(column, row, 5, seed)
    red = value * (grey + (1.0 - grey) * max(0.0, min(1.0, abs(6.0 * hue - 3.0) - 1.0)))
    green = value * (grey + (1.0 - grey) * max(0.0, min(1.0, 2.0 - abs(6.0 * hue - 2.0))))
    blue = value * (grey + (1.0 - grey) * max(0.0, min(1.0, 2.0 - abs(6.0 * hue - 4.0))))
    label = abs(b / tall - 0.6 - 0.2 * grey)
    if label < 0.05 and grey > 0.35:
        red, green, blue = 0.7, 0.66, 0.5
    round_ = 2.0 * (a - math.floor(a)) - 1.0
    fade = keep(foot, unit)
    dark = 1.0 - fade * 0.5 * round_ * round_
    return red * dark, green * dark, blue * dark, round_ * fade


@njit(**LEAN)
def surface(m, u, v, eu, ev, x, y, z, foot):  # type: ignore[no-untyped-def]
    """(red, green, blue, tilt u, tilt v, gloss, emission) of a packed material `m`.

    u, v: metres on the face from its middle for pictures (half extents eu, ev), else anchored to the world;
    x, y, z: metres in the object's axes, anchored to the world; foot: metres a pixel covers.
    """
    kind, scale, seed = int(m[0]), m[SCALE], int(m[SEED])
    first, third, shade, tilt_u, tilt_v = 0.0, 0.0, 1.0, 0.0, 0.0
    gloss, emission = m[GLOSS], m[EMISSION]
    if kind == SCREEN or kind == POSTER:
        r, g, b = picture(kind == SCREEN, u / eu, v / ev, eu / ev, seed, foot / ev)
        return r, g, b, 0.0, 0.0, gloss, emission
    if kind == BOOKS:
        r, g, b, tilt_u = _books(u, v, eu, ev, scale, seed, foot)
        return r, g, b, 0.6 * tilt_u, 0.0, gloss, emission
    fine = keep(foot, 0.01)
    if kind == PLAIN:
        shade = 1.0
    elif kind == NOISE:
        first = ramp(fbm3(x / scale, y / scale, z / scale, seed, 5, foot / scale), 0.3, 0.7)
    elif kind == BRICK or kind == STONE or kind == ROOF:
        jitter, high, joint = (0.0, scale / 2.7, 0.05 * scale) if kind == BRICK else (0.5, 0.5 * scale, 0.04 * scale)
        if kind == ROOF:
            jitter, high, joint = 0.0, 0.9 * scale, 0.08 * scale
        mortar, name, tilt_u, tilt_v = rows(u, v, scale, high, joint, jitter, seed)
        share, some = keep(foot, 0.6 * high), keep(foot, 2.0 * joint)
        first = mortar * some + 0.12 * (1.0 - some)
        shade = 1.0 + share * (0.7 * (name - 0.5)) * (0.55 if kind == STONE else 0.8)
        third = share * 0.5 * ramp(name, 0.7, 1.0) * (1.0 - first)
        if kind == ROOF:
            # A course hangs over the next one and shades it.
            along = v / high - math.floor(v / high)
            shade *= 1.0 - share * 0.45 * (1.0 - ramp(along, 0.0, 0.25))
            first *= 0.4
        elif kind == STONE:
            shade *= 0.8 + 0.4 * fbm3(x * 4 / scale, y * 4 / scale, z * 4 / scale, seed, 4, foot * 4 / scale)
        tilt_u, tilt_v = tilt_u * some, tilt_v * some
    elif kind == TILE or kind == PANEL:
        joint = 0.03 * scale if kind == TILE else 0.012 * scale
        a, b = u / scale - math.floor(u / scale), v / scale - math.floor(v / scale)
        side, ends = min(a, 1.0 - a) * scale, min(b, 1.0 - b) * scale
        some = keep(foot, 2.0 * joint)
        first = (1.0 - ramp(min(side, ends), 0.35 * joint, 0.65 * joint)) * some + 0.05 * (1.0 - some)
        name = hash3(math.floor(u / scale), math.floor(v / scale), 1, seed)
        shade = 1.0 + keep(foot, scale) * (0.16 if kind == TILE else 0.1) * (name - 0.5)
        tilt_u = some * (1.0 if a > 0.5 else -1.0) * (1.0 - ramp(side, 0.3 * joint, 1.2 * joint))
        tilt_v = some * (1.0 if b > 0.5 else -1.0) * (1.0 - ramp(ends, 0.3 * joint, 1.2 * joint))
        gloss *= 1.0 - first
    elif kind == CHECKER:
        some = keep(foot, scale)
        odd = (math.floor(u / scale) + math.floor(v / scale)) % 2
        first = odd * some + 0.5 * (1.0 - some)
        shade = 0.94 + 0.12 * fbm3(x / scale * 3, y / scale * 3, z / scale * 3, seed, 3, foot / scale * 3)
    elif kind == STRIPES:
        some = keep(foot, scale)
        at = u / scale
        wide = 0.25 + 0.4 * hash3(seed, 1, 1, 1)
        first = some * (1.0 if at - math.floor(at) < wide else 0.0) + (1.0 - some) * wide
    elif kind == PLANK or kind == WOOD:
        name = 0.5
        along, across = v, u
        if kind == PLANK:
            column = math.floor(u / scale)
            length = 9.0 * scale
            row = math.floor(v / length + hash3(column, 3, 3, seed))
            name = hash3(column, row, 1, seed)
            side = (u / scale - column) * scale
            some = keep(foot, 0.05 * scale)
            end = (v / length + hash3(column, 3, 3, seed) - row) * length
            gap = 1.0 - ramp(min(min(side, scale - side), end), 0.006 * scale, 0.025 * scale)
            shade = 1.0 - 0.65 * gap * some
            tilt_u = some * ((1.0 if side > 0.5 * scale else -1.0) * gap)
            shade *= 1.0 + keep(foot, scale) * 0.5 * (name - 0.5)
        elif eu > ev:
            along, across = u, v
        grain = scale if kind == PLANK else 0.12
        rings = fbm2(across / grain * 2.2 + 31.0 * name, along / grain * 0.16 + 7.0 * name, seed, 3, foot / grain * 2.2)
        lines = noise2(across / grain * 26.0 + 40.0 * rings, along / grain * 0.9, seed + 4)
        first = ramp(rings, 0.25, 0.75) * 0.7 + 0.3 * keep(foot, grain / 13.0) * (lines - 0.5) + 0.15
    elif kind == PLASTER:
        first = 0.35 * ramp(fbm3(x / scale, y / scale, z / scale, seed, 5, foot / scale), 0.3, 0.85)
        grain = keep(foot, 0.006)
        shade = 1.0 + 0.06 * grain * (noise2(u * 320.0, v * 320.0, seed) - 0.5)
        tilt_u = grain * (noise2(u * 160.0, v * 160.0, seed + 1) - 0.5)
        tilt_v = grain * (noise2(u * 160.0, v * 160.0, seed + 2) - 0.5)
    elif kind == FOLIAGE:
        f = 3.0 / scale
        some = keep(foot, 0.33 * scale)
        clump = noise3(x * f * 0.35, y * f * 0.35, z * f * 0.35, seed)
        leaf = 0.5
        # Here and below, noise that would fade to nothing is not worked out: most pixels of open country are far.
        if some > 0.0:
            leaf = 0.6 * noise3(x * f, y * f, z * f, seed + 1)
            leaf += 0.4 * noise3(x * f * 2.3, y * f * 2.3, z * f * 2.3, seed + 2)
            leaf = 0.5 + some * (leaf - 0.5)
            tilt_u = 1.6 * some * (noise3(x * f * 1.3, y * f * 1.3, z * f * 1.3, seed + 3) - 0.5)
            tilt_v = 1.6 * some * (noise3(x * f * 1.3, y * f * 1.3, z * f * 1.3, seed + 4) - 0.5)
        first = ramp(leaf, 0.2, 0.8)
        shade = (0.45 + 0.75 * clump) * (0.35 + 1.1 * ramp(leaf, 0.15, 0.7))
        third = 0.4 * ramp(clump, 0.55, 0.8)
    elif kind == FABRIC:
        thread = 0.004 + 0.01 * scale
        some = keep(foot, thread)
        weave = math.sin(u / thread * 6.283) * math.sin(v / thread * 6.283)
        folds = fbm2(u * 2.2, v * 2.2, seed, 3, foot * 2.2)
        shade = (0.8 + 0.4 * folds) * (1.0 + 0.22 * some * weave)
        if hash3(seed, 4, 4, 1) > 0.55:
            pattern = rows(u, v, scale * 0.25, scale * 0.25, scale * 0.05, 0.0, seed)
            first = keep(foot, 0.1 * scale) * (pattern[0] if hash3(seed, 5, 4, 1) > 0.5 else ramp(pattern[1], 0.4, 0.6))
        tilt_u = 1.2 * (folds - 0.5) + 0.2 * some * weave
        tilt_v = 0.8 * (fbm2(u * 2.0, v * 2.0, seed + 7, 2, foot * 2.0) - 0.5)
    elif kind == FACADE:
        glass, frame, shade, ledge, name = _facade(u, v, eu, ev, scale, seed, foot)
        first, third = 0.0, min(1.0, frame + 0.8 * ledge)
        wall = 1.0 + 0.25 * (fbm3(x * 0.8, y * 0.8, z * 0.8, seed, 4, foot * 0.8) - 0.5)
        shade *= wall * (1.0 - glass) + glass * (0.35 + 1.1 * name * name)
        first = glass
        gloss = max(gloss * (1.0 - glass), 0.9 * glass)
    elif kind == GRAVEL or kind == COBBLE:
        size = scale if kind == COBBLE else min(scale, 0.05)
        border, name = cells(u / size, v / size, seed)
        some = keep(foot, 0.5 * size)
        first = some * (1.0 - ramp(border, 0.03, 0.16)) + 0.2 * (1.0 - some)
        shade = 1.0 + some * (0.8 if kind == GRAVEL else 0.45) * (name - 0.5)
        big = fbm2(u * 0.7, v * 0.7, seed, 3, foot * 0.7)
        shade *= 0.8 + 0.4 * big
        tilt_u = some * (1.0 - ramp(border, 0.0, 0.35)) * (noise2(u / size * 1.4, v / size * 1.4, seed + 5) - 0.5) * 3.0
        tilt_v = some * (1.0 - ramp(border, 0.0, 0.35)) * (noise2(u / size * 1.4, v / size * 1.4, seed + 6) - 0.5) * 3.0
    elif kind == ASPHALT:
        grain = noise2(u * 130.0, v * 130.0, seed) * 0.6 + 0.4 * noise2(u * 45.0, v * 45.0, seed + 1)
        some = keep(foot, 0.02)
        large = fbm2(u * 0.35, v * 0.35, seed + 2, 4, foot * 0.35)
        crack = abs(fbm2(u * 0.9, v * 0.9, seed + 3, 4, foot * 0.9) - 0.5)
        crack = (1.0 - ramp(crack, 0.004, 0.012)) * keep(foot, 0.03) * ramp(large, 0.5, 0.6)
        patch = 1.0 if hash3(math.floor(u / 3.1), math.floor(v / 4.3), 1, seed) > 0.88 else 0.0
        first = ramp(large, 0.35, 0.75)
        shade = (1.0 + 0.5 * some * (grain - 0.5)) * (1.0 - 0.55 * crack) * (1.0 - 0.25 * patch)
        tilt_u, tilt_v = some * (grain - 0.5), some * (noise2(u * 110.0, v * 110.0, seed + 8) - 0.5)
    elif kind == GRASS:
        some, more, blades, tufts = keep(foot, 0.03), keep(foot, 0.2), 0.5, 0.5
        if some > 0.0:
            blades = noise2(u * 90.0, v * 40.0, seed) * 0.5 + 0.5 * noise2(u * 37.0, v * 80.0, seed + 1)
            tilt_u, tilt_v = 1.5 * some * (blades - 0.5), 1.5 * some * (noise2(u * 60.0, v * 60.0, seed + 5) - 0.5)
        if more > 0.0:
            tufts = fbm2(u * 5.0, v * 5.0, seed + 2, 3, foot * 5.0)
        wide = 3.0 * scale + 0.5
        large = fbm2(u / wide, v / wide, seed + 3, 4, foot / wide)
        first = ramp(large, 0.3, 0.7)
        third = 0.5 * ramp(fbm2(u * 0.15, v * 0.15, seed + 6, 3, 0.0), 0.55, 0.75)
        shade = (1.0 + 0.9 * some * (blades - 0.5)) * (0.75 + 0.5 * (0.5 + more * (tufts - 0.5)))
    elif kind == WATER:
        tilt_u = 0.6 * (fbm2(u / scale, v / scale, seed, 4, foot / scale) - 0.5) * keep(foot, scale)
        tilt_v = 0.6 * (fbm2(u / scale, v / scale, seed + 5, 4, foot / scale) - 0.5) * keep(foot, scale)
        gloss = max(gloss, 0.9)
    elif kind == CARPET:
        first, third = _rug(u, v, eu, ev, seed, foot)
        pile = keep(foot, 0.006)
        shade = 0.92 + 0.16 * fbm2(u * 3.0, v * 3.0, seed, 3, foot * 3.0)
        shade += 0.3 * pile * (noise2(u * 250.0, v * 250.0, seed) - 0.5)
    elif kind == BARK:
        ridge = abs(2.0 * fbm2(u / scale * 7.0, v / scale * 1.4, seed, 4, 0.0) - 1.0)
        some = keep(foot, 0.14 * scale)
        first = some * ramp(ridge, 0.05, 0.4) + 0.44 * (1.0 - some)
        shade = 0.55 + 0.6 * first
        tilt_u = 2.0 * (noise2(u / scale * 9.0, v / scale * 2.0, seed + 3) - 0.5) * keep(foot, 0.1 * scale)
    elif kind == MARBLE:
        warp = fbm3(x / scale, y / scale, z / scale, seed, 5, foot / scale)
        vein = abs(math.sin(6.283 * ((x + 0.6 * y + 0.4 * z) / scale * 0.6 + 2.2 * warp)))
        first = (1.0 - ramp(vein, 0.0, 0.22)) * (0.4 + 0.6 * ramp(warp, 0.4, 0.6)) * keep(foot, 0.1 * scale)
        shade = 0.9 + 0.2 * warp
    elif kind == SAND or kind == SNOW:
        dune = fbm2(u / scale, v / scale, seed, 5, foot / scale)
        some, more, grain, ripple = keep(foot, 0.02), keep(foot, 0.1), 0.5, 0.0
        if some > 0.0:
            grain = noise2(u * 150.0, v * 150.0, seed + 1)
        if more > 0.0:
            ripple = math.sin(u * 28.0 + 9.0 * dune + 3.0 * noise2(u * 1.7, v * 1.7, seed + 2)) * more
        first = ramp(dune, 0.3, 0.7)
        shade = 1.0 + 0.2 * some * (grain - 0.5)
        tilt_u = 0.25 * ripple * (1.0 if kind == SAND else 0.3) + some * 0.4 * (grain - 0.5)
        tilt_v = 1.2 * (noise2(u / scale * 3.0, v / scale * 3.0, seed + 3) - 0.5) * keep(foot, 0.3 * scale)
    elif kind == ROCK:
        f = 1.0 / scale
        base = fbm3(x * f, y * f, z * f, seed, 6, foot * f)
        layers = 0.5 + 0.5 * keep(foot, 0.35 * scale) * math.sin(9.0 * y * f + 8.0 * base)
        first = ramp(base, 0.3, 0.7) * 0.7 + 0.3 * layers
        some, cracked = keep(foot, 0.2 * scale), 0.2
        if some > 0.0:
            crack = abs(fbm3(x * f * 1.7, y * f * 1.7, z * f * 1.7, seed + 9, 4, foot * f * 1.7) - 0.5)
            cracked = some * (1.0 - ramp(crack, 0.0, 0.06)) + 0.2 * (1.0 - some)
        shade = (1.0 - 0.5 * cracked) * (0.75 + 0.5 * base)
        if some > 0.0:
            tilt_u = 1.8 * some * (noise3(x * f * 5, y * f * 5, z * f * 5, seed + 1) - 0.5)
            tilt_v = 1.8 * some * (noise3(x * f * 5, y * f * 5, z * f * 5, seed + 2) - 0.5)
    elif kind == METAL:
        some = keep(foot, 0.004)
        brush = noise2(u * 400.0, v * 4.0, seed)
        shade = 1.0 + 0.15 * some * (brush - 0.5)
        first = 0.7 * ramp(fbm2(u / scale, v / scale, seed + 1, 4, 0.0), 0.55, 0.75)
        tilt_u = 0.3 * some * (brush - 0.5)
    if m[GRIME] > 0.0:
        stain = 0.6 * noise3(x * 0.43, y * 0.43, z * 0.43, seed + 21) + 0.2
        some = octave_share(1.9 * foot)
        if some > 0.0:
            stain += 0.4 * some * (noise3(x * 1.9, y * 1.9, z * 1.9, seed + 22) - 0.5)
        shade *= 1.0 + m[GRIME] * 0.55 * (stain - 0.5)
        if fine > 0.0:
            shade *= 1.0 + m[GRIME] * 0.12 * fine * (noise2(u * 210.0, v * 210.0, seed + 23) - 0.5)
    a = (1.0 - first) * (1.0 - third)
    b, c = first * (1.0 - third), third
    shade = max(shade, 0.0)
    red = (a * m[1] + b * m[4] + c * m[7]) * shade
    green = (a * m[2] + b * m[5] + c * m[8]) * shade
    blue = (a * m[3] + b * m[6] + c * m[9]) * shade
    return red, green, blue, m[BUMP] * tilt_u, m[BUMP] * tilt_v, gloss, emission
