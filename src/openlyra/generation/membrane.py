"""Smooth fields through holes: harmonic membranes (gradient-domain blending) and plate fields that continue planes."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve


@njit(parallel=True, cache=True)
def _relax(values: np.ndarray, hole: np.ndarray, out: np.ndarray) -> None:
    """One Jacobi step of Laplace's equation with free image borders, on (H, W, C)."""
    height, width, channels = values.shape
    for row in prange(height):
        y = np.int64(row)  # a parallel index is unsigned, and y - 1 would wrap around
        for x in range(width):
            if not hole[y, x]:
                continue
            count = 0
            for c in range(channels):
                out[y, x, c] = 0.0
            for k in range(4):
                ny = y + (1 if k == 0 else (-1 if k == 1 else 0))
                nx = x + (1 if k == 2 else (-1 if k == 3 else 0))
                if 0 <= ny < height and 0 <= nx < width:
                    count += 1
                    for c in range(channels):
                        out[y, x, c] += values[ny, nx, c]
            for c in range(channels):
                out[y, x, c] /= count


def membrane(values: np.ndarray, hole: np.ndarray, steps: int = 24) -> np.ndarray:
    """Fill the hole with the (nearly) harmonic function that meets its border, coarse to fine with relaxation.

    Args:
        values: (H, W) or (H, W, C) float; only pixels outside the hole are read.
        hole: (H, W) bool. Image borders are free (no flux).
        steps: relaxation steps a level.
    """
    flat = values.ndim == 2
    field = np.ascontiguousarray(values[..., None] if flat else values, np.float32)
    if hole.all():
        return np.zeros_like(values)
    if hole.any():
        field = _membrane_level(field, hole, steps)
    return field[..., 0] if flat else field


def _membrane_level(field: np.ndarray, hole: np.ndarray, steps: int) -> np.ndarray:
    height, width = hole.shape
    field = np.where(hole[..., None], 0, field).astype(np.float32)
    if min(height, width) >= 4 and hole.any():
        pad = ((0, height % 2), (0, width % 2))
        weight = np.pad((~hole).astype(np.float32), pad).reshape((height + 1) // 2, 2, (width + 1) // 2, 2)
        total = weight.sum((1, 3))
        padded = np.pad(field, (*pad, (0, 0))).reshape((height + 1) // 2, 2, (width + 1) // 2, 2, -1)
        coarse = padded.sum((1, 3)) / np.maximum(total, 1)[..., None]
        coarse = _membrane_level(coarse, total == 0, steps)
        guess = coarse[np.arange(height) // 2][:, np.arange(width) // 2]
        field = np.where(hole[..., None], guess, field)
    other = field.copy()
    for _ in range(steps):
        _relax(field, hole, other)
        field, other = other, field
    return field


def plate(values: np.ndarray, known: np.ndarray, wanted: np.ndarray, stiffness: float = 4.0) -> np.ndarray:
    """Continue a field so that planes stay planes: least squares of second and (weakly) first differences.

    Args:
        values: (H, W) float64.
        known: (H, W) bool, pixels whose value is given.
        wanted: (H, W) bool, pixels to fill; disjoint from ``known``. Keep it small: one sparse solve with this many
            unknowns.
        stiffness: weight of second against first differences; larger continues slopes further.

    Returns:
        (H, W) with the wanted pixels filled.
    """
    index = np.full(values.shape, -1)
    index[wanted] = np.arange(int(wanted.sum()))
    usable = known | wanted
    differences = (np.array([-1.0, 1.0]), 0.02), (np.array([1.0, -2.0, 1.0]), stiffness)
    equations = [
        (_difference_rows(usable, axis, len(taps)), taps * weight) for axis in (0, 1) for taps, weight in differences
    ]
    rows, columns, weights, given = [], [], [], []
    offset = 0
    for flat, taps in equations:
        local = index.ravel()[flat]
        free = local >= 0
        keep = free.any(1)
        flat, local, free = flat[keep], local[keep], free[keep]
        coefficient = np.broadcast_to(taps, flat.shape)
        row = np.broadcast_to(np.arange(len(flat))[:, None] + offset, flat.shape)
        rows.append(row[free])
        columns.append(local[free])
        weights.append(coefficient[free])
        given.append(-np.where(free, 0, coefficient * values.ravel()[flat]).sum(1))
        offset += len(flat)
    count = int(wanted.sum())
    if count == 0:
        return values
    places = (np.concatenate(rows), np.concatenate(columns))
    matrix = sparse.csr_matrix((np.concatenate(weights), places), (offset, count))
    normal = (matrix.T @ matrix + 1e-9 * sparse.identity(count)).tocsc()
    out = values.copy()
    out[wanted] = spsolve(normal, matrix.T @ np.concatenate(given))
    return out


def _difference_rows(usable: np.ndarray, axis: int, size: int) -> np.ndarray:
    """(N, size) flat pixel indices of all runs of ``size`` usable pixels along an axis."""
    pixels = np.arange(usable.size).reshape(usable.shape)
    length = usable.shape[axis] - size + 1
    if length <= 0:
        return np.zeros((0, size), int)
    windows = np.stack([np.take(pixels, range(k, k + length), axis).ravel() for k in range(size)], 1)
    return windows[usable.ravel()[windows].all(1)]


def nearest_labels(labels: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Every pixel takes the label of its nearest seed pixel. (H, W)."""
    rows, columns = ndimage.distance_transform_edt(~seeds, return_distances=False, return_indices=True)
    return labels[rows, columns]
