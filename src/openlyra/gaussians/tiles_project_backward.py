"""The gradient of `tiles_project.project` (numba): from splats back to Gaussians and to the camera's pose."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from openlyra.gaussians.tiles_color_backward import color_backward
from openlyra.gaussians.tiles_layout import (
    BLUE,
    CONIC_A,
    CONIC_B,
    CONIC_C,
    GREEN,
    HALF,
    ONE,
    RED,
    STRICT,
    TWO,
    ZERO,
    prefetch_record,
)
from openlyra.gaussians.tiles_project import _MARGIN, own_axes

POSE = 15
"""d loss / d rotation (9, row by row), translation (3) of camera_from_world, and camera centre (3)."""
_AHEAD = 16
"""How many intersections ahead gradient rows are fetched: neighbours in the scene lie far apart in the tile lists."""
CHUNK = 2048
"""Gaussians whose pose gradients are added up together: fixed, so that the sum does not depend on the threads."""


@njit(**STRICT)
def _gather(gradients, positions, start, end):  # type: ignore[no-untyped-def]
    """The ten sums over a Gaussian's intersections."""
    mx, my, a, b, c = ZERO, ZERO, ZERO, ZERO, ZERO
    opacity, red, green, blue, z = ZERO, ZERO, ZERO, ZERO, ZERO
    last = positions.shape[0] - 1
    for k in range(start, end):
        prefetch_record(gradients, positions[min(k + _AHEAD, last)])
        at = positions[k]
        mx, my = mx + gradients[at, 0], my + gradients[at, 1]
        a, b, c = a + gradients[at, 2], b + gradients[at, 3], c + gradients[at, 4]
        opacity += gradients[at, 5]
        red, green, blue = red + gradients[at, 6], green + gradients[at, 7], blue + gradients[at, 8]
        z += gradients[at, 9]
    return mx, my, a, b, c, opacity, red, green, blue, z


@njit(**STRICT)
def _covariance_backward(records, i, a, b, c):  # type: ignore[no-untyped-def]
    """Gradient by the entries (xx, xy, yy) of the 2x2 covariance: -Q G Q with the conic Q and its gradient G."""
    qa, qb, qc, half_b = records[i, CONIC_A], records[i, CONIC_B], records[i, CONIC_C], HALF * b
    p00, p01 = a * qa + half_b * qb, a * qb + half_b * qc
    p10, p11 = half_b * qa + c * qb, half_b * qb + c * qc
    return -(qa * p00 + qb * p10), -(qa * p01 + qb * p11), -(qb * p01 + qc * p11)


@njit(**STRICT)
def _axes_backward(quaternions, scales, i, n00, n01, n02, n10, n11, n12, n20, n21, n22, v_quaternions, v_scales):  # type: ignore[no-untyped-def]
    """From the gradient n by rotation times scale to quaternion and scales."""
    w, x, y, z = quaternions[i, 0], quaternions[i, 1], quaternions[i, 2], quaternions[i, 3]
    n = ONE / math.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w * n, x * n, y * n, z * n
    v_scales[i, 0] = n00 * (ONE - TWO * (y * y + z * z)) + TWO * (n10 * (x * y + w * z) + n20 * (x * z - w * y))
    v_scales[i, 1] = n11 * (ONE - TWO * (x * x + z * z)) + TWO * (n01 * (x * y - w * z) + n21 * (y * z + w * x))
    v_scales[i, 2] = n22 * (ONE - TWO * (x * x + y * y)) + TWO * (n02 * (x * z + w * y) + n12 * (y * z - w * x))
    s0, s1, s2 = scales[i, 0], scales[i, 1], scales[i, 2]
    n00, n01, n02, n10, n11, n12 = n00 * s0, n01 * s1, n02 * s2, n10 * s0, n11 * s1, n12 * s2
    n20, n21, n22 = n20 * s0, n21 * s1, n22 * s2
    v_w = TWO * (x * (n21 - n12) + y * (n02 - n20) + z * (n10 - n01))
    v_x = TWO * (y * (n10 + n01) + z * (n20 + n02) + w * (n21 - n12) - TWO * x * (n11 + n22))
    v_y = TWO * (x * (n10 + n01) + z * (n21 + n12) + w * (n02 - n20) - TWO * y * (n00 + n22))
    v_z = TWO * (x * (n20 + n02) + y * (n21 + n12) + w * (n10 - n01) - TWO * z * (n00 + n11))
    along = v_w * w + v_x * x + v_y * y + v_z * z
    v_quaternions[i, 0], v_quaternions[i, 1] = (v_w - along * w) * n, (v_x - along * x) * n
    v_quaternions[i, 2], v_quaternions[i, 3] = (v_y - along * y) * n, (v_z - along * z) * n


