"""SOG: what the images hold, round trips, codebooks, damaged and lying archives."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_scenes import axis_errors, matched, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from openlyra.errors import InputError
from openlyra.formats import read_gaussians, write_gaussians
from openlyra.formats.codebook import nearest, scalar_codebook, vector_palette
from openlyra.formats.sog import palette_size, write_sog
from openlyra.formats.sog_read import read_sog
from openlyra.gaussians.types import Gaussians

PAIR = Gaussians.from_colors(
    np.array([[0.0, -1.0, 2.0], [1.0, 1.0, 4.0]]),
    np.array([[1.0, 0.0, 0.0, 0.0], [0.1, 0.7, -0.1, 0.7]]),
    np.array([[0.5, 1.0, 1.0], [1.0, 0.25, 1.0]]),
    np.array([1.0, 0.2]),
    np.array([[0.0, 0.5, 1.0], [1.0, 0.5, 0.5]]),
)


def members(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with zipfile.ZipFile(path) as archive:
        meta = json.loads(archive.read("meta.json"))
        names = [name for name in archive.namelist() if name.endswith(".webp")]
        return meta, {name: np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGBA")) for name in names}


def test_content_of_two(tmp_path: Path) -> None:
    write_sog(PAIR, tmp_path / "a.sog")
    meta, images = members(tmp_path / "a.sog")
    assert meta["version"] == 2 and meta["count"] == 2 and meta["asset"]["axes"] == "RDF"
    np.testing.assert_allclose(meta["means"]["mins"], [0, -np.log(2), np.log(3)])
    np.testing.assert_allclose(meta["means"]["maxs"], [np.log(2), np.log(2), np.log(5)])
    assert len(meta["scales"]["codebook"]) == len(meta["sh0"]["codebook"]) == 256
    assert all(image.shape == (4, 4, 4) for image in images.values())
    assert images["means_u.webp"][0, :2, :3].tolist() == [[0, 0, 0], [255, 255, 255]]
    assert images["means_l.webp"][0, :2, :3].tolist() == [[0, 0, 0], [255, 255, 255]]
    assert images["quats.webp"][0, 0].tolist() == [128, 128, 128, 252]
    small, large = (round((value * np.sqrt(0.5) + 0.5) * 255) for value in (0.1, 0.7))
    assert images["quats.webp"][0, 1].tolist() == [small, 255 - small, large, 253]
    np.testing.assert_allclose(np.array(meta["scales"]["codebook"])[:3], np.log([0.25, 0.5, 1]), atol=1e-6)
    assert images["scales.webp"][0, :2, :3].tolist() == [[1, 2, 2], [2, 0, 2]]
    assert images["sh0.webp"][0, :2].tolist() == [[0, 1, 2, 255], [2, 1, 1, 51]]


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 400), st.integers(0, 3), st.integers(0, 99))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, count: int, degree: int, seed: int) -> None:
    path = tmp_path_factory.mktemp("sog") / "a.sog"
    original = scene(count, degree, seed)
    write_gaussians(original, path)
    result = matched(read_gaussians(path), original)
    result.validate()
    meta, _ = members(path)

    def half_gap(name: str) -> float:
        return 0.5 * float(np.diff(meta[name]["codebook"]).max()) + 1e-5

    position_step = np.ptp(np.array([meta["means"]["mins"], meta["means"]["maxs"]]), axis=0) / 65535
    assert (np.abs(result.means - original.means) <= 0.51 * position_step * (1 + np.abs(original.means)) + 1e-5).all()
    assert np.abs(np.log(result.scales / original.scales)).max() <= half_gap("scales")
    assert np.abs(result.sh[:, 0] - original.sh[:, 0]).max() <= half_gap("sh0")
    assert np.abs(result.opacities - original.opacities).max() <= 0.5 / 255 + 1e-6
    assert axis_errors(result, original).max() < 1.0
    if degree:  # up to 1024 Gaussians have a palette row each, so only the codebook rounds
        assert np.abs(result.sh[:, 1:] - original.sh[:, 1:]).max() <= half_gap("shN")


def test_many_harmonics_share_a_palette(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = scene(3000, 2)
    kinds = rng.normal(size=(40, 8, 3)) * 0.2
    sh = np.concatenate([base.sh[:, :1], kinds[rng.integers(0, 40, 3000)]], 1)
    original = Gaussians(base.means, base.quaternions, base.scales, base.opacities, sh)
    write_sog(original, tmp_path / "a.sog")
    result = matched(read_sog(tmp_path / "a.sog"), original)
    # 2048 rows for 40 different sets of harmonics: only the codebook rounds them.
    assert np.abs(result.sh[:, 1:] - original.sh[:, 1:]).max() < 0.02
    meta, images = members(tmp_path / "a.sog")
    assert 40 <= meta["shN"]["count"] <= 2048 and images["shN_centroids.webp"].shape[1] == 64 * 8


def test_palette_sizes() -> None:
    assert [palette_size(n) for n in (1, 2047, 2048, 65536, 10**7)] == [1024, 1024, 2048, 65536, 65536]


def test_codebook_is_near_the_best() -> None:
    values = np.random.default_rng(0).normal(size=100_000)
    codebook, labels = scalar_codebook(values)
    assert (np.diff(codebook) >= 0).all() and labels.dtype == np.uint8
    error = np.square(codebook[labels] - values).mean()
    # The best 256 levels for a normal distribution leave sqrt(3) pi / 2 / 256**2 (Panter and Dite).
    assert error < 1.15 * np.sqrt(3) * np.pi / 2 / 256**2
    brute = np.abs(codebook[:, None] - values[None, :2000].astype(np.float32)).min(0)
    np.testing.assert_allclose(np.abs(codebook[labels[:2000]] - values[:2000]), brute, atol=1e-6)


def test_two_level_palette_against_plain_assignment() -> None:
    vectors = np.random.default_rng(1).normal(size=(4000, 9)).astype(np.float32)
    palette, labels = vector_palette(vectors, 512)
    assert len(palette) <= 512
    error = np.square(palette[labels] - vectors).sum(1)
    best = np.square(vectors[:, None] - palette[None]).sum(2)
    np.testing.assert_array_equal(best.argmin(1)[:50], nearest(vectors[:50], palette))
    assert error.mean() < 1.25 * best.min(1).mean()
    assert error.mean() < 0.5 * np.square(vectors).sum(1).mean()


def change(path: Path, edit: Callable[[dict[str, Any], dict[str, bytes]], None], target: Path) -> Path:
    """A copy with another meta.json or other members."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    meta = json.loads(files.pop("meta.json"))
    edit(meta, files)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.json", json.dumps(meta))
        for name, data in files.items():
            archive.writestr(name, data)
    return target


