from __future__ import annotations

import numpy as np
from scipy import ndimage

from openlyra.depth import planes
from openlyra.depth.filters import opened
from openlyra.depth.planes import flatten_planes, region_of_plane, spread_out


def corner(rows: int = 96, columns: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Inverse depth of a wall left of a floor-like slope: (true map, bool left half), each linear in rows, columns."""
    y, x = np.mgrid[:rows, :columns] / rows
    left = x < 0.6
    return np.where(left, 0.6 - 0.3 * x + 0.05 * y, 0.12 + 0.1 * y).astype(np.float32), left


def roughness(inverse: np.ndarray, true: np.ndarray) -> float:
    return float(np.sqrt(((inverse / true - 1)[4:-4, 4:-4] ** 2).mean()))


def test_exact_planes_are_left_alone() -> None:
    true, _ = corner()
    np.testing.assert_allclose(flatten_planes(true), true, rtol=2e-3)


def test_bumps_go_and_the_step_stays() -> None:
    true, left = corner()
    y, x = np.mgrid[:96, :128]
    bumpy = (true * (1 + 0.03 * np.sin(x / 6) * np.cos(y / 7))).astype(np.float32)
    flat = flatten_planes(bumpy)
    assert roughness(flat, true) < 0.5 * roughness(bumpy, true)
    edge = int(np.flatnonzero(~left[0])[0])
    assert (flat[8:-8, edge - 1] > 1.5 * flat[8:-8, edge]).all()


def test_things_that_stand_out_keep_their_place() -> None:
    true, _ = corner()
    with_box = true.copy()
    with_box[40:60, 30:45] *= 1.6
    flat = flatten_planes(with_box)
    assert np.median(flat[42:58, 32:43] / with_box[42:58, 32:43]) > 0.95


def test_the_same_seed_gives_the_same_bytes() -> None:
    true, _ = corner()
    noisy = (true * np.random.default_rng(0).uniform(0.97, 1.03, true.shape)).astype(np.float32)
    assert flatten_planes(noisy).tobytes() == flatten_planes(noisy).tobytes()


def test_a_spot_in_a_corner_changes_little_elsewhere() -> None:
    random, changed = np.random.default_rng(0), []
    for _ in range(6):
        bumps = ndimage.gaussian_filter(random.normal(size=(96, 128)), 3)
        inverse = (corner()[0] * (1 + 0.04 * bumps / bumps.std())).astype(np.float32)
        spotted = inverse.copy()
        spotted[2:5, 2:5] *= 1.5
        change = np.log(flatten_planes(spotted) / flatten_planes(inverse))[30:, 30:]
        changed.append((np.abs(change) > 1e-3).mean())
    assert np.mean(changed) < 0.2, changed


def test_a_region_is_what_labelling_finds() -> None:
    random = np.random.default_rng(1)
    y, x = (np.arange(40, dtype=np.float32)[:, None] - 20) / 40, (np.arange(56, dtype=np.float32)[None] - 28) / 40
    apart = 0
    for _ in range(5):
        inverse = (0.5 + 2 * (ndimage.gaussian_filter(random.random((40, 56)), 3) - 0.5)).astype(np.float32)
        free = random.random(inverse.shape) < 0.98
        start = int(np.flatnonzero(free)[random.integers(free.sum())])
        plane = np.array([0.02, -0.01, float(inverse.ravel()[start])])
        near = (np.abs(plane[0] * x + plane[1] * y + plane[2] - inverse) < 0.1 * inverse) & free
        labels, _ = ndimage.label(near)
        expected = opened(labels == labels.ravel()[start], 3) if near.ravel()[start] else np.zeros_like(free)
        found = region_of_plane(inverse, x, y, plane, 0.1, free, start)
        np.testing.assert_array_equal(found, expected)
        apart += bool(expected.any() and (opened(near, 3) & ~expected).any())
    assert apart >= 2, "some regions are not all that is near their plane"


def test_a_change_spreads_to_free_neighbours_across_no_seam() -> None:
    random = np.random.default_rng(0)
    change, logs = random.random((2, 12, 17)).astype(np.float32)
    free = random.random(change.shape) < 0.8
    logs *= 3 * planes._SEAM
    plain = np.pad(change, 1)
    beside = np.pad(logs, 1, constant_values=np.inf)
    shifts = [(0, 1), (2, 1), (1, 0), (1, 2)]
    for _ in range(planes._FADE):
        total, weight = np.zeros(free.shape), np.full(free.shape, 0.3)
        for i, j in shifts:
            place = np.s_[i : i + 12, j : j + 17]
            joined = np.abs(beside[place] - logs) < planes._SEAM
            total += joined * plain[place]
            weight += joined
        plain[1:-1, 1:-1] = np.where(free, total / weight, plain[1:-1, 1:-1])
    after = spread_out(change, logs, free)
    np.testing.assert_allclose(after, plain[1:-1, 1:-1], rtol=1e-4)
    assert (after[~free] == change[~free]).all() and (after[free] != change[free]).mean() > 0.9
