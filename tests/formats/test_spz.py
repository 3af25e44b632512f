"""SPZ: exact bytes, all versions, quantisation, axes, files that lie."""

from __future__ import annotations

import gzip
import math
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from format_scenes import axis_errors, scene
from hypothesis import given, settings
from hypothesis import strategies as st

from openlyra.errors import InputError, MissingExtraError
from openlyra.formats import read_gaussians, write_gaussians
from openlyra.formats.spz import read_spz, write_spz
from openlyra.gaussians.types import Gaussians

ONE = Gaussians(
    means=np.array([[1.0, 2.0, -12.5]]),
    quaternions=np.array([[0.1, 0.7, -0.1, 0.7]]),
    scales=np.array([[1.0, math.exp(-2.0), math.exp(1.0)]]),
    opacities=np.array([0.2]),
    sh=np.array([[[0.0, 1.0, -1.0], [0.5, -0.5, 0.0], [0.25, 0.0, 0.0], [0.0, 0.0, 0.75]]]),
)


def fixed(value: float) -> bytes:
    return struct.pack("<i", round(value * 4096))[:3]


def test_bytes_of_one(tmp_path: Path) -> None:
    write_spz(ONE, tmp_path / "a.spz", up="y-down")
    raw = gzip.decompress((tmp_path / "a.spz").read_bytes())
    assert raw[:16] == struct.pack("<IIIBBBB", 0x5053474E, 3, 1, 1, 12, 0, 0)
    arrays = raw[16:]
    assert arrays[:9] == fixed(1) + fixed(2) + fixed(-12.5)
    assert arrays[9] == 51 and tuple(arrays[10:13]) == (128, 166, 89)  # 127.5 +- 38.25
    assert tuple(arrays[13:16]) == (160, 128, 176)
    # x y z w = 0.7 -0.1 0.7 0.1: the first of the largest is dropped; -0.1, 0.7, 0.1 follow.
    small, large = round(0.1 * math.sqrt(2) * 511), round(0.7 * math.sqrt(2) * 511)
    assert struct.unpack("<I", arrays[16:20])[0] == (512 | small) << 20 | large << 10 | small
    assert tuple(arrays[20:]) == (192, 64, 128, 160, 128, 128, 128, 128, 224)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(0, 3), st.integers(0, 99), st.sampled_from([3, 4]))
def test_round_trip_within_half_a_step(
    tmp_path_factory: pytest.TempPathFactory, count: int, degree: int, seed: int, version: int
) -> None:
    if version == 4:
        pytest.importorskip("zstandard")
    path = tmp_path_factory.mktemp("spz") / "a.spz"
    original = scene(count, degree, seed)
    write_gaussians(original, path, version=version)
    result = read_gaussians(path)
    result.validate()
    assert np.abs(result.means - original.means).max() <= 0.5 / 4096 + 1e-6
    assert np.abs(np.log(result.scales / original.scales)).max() <= 0.5 / 16 + 1e-4
    assert np.abs(result.opacities - original.opacities).max() <= 0.5 / 255 + 1e-6
    assert np.abs(result.sh[:, 0] - original.sh[:, 0]).max() <= 0.5 / (0.15 * 255) + 1e-5
    # Half a bucket and half a step of the byte; the turn to y-up and back is exact in the harmonics' magnitude.
    assert np.abs(result.sh[:, 1:4] - original.sh[:, 1:4]).max(initial=0) <= 4.5 / 128 + 1e-5
    assert np.abs(result.sh[:, 4:] - original.sh[:, 4:]).max(initial=0) <= 8.5 / 128 + 1e-5
    assert axis_errors(result, original).max() < 0.3
    write_gaussians(result, path, version=version)
    again = read_gaussians(path)
    np.testing.assert_array_equal(again.means, result.means)
    np.testing.assert_allclose(again.sh, result.sh, atol=1e-6)


def test_axes_of_the_file(tmp_path: Path) -> None:
    write_spz(ONE, tmp_path / "a.spz")
    np.testing.assert_allclose(read_spz(tmp_path / "a.spz").means, ONE.means)
    np.testing.assert_allclose(read_spz(tmp_path / "a.spz", up="y-down").means, ONE.means * [1, -1, -1])


