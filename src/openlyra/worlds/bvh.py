"""A tree of boxes around primitives, so that a ray looks at few of them (numba)."""

from __future__ import annotations

import numpy as np
from numba import njit

from openlyra.worlds.kernels import OPTIONS

LEAF = 2
"""Most primitives in a leaf."""


@njit(**OPTIONS)
def _area(lo, hi):  # type: ignore[no-untyped-def]
    a, b, c = hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]
    return a * b + b * c + c * a


@njit(**OPTIONS)
def build_tree(lower, upper):  # type: ignore[no-untyped-def]
    """Tree over boxes (N, 3), (N, 3), split where the surface-area cost is least (a sweep along each axis).

    Returns bounds (M, 6), children (M, 2) and the order (N,) of the primitives. An inner node's children are node
    numbers; a leaf's are minus one minus its first place in the order, and its count. Node 0 is the root.
    """
    count = lower.shape[0]
    order = np.arange(count)
    bounds = np.zeros((max(1, 2 * count), 6))
    children = np.zeros((max(1, 2 * count), 2), np.int32)
    todo = np.zeros((2 * count + 2, 3), np.int64)
    todo[0, 1], todo[0, 2] = 0, count
    waiting, used = 1, 1
    below = np.zeros(count + 1)
    if count == 0:
        children[0, 0] = -1
        bounds[0, :3], bounds[0, 3:] = 1e30, -1e30
        return bounds[:1], children[:1], order
    while waiting > 0:
        waiting -= 1
        node, start, end = todo[waiting]
        lo, hi = np.full(3, 1e30), np.full(3, -1e30)
        for i in range(start, end):
            lo, hi = np.minimum(lo, lower[order[i]]), np.maximum(hi, upper[order[i]])
        bounds[node, :3], bounds[node, 3:] = lo, hi
        size = end - start
        if size <= LEAF:
            children[node, 0], children[node, 1] = -1 - start, size
            continue
        best, axis, split = 1e30, 0, start + size // 2
        for candidate in range(3):
            part = order[start:end].copy()
            part = part[np.argsort((lower[part, candidate] + upper[part, candidate]), kind="mergesort")]
            lo, hi = np.full(3, 1e30), np.full(3, -1e30)
            for i in range(size):
                lo, hi = np.minimum(lo, lower[part[i]]), np.maximum(hi, upper[part[i]])
                below[i + 1] = _area(lo, hi) * (i + 1)
            lo, hi = np.full(3, 1e30), np.full(3, -1e30)
            for i in range(size - 1, 0, -1):
                lo, hi = np.minimum(lo, lower[part[i]]), np.maximum(hi, upper[part[i]])
                cost = below[i] + _area(lo, hi) * (size - i)
                if cost < best:
                    best, axis, split = cost, candidate, start + i
        part = order[start:end].copy()
        order[start:end] = part[np.argsort((lower[part, axis] + upper[part, axis]), kind="mergesort")]
        children[node, 0], children[node, 1] = used, used + 1
        todo[waiting] = np.array([used, start, split])
        todo[waiting + 1] = np.array([used + 1, split, end])
        waiting += 2
        used += 2
    return bounds[:used], children[:used], order
