"""Small pieces of compressed scene formats: rotations in three numbers, a space-filling order, spread-out bits."""

from __future__ import annotations

import numpy as np

OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
"""(4, 3) the components left when one of four is dropped, in their order."""


def smallest_three(quaternions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 4) unit quaternions -> index (N,) of the largest component and the other three (N, 3), in +-1/sqrt(2).

    The sign is chosen so that the dropped component is positive; it follows from unit length.
    """
    largest = np.abs(quaternions).argmax(1)
    rows = np.arange(len(quaternions))
    sign = np.where(quaternions[rows, largest] < 0, -1.0, 1.0)
    return largest, quaternions[rows[:, None], OTHERS[largest]] * sign[:, None]


def from_smallest_three(largest: np.ndarray, three: np.ndarray) -> np.ndarray:
    """Undo `smallest_three`: (N, 4) float32 quaternions of unit length (but for rounding)."""
    rows = np.arange(len(three))
    quaternions = np.empty((len(three), 4), np.float32)
    quaternions[rows[:, None], OTHERS[largest]] = three
    quaternions[rows, largest] = np.sqrt(np.maximum(0.0, 1.0 - (three.astype(np.float64) ** 2).sum(1)))
    return quaternions


def morton_order(means: np.ndarray) -> np.ndarray:
    """(N,) indices that walk the points (N, 3) along a Z-order curve, so that neighbours in the file are neighbours
    in space. Equal cells keep their order. The cells are 2**-21 of the extent in each axis."""
    low = means.min(0).astype(np.float64)
    extent = np.maximum(means.max(0).astype(np.float64) - low, 1e-30)
    cells = ((means - low) / extent * ((1 << 21) - 1)).astype(np.uint64)
    code = _spread(cells[:, 0]) | (_spread(cells[:, 1]) << np.uint64(1)) | (_spread(cells[:, 2]) << np.uint64(2))
    return np.argsort(code, kind="stable")


_SPREADING = (
    (32, 0x1F00000000FFFF), (16, 0x1F0000FF0000FF), (8, 0x100F00F00F00F00F), (4, 0x10C30C30C30C30C3),
    (2, 0x1249249249249249),
)  # fmt: skip


def _spread(values: np.ndarray) -> np.ndarray:
    """21-bit numbers with two zero bits between any two of theirs."""
    for shift, mask in _SPREADING:
        values = (values | (values << np.uint64(shift))) & np.uint64(mask)
    return values
