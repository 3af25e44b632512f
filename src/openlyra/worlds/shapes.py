"""Where a ray meets a shape (numba). `shapes_plain` is the slow twin.

Every primitive is an affine image of a unit shape, so rays are taken to its unit frame, where the parameter t of
origin + t * direction keeps its value. A face number tells which part was hit; flat parts have numbers below CURVED.
"""

from __future__ import annotations

import math

from numba import njit

from openlyra.worlds.kernels import INFINITY, LEAN

BOX, ROOM, ELLIPSOID, FRUSTUM, RING, CAPSULE, PRISM, QUAD, DISC = range(9)
"""In the order of `types.SHAPES`."""
CURVED = 8
"""First face number of the curved parts: 8 outer side, 9 inner side."""
_TINY = 1e-12


@njit(**LEAN)
def _slabs(ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Entry and exit of the cube [-1, 1]^3 and the faces they lie on: -x 0, +x 1, -y 2, +y 3, -z 4, +z 5."""
    dx = dx if abs(dx) > _TINY else _TINY
    dy = dy if abs(dy) > _TINY else _TINY
    dz = dz if abs(dz) > _TINY else _TINY
    ix, iy, iz = 1.0 / dx, 1.0 / dy, 1.0 / dz
    sx, sy, sz = (1.0 if ix > 0 else -1.0), (1.0 if iy > 0 else -1.0), (1.0 if iz > 0 else -1.0)
    ax, bx = (-sx - ox) * ix, (sx - ox) * ix
    ay, by = (-sy - oy) * iy, (sy - oy) * iy
    az, bz = (-sz - oz) * iz, (sz - oz) * iz
    enter, entry = ax, (0 if sx > 0 else 1)
    if ay > enter:
        enter, entry = ay, (2 if sy > 0 else 3)
    if az > enter:
        enter, entry = az, (4 if sz > 0 else 5)
    leave, exit_ = bx, (1 if sx > 0 else 0)
    if by < leave:
        leave, exit_ = by, (3 if sy > 0 else 2)
    if bz < leave:
        leave, exit_ = bz, (5 if sz > 0 else 4)
    return enter, entry, leave, exit_


@njit(**LEAN)
def _quadratic(a, b, c):  # type: ignore[no-untyped-def]
    """Roots of a t^2 + 2 b t + c, the smaller one first; both INFINITY if there are none."""
    if abs(a) < _TINY:
        if abs(b) < _TINY:
            return INFINITY, INFINITY
        return -0.5 * c / b, INFINITY
    root = b * b - a * c
    if root <= 0.0:
        return INFINITY, INFINITY
    root = math.sqrt(root)
    # The form that does not subtract nearly equal numbers.
    q = -(b + root) if b > 0 else root - b
    first, second = q / a, (c / q if q != 0.0 else 0.0)
    return (first, second) if first < second else (second, first)


@njit(**LEAN)
def _cap(y, ox, oy, oz, dx, dy, dz, inner, outer, near):  # type: ignore[no-untyped-def]
    """Where the ray meets the flat ring between two radii at height y, or INFINITY."""
    if abs(dy) < _TINY:
        return INFINITY
    t = (y - oy) / dy
    if t <= near:
        return INFINITY
    x, z = ox + t * dx, oz + t * dz
    square = x * x + z * z
    return t if inner * inner <= square <= outer * outer else INFINITY


@njit(**LEAN)
def _frustum(k, ox, oy, oz, dx, dy, dz, near):  # type: ignore[no-untyped-def]
    """Radius 1 at y = 1, k at y = -1. The side is face 8, the lids 2 (top) and 3 (bottom)."""
    mean, slope = 0.5 * (1.0 + k), 0.5 * (1.0 - k)
    radius, change = mean + slope * oy, slope * dy
    a = dx * dx + dz * dz - change * change
    b = ox * dx + oz * dz - radius * change
    c = ox * ox + oz * oz - radius * radius
    best, face = INFINITY, -1
    for t in _quadratic(a, b, c):
        if near < t < best and abs(oy + t * dy) <= 1.0:
            best, face = t, CURVED
    t = _cap(1.0, ox, oy, oz, dx, dy, dz, 0.0, 1.0, near)
    if t < best:
        best, face = t, 3
    if k > 0.0:
        t = _cap(-1.0, ox, oy, oz, dx, dy, dz, 0.0, k, near)
        if t < best:
            best, face = t, 2
    return best, face


@njit(**LEAN)
def _ring(k, ox, oy, oz, dx, dy, dz, near):  # type: ignore[no-untyped-def]
    """Between the radii k and 1, |y| <= 1. Faces: 8 outside, 9 inside, 2 and 3 the rims."""
    a, b, square = dx * dx + dz * dz, ox * dx + oz * dz, ox * ox + oz * oz
    best, face = INFINITY, -1
    outer, _ = _quadratic(a, b, square - 1.0)
    if near < outer and abs(oy + outer * dy) <= 1.0:
        best, face = outer, CURVED
    _, inner = _quadratic(a, b, square - k * k)
    if near < inner < best and abs(oy + inner * dy) <= 1.0:
        best, face = inner, CURVED + 1
    for y, number in ((1.0, 3), (-1.0, 2)):
        t = _cap(y, ox, oy, oz, dx, dy, dz, k, 1.0, near)
        if t < best:
            best, face = t, number
    return best, face


@njit(**LEAN)
def _capsule(k, ox, oy, oz, dx, dy, dz, near):  # type: ignore[no-untyped-def]
    """Radius 1 around the segment from y = -k to y = k."""
    a, b = dx * dx + dz * dz, ox * dx + oz * dz
    t, _ = _quadratic(a, b, ox * ox + oz * oz - 1.0)
    if near < t < INFINITY and abs(oy + t * dy) <= k:
        return t, CURVED
    best = INFINITY
    a = a + dy * dy
    for end in (-k, k):
        y = oy - end
        t, _ = _quadratic(a, b + y * dy, ox * ox + y * y + oz * oz - 1.0)
        if near < t < best:
            best = t
    return best, (CURVED if best < INFINITY else -1)


@njit(**LEAN)
def _prism(k, ox, oy, oz, dx, dy, dz, near):  # type: ignore[no-untyped-def]
    """Faces: 0 the left slope, 1 the right one, 3 the base, 4 and 5 the gables."""
    enter, leave, face = -INFINITY, INFINITY, -1
    for number in (0, 1, 3, 4, 5):
        # Outward normal n and the offset of the plane n . p = d.
        nx, ny, nz, d = 0.0, 0.0, 0.0, 1.0
        if number == 0:
            nx, ny, d = -2.0, -(k + 1.0), 1.0 - k
        elif number == 1:
            nx, ny, d = 2.0, k - 1.0, 1.0 + k
        elif number == 3:
            ny = 1.0
        else:
            nz = -1.0 if number == 4 else 1.0
        speed = nx * dx + ny * dy + nz * dz
        gap = d - (nx * ox + ny * oy + nz * oz)
        if abs(speed) < _TINY:
            if gap < 0.0:
                return INFINITY, -1
        elif speed < 0.0:
            if gap / speed > enter:
                enter, face = gap / speed, number
        else:
            leave = min(leave, gap / speed)
    return (enter, face) if near < enter < leave else (INFINITY, -1)


@njit(**LEAN)
def hit_unit(shape, k, ox, oy, oz, dx, dy, dz, near, back):  # type: ignore[no-untyped-def]
    """(t, face) of the first hit beyond `near`, or (INFINITY, -1).

    With `back` the far side of boxes, ellipsoids and frusta is returned instead: what holes in the front let one see.
    """
    if shape == BOX or shape == ROOM:
        enter, entry, leave, exit_ = _slabs(ox, oy, oz, dx, dy, dz)
        if enter < leave:
            if shape == ROOM or back:
                return (leave, exit_) if leave > near else (INFINITY, -1)
            if enter > near:
                return enter, entry
        return INFINITY, -1
    if shape == ELLIPSOID:
        a, b, c = dx * dx + dy * dy + dz * dz, ox * dx + oy * dy + oz * dz, ox * ox + oy * oy + oz * oz - 1.0
        first, second = _quadratic(a, b, c)
        t = second if back else first
        return (t, CURVED) if near < t < INFINITY else (INFINITY, -1)
    if shape == FRUSTUM:
        t, face = _frustum(k, ox, oy, oz, dx, dy, dz, near)
        if back and t < INFINITY:
            return _frustum(k, ox, oy, oz, dx, dy, dz, t + 1e-6)
        return t, face
    if back:
        return INFINITY, -1
    if shape == RING:
        return _ring(k, ox, oy, oz, dx, dy, dz, near)
    if shape == CAPSULE:
        return _capsule(k, ox, oy, oz, dx, dy, dz, near)
    if shape == PRISM:
        return _prism(k, ox, oy, oz, dx, dy, dz, near)
    if abs(dz) < _TINY:
        return INFINITY, -1
    t = -oz / dz
    x, y = ox + t * dx, oy + t * dy
    inside = (x * x + y * y <= 1.0) if shape == DISC else (abs(x) <= 1.0 and abs(y) <= 1.0)
    return (t, 4) if inside and t > near else (INFINITY, -1)


@njit(**LEAN)
def unit_normal(shape, face, k, x, y, z):  # type: ignore[no-untyped-def]
    """Outward normal in the unit frame at the hit point, of any length."""
    if shape == PRISM:
        if face == 0:
            return -2.0, -(k + 1.0), 0.0
        if face == 1:
            return 2.0, k - 1.0, 0.0
    if face < CURVED:
        sign = 1.0 if face % 2 == 1 else -1.0
        return (sign if face < 2 else 0.0), (sign if 2 <= face < 4 else 0.0), (sign if face >= 4 else 0.0)
    if shape == FRUSTUM:
        slope = 0.5 * (1.0 - k)
        return x, -slope * (0.5 * (1.0 + k) + slope * y), z
    if shape == RING:
        return (-x, 0.0, -z) if face == CURVED + 1 else (x, 0.0, z)
    if shape == CAPSULE:
        return x, y - min(max(y, -k), k), z
    return x, y, z