@pytest.mark.parametrize(("extent", "bits"), [(1e-4, 20), (0.01, 20), (3.0, 14), (100.0, 12), (3000.0, 11), (1e6, 3)])
def test_positions_never_wrap_and_small_scenes_keep_detail(tmp_path: Path, extent: float, bits: int) -> None:
    means = np.array([[extent, -extent, 0.3 * extent]])
    write_spz(Gaussians(means, ONE.quaternions, ONE.scales, ONE.opacities, ONE.sh), tmp_path / "a.spz")
    assert gzip.decompress((tmp_path / "a.spz").read_bytes())[13] == bits
    np.testing.assert_allclose(read_spz(tmp_path / "a.spz").means, means, atol=0.51 * 2.0**-bits + 1e-7 * extent)


def legacy(version: int) -> bytes:
    """One Gaussian of version 1 (half-float positions) or 2 (three bytes of rotation)."""
    head = struct.pack("<IIIBBBB", 0x5053474E, version, 1, 0, 12, 1, 0)
    positions = struct.pack("<3e", 1, -2, 3) if version == 1 else fixed(1) + fixed(-2) + fixed(3)
    rotation = bytes([255, 128, 128]) if version == 1 else bytes([128, 128, 0])
    return head + positions + bytes([255]) + bytes([128, 166, 89]) + bytes([160, 128, 176]) + rotation


def test_older_versions(tmp_path: Path) -> None:
    for version, axis in ((1, [0, 1, 0, 0]), (2, [0, 0, 0, 1])):
        (tmp_path / "a.spz").write_bytes(gzip.compress(legacy(version)))
        result = read_spz(tmp_path / "a.spz", up="y-down")
        np.testing.assert_allclose(result.means, [[1, -2, 3]])
        np.testing.assert_allclose(result.scales, np.exp([[0, -2, 1]]), rtol=1e-5)
        np.testing.assert_allclose(np.abs(result.quaternions), [axis], atol=0.01)


def refuse(path: Path, data: bytes, words: str) -> None:
    path.write_bytes(data)
    with pytest.raises(InputError, match=words) as caught:
        read_spz(path)
    assert "\n" not in str(caught.value)


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "a.spz"
    refuse(path, b"hello", "not an .spz file")
    refuse(path, gzip.compress(b"hello"), "ends inside its .spz header")
    refuse(path, gzip.compress(b"x" * 99), "does not say NGSP")
    whole = legacy(2)
    refuse(path, gzip.compress(whole[:-1]), "cut short")
    refuse(path, gzip.compress(whole)[:-20], "cut short|damaged")
    refuse(path, gzip.compress(whole[:4] + struct.pack("<I", 9) + whole[8:]), "version 9")
    refuse(path, gzip.compress(whole[:8] + struct.pack("<I", 10**9) + whole[12:]), "promises 1000000000 Gaussians")
    refuse(path, gzip.compress(whole[:8] + struct.pack("<I", 0) + whole[12:]), "promises 0")
    refuse(path, gzip.compress(whole[:12] + bytes([7]) + whole[13:]), "degree 7")
    damaged = bytearray(gzip.compress(whole))
    damaged[-6] ^= 255  # in the check sum
    refuse(path, bytes(damaged), "damaged")
    with pytest.raises(InputError, match="version is 5"):
        write_spz(ONE, path, version=5)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    head = struct.pack("<IIIBBBB", 0x5053474E, 3, 30_000_000, 0, 12, 0, 0)
    refuse(tmp_path / "a.spz", gzip.compress(head + bytes(10_000_000)), "not a scene")
    # Zeros without end behind one Gaussian: only the Gaussian is unpacked.
    (tmp_path / "b.spz").write_bytes(gzip.compress(legacy(2) + bytes(50_000_000)))
    assert read_spz(tmp_path / "b.spz").count == 1


def test_version_4_refusals(tmp_path: Path) -> None:
    pytest.importorskip("zstandard")
    path = tmp_path / "a.spz"
    write_spz(scene(20, 1), path, version=4)
    whole = path.read_bytes()
    assert whole[:4] == b"NGSP" and whole[15] == 6
    refuse(path, whole[:40], "table of its streams")
    refuse(path, whole[:-3], "do not hold 20 Gaussians")
    refuse(path, whole[:15] + bytes([5]) + whole[16:], "damaged")
    refuse(path, whole[:16] + struct.pack("<I", 10**6) + whole[20:], "outside the file")
    refuse(path, whole[:40] + struct.pack("<Q", 10**12) + whole[48:], "do not hold")
    broken = bytearray(whole)
    broken[32 + 6 * 16 + 2] ^= 255
    refuse(path, bytes(broken), "damaged|cut short")


def test_version_4_needs_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"openlyra\[formats\]"):
        write_spz(ONE, tmp_path / "a.spz", version=4)
