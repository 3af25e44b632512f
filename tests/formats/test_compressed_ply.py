"""Compressed PLY: exact words, round trips within a chunk's steps, damaged files."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import pytest
from format_scenes import axis_errors, matched, scene
from hypothesis import given, settings
from hypothesis import strategies as st

from openlyra.errors import InputError
from openlyra.formats import read_gaussians, write_gaussians
from openlyra.formats.compressed_ply import CHUNK, write_compressed_ply
from openlyra.formats.packing import morton_order
from openlyra.gaussians.types import Gaussians

PAIR = Gaussians.from_colors(
    np.array([[0.0, -1.0, 2.0], [1.0, 1.0, 4.0]]),
    np.array([[1.0, 0.0, 0.0, 0.0], [0.5, -0.5, -0.5, -0.5]]),
    np.array([[1.0, 1.0, 1.0], [math.e, math.e**2, 1.0]]),
    np.array([1.0, 0.2]),
    np.array([[0.0, 0.2, 1.0], [1.0, 0.6, 0.5]]),
)


def test_bytes_of_two(tmp_path: Path) -> None:
    write_compressed_ply(PAIR, tmp_path / "a.compressed.ply")
    head, _, rows = (tmp_path / "a.compressed.ply").read_bytes().partition(b"end_header\n")
    assert head.count(b"property float") == 18 and head.count(b"property uint") == 4
    assert b"element chunk 1\n" in head and b"element vertex 2\n" in head and b"comment axes RDF" in head
    ranges = np.frombuffer(rows[:72], "<f4")
    np.testing.assert_allclose(ranges[:6], [0, -1, 2, 1, 1, 4])
    np.testing.assert_allclose(ranges[6:12], [0, 0, 0, 1, 2, 0], atol=1e-6)
    np.testing.assert_allclose(ranges[12:], [0, 0.2, 0.5, 1, 0.6, 1], atol=1e-6)
    words = struct.unpack("<8I", rows[72:])
    middle = 512  # zero of a rotation component: 0.5 * 1023, rounded half to even
    none = (middle << 20) | (middle << 10) | middle
    assert words[:4] == (0, none, 0, 255 | (255 << 8))
    high = 2047 << 21 | 1023 << 11 | 2047
    # (0.5, -0.5, -0.5, -0.5): the first of the equal components is dropped, the others are -0.5 each.
    low = round((-0.5 * math.sqrt(0.5) + 0.5) * 1023)
    assert words[4] == high and words[5] == (low << 20) | (low << 10) | low
    assert words[6] == 2047 << 21 | 1023 << 11 and words[7] == 255 << 24 | 255 << 16 | 51


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 700), st.integers(0, 3), st.integers(0, 99))
def test_round_trip_within_half_a_step(
    tmp_path_factory: pytest.TempPathFactory, count: int, degree: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("ply") / "a.compressed.ply"
    original = scene(count, degree, seed)
    write_gaussians(original, path)
    result = read_gaussians(path)
    result.validate()
    # The file keeps the order of the curve, so the chunks and with them the steps are known.
    original = original.select(morton_order(original.means))
    for name, values, bits in (("means", None, (11, 10, 11)), ("scales", np.log, (11, 10, 11))):
        before, after = getattr(original, name), getattr(result, name)
        before, after = (before, after) if values is None else (values(before), values(after))
        for start in range(0, count, CHUNK):
            part = before[start : start + CHUNK]
            step = np.ptp(part, axis=0) / (2.0 ** np.array(bits) - 1)
            assert (np.abs(after[start : start + CHUNK] - part) <= 0.5 * step + 1e-5).all()
    assert np.abs(result.opacities - original.opacities).max() <= 0.5 / 255 + 1e-6
    assert np.abs(result.colors - original.colors).max() <= 0.5 / 255 * np.ptp(original.colors) + 1e-5
    assert np.abs(result.sh[:, 1:] - original.sh[:, 1:]).max(initial=0) <= 0.5 / 32 + 1e-5
    assert axis_errors(result, original).max() < 0.3


def test_older_files_without_colour_ranges_and_with_other_elements(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    write_gaussians(PAIR, tmp_path / "b.compressed.ply")
    head, _, rows = (tmp_path / "b.compressed.ply").read_bytes().partition(b"end_header\n")
    for channel in "rgb":
        for end in ("min", "max"):
            head = head.replace(f"property float {end}_{channel}\n".encode(), b"")
    path.write_bytes(head + b"element extra 1\nproperty uchar x\nend_header\n" + rows[:48] + rows[72:] + b"x")
    result = read_gaussians(path)
    np.testing.assert_allclose(result.means, PAIR.means, atol=1e-6)
    np.testing.assert_allclose(result.colors, [[0, 0, 1], [1, 1, 0]], atol=1e-6)


def test_axes_are_stated_and_heeded(tmp_path: Path) -> None:
    original = scene(300, 2)
    for up in ("y-up", "z-up"):
        write_gaussians(original, tmp_path / "a.compressed.ply", up=up)
        result = matched(read_gaussians(tmp_path / "a.compressed.ply"), original)
        np.testing.assert_allclose(result.means, original.means, atol=0.05)
        np.testing.assert_allclose(result.sh[:, 1:], original.sh[:, 1:], atol=0.06)
        as_stored = read_gaussians(tmp_path / "a.compressed.ply", up="y-down")
        assert np.abs(as_stored.means.min(0) - original.means.min(0)).max() > 0.1


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "a.compressed.ply"
    write_gaussians(scene(300, 1), path)
    whole = path.read_bytes()
    for old, new, words in (
        (b"element chunk 2", b"element chunk 1", "1 chunks for 300 Gaussians; 2 are needed"),
        (b"element vertex 300", b"element vertex 900000000", "promises 900000000 rows"),
        (b"element chunk", b"element lump", "no element 'chunk'"),
        (b"uint packed_scale", b"float packed_scale", "no usable column 'packed_scale'"),
        (b"f_rest_8", b"g_rest_8", "8 f_rest columns"),
        (b"element sh 300", b"element sh 299", "not one row for each"),
    ):
        path.write_bytes(whole.replace(old, new))
        with pytest.raises(InputError, match=words):
            read_gaussians(path)
    with pytest.raises(InputError, match="no Gaussian to write"):
        write_gaussians(Gaussians.empty(), path)
