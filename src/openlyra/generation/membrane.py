"""Smooth fields through holes: harmonic membranes (gradient-domain blending) and plate fields that continue planes."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve


def membrane(values: np.ndarray, hole: np.ndarray, steps: int = 24) -> np.ndarray:
    """Fill the hole with the (nearly) harmonic function that meets its border, coarse to fine with relaxation.

    Args:
        values: (H, W) or (H, W, C) float; only pixels outside the hole are read.
        hole: (H, W) bool. Image borders are free (no flux).
        steps: relaxation steps a level.
    """
    flat = values.ndim == 2
    field = np.array(values[..., None] if flat else values, np.float32, order="C")
    if hole.any():
        _fill(field, np.ascontiguousarray(hole), steps)
    return field[..., 0] if flat else field


def membranes(values: np.ndarray, hole: np.ndarray, steps: int = 24) -> np.ndarray:
    """`membrane` of many pictures (F, H, W, C) with holes (F, H, W), as many at a time as there are threads."""
    filled = np.ascontiguousarray(values, np.float32).copy()
    _fill_all(filled, np.ascontiguousarray(hole), steps)
    return filled


@njit(parallel=True, cache=True)
def _fill_all(fields, holes, steps):  # type: ignore[no-untyped-def]
    for frame in prange(len(fields)):
        _fill(fields[np.int64(frame)], holes[np.int64(frame)], steps)


@njit(cache=True)
def _fill(field, hole, steps):  # type: ignore[no-untyped-def]
    """Fill the hole of one picture in place: down the pyramid by averages of what is there, up again relaxing."""
    height, width, channels = field.shape
    for y in range(height):
        for x in range(width):
            if hole[y, x]:
                field[y, x] = 0
    if hole.all():
        return
    fields, holes = [field.copy()], [hole.copy()]
    while holes[-1].any() and min(holes[-1].shape) >= 4:
        fine, gone = fields[-1], holes[-1]
        rows, columns = (gone.shape[0] + 1) // 2, (gone.shape[1] + 1) // 2
        coarse = np.zeros((rows, columns, channels), np.float32)
        empty = np.ones((rows, columns), np.bool_)
        for y in range(rows):
            for x in range(columns):
                count = np.float32(0)
                for v in range(2 * y, min(2 * y + 2, gone.shape[0])):
                    for u in range(2 * x, min(2 * x + 2, gone.shape[1])):
                        if not gone[v, u]:
                            count += np.float32(1)
                for c in range(channels):
                    total = np.float32(0)
                    for v in range(2 * y, min(2 * y + 2, gone.shape[0])):
                        for u in range(2 * x, min(2 * x + 2, gone.shape[1])):
                            total += fine[v, u, c]
                    coarse[y, x, c] = total / max(count, np.float32(1))
                empty[y, x] = count == 0
        fields.append(coarse)
        holes.append(empty)
    for level in range(len(fields) - 1, -1, -1):
        values, gone = fields[level], holes[level]
        if level + 1 < len(fields):
            for y in range(gone.shape[0]):
                for x in range(gone.shape[1]):
                    if gone[y, x]:
                        values[y, x] = fields[level + 1][y // 2, x // 2]
        places, other = np.flatnonzero(gone), values.copy()
        for _ in range(steps):
            _relax(values, places, other)
            values, other = other, values
        fields[level] = values
    field[:] = fields[0]


@njit(cache=True)
def _relax(values, places, out):  # type: ignore[no-untyped-def]
    """One Jacobi step of Laplace's equation with free image borders, on the flat places of (H, W, C)."""
    height, width, channels = values.shape
    for place in places:
        y, x = place // width, place % width
        if 0 < y < height - 1 and 0 < x < width - 1:
            for c in range(channels):
                total = values[y + 1, x, c] + values[y - 1, x, c] + values[y, x + 1, c] + values[y, x - 1, c]
                out[y, x, c] = total * np.float32(0.25)
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
