"""From Gaussians to splats: project, colour and bound every Gaussian for one camera (numba).

The kernels are without annotations because numba infers types: every number in them is float32.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from openlyra.gaussians import splat_rules
from openlyra.gaussians.spherical_harmonics import C0, C1, C2, C3
from openlyra.gaussians.tiles_layout import (
    BLUE,
    CONIC_A,
    CONIC_B,
    CONIC_C,
    DEPTH,
    EXTENT_X,
    EXTENT_Y,
    GREEN,
    HALF,
    MEAN_X,
    MEAN_Y,
    ONE,
    OPACITY,
    RED,
    STRICT,
    TILE,
    TWO,
    ZERO,
    f4,
)
from openlyra.geometry.camera import Camera

_NEAR, _BLUR, _MARGIN = f4(splat_rules.NEAR), f4(splat_rules.BLUR), f4(splat_rules.TANGENT_MARGIN)
_INVERSE_ALPHA_MIN = f4(1 / splat_rules.ALPHA_MIN)
_INVERSE_TILE = f4(1 / TILE)
_HUGE = f4(1e30)
_THREE, _FOUR = f4(3), f4(4)
_K0, _K1 = f4(C0), f4(C1)
_K20, _K21, _K22 = f4(C2[0]), f4(C2[1]), f4(C2[2])
_K30, _K31, _K32, _K33, _K34 = f4(C3[0]), f4(C3[1]), f4(C3[2]), f4(C3[3]), f4(C3[4])


def pack_camera(camera: Camera) -> np.ndarray:
    """(21,) float32: rotation of camera_from_world row by row, translation, fx fy cx cy, centre, width and height."""
    camera_from_world = np.asarray(camera.camera_from_world, dtype=np.float64)
    k = np.asarray(camera.intrinsics, dtype=np.float64)
    rotation, translation = camera_from_world[:3, :3].ravel(), camera_from_world[:3, 3]
    pinhole = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])
    size = np.array([camera.width, camera.height], dtype=np.float64)
    return np.concatenate([rotation, translation, pinhole, np.asarray(camera.center), size]).astype(np.float32)


@njit(**STRICT)
def own_axes(quaternions, scales, i):  # type: ignore[no-untyped-def]
    """Rotation times scale, row by row: its columns are the Gaussian's axes in the world, a standard deviation long."""
    w, x, y, z = quaternions[i, 0], quaternions[i, 1], quaternions[i, 2], quaternions[i, 3]
    n = ONE / math.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w * n, x * n, y * n, z * n
    s0, s1, s2 = scales[i, 0], scales[i, 1], scales[i, 2]
    m00, m01, m02 = (ONE - TWO * (y * y + z * z)) * s0, TWO * (x * y - w * z) * s1, TWO * (x * z + w * y) * s2
    m10, m11, m12 = TWO * (x * y + w * z) * s0, (ONE - TWO * (x * x + z * z)) * s1, TWO * (y * z - w * x) * s2
    m20, m21, m22 = TWO * (x * z - w * y) * s0, TWO * (y * z + w * x) * s1, (ONE - TWO * (x * x + y * y)) * s2
    return m00, m01, m02, m10, m11, m12, m20, m21, m22


@njit(**STRICT)
def _direction_dependent(sh, i, channel, degree, x, y, z):  # type: ignore[no-untyped-def]
    """The part of a colour channel above degree 0, seen along the unit direction (x, y, z)."""
    value = -_K1 * y * sh[i, 1, channel] + _K1 * z * sh[i, 2, channel] - _K1 * x * sh[i, 3, channel]
    if degree == 1:
        return value
    xx, yy, zz = x * x, y * y, z * z
    value += _K20 * x * y * sh[i, 4, channel] - _K20 * y * z * sh[i, 5, channel]
    value += _K21 * (TWO * zz - xx - yy) * sh[i, 6, channel] - _K20 * x * z * sh[i, 7, channel]
    value += _K22 * (xx - yy) * sh[i, 8, channel]
    if degree == 2:
        return value
    value += -_K30 * y * (_THREE * xx - yy) * sh[i, 9, channel] + _K31 * x * y * z * sh[i, 10, channel]
    value += -_K32 * y * (_FOUR * zz - xx - yy) * sh[i, 11, channel]
    value += _K33 * z * (TWO * zz - _THREE * xx - _THREE * yy) * sh[i, 12, channel]
    value += -_K32 * x * (_FOUR * zz - xx - yy) * sh[i, 13, channel] + _K34 * z * (xx - yy) * sh[i, 14, channel]
    return value - _K30 * x * (xx - _THREE * yy) * sh[i, 15, channel]


@njit(**STRICT)
def _color(sh, i, degree, x, y, z):  # type: ignore[no-untyped-def]
    """Red, green and blue of Gaussian i, whose centre is (x, y, z) away from the camera; not clamped."""
    red, green, blue = HALF + _K0 * sh[i, 0, 0], HALF + _K0 * sh[i, 0, 1], HALF + _K0 * sh[i, 0, 2]
    if degree > 0:
        n = ONE / math.sqrt(x * x + y * y + z * z)
        x, y, z = x * n, y * n, z * n
        red += _direction_dependent(sh, i, 0, degree, x, y, z)
        green += _direction_dependent(sh, i, 1, degree, x, y, z)
        blue += _direction_dependent(sh, i, 2, degree, x, y, z)
    return red, green, blue


