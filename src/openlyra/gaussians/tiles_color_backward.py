"""The gradient of a Gaussian's colour by its spherical harmonics and by the direction it is seen from (numba)."""

from __future__ import annotations

import math

from numba import njit

from openlyra.gaussians.tiles_layout import ONE, STRICT, TWO, ZERO, f4
from openlyra.gaussians.tiles_project import (
    _FOUR,
    _K0,
    _K1,
    _K20,
    _K21,
    _K22,
    _K30,
    _K31,
    _K32,
    _K33,
    _K34,
    _THREE,
)

_SIX, _EIGHT = f4(6), f4(8)


@njit(**STRICT)
def _add(v_sh, sh, i, k, value, red, green, blue):  # type: ignore[no-untyped-def]
    """Write the gradient by coefficient k whose basis function has this value; returns sh[k] . (red, green, blue)."""
    v_sh[i, k, 0], v_sh[i, k, 1], v_sh[i, k, 2] = value * red, value * green, value * blue
    return sh[i, k, 0] * red + sh[i, k, 1] * green + sh[i, k, 2] * blue


@njit(**STRICT)
def _first_and_second(sh, v_sh, i, degree, x, y, z, red, green, blue):  # type: ignore[no-untyped-def]
    """Degrees 1 and 2: writes v_sh and returns the gradient by the unit direction (x, y, z)."""
    u1 = _add(v_sh, sh, i, 1, -_K1 * y, red, green, blue)
    u2 = _add(v_sh, sh, i, 2, _K1 * z, red, green, blue)
    u3 = _add(v_sh, sh, i, 3, -_K1 * x, red, green, blue)
    v_x, v_y, v_z = -_K1 * u3, -_K1 * u1, _K1 * u2
    if degree > 1:
        xx, yy, zz = x * x, y * y, z * z
        u4 = _add(v_sh, sh, i, 4, _K20 * x * y, red, green, blue)
        u5 = _add(v_sh, sh, i, 5, -_K20 * y * z, red, green, blue)
        u6 = _add(v_sh, sh, i, 6, _K21 * (TWO * zz - xx - yy), red, green, blue)
        u7 = _add(v_sh, sh, i, 7, -_K20 * x * z, red, green, blue)
        u8 = _add(v_sh, sh, i, 8, _K22 * (xx - yy), red, green, blue)
        v_x += _K20 * (y * u4 - z * u7) + TWO * x * (_K22 * u8 - _K21 * u6)
        v_y += _K20 * (x * u4 - z * u5) - TWO * y * (_K22 * u8 + _K21 * u6)
        v_z += _FOUR * _K21 * z * u6 - _K20 * (y * u5 + x * u7)
    return v_x, v_y, v_z


@njit(**STRICT)
def _third(sh, v_sh, i, x, y, z, red, green, blue):  # type: ignore[no-untyped-def]
    """The same for degree 3."""
    xx, yy, zz = x * x, y * y, z * z
    ring = _FOUR * zz - xx - yy
    u9 = _add(v_sh, sh, i, 9, -_K30 * y * (_THREE * xx - yy), red, green, blue)
    u10 = _add(v_sh, sh, i, 10, _K31 * x * y * z, red, green, blue)
    u11 = _add(v_sh, sh, i, 11, -_K32 * y * ring, red, green, blue)
    u12 = _add(v_sh, sh, i, 12, _K33 * z * (TWO * zz - _THREE * xx - _THREE * yy), red, green, blue)
    u13 = _add(v_sh, sh, i, 13, -_K32 * x * ring, red, green, blue)
    u14 = _add(v_sh, sh, i, 14, _K34 * z * (xx - yy), red, green, blue)
    u15 = _add(v_sh, sh, i, 15, -_K30 * x * (xx - _THREE * yy), red, green, blue)
    v_x = _K31 * y * z * u10 - _SIX * (_K30 * x * y * u9 + _K33 * x * z * u12) - _THREE * _K30 * (xx - yy) * u15
    v_x += _K32 * (TWO * x * y * u11 - (ring - TWO * xx) * u13) + TWO * _K34 * x * z * u14
    v_y = _K31 * x * z * u10 + _SIX * (_K30 * x * y * u15 - _K33 * y * z * u12) - _THREE * _K30 * (xx - yy) * u9
    v_y += _K32 * (TWO * x * y * u13 - (ring - TWO * yy) * u11) - TWO * _K34 * y * z * u14
    v_z = _K31 * x * y * u10 - _EIGHT * _K32 * z * (y * u11 + x * u13) + _K34 * (xx - yy) * u14
    return v_x, v_y, v_z + _THREE * _K33 * (TWO * zz - xx - yy) * u12


@njit(**STRICT)
def color_backward(sh, v_sh, i, degree, x, y, z, red, green, blue):  # type: ignore[no-untyped-def]
    """Write v_sh[i] from the gradient by the colour; returns that by (x, y, z), centre minus camera, of any length."""
    _add(v_sh, sh, i, 0, _K0, red, green, blue)
    if degree == 0:
        return ZERO, ZERO, ZERO
    n = ONE / math.sqrt(x * x + y * y + z * z)
    x, y, z = x * n, y * n, z * n
    v_x, v_y, v_z = _first_and_second(sh, v_sh, i, degree, x, y, z, red, green, blue)
    if degree > 2:
        w_x, w_y, w_z = _third(sh, v_sh, i, x, y, z, red, green, blue)
        v_x, v_y, v_z = v_x + w_x, v_y + w_y, v_z + w_z
    along = v_x * x + v_y * y + v_z * z
    return n * (v_x - along * x), n * (v_y - along * y), n * (v_z - along * z)
