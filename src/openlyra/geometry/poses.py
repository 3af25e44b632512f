"""Rigid transforms and rotations, batched over any leading shape, for NumPy and torch alike.

Rotations are (..., 3, 3) matrices, rigid transforms (..., 4, 4) matrices, quaternions (..., 4) in the order w x y z.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.arrays import Array, as_float, concatenate, like, namespace, norm, normalised, stack, transpose

_SMALL = 1e-4
"""Below this angle (radians) Taylor series replace quotients that tend to 0/0."""


def rigid(rotation: Array, translation: Array) -> Array:
    """(..., 4, 4) from a rotation (..., 3, 3) and a translation (..., 3)."""
    rotation, translation = as_float(rotation), as_float(translation)
    xp = namespace(rotation, translation)
    rotation, translation = (
        like(part, rotation if xp is namespace(rotation) else translation) for part in (rotation, translation)
    )
    batch = np.broadcast_shapes(tuple(rotation.shape[:-2]), tuple(translation.shape[:-1]))
    result = like(np.tile(np.eye(4), (*batch, 1, 1)), rotation)
    result[..., :3, :3] = rotation
    result[..., :3, 3] = translation
    return result


def invert(transform: Array) -> Array:
    """The inverse of rigid transforms (..., 4, 4)."""
    rotation = transpose(transform[..., :3, :3])
    translation = -(rotation @ transform[..., :3, 3:])
    return concatenate([concatenate([rotation, translation], -1), transform[..., 3:, :]], -2)


def compose(*transforms: Array) -> Array:
    """The product of transforms, read as a chain: compose(a_from_b, b_from_c) is a_from_c."""
    result = transforms[0]
    for transform in transforms[1:]:
        result = result @ transform
    return result


def transform_points(transform: Array, points: Array) -> Array:
    """Points (..., N, 3) moved by transforms (..., 4, 4)."""
    return points @ transpose(transform[..., :3, :3]) + transform[..., None, :3, 3]


def skew(vector: Array) -> Array:
    """(..., 3, 3) matrices with skew(a) @ b = a x b."""
    x, y, z = (vector[..., i] for i in range(3))
    zero = x * 0.0
    return stack([stack([zero, -z, y]), stack([z, zero, -x]), stack([-y, x, zero])], -2)


def so3_exp(rotation_vector: Array) -> Array:
    """Rotations (..., 3, 3) by the length of the vectors (..., 3), in radians, about their direction."""
    vector = as_float(rotation_vector)
    first, second, _ = _exponential_coefficients(vector)
    k = skew(vector)
    return like(np.eye(3), vector) + first * k + second * (k @ k)


def so3_log(rotation: Array) -> Array:
    """Rotation vectors (..., 3) of length at most pi; the inverse of `so3_exp`."""
    quaternion = quaternion_from_matrix(rotation)
    xp = namespace(quaternion)
    w, vector = quaternion[..., :1], quaternion[..., 1:]
    sine = norm(vector, keepdims=True)
    angle = 2.0 * xp.arctan2(sine, w)
    small = sine < _SMALL
    factor = xp.where(small, 2.0 / w * (1.0 - (sine / w) ** 2 / 3.0), angle / xp.where(small, xp.ones_like(sine), sine))
    return vector * factor


def se3_exp(twist: Array) -> Array:
    """Rigid transforms (..., 4, 4) of twists (..., 6): translational part first, rotation vector last."""
    twist = as_float(twist)
    velocity, vector = twist[..., :3], twist[..., 3:]
    _, second, third = _exponential_coefficients(vector)
    k = skew(vector)
    left = like(np.eye(3), vector) + second * k + third * (k @ k)
    return rigid(so3_exp(vector), (left @ velocity[..., None])[..., 0])


def se3_log(transform: Array) -> Array:
    """Twists (..., 6) of rigid transforms; the inverse of `se3_exp`."""
    transform = as_float(transform)
    vector = so3_log(transform[..., :3, :3])
    xp = namespace(vector)
    angle = norm(vector)[..., None, None]
    small = angle < _SMALL
    safe = xp.where(small, xp.ones_like(angle), angle)
    half = safe / 2.0
    factor = xp.where(small, xp.full_like(angle, 1.0 / 12.0), (1.0 - half * xp.cos(half) / xp.sin(half)) / safe**2)
    k = skew(vector)
    inverse_left = like(np.eye(3), vector) - 0.5 * k + factor * (k @ k)
    velocity = (inverse_left @ transform[..., :3, 3:])[..., 0]
    return concatenate([velocity, vector])


def _exponential_coefficients(vector: Array) -> tuple[Array, Array, Array]:
    """sin(a)/a, (1 - cos(a))/a^2 and (a - sin(a))/a^3 for the lengths a, each (..., 1, 1); smooth at 0 for autograd."""
    xp = namespace(vector)
    square = (vector * vector).sum(-1)[..., None, None]
    small = square < _SMALL**2
    # The root is taken behind the choice: its slope at 0 is infinite, and would make gradients of both branches NaN.
    safe = xp.where(small, xp.ones_like(square), square) ** 0.5
    first = xp.where(small, 1.0 - square / 6.0, xp.sin(safe) / safe)
    second = xp.where(small, 0.5 - square / 24.0, 2.0 * (xp.sin(safe / 2.0) / safe) ** 2)
    third = xp.where(small, 1.0 / 6.0 - square / 120.0, (safe - xp.sin(safe)) / safe**3)
    return first, second, third


def quaternion_from_matrix(rotation: Array) -> Array:
    """Unit quaternions (..., 4), w x y z with w >= 0, of rotations (..., 3, 3)."""
    r = as_float(rotation)
    xp = namespace(r)
    m00, m11, m22 = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    a, b, c = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    d, e, f = r[..., 1, 0] + r[..., 0, 1], r[..., 0, 2] + r[..., 2, 0], r[..., 2, 1] + r[..., 1, 2]
    # Each row is 4 q_i q for one component q_i; the row of the largest component is the well-conditioned one.
    rows = stack(
        [
            stack([1 + m00 + m11 + m22, a, b, c]),
            stack([a, 1 + m00 - m11 - m22, d, e]),
            stack([b, d, 1 - m00 + m11 - m22, f]),
            stack([c, e, f, 1 - m00 - m11 + m22]),
        ],
        -2,
    )
    diagonal = stack([rows[..., i, i] for i in range(4)])
    best = diagonal.argmax(-1)[..., None, None]
    picked = (
        xp.take_along_dim(rows, best, -2)[..., 0, :] if xp is not np else np.take_along_axis(rows, best, -2)[..., 0, :]
    )
    quaternion = normalised(picked)
    return xp.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def matrix_from_quaternion(quaternion: Array) -> Array:
    """Rotations (..., 3, 3) of quaternions (..., 4), w x y z, of any length but zero."""
    w, x, y, z = (normalised(as_float(quaternion))[..., i] for i in range(4))
    return stack(
        [
            stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]),
            stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]),
            stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]),
        ],
        -2,
    )


def slerp(start: Array, end: Array, fraction: Array | float) -> Array:
    """Quaternions (..., 4) on the shorter arc from `start` to `end`; `fraction` has the batch shape or is a number."""
    start, end = normalised(as_float(start)), normalised(as_float(end))
    xp = namespace(start, end)
    fraction = like(fraction, start)[..., None]
    cosine = (start * end).sum(-1)[..., None]
    end = xp.where(cosine < 0, -end, end)
    # atan2 of the chord lengths keeps full accuracy at both tiny and nearly opposite angles.
    angle = 2.0 * xp.arctan2(norm(end - start, keepdims=True), norm(end + start, keepdims=True))
    small = angle < _SMALL
    sine = xp.sin(xp.where(small, xp.ones_like(angle), angle))
    weight_start = xp.where(small, 1.0 - fraction, xp.sin((1.0 - fraction) * angle) / sine)
    weight_end = xp.where(small, fraction + 0.0 * angle, xp.sin(fraction * angle) / sine)
    return normalised(weight_start * start + weight_end * end)


def angle_between(rotation: Array, other: Array) -> Array:
    """Angles (...) in radians, 0 to pi, of the rotations that take one to the other."""
    return norm(so3_log(transpose(as_float(rotation)) @ as_float(other)))


def look_at(position: Array, target: Array, down: Sequence[float] | Array = (0.0, 1.0, 0.0)) -> Array:
    """world_from_camera (..., 4, 4) of a camera at `position` (..., 3) that sees `target` (..., 3) in its middle.

    `down` is the world direction that should point down in the image; it must not be parallel to the line of sight.
    """
    position = as_float(position)
    xp = namespace(position)
    target, down = like(target, position), like(down, position)
    line = target - position
    right = _cross(down + xp.zeros_like(line), line)
    if bool((norm(line) == 0).any()):
        raise InputError("look_at: the position and the target are the same point")
    if bool((norm(right) <= 1e-9 * norm(line) * norm(down)).any()):
        raise InputError("look_at: the line of sight is parallel to the down direction; choose another one")
    forward, right = normalised(line), normalised(right)
    return rigid(stack([right, _cross(forward, right), forward]), position + xp.zeros_like(line))


def _cross(a: Array, b: Array) -> Array:
    return (skew(a) @ b[..., None])[..., 0]
