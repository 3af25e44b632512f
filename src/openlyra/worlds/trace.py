"""What a ray hits first, and whether anything is in the way (numba)."""

from __future__ import annotations

import math

from numba import njit

from openlyra.worlds.kernels import INFINITY, LEAN
from openlyra.worlds.noise import noise3
from openlyra.worlds.packed import CUTOUT, DETAIL, GROUND, HALF, LAND, NO_HIT, SHAPE, WATER
from openlyra.worlds.shapes import CURVED, hit_unit, unit_normal
from openlyra.worlds.terrain import FAR, hit_terrain, near_terrain, terrain_normal

STACK = 97
"""Length of the scratch array that every ray function takes: room for a traversal, and LAST."""
LAST = 96
"""Where the scratch array remembers (plus one) the primitive that stopped the ray before. Neighbouring rays often end
at the same one, so it is tried first; the answers do not depend on it."""
HORIZON = 5000.0
"""Where the endless planes end, metres; beyond is sky."""
PRESENT = 10
"""Where a packed terrain says that there is one."""
_LEAVES, _BARS, _MESH, _SPOKES = range(4)


@njit(**LEAN)
def _solid_here(p, face, x, y, z):  # type: ignore[no-untyped-def]
    """Whether material remains at the unit point (x, y, z) of a primitive with holes."""
    kind, size, solid = p[CUTOUT], p[CUTOUT + 1], p[CUTOUT + 2]
    x, y, z = x * p[HALF], y * p[HALF + 1], z * p[HALF + 2]
    if kind == _LEAVES:
        seed = int(p[CUTOUT + 3])
        f = 1.0 / size
        value = 0.6 * noise3(x * f, y * f, z * f, seed) + 0.4 * noise3(x * f * 2.7, y * f * 2.7, z * f * 2.7, seed + 9)
        # The sum of the two noises is spread about 0.5 by roughly 0.14.
        return value > 0.5 - 0.44 * (solid - 0.5)
    if kind == _SPOKES:
        turn = (math.atan2(y, x) / (2.0 * math.pi) + 1.0) * max(1.0, size)
        radius = math.sqrt(x * x + y * y)
        rim = p[HALF]
        width = solid * rim * 0.15
        away = abs(turn - math.floor(turn) - 0.5) * 2.0 * math.pi * radius / max(1.0, size)
        return away < width or radius > rim * 0.93 or radius < rim * 0.1
    u, v = x, y
    if face < 2:
        u = z
    elif face < 4:
        v = z
    elif face >= CURVED:
        u = math.atan2(z, x) * p[HALF]
    a = u / size
    if a - math.floor(a) < solid:
        return True
    b = v / size
    return kind == _MESH and b - math.floor(b) < solid


@njit(**LEAN)
def hit_primitive(p, ox, oy, oz, dx, dy, dz, near):  # type: ignore[no-untyped-def]
    """(t, face) of one primitive in world coordinates."""
    px = p[0] * ox + p[1] * oy + p[2] * oz + p[3]
    py = p[4] * ox + p[5] * oy + p[6] * oz + p[7]
    pz = p[8] * ox + p[9] * oy + p[10] * oz + p[11]
    qx = p[0] * dx + p[1] * dy + p[2] * dz
    qy = p[4] * dx + p[5] * dy + p[6] * dz
    qz = p[8] * dx + p[9] * dy + p[10] * dz
    shape, k = int(p[SHAPE]), p[DETAIL]
    t, face = hit_unit(shape, k, px, py, pz, qx, qy, qz, near, False)
    if p[CUTOUT] < 0:
        return t, face
    if t < INFINITY and _solid_here(p, face, px + t * qx, py + t * qy, pz + t * qz):
        return t, face
    t, face = hit_unit(shape, k, px, py, pz, qx, qy, qz, near, True)
    if t < INFINITY and _solid_here(p, face, px + t * qx, py + t * qy, pz + t * qz):
        return t, face
    return INFINITY, -1


@njit(**LEAN)
def _enter(bounds, node, ox, oy, oz, ix, iy, iz, far):  # type: ignore[no-untyped-def]
    """Where the ray enters a node's box, or INFINITY if it misses it or enters beyond `far`."""
    a, b = (bounds[node, 0] - ox) * ix, (bounds[node, 3] - ox) * ix
    enter, leave = min(a, b), max(a, b)
    a, b = (bounds[node, 1] - oy) * iy, (bounds[node, 4] - oy) * iy
    enter, leave = max(enter, min(a, b)), min(leave, max(a, b))
    a, b = (bounds[node, 2] - oz) * iz, (bounds[node, 5] - oz) * iz
    enter, leave = max(enter, min(a, b)), min(leave, max(a, b))
    return enter if leave >= max(enter, 0.0) and enter < far else INFINITY


