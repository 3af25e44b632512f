from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from openlyra.depth.base import DepthResult
from openlyra.evaluation.depth_worlds import WorldScore, score_view, summary
from openlyra.worlds.sample import View, sample_view


class Oracle:
    """Knows the truth of one view and distorts it."""

    def __init__(self, view: View, factor: float = 1.0, wave: float = 0.0) -> None:
        ripple = 1 + wave * np.sin(np.arange(view.depth.shape[0]) / 4)[:, None]
        self.depth = (view.depth * factor * ripple).astype(np.float32)
        self.view = view

    def estimate(self, image: np.ndarray, focal: float | None = None) -> DepthResult:
        ones = np.ones(self.depth.shape, np.float32)
        true = float(self.view.camera.intrinsics[1, 1])
        return DepthResult(self.depth, ones > 0, self.view.sky, true, ones, "oracle", None)


@pytest.fixture(scope="module")
def street() -> View:
    return sample_view(1_000_000_003, "street", height=120, width=200)


def test_the_truth_has_no_faults(street: View) -> None:
    score = score_view(Oracle(street), street)
    assert score.delta1 > 0.999 and score.absrel < 1e-3 and score.fov_error < 1e-6
    assert np.isnan(score.sky_iou) or score.sky_iou == 1.0
    assert score.scale == pytest.approx(1, abs=1e-6)
    assert score.plane_rms < 1e-3 and score.bump_rms < 1e-3 and score.straight < 0.05


def test_a_factor_shows_in_the_scale_alone(street: View) -> None:
    score = score_view(Oracle(street, factor=1.5), street)
    assert score.scale == pytest.approx(1.5, rel=1e-5)
    assert score.delta1 > 0.999 and score.plane_rms < 1e-3


def test_ripples_show_as_bumps_of_their_size(street: View) -> None:
    score = score_view(Oracle(street, wave=0.04), street)
    assert 0.02 < score.bump_rms < 0.035  # 0.04 / sqrt(2), less what a plane can follow
    assert score.straight > score_view(Oracle(street), street).straight + 0.05


def test_summary_skips_what_a_view_lacks() -> None:
    one = WorldScore(0.8, 0.1, float("nan"), float("nan"), 0.0, 0.001, 4.0, 1.0, 0.02, 0.01, 1.0, 0.2)
    both = summary([one, replace(one, delta1=0.6, sky_view_iou=0.9, fov_error=8.0)])
    assert (both.delta1, both.sky_view_iou, both.fov_error) == (pytest.approx(0.7), 0.9, 6.0)


def test_sky_of_all_views_is_counted_by_pixels() -> None:
    large = WorldScore(0.8, 0.1, 0.9, 0.9, 0.45, 0.5, 4.0, 1.0, 0.02, 0.01, 1.0, 0.2)
    missed = replace(large, sky_iou=0.0, sky_view_iou=0.0, sky_both=0.0, sky_either=0.02)
    assert summary([large, missed]).sky_iou == pytest.approx(0.45 / 0.52)
    assert summary([large, missed]).sky_view_iou == pytest.approx(0.45)
