"""Depth-guided patch matching: the right texture, the right kind, the same bytes with any number of threads."""

from __future__ import annotations

import numba
import numpy as np

from openlyra.generation.exemplar import _blend_seam
from openlyra.generation.patchmatch import GuidedImage, paint

SHAPE = (64, 96)


def scene(color: np.ndarray, hole: np.ndarray, sky: np.ndarray | None = None) -> tuple[GuidedImage, GuidedImage]:
    """(target, source): one image of constant depth with a hole."""
    sky = np.zeros(hole.shape, bool) if sky is None else sky
    log_depth = np.where(sky, 5.0, 1.0).astype(np.float32)
    known = np.where(hole[..., None], 0.5, color).astype(np.float32)
    return GuidedImage(known, log_depth, sky, hole), GuidedImage(known, log_depth, sky, ~hole)


def middle() -> np.ndarray:
    hole = np.zeros(SHAPE, bool)
    hole[24:42, 36:60] = True
    return hole


def test_a_periodic_texture_is_continued() -> None:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    color = np.repeat((0.5 + 0.35 * np.sin(2 * np.pi * columns / 8) * np.cos(2 * np.pi * rows / 8))[..., None], 3, 2)
    hole = middle()
    target, source = scene(color, hole)
    painted = paint(target, source, seed=1)
    np.testing.assert_array_equal(painted[~hole], target.color[~hole])
    assert np.abs(painted - color)[hole].mean() < 0.25 * np.abs(0.5 - color)[hole].mean()


def test_same_bytes_with_one_and_two_threads_and_another_seed_differs() -> None:
    color = np.random.default_rng(3).uniform(size=(*SHAPE, 3))
    target, source = scene(color, middle())
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = paint(target, source, seed=5)
        numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
        together = paint(target, source, seed=5)
    finally:
        numba.set_num_threads(threads)
    assert alone.tobytes() == together.tobytes()
    assert alone.tobytes() != paint(target, source, seed=6).tobytes()


def test_sky_is_painted_with_sky() -> None:
    sky = np.zeros(SHAPE, bool)
    sky[:32] = True
    noise = np.random.default_rng(4).normal(0, 0.02, (*SHAPE, 1))
    color = np.clip(np.where(sky[..., None], [0.3, 0.5, 0.9], [0.5, 0.3, 0.1]) + noise, 0, 1)
    hole = middle()
    target, source = scene(color, hole, sky)
    painted = paint(target, source, seed=2)
    deep_sky = hole & sky
    deep_sky[29:] = False  # patches reach over the horizon by their radius
    assert (painted[deep_sky][:, 2] > painted[deep_sky][:, 0]).all()


def test_nothing_to_copy_returns_the_guess() -> None:
    target, source = scene(np.random.default_rng(5).uniform(size=(*SHAPE, 3)), middle())
    nothing = GuidedImage(source.color, source.log_depth, source.sky, np.zeros(SHAPE, bool))
    np.testing.assert_array_equal(paint(target, nothing, seed=0), target.color)


def test_the_seam_is_blended_with_the_background_only() -> None:
    """The paint is a little darker than the background beside it; on the other side stands a bright foreground."""
    hole = middle()
    known = np.full((*SHAPE, 3), 0.5, np.float32)
    known[:, 60:] = 0.7
    background = ~hole & (np.arange(SHAPE[1]) < 60)[None, :]
    blended = _blend_seam(np.full((*SHAPE, 3), 0.4, np.float32), known, hole, background)
    np.testing.assert_array_equal(blended[~hole], known[~hole])
    assert np.abs(blended[30, 36:40] - 0.5).max() < 0.02
    assert blended[30, 56:60].max() < 0.5
