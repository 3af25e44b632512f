"""Scores of generated videos: their zero points, and what each of them notices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from openlyra.evaluation.perceptual import cell_shares, frechet_distance, patch_features, perceptual_distance
from openlyra.evaluation.pictures import Plot, draw_plots
from openlyra.evaluation.true_walk import TrueWalk, there_and_back
from openlyra.evaluation.world_scores import drift, measured, revealed, revisit
from openlyra.geometry.camera import Camera

HEIGHT, WIDTH, FRAMES = 32, 48, 9


@pytest.fixture(scope="module")
def truth() -> TrueWalk:
    """A camera that slides along a striped wall two metres away, 0.1 m a frame."""
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, 0, 3] = 0.1 * np.arange(FRAMES)
    cameras = Camera.from_fov(HEIGHT, WIDTH, 0.9, poses)
    depth = np.full((FRAMES, HEIGHT, WIDTH), 2.0, np.float32)
    points = np.stack([camera.unproject(depth[0]) for camera in cameras])
    waves = np.sin(points[..., :1] * (4, 5, 6) + points[..., 1:2] * 3)
    images = np.clip(128 + 100 * waves, 0, 255).astype(np.uint8)
    return TrueWalk("wall", images, depth, np.zeros(depth.shape, bool), cameras)


def test_a_walk_there_and_back_meets_itself() -> None:
    order = there_and_back(3, 13)
    assert order == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    assert there_and_back(24, 49) == [*range(25), *range(23, -1, -1)]


def test_what_is_revealed_is_what_the_photo_cannot_see(truth: TrueWalk) -> None:
    focal = float(truth.cameras.intrinsics[0, 0, 0])
    for index in range(FRAMES):
        width = 0.1 * index * focal / 2.0
        columns = np.arange(WIDTH) + 0.5 >= WIDTH - width
        assert (truth.revealed(index) == columns).all()
    near = np.array(truth.depth)
    near[0, :, 20:28] = 1.0  # something in the photo hides the wall
    hidden = TrueWalk("", truth.images, near, truth.sky, truth.cameras).revealed(1)
    assert hidden.mean() > truth.revealed(1).mean() + 0.1


def test_a_loop_that_forgets_is_worse_than_one_that_does_not(truth: TrueWalk) -> None:
    loop = truth.along(there_and_back(4, 9))
    good = revisit(loop.images, loop, 8)
    assert good.psnr_first == good.psnr_truth == 100 and good.ssim_truth == pytest.approx(1)
    assert good.perceptual_first == 0
    spoiled = loop.images.copy()
    spoiled[5:] = spoiled[5:, :, ::-1]
    bad = revisit(spoiled, loop, 4)
    assert bad.psnr_first < 30 and bad.ssim_truth < 0.9 and bad.perceptual_truth > 0.1
    wrong_twice = spoiled.copy()
    wrong_twice[:4] = spoiled[5:][::-1]  # consistent, but not the world
    assert revisit(wrong_twice, loop, 4).psnr_first == 100 and revisit(wrong_twice, loop, 4).psnr_truth < 30


def test_drift_sees_colour_and_sharpness_in_their_chunk(truth: TrueWalk) -> None:
    video = truth.images.copy()
    video[5:] = np.clip(video[5:].astype(int) // 2 + 64, 0, 255)
    found = drift(video, truth, 4)
    assert found.psnr[0] == 100 and found.colour[0] == 0 and found.sharpness[0] == pytest.approx(1)
    assert found.psnr[1] < 30 and found.sharpness[1] == pytest.approx(0.25, abs=0.02)
    video[5:] = np.clip(truth.images[5:].astype(int) + np.array([12, 0, 0]), 0, 255)
    assert drift(video, truth, 4).colour[1] == pytest.approx(12, abs=1)


def test_imagined_regions_are_judged_alone(truth: TrueWalk) -> None:
    assert revealed([truth.images], [truth]).perceptual == pytest.approx(0)
    assert revealed([truth.images], [truth]).frechet == pytest.approx(0, abs=1e-3)
    outside = truth.images.copy()
    outside[:, :, :4] = 0  # the photo shows all of this
    inside = truth.images.copy()
    inside[:, :, -14:] = 0
    assert revealed([inside], [truth]).perceptual > 5 * revealed([outside], [truth]).perceptual
    assert revealed([inside], [truth]).frechet > 0.01


def test_a_mask_weighs_cells(truth: TrueWalk) -> None:
    a, b = truth.images[0], truth.images[5]
    assert perceptual_distance(a, b, mask=np.ones((HEIGHT, WIDTH), bool)) > 0
    assert np.isnan(perceptual_distance(a, b, mask=np.zeros((HEIGHT, WIDTH), bool)))
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[:8, :12] = True
    shares = cell_shares(mask, (4, 6))
    assert shares[0].tolist() == [1, 0.5, 0, 0, 0, 0] and shares[1:].sum() == 0
    assert len(patch_features(a, mask)) == 2


def test_frechet_distance_of_known_normals() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(20_000, 3))
    b = rng.normal(size=(20_000, 3)) * (1, 2, 3) + (1, 0, 0)
    # |mean|^2 + sum (s - t)^2 for diagonal covariances.
    assert frechet_distance(a, b) == pytest.approx(1 + 0 + 1 + 4, rel=0.05)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b))


@dataclass(frozen=True)
class Pair:
    number: float
    row: tuple[float, ...]


def test_means_are_over_worlds_and_spread_over_seeds() -> None:
    found = measured([[Pair(1, (1, 2)), Pair(3, (3, 4))], [Pair(5, (0, 0)), Pair(7, (0, 0))]])
    assert found.mean == Pair(4, (1, 1.5)) and found.spread == Pair(2, (1, 1.5))


def test_a_curve_is_where_its_values_are() -> None:
    flat = draw_plots([Plot("", (1, 2, 3), "x", {"low": (0, 0, 0), "high": (1, 1, 1)})], 1)
    reds = np.argwhere((flat == (214, 39, 40)).all(-1))[:, 0]  # second colour
    blues = np.argwhere((flat == (31, 119, 180)).all(-1))[:, 0]
    assert np.median(reds) < np.median(blues)
