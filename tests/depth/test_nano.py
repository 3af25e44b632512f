from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage

from openlyra.depth import load_depth
from openlyra.depth import nano as nano_module
from openlyra.depth.base import DepthEstimator
from openlyra.depth.nano import CLOSER, GREATEST_FOV, NanoDepth, RawDepth, believed_focal, look, network_size
from openlyra.depth.resample import resized
from openlyra.errors import InputError
from openlyra.models.depth_net import DepthNet
from openlyra.models.threads import torch_threads


@pytest.fixture(scope="module")
def nano() -> DepthEstimator:
    return load_depth("nano", sizes=(20_000, 40_000))


def tiles(rows: int, columns: int, focal: float, height: float = 1.6, pitch: float = 0.15) -> np.ndarray:
    """A tiled floor under a blue sky, seen from `height` metres, uint8 (rows, columns, 3)."""
    y, x = np.mgrid[:rows, :columns] + 0.5
    v, u = (y - rows / 2) / focal, (x - columns / 2) / focal
    down, forward = math.cos(pitch) * v + math.sin(pitch), math.cos(pitch) - math.sin(pitch) * v
    floor = down > 0.01
    reach = np.where(floor, height / np.maximum(down, 0.01), 0)
    odd = (np.floor(u * reach * 1.5) + np.floor(forward * reach * 1.5)) % 2
    image = np.where(floor[..., None], (95 + 70 * odd)[..., None] * np.array([1.0, 0.95, 0.85]), [120.0, 165.0, 230.0])
    noise = np.random.default_rng(0).normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(97, 131), (160, 90), (33, 200), (480, 270)])
def test_odd_sizes_and_portraits(nano: DepthEstimator, size: tuple[int, int]) -> None:
    result = nano.estimate(tiles(*size, focal=size[0] * 0.9))
    result.validate()
    assert result.depth.shape == size


@pytest.mark.parametrize("pitch", [0.1, 0.25])
def test_a_floor_comes_nearer_downwards(nano: DepthEstimator, pitch: float) -> None:
    image = tiles(240, 320, 260, pitch=pitch)
    depth = nano.estimate(image, 260.0).depth
    horizon = 120 - 260 * math.tan(pitch)
    rows = np.linspace(max(horizon, 0) + 40, 232, 6).astype(int)
    bands = [float(np.median(depth[row - 4 : row + 4])) for row in rows]
    assert all(far > near for far, near in pairwise(bands)), bands


def test_a_blue_sky_over_a_floor_is_sky(nano: DepthEstimator) -> None:
    sky = nano.estimate(tiles(240, 320, 260)).sky
    assert sky[:50].mean() > 0.8 and sky[160:].mean() < 0.02


@pytest.mark.parametrize(("surest", "part"), [(1.2, 0.0), (2.0, 1.0)])
def test_a_sky_nobody_is_sure_of_is_none(surest: float, part: float) -> None:
    logits = np.full((64, 96), -6.0, np.float32)
    logits[:24] = 0.8
    logits[4:12, 30:60] = surest
    raw = RawDepth(np.ones((64, 96), np.float32), logits, np.ones((64, 96), np.float32), 0.7)
    wall = np.full((128, 192, 3), (8, 8, 60), np.uint8)
    sky = nano_module._sky_mask(raw, wall)
    assert sky[:44].mean() == part and not sky[54:].any()


def test_a_known_lens_is_used_and_scales_depth(nano: DepthEstimator) -> None:
    image = tiles(160, 240, 200)
    short, long = nano.estimate(image, 150.0), nano.estimate(image, 300.0)
    assert (short.focal, long.focal) == (150.0, 300.0)
    middle = (slice(110, 150), slice(40, 200))
    assert np.median(long.depth[middle] / short.depth[middle]) == pytest.approx(2.0, rel=0.05)


def test_the_same_photo_gives_the_same_bytes(nano: DepthEstimator) -> None:
    image = tiles(120, 160, 130)
    assert nano.estimate(image).depth.tobytes() == nano.estimate(image).depth.tobytes()


def test_a_mirrored_photo_looks_mirrored(nano: NanoDepth) -> None:
    image = tiles(120, 160, 130)
    image[:70, :60] = (240, 200, 40)
    plain, mirrored = (look(nano.net, seen, nano.sizes) for seen in (image, image[:, ::-1]))
    for name in ("inverse", "sky", "spread"):
        one, other = getattr(plain, name), getattr(mirrored, name)
        np.testing.assert_allclose(other, one[:, ::-1], rtol=1e-3, atol=1e-4)
        assert np.abs(other - one).max() > 0.01
    assert mirrored.focal == pytest.approx(plain.focal, rel=1e-4)


def test_the_number_of_threads_changes_no_byte_of_a_look(nano: NanoDepth) -> None:
    image, found = tiles(120, 160, 130), []
    for count in (1, 2):
        with torch_threads(count):
            found.append(look(nano.net, image, nano.sizes).inverse.tobytes())
            assert torch.get_num_threads() == count
    assert found[0] == found[1]


def test_both_looks_say_where_things_are_and_the_closer_one_draws_them(
    nano: NanoDepth, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tiles(256, 256, 260)
    both, sizes = nano_module._looks, (192**2, 384**2)
    found = []
    for factor in (1.0, 1.7):

        def farther(net: DepthNet, image: np.ndarray, sizes: tuple[int, int], factor: float = factor) -> list[RawDepth]:
            overview, closer = both(net, image, sizes)
            return [overview, replace(closer, inverse=closer.inverse * np.float32(factor))]

        monkeypatch.setattr(nano_module, "_looks", farther)
        found.append(look(nano.net, image, sizes).inverse)
    np.testing.assert_allclose(found[1], found[0] * 1.7**CLOSER, rtol=1e-4)

    def fine(inverse: np.ndarray) -> np.ndarray:
        return np.log(inverse) - ndimage.gaussian_filter(np.log(inverse), 2.0)

    overview, closer = (raw.inverse for raw in both(nano.net, image, sizes))
    overview, closer = fine(resized(overview, 384, 384)), fine(closer)
    assert np.abs(fine(found[0]) - closer).mean() < 0.2 * np.abs(overview - closer).mean()


def test_sizes_and_lenses_stay_in_bounds() -> None:
    rows, columns = network_size(480, 832, 150_000)
    assert rows % 32 == columns % 32 == 0 and 0.7 < rows * columns / 150_000 < 1.4
    assert network_size(3000, 20, 60_000)[1] >= 64
    assert believed_focal(1.0, 100) == pytest.approx(50 / math.tan(math.radians(GREATEST_FOV / 2)))
    with pytest.raises(InputError, match="missing"):
        load_depth("nano", weights="/nowhere/w.safetensors")
