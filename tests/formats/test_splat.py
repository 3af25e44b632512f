"""The .splat format: exact bytes, quantisation, order, damaged files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openlyra.errors import InputError
from openlyra.formats import read_gaussians, write_gaussians
from openlyra.formats.splat import read_splat, write_splat
from openlyra.gaussians.types import Gaussians


def random_scene(count: int, seed: int) -> Gaussians:
    rng = np.random.default_rng(seed)
    quaternions = rng.normal(size=(count, 4))
    return Gaussians.from_colors(
        rng.normal(size=(count, 3)) * 5,
        quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        np.exp(rng.uniform(-6, 1, (count, 3))),
        rng.uniform(0, 1, count),
        rng.uniform(0, 1, (count, 3)),
    )


def test_bytes_of_two(tmp_path: Path) -> None:
    small_then_large = Gaussians.from_colors(
        np.array([[1.0, 2.0, 3.0], [-4.0, 5.0, -6.0]]),
        np.array([[1.0, 0.0, 0.0, 0.0], [-0.5, 0.5, -0.5, 0.5]]),
        np.array([[0.5, 0.25, 0.125], [1.0, 2.0, 4.0]]),
        np.array([1.0, 0.2]),
        np.array([[1.0, 0.0, 0.4], [0.2, 2.0, -1.0]]),
    )
    write_splat(small_then_large, tmp_path / "a.splat")
    large = struct.pack("<6f8B", -4, 5, -6, 1, 2, 4, 51, 255, 0, 51, 64, 192, 64, 192)
    small = struct.pack("<6f8B", 1, 2, 3, 0.5, 0.25, 0.125, 255, 0, 102, 255, 255, 128, 128, 128)
    assert (tmp_path / "a.splat").read_bytes() == large + small


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 50), st.integers(0, 99))
def test_round_trip_within_half_a_step(tmp_path_factory: pytest.TempPathFactory, count: int, seed: int) -> None:
    path = tmp_path_factory.mktemp("splat") / "a.splat"
    original = random_scene(count, seed)
    write_gaussians(original, path)
    result = read_gaussians(path)
    result.validate()
    back = np.lexsort(result.means.T)
    result, original = result.select(back), original.select(np.lexsort(original.means.T))
    np.testing.assert_array_equal(result.means, original.means)
    np.testing.assert_array_equal(result.scales, original.scales)
    np.testing.assert_allclose(result.colors, original.colors, atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(result.opacities, original.opacities, atol=0.5 / 255 + 2e-6)
    # Half a step of 1/128 in each of four components (a whole one at +1, which is clamped), then renormalised.
    assert (np.abs((result.quaternions * original.quaternions).sum(1)) > 0.9995).all()
    # What has been through the format once does not change again.
    write_gaussians(result, path)
    again = read_gaussians(path)
    np.testing.assert_array_equal(np.sort(again.colors, 0), np.sort(result.colors, 0))


def test_important_ones_come_first(tmp_path: Path) -> None:
    write_splat(random_scene(100, 3), tmp_path / "a.splat")
    result = read_splat(tmp_path / "a.splat")
    importance = result.scales.prod(1) * result.opacities
    assert (importance[1:] <= importance[:-1] * 1.2 + 1e-9).all()
    assert importance[0] > importance[-1] * 10


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "a.splat"
    for data in (b"", bytes(31), bytes(33)):
        path.write_bytes(data)
        with pytest.raises(InputError, match=f"has {len(data)} bytes"):
            read_splat(path)
    path.write_bytes(struct.pack("<6f8B", np.nan, 0, 0, 1, 1, 1, 0, 0, 0, 9, 255, 128, 128, 128))
    with pytest.raises(InputError, match="every one of its 1 records"):
        read_splat(path)
    with pytest.raises(InputError, match="at least one"):
        write_splat(Gaussians.empty(), path)
    with pytest.raises(InputError, match="cannot be read"):
        read_splat(tmp_path / "b.splat")


def test_damaged_records_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.splat"
    good = struct.pack("<6f8B", 1, 2, 3, 1, 0, 1, 0, 0, 0, 9, 255, 128, 128, 128)
    negative = struct.pack("<6f8B", 1, 2, 3, 1, -1, 1, 0, 0, 0, 9, 255, 128, 128, 128)
    no_rotation = struct.pack("<6f8B", 1, 2, 3, 1, 1, 1, 0, 0, 0, 9, 128, 128, 128, 128)
    path.write_bytes(negative + good + no_rotation)
    with pytest.warns(UserWarning, match="dropped 2 of 3"):
        result = read_splat(path)
    assert result.count == 1
    result.validate()


def test_up_turns_the_scene(tmp_path: Path) -> None:
    write_splat(random_scene(1, 0), tmp_path / "a.splat", up="y-up")
    np.testing.assert_array_equal(read_splat(tmp_path / "a.splat").means, random_scene(1, 0).means * [1, -1, -1])
