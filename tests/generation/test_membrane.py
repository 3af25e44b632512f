"""Membranes and plates through holes."""

from __future__ import annotations

import numpy as np
import pytest

from openlyra.generation.membrane import membrane, membranes, nearest_labels, plate


def hole_in_the_middle(height: int = 48, width: int = 64) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[14:35, 20:45] = True
    return hole


def test_membrane_continues_a_ramp() -> None:
    rows, columns = np.mgrid[:48, :64]
    ramp = 0.3 * columns - 0.2 * rows
    hole = hole_in_the_middle()
    filled = membrane(np.where(hole, 1e6, ramp), hole)
    assert np.abs(filled - ramp)[hole].max() < 0.05 * np.ptp(ramp[hole])
    np.testing.assert_array_equal(filled[~hole], ramp[~hole].astype(np.float32))


def test_membrane_keeps_a_constant_up_to_the_image_border() -> None:
    hole = np.zeros((33, 41), bool)
    hole[5:, 10:] = True
    filled = membrane(np.where(hole[..., None], -5.0, [0.25, 0.5, 0.75]), hole)
    np.testing.assert_allclose(filled, np.broadcast_to([0.25, 0.5, 0.75], filled.shape), atol=1e-4)


def test_membrane_stays_within_its_border() -> None:
    values = np.random.default_rng(1).uniform(2, 3, (48, 64))
    hole = hole_in_the_middle()
    filled = membrane(values, hole)
    assert filled[hole].min() >= 2 and filled[hole].max() <= 3


def test_membrane_without_and_with_nothing_but_hole() -> None:
    values = np.random.default_rng(2).uniform(size=(9, 7)).astype(np.float32)
    np.testing.assert_array_equal(membrane(values, np.zeros((9, 7), bool)), values)
    assert not membrane(values, np.ones((9, 7), bool)).any()


def test_plate_continues_a_plane_outwards() -> None:
    rows, columns = np.mgrid[:20, :30]
    plane = 5 + 0.3 * columns - 0.7 * rows
    known = np.zeros(plane.shape, bool)
    known[:, :12] = True
    filled = plate(np.where(known, plane, 0.0), known, ~known)
    # First differences are held back a little, so that a slope does not run away.
    assert np.abs(filled - plane)[:, :18].max() < 0.02
    assert np.abs(filled - plane).max() < 0.05 * np.ptp(plane)
    np.testing.assert_array_equal(filled[known], plane[known])


def test_nearest_labels() -> None:
    labels, seeds = np.zeros((1, 7), int), np.zeros((1, 7), bool)
    labels[0, [1, 6]], seeds[0, [1, 6]] = (4, 9), True
    np.testing.assert_array_equal(nearest_labels(labels, seeds), [[4, 4, 4, 4, 9, 9, 9]])


def plain_membrane(values: np.ndarray, hole: np.ndarray, steps: int) -> np.ndarray:
    """Coarse to fine, one pixel at a time; (H, W, C)."""
    height, width = hole.shape
    field = np.where(hole[..., None], 0, values)
    if min(height, width) >= 4 and hole.any():
        coarse = np.zeros((-(-height // 2), -(-width // 2), values.shape[2]), np.float32)
        empty = np.ones(coarse.shape[:2], bool)
        for y, x in np.ndindex(empty.shape):
            block = np.s_[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            if (known := ~hole[block]).any():
                coarse[y, x], empty[y, x] = field[block][known].mean(0), False
        guess = plain_membrane(coarse, empty, steps).repeat(2, 0).repeat(2, 1)[:height, :width]
        field = np.where(hole[..., None], guess, field)
    for _ in range(steps):
        padded = np.pad(field, ((1, 1), (1, 1), (0, 0)))
        count = np.full((height, width, 1), 4.0)
        count[[0, -1]] -= 1
        count[:, [0, -1]] -= 1
        around = padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]
        field = np.where(hole[..., None], around / count, field)
    return field


@pytest.mark.parametrize("size", [(2, 9), (5, 30), (33, 18), (64, 47)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_membrane_is_what_its_plain_twin_says(size: tuple[int, int], share: float) -> None:
    rng = np.random.default_rng(3)
    values, hole = rng.normal(size=(*size, 3)).astype(np.float32), rng.random(size) < share
    hole[: size[0] // 2, : size[1] // 2] = True
    np.testing.assert_allclose(membrane(values, hole, 7), plain_membrane(values, hole, 7), atol=1e-5)
    np.testing.assert_allclose(membrane(values[..., 1], hole, 7), membrane(values, hole, 7)[..., 1], atol=1e-6)


@pytest.mark.parametrize("size", [(3, 3), (5, 30), (33, 17)])
def test_many_pictures_are_filled_as_each_alone(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    values, holes = rng.normal(size=(5, *size, 3)).astype(np.float32), rng.random((5, *size)) < 0.5
    holes[0], holes[1], holes[2, : size[0] - 1] = True, False, True
    given = values.copy()
    alone = np.stack([membrane(value, hole, 6) for value, hole in zip(values, holes)])
    np.testing.assert_array_equal(membranes(values, holes, 6), alone)
    np.testing.assert_array_equal(values, given)