def webp(width: int, height: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGBA", (width, height)).save(data, "WEBP", lossless=True)
    return data.getvalue()


def test_refusals(tmp_path: Path) -> None:
    write_sog(scene(20, 1), tmp_path / "a.sog")

    def refuse(edit: Callable[[dict[str, Any], dict[str, bytes]], Any], words: str) -> None:
        with pytest.raises(InputError, match=words) as caught:
            read_sog(change(tmp_path / "a.sog", edit, tmp_path / "b.sog"))
        assert "\n" not in str(caught.value)

    refuse(lambda meta, files: meta.update(count=10**9), "promises 1000000000 Gaussians")
    refuse(lambda meta, files: meta.update(count=1000), "pixels for 1000 values")
    refuse(lambda meta, files: meta.update(count=True), "not a whole number")
    refuse(lambda meta, files: meta.update(version=3), r"\.sog version 3")
    refuse(lambda meta, files: meta.pop("version"), r"\.sog version 1")
    refuse(lambda meta, files: meta.pop("means"), "meta.json is damaged")
    refuse(lambda meta, files: meta["means"].update(files=["../means_l.webp", "x"]), "holds no '../means_l.webp'")
    refuse(lambda meta, files: meta["means"].update(mins=[0]), "not three numbers")
    refuse(lambda meta, files: meta["scales"].update(codebook=[0] * 300), "codebook of 300")
    refuse(lambda meta, files: meta["shN"].update(count=10), "row 1[0-9] of a palette of 10")
    refuse(lambda meta, files: meta["shN"].update(bands=9), "9 bands")
    refuse(lambda meta, files: files.update({"quats.webp": b"no image"}), "not a readable WebP")
    refuse(lambda meta, files: files.update({"quats.webp": webp(9000, 9000)}), "has 81000000 pixels for 20 values")
    refuse(lambda meta, files: files.update({"sh0.webp": bytes(10**8)}), "unpacks to 100000000 bytes")
    refuse(lambda meta, files: meta.update(x="y" * 2_000_000), "unpacks to 20[0-9]+ bytes")
    (tmp_path / "b.sog").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"not a readable \.sog"):
        read_sog(tmp_path / "b.sog")


def test_nan_is_dropped(tmp_path: Path) -> None:
    write_sog(scene(20), tmp_path / "a.sog")

    def edit(meta: dict[str, Any], files: dict[str, bytes]) -> None:
        meta["scales"]["codebook"][0] = float("nan")

    with pytest.warns(UserWarning, match="dropped"):
        result = read_sog(change(tmp_path / "a.sog", edit, tmp_path / "b.sog"))
    result.validate()
    assert 0 < result.count < 20