@njit(parallel=True, **STRICT)
def project(means, quaternions, scales, opacities, sh, degree, camera, records, tiles):  # type: ignore[no-untyped-def]
    """Fill records (N, 16) float32 and tiles (N, 4) int16: first and past-last tile column, then row; 0 if not visible.

    Splats end where alpha falls below 1/255, so faint ones are small. Comparisons are written so that NaN fails them.
    """
    r00, r01, r02, r10, r11, r12 = camera[0], camera[1], camera[2], camera[3], camera[4], camera[5]
    r20, r21, r22, t0, t1, t2 = camera[6], camera[7], camera[8], camera[9], camera[10], camera[11]
    fx, fy, cx, cy, eye_x, eye_y = camera[12], camera[13], camera[14], camera[15], camera[16], camera[17]
    eye_z, width, height = camera[18], camera[19], camera[20]
    columns, rows = math.ceil(width * _INVERSE_TILE), math.ceil(height * _INVERSE_TILE)
    left, right = -(cx + _MARGIN * width) / fx, (width - cx + _MARGIN * width) / fx
    top, bottom = -(cy + _MARGIN * height) / fy, (height - cy + _MARGIN * height) / fy
    for i in prange(means.shape[0]):
        tiles[i, 0] = tiles[i, 1] = tiles[i, 2] = tiles[i, 3] = 0
        px, py, pz = means[i, 0], means[i, 1], means[i, 2]
        x = r00 * px + r01 * py + r02 * pz + t0
        y = r10 * px + r11 * py + r12 * pz + t1
        z = r20 * px + r21 * py + r22 * pz + t2
        opacity = opacities[i]
        if not (z > _NEAR and z < _HUGE and opacity * _INVERSE_ALPHA_MIN > ONE and opacity < _HUGE):
            continue
        opacity = min(opacity, ONE)
        iz = ONE / z
        u, v = x * iz, y * iz

        # Two rows of the projection's Jacobian, turned into world axes (a, b), then into the Gaussian's own (p, q).
        j0, j1 = fx * iz, -fx * min(max(u, left), right) * iz
        k0, k1 = fy * iz, -fy * min(max(v, top), bottom) * iz
        a0, a1, a2 = j0 * r00 + j1 * r20, j0 * r01 + j1 * r21, j0 * r02 + j1 * r22
        b0, b1, b2 = k0 * r10 + k1 * r20, k0 * r11 + k1 * r21, k0 * r12 + k1 * r22
        m00, m01, m02, m10, m11, m12, m20, m21, m22 = own_axes(quaternions, scales, i)
        p0, p1, p2 = a0 * m00 + a1 * m10 + a2 * m20, a0 * m01 + a1 * m11 + a2 * m21, a0 * m02 + a1 * m12 + a2 * m22
        q0, q1, q2 = b0 * m00 + b1 * m10 + b2 * m20, b0 * m01 + b1 * m11 + b2 * m21, b0 * m02 + b1 * m12 + b2 * m22
        pp, qq = p0 * p0 + p1 * p1 + p2 * p2, q0 * q0 + q1 * q1 + q2 * q2
        cov_a, cov_b, cov_c = pp + _BLUR, p0 * q0 + p1 * q1 + p2 * q2, qq + _BLUR
        # pp * qq - cov_b**2 as a squared cross product: a difference of large numbers would ruin long thin splats.
        n0, n1, n2 = p1 * q2 - p2 * q1, p2 * q0 - p0 * q2, p0 * q1 - p1 * q0
        det = n0 * n0 + n1 * n1 + n2 * n2 + _BLUR * (pp + qq) + _BLUR * _BLUR

        mx, my = fx * u + cx, fy * v + cy
        reach = TWO * math.log(opacity * _INVERSE_ALPHA_MIN)
        ex, ey = math.sqrt(reach * cov_a), math.sqrt(reach * cov_c)
        red, green, blue = _color(sh, i, degree, px - eye_x, py - eye_y, pz - eye_z)
        if not (det < _HUGE and abs(red) + abs(green) + abs(blue) < _HUGE):
            continue
        if not (mx + ex > ZERO and mx - ex < width and my + ey > ZERO and my - ey < height):
            continue
        inverse = ONE / det
        records[i, MEAN_X], records[i, MEAN_Y], records[i, DEPTH] = mx, my, z
        records[i, CONIC_A], records[i, CONIC_B] = cov_c * inverse, -cov_b * inverse
        records[i, CONIC_C] = cov_a * inverse
        records[i, OPACITY], records[i, EXTENT_X], records[i, EXTENT_Y] = opacity, ex, ey
        records[i, RED], records[i, GREEN], records[i, BLUE] = max(red, ZERO), max(green, ZERO), max(blue, ZERO)
        # Tiles with a pixel centre within reach; clamped as floats, since far bounds overflow integers.
        first_column = math.floor(max(mx - ex - HALF, ZERO) * _INVERSE_TILE)
        first_row = math.floor(max(my - ey - HALF, ZERO) * _INVERSE_TILE)
        past_column = min(math.floor(min(mx + ex - HALF, width) * _INVERSE_TILE) + 1, columns)
        past_row = min(math.floor(min(my + ey - HALF, height) * _INVERSE_TILE) + 1, rows)
        if past_column > first_column and past_row > first_row:
            tiles[i, 0], tiles[i, 1], tiles[i, 2], tiles[i, 3] = first_column, past_column, first_row, past_row