@njit(**STRICT)
def _clear(i, v_means, v_quaternions, v_scales, v_opacities, v_sh):  # type: ignore[no-untyped-def]
    v_opacities[i] = ZERO
    for axis in range(3):
        v_means[i, axis] = v_scales[i, axis] = ZERO
        for k in range(v_sh.shape[1]):
            v_sh[i, k, axis] = ZERO
    for part in range(4):
        v_quaternions[i, part] = ZERO


@njit(parallel=True, **STRICT)
def project_backward(  # type: ignore[no-untyped-def]
    means, quaternions, scales, sh, degree, camera, records, splat_starts, positions, gradients,
    v_means, v_quaternions, v_scales, v_opacities, v_sh, pose_sums,
):  # fmt: skip
    """Fill the gradients (v_..., shaped like their inputs) and pose_sums (chunks, POSE) float64, one row a chunk.

    gradients are those of `blend_backward`; Gaussians without intersections get zeros.
    """
    r00, r01, r02, r10, r11, r12 = camera[0], camera[1], camera[2], camera[3], camera[4], camera[5]
    r20, r21, r22, t0, t1, t2 = camera[6], camera[7], camera[8], camera[9], camera[10], camera[11]
    fx, fy, cx, cy, eye_x, eye_y = camera[12], camera[13], camera[14], camera[15], camera[16], camera[17]
    eye_z, width, height = camera[18], camera[19], camera[20]
    left, right = -(cx + _MARGIN * width) / fx, (width - cx + _MARGIN * width) / fx
    top, bottom = -(cy + _MARGIN * height) / fy, (height - cy + _MARGIN * height) / fy
    for chunk in prange(pose_sums.shape[0]):
        pose = np.zeros(POSE, np.float64)
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, means.shape[0])):
            if splat_starts[i] == splat_starts[i + 1]:
                _clear(i, v_means, v_quaternions, v_scales, v_opacities, v_sh)
                continue
            g_mx, g_my, g_a, g_b, g_c, g_opacity, red, green, blue, g_z = _gather(
                gradients, positions, splat_starts[i], splat_starts[i + 1]
            )
            v_opacities[i] = g_opacity
            px, py, pz = means[i, 0], means[i, 1], means[i, 2]
            red = red if records[i, RED] > ZERO else ZERO
            green = green if records[i, GREEN] > ZERO else ZERO
            blue = blue if records[i, BLUE] > ZERO else ZERO
            d_x, d_y, d_z = color_backward(sh, v_sh, i, degree, px - eye_x, py - eye_y, pz - eye_z, red, green, blue)

            # The same quantities as in `project`: Jacobian rows in world axes (a, b) and in the Gaussian's own (p, q).
            x = r00 * px + r01 * py + r02 * pz + t0
            y = r10 * px + r11 * py + r12 * pz + t1
            iz = ONE / (r20 * px + r21 * py + r22 * pz + t2)
            u, v = x * iz, y * iz
            uc, vc = min(max(u, left), right), min(max(v, top), bottom)
            j0, j1, k0, k1 = fx * iz, -fx * uc * iz, fy * iz, -fy * vc * iz
            a0, a1, a2 = j0 * r00 + j1 * r20, j0 * r01 + j1 * r21, j0 * r02 + j1 * r22
            b0, b1, b2 = k0 * r10 + k1 * r20, k0 * r11 + k1 * r21, k0 * r12 + k1 * r22
            m00, m01, m02, m10, m11, m12, m20, m21, m22 = own_axes(quaternions, scales, i)
            p0, p1, p2 = a0 * m00 + a1 * m10 + a2 * m20, a0 * m01 + a1 * m11 + a2 * m21, a0 * m02 + a1 * m12 + a2 * m22
            q0, q1, q2 = b0 * m00 + b1 * m10 + b2 * m20, b0 * m01 + b1 * m11 + b2 * m21, b0 * m02 + b1 * m12 + b2 * m22

            g_xx, g_xy, g_yy = _covariance_backward(records, i, g_a, g_b, g_c)
            v_p0, v_p1, v_p2 = (
                TWO * (g_xx * p0 + g_xy * q0),
                TWO * (g_xx * p1 + g_xy * q1),
                TWO * (g_xx * p2 + g_xy * q2),
            )
            v_q0, v_q1, v_q2 = (
                TWO * (g_xy * p0 + g_yy * q0),
                TWO * (g_xy * p1 + g_yy * q1),
                TWO * (g_xy * p2 + g_yy * q2),
            )
            _axes_backward(
                quaternions, scales, i,
                a0 * v_p0 + b0 * v_q0, a0 * v_p1 + b0 * v_q1, a0 * v_p2 + b0 * v_q2,
                a1 * v_p0 + b1 * v_q0, a1 * v_p1 + b1 * v_q1, a1 * v_p2 + b1 * v_q2,
                a2 * v_p0 + b2 * v_q0, a2 * v_p1 + b2 * v_q1, a2 * v_p2 + b2 * v_q2,
                v_quaternions, v_scales,
            )  # fmt: skip
            v_a0, v_a1, v_a2 = (
                m00 * v_p0 + m01 * v_p1 + m02 * v_p2,
                m10 * v_p0 + m11 * v_p1 + m12 * v_p2,
                m20 * v_p0 + m21 * v_p1 + m22 * v_p2,
            )
            v_b0, v_b1, v_b2 = (
                m00 * v_q0 + m01 * v_q1 + m02 * v_q2,
                m10 * v_q0 + m11 * v_q1 + m12 * v_q2,
                m20 * v_q0 + m21 * v_q1 + m22 * v_q2,
            )

            v_j0, v_j1 = v_a0 * r00 + v_a1 * r01 + v_a2 * r02, v_a0 * r20 + v_a1 * r21 + v_a2 * r22
            v_k0, v_k1 = v_b0 * r10 + v_b1 * r11 + v_b2 * r12, v_b0 * r20 + v_b1 * r21 + v_b2 * r22
            v_u = fx * (g_mx - iz * v_j1) if uc == u else fx * g_mx
            v_v = fy * (g_my - iz * v_k1) if vc == v else fy * g_my
            v_iz = fx * (v_j0 - uc * v_j1) + fy * (v_k0 - vc * v_k1) + v_u * x + v_v * y
            v_x, v_y, v_z = v_u * iz, v_v * iz, g_z - v_iz * iz * iz

            v_means[i, 0] = r00 * v_x + r10 * v_y + r20 * v_z + d_x
            v_means[i, 1] = r01 * v_x + r11 * v_y + r21 * v_z + d_y
            v_means[i, 2] = r02 * v_x + r12 * v_y + r22 * v_z + d_z
            pose[0] += v_x * px + j0 * v_a0
            pose[1] += v_x * py + j0 * v_a1
            pose[2] += v_x * pz + j0 * v_a2
            pose[3] += v_y * px + k0 * v_b0
            pose[4] += v_y * py + k0 * v_b1
            pose[5] += v_y * pz + k0 * v_b2
            pose[6] += v_z * px + j1 * v_a0 + k1 * v_b0
            pose[7] += v_z * py + j1 * v_a1 + k1 * v_b1
            pose[8] += v_z * pz + j1 * v_a2 + k1 * v_b2
            pose[9] += v_x
            pose[10] += v_y
            pose[11] += v_z
            pose[12] -= d_x
            pose[13] -= d_y
            pose[14] -= d_z
        pose_sums[chunk] = pose
