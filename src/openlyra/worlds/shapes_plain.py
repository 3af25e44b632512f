"""The slow twin of `shapes`: where rays meet a primitive, written with NumPy and other formulas."""

from __future__ import annotations

import numpy as np

from openlyra.worlds.builder import axes_of
from openlyra.worlds.types import Primitive

_EDGE = 1e-9


def hit_plain(primitive: Primitive, origins: np.ndarray, directions: np.ndarray, near: float = 1e-6) -> np.ndarray:
    """Distances (N,) along unit directions (N, 3) to a primitive without holes; inf where it is missed.

    Convex solids are hit where a ray from outside enters them; every candidate is checked against the solid itself.
    """
    axes = axes_of(primitive)
    o = (np.asarray(origins, np.float64) - primitive.position) @ axes
    d = np.asarray(directions, np.float64) @ axes
    half = np.array(primitive.half)
    candidates = _candidates(primitive, o, d, half)
    best = np.full(len(o), np.inf)
    for t in candidates:
        with np.errstate(invalid="ignore"):
            points = o + t[:, None] * d
            ahead = np.isfinite(t) & (t > near)
            good = ahead & _touches(primitive, points, half) & _enters(primitive, o, d, t, half)
        best = np.where(good & (t < best), t, best)
    return best


def _roots(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> list[np.ndarray]:
    """Both solutions of a t^2 + b t + c = 0; NaN where there are none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(b * b - 4 * a * c)
        return [(-b - root) / (2 * a), (-b + root) / (2 * a)]


def _planes(o: np.ndarray, d: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((offset - o @ normal) / (d @ normal))


def _candidates(p: Primitive, o: np.ndarray, d: np.ndarray, half: np.ndarray) -> list[np.ndarray]:
    """All parameters at which the ray meets one of the surfaces that bound the shape, extended endlessly."""
    a, b, c = half
    _, y, z = np.eye(3)
    lids = [_planes(o, d, y, b), _planes(o, d, y, -b)]
    if p.shape in ("box", "room"):
        return [_planes(o, d, axis, sign * size) for axis, size in zip(np.eye(3), half) for sign in (-1, 1)]
    if p.shape == "ellipsoid":
        oo, dd = o / half, d / half
        return _roots((dd**2).sum(1), 2 * (oo * dd).sum(1), (oo**2).sum(1) - 1)
    if p.shape in ("frustum", "ring"):
        out = lids
        ratios = [(1.0, p.detail)] if p.shape == "frustum" else [(1.0, 1.0), (p.detail, p.detail)]
        for bottom, top in ratios:
            # Radius (of the round cross-section with a = 1) as a line in y: r = m + s y.
            m, s = (bottom + top) / 2, (bottom - top) / (2 * b)
            ox, oz, dx, dz = o[:, 0] / a, o[:, 2] / c, d[:, 0] / a, d[:, 2] / c
            r, dr = m + s * o[:, 1], s * d[:, 1]
            out = out + _roots(dx**2 + dz**2 - dr**2, 2 * (ox * dx + oz * dz - r * dr), ox**2 + oz**2 - r**2)
        return out
    if p.shape == "capsule":
        out = _roots(d[:, 0] ** 2 + d[:, 2] ** 2, 2 * (o[:, 0] * d[:, 0] + o[:, 2] * d[:, 2]),
                     o[:, 0] ** 2 + o[:, 2] ** 2 - a**2)  # fmt: skip
        for end in (-(b - a), b - a):
            q = o - [0, end, 0]
            out = out + _roots((d**2).sum(1), 2 * (q * d).sum(1), (q**2).sum(1) - a**2)
        return out
    if p.shape == "prism":
        sides = [_planes(o, d, *_slope(p, half, sign)) for sign in (-1, 1)]
        return [*sides, lids[0], _planes(o, d, z, c), _planes(o, d, z, -c)]
    return [_planes(o, d, z, 0.0)]


def _slope(p: Primitive, half: np.ndarray, sign: int) -> tuple[np.ndarray, float]:
    """Outward normal and offset of a roof's left (-1) or right (1) side."""
    foot, ridge = np.array([sign * half[0], half[1]]), np.array([p.detail * half[0], -half[1]])
    along = ridge - foot
    normal = np.array([-along[1], along[0], 0.0]) * sign
    normal /= np.linalg.norm(normal)
    return normal, float(normal[:2] @ foot)


def _value(p: Primitive, q: np.ndarray, half: np.ndarray) -> np.ndarray:
    """A number a point (N, 3): below 0 inside the shape, above 0 outside, 0 on its surface."""
    a, b, c = half
    level = np.abs(q[:, 1]) / b - 1
    if p.shape in ("box", "room"):
        return np.asarray((np.abs(q) / half).max(1) - 1)
    if p.shape == "ellipsoid":
        return np.asarray(np.sqrt(((q / half) ** 2).sum(1)) - 1)
    if p.shape in ("frustum", "ring"):
        radius = np.hypot(q[:, 0] / a, q[:, 2] / c)
        if p.shape == "ring":
            return np.asarray(np.maximum.reduce([radius - 1, p.detail - radius, level]))
        return np.asarray(np.maximum(radius - ((1 + p.detail) / 2 + (1 - p.detail) / 2 * q[:, 1] / b), level))
    if p.shape == "capsule":
        nearest = np.clip(q[:, 1], -(b - a), b - a)
        return np.asarray(np.sqrt(q[:, 0] ** 2 + (q[:, 1] - nearest) ** 2 + q[:, 2] ** 2) / a - 1)
    if p.shape == "prism":
        sides = [q @ normal - offset for normal, offset in (_slope(p, half, sign) for sign in (-1, 1))]
        return np.asarray(np.maximum.reduce([*sides, q[:, 1] - b, np.abs(q[:, 2]) - c]))
    flat = np.abs(q[:, :2]) / half[:2]
    return np.asarray(flat.max(1) - 1 if p.shape == "quad" else np.hypot(flat[:, 0], flat[:, 1]) - 1)


def _touches(p: Primitive, points: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Whether candidate points belong to the surface."""
    value = _value(p, points, half)
    if p.shape in ("quad", "disc"):
        return np.asarray(value <= _EDGE)
    return np.asarray(np.abs(value) <= 1e-6)


def _enters(p: Primitive, o: np.ndarray, d: np.ndarray, t: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Whether a ray gets from outside to inside there; rooms are seen where it leaves them."""
    if p.shape in ("quad", "disc"):
        return np.ones(len(t), bool)
    step = 1e-6 * max(half)
    before = _value(p, o + (t - step)[:, None] * d, half)
    after = _value(p, o + (t + step)[:, None] * d, half)
    return np.asarray(before < after if p.shape == "room" else before > after)
