"""Real spherical harmonics of degree 0 to 3, with the signs and the order every Gaussian scene format uses.

colour = max(0, 0.5 + sum_k sh[k] * Y_k(direction)), where direction is the unit vector from the camera to the Gaussian
in world axes. Inside a degree l the order is m = -l ... +l.
"""

from __future__ import annotations

from typing import Any

import numpy as np

C0 = 0.28209479177387814
C1 = 0.4886025119029199
C2 = (1.092548430592079, 0.31539156525252, 0.5462742152960396)
C3 = (0.5900435899266435, 2.890611442640554, 0.4570457994644658, 0.3731763325901154, 1.445305721320277)
MAX_DEGREE = 3


def degree_of(coefficients: int) -> int:
    """The degree d with (d + 1)^2 = coefficients; ValueError for other counts."""
    for degree in range(MAX_DEGREE + 1):
        if (degree + 1) ** 2 == coefficients:
            return degree
    raise ValueError(f"{coefficients} spherical harmonics coefficients; must be 1, 4, 9 or 16")


def sh_basis(x: Any, y: Any, z: Any, degree: int) -> list[Any]:
    """Y_0 ... Y_K-1 at unit directions given by their components; works for NumPy arrays and torch tensors alike."""
    basis = [C0 + 0.0 * x]
    if degree >= 1:
        basis += [-C1 * y, C1 * z, -C1 * x]
    if degree >= 2:
        a, b, c = C2
        basis += [a * x * y, -a * y * z, b * (2 * z * z - x * x - y * y), -a * x * z, c * (x * x - y * y)]
    if degree >= 3:
        a, b, c, d, e = C3
        xx, yy, zz = x * x, y * y, z * z
        basis += [
            -a * y * (3 * xx - yy),
            b * x * y * z,
            -c * y * (4 * zz - xx - yy),
            d * z * (2 * zz - 3 * xx - 3 * yy),
            -c * x * (4 * zz - xx - yy),
            e * z * (xx - yy),
            -a * x * (xx - 3 * yy),
        ]
    return basis


def basis_matrix(directions: np.ndarray, degree: int) -> np.ndarray:
    """(M, K) values of all basis functions at unit directions (M, 3)."""
    x, y, z = directions.T
    return np.stack(sh_basis(x, y, z, degree), -1)


def rotation_matrix_of_degree(rotation: np.ndarray, degree: int) -> np.ndarray:
    """(2l+1, 2l+1) float64 matrix D of degree l: with coefficients c of f, D @ c are those of f turned by `rotation`.

    The turned function is g(d) = f(Rᵀ d). Both sides are evaluated at more directions than unknowns and solved for;
    each degree is closed under rotation, so the solution is exact up to rounding.
    """
    directions = _sample_directions(4 * (2 * degree + 1))
    first = degree * degree
    basis = basis_matrix(directions, degree)[:, first:]
    turned = basis_matrix(directions @ rotation, degree)[:, first:]
    return np.linalg.lstsq(basis, turned, rcond=None)[0]


def rotate_sh(sh: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Coefficients (N, K, 3) of the same colours after the scene was turned by `rotation` (3, 3, determinant +1)."""
    rotated = np.array(sh)
    for degree in range(1, degree_of(sh.shape[1]) + 1):
        band = slice(degree * degree, (degree + 1) ** 2)
        matrix = rotation_matrix_of_degree(np.asarray(rotation, np.float64), degree)
        rotated[:, band] = np.einsum("ij,njc->nic", matrix.astype(sh.dtype), sh[:, band])
    return rotated


def _sample_directions(count: int) -> np.ndarray:
    """(count, 3) unit vectors spread evenly over the sphere (a Fibonacci spiral)."""
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    angle = np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], -1)