@njit(**LEAN)
def _tree(primitives, bounds, children, order, stack, ox, oy, oz, dx, dy, dz, near, far, any_):  # type: ignore[no-untyped-def]
    """(t, primitive, face) of the nearest hit in the tree before `far`; with `any_` of some hit, for shadows."""
    ix = 1.0 / (dx if abs(dx) > 1e-14 else 1e-14)
    iy = 1.0 / (dy if abs(dy) > 1e-14 else 1e-14)
    iz = 1.0 / (dz if abs(dz) > 1e-14 else 1e-14)
    best, primitive, face = far, NO_HIT, -1
    last = stack[LAST] - 1
    if last >= 0:
        t, f = hit_primitive(primitives[last], ox, oy, oz, dx, dy, dz, near)
        if t < best:
            best, primitive, face = t, last, f
            if any_:
                return best, primitive, face
    if _enter(bounds, 0, ox, oy, oz, ix, iy, iz, best) == INFINITY:
        return best, primitive, face
    height, node = 0, 0
    while True:
        left, right = children[node, 0], children[node, 1]
        if left < 0:
            for place in range(-1 - left, -1 - left + right):
                i = order[place]
                t, f = hit_primitive(primitives[i], ox, oy, oz, dx, dy, dz, near)
                if t < best:
                    best, primitive, face = t, i, f
                    if any_:
                        stack[LAST] = i + 1
                        return best, primitive, face
        else:
            a = _enter(bounds, left, ox, oy, oz, ix, iy, iz, best)
            b = _enter(bounds, right, ox, oy, oz, ix, iy, iz, best)
            if a > b:
                a, b = b, a
                left, right = right, left
            if b < INFINITY:
                stack[height] = right
                height += 1
            if a < INFINITY:
                node = left
                continue
        found = False
        while height > 0 and not found:
            height -= 1
            node = stack[height]
            found = _enter(bounds, node, ox, oy, oz, ix, iy, iz, best) < INFINITY
        if not found:
            stack[LAST] = primitive + 1
            return best, primitive, face


@njit(**LEAN)
def before_land(world, stack, ox, oy, oz, dx, dy, dz, near, far):  # type: ignore[no-untyped-def]
    """(t, what, face) of the first hit of anything but the terrain; t is `far` where there is none."""
    best, what, face = far, NO_HIT, -1
    for i in world.rooms:
        t, f = hit_primitive(world.primitives[i], ox, oy, oz, dx, dy, dz, near)
        if t < best:
            best, what, face = t, i, f
    if dy > 1e-12:
        if world.ground[0] > 0:
            t = (world.ground[1] - oy) / dy
            if near < t < best and t * math.sqrt(dx * dx + dy * dy + dz * dz) < HORIZON:
                best, what, face = t, GROUND, 2
        if world.water[0] > 0:
            t = (world.water[1] - oy) / dy
            if near < t < best and t * math.sqrt(dx * dx + dy * dy + dz * dz) < HORIZON:
                best, what, face = t, WATER, 2
    t, i, f = _tree(
        world.primitives, world.bounds, world.children, world.order, stack, ox, oy, oz, dx, dy, dz, near, best, False
    )
    if i >= 0:
        best, what, face = t, i, f
    return best, what, face


@njit(**LEAN)
def nearest(world, stack, ox, oy, oz, dx, dy, dz, near, far):  # type: ignore[no-untyped-def]
    """(t, what, face) of the first hit between near and far; what is a primitive, GROUND, WATER, LAND or NO_HIT."""
    best, what, face = before_land(world, stack, ox, oy, oz, dx, dy, dz, near, far)
    if world.terrain[PRESENT] > 0:
        t = hit_terrain(world.terrain, ox, oy, oz, dx, dy, dz, near, min(best, world.terrain[FAR]))
        if t < best:
            return t, LAND, CURVED
    return (best, what, face) if what != NO_HIT else (INFINITY, NO_HIT, -1)


@njit(**LEAN)
def blocked_before_land(world, stack, ox, oy, oz, dx, dy, dz, near, far):  # type: ignore[no-untyped-def]
    """Whether anything but the terrain and the inside of a closed room lies between near and far."""
    if world.ground[0] > 0 and dy > 1e-12 and near < (world.ground[1] - oy) / dy < far:
        return True
    _, i, _ = _tree(
        world.primitives, world.bounds, world.children, world.order, stack, ox, oy, oz, dx, dy, dz, near, far, True
    )
    return i >= 0


@njit(**LEAN)
def blocked(world, stack, ox, oy, oz, dx, dy, dz, near, far):  # type: ignore[no-untyped-def]
    """Whether anything but the inside of a closed room lies between near and far."""
    if blocked_before_land(world, stack, ox, oy, oz, dx, dy, dz, near, far):
        return True
    if world.terrain[PRESENT] > 0:
        return near_terrain(world.terrain, ox, oy, oz, dx, dy, dz, near, min(far, world.terrain[FAR])) < far
    return False


@njit(**LEAN)
def normal_at(world, what, face, x, y, z, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Unit normal in the world at a hit point, turned towards where the ray came from."""
    if what == GROUND or what == WATER:
        return 0.0, -1.0, 0.0
    if what == LAND:
        nx, ny, nz = terrain_normal(world.terrain, x, z)
    else:
        m = world.primitives[what]
        ux = m[0] * x + m[1] * y + m[2] * z + m[3]
        uy = m[4] * x + m[5] * y + m[6] * z + m[7]
        uz = m[8] * x + m[9] * y + m[10] * z + m[11]
        a, b, c = unit_normal(int(m[SHAPE]), face, m[DETAIL], ux, uy, uz)
        nx, ny, nz = m[0] * a + m[4] * b + m[8] * c, m[1] * a + m[5] * b + m[9] * c, m[2] * a + m[6] * b + m[10] * c
        length = math.sqrt(nx * nx + ny * ny + nz * nz)
        nx, ny, nz = nx / length, ny / length, nz / length
    if nx * dx + ny * dy + nz * dz > 0.0:
        return -nx, -ny, -nz
    return nx, ny, nz
