"""Chunks whose true transforms are known: overlaps, loops, outliers, what cannot be aligned."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from openlyra.errors import InputError
from openlyra.gaussians.merge_align import IDENTITY, Edge, Similarity, align_chunks, similarity_between


def truth(rng: np.random.Generator, count: int) -> list[Similarity]:
    """From each chunk's frame to that of chunk 0."""
    return [IDENTITY] + [
        Similarity(Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3) * 3, float(rng.uniform(0.5, 2)))
        for _ in range(count - 1)
    ]


def edge(
    rng: np.random.Generator, first: int, second: int, places: list[Similarity], noise: float = 0.0, line: bool = False
) -> Edge:
    """What both chunks saw; `line`: camera centres on a straight path only."""
    points = rng.uniform(-2, 2, (60, 3))
    if line:
        points = np.array([0.3, 0.1, 1.0]) * np.linspace(0, 2, 8)[:, None]
    turns = Rotation.random(5, random_state=rng)
    shaken = Rotation.from_rotvec(noise * 0.1 * rng.normal(size=(5, 3)))
    a, b = places[first].inverse(), places[second].inverse()
    return Edge(
        first, second, a.apply(points), b.apply(points + noise * rng.normal(size=points.shape)),
        a.rotation @ turns.as_matrix(), b.rotation @ (shaken * turns).as_matrix(),
    )  # fmt: skip


def check(found: Similarity, wanted: Similarity, tolerance: float) -> None:
    np.testing.assert_allclose(found.rotation, wanted.rotation, atol=tolerance)
    np.testing.assert_allclose(found.translation, wanted.translation, atol=tolerance)
    assert found.scale == pytest.approx(wanted.scale, rel=tolerance)


def distance(found: Similarity, wanted: Similarity) -> float:
    """Between where the two put what the chunk saw, on average."""
    points = wanted.inverse().apply(np.random.default_rng(9).uniform(-2, 2, (50, 3)))
    return float(np.linalg.norm(found.apply(points) - wanted.apply(points), axis=1).mean())


def test_exact_overlaps_give_exact_transforms() -> None:
    rng = np.random.default_rng(0)
    places = truth(rng, 4)
    aligned = align_chunks(4, [edge(rng, k, k + 1, places) for k in range(3)])
    for found, wanted in zip(aligned.transforms, places):
        check(found, wanted, 1e-5)
    assert max(aligned.residuals) < 1e-5 and aligned.conditioning > 1e-3


def test_inverse_and_after() -> None:
    place = truth(np.random.default_rng(1), 2)[1]
    points = np.random.default_rng(2).normal(size=(9, 3))
    np.testing.assert_allclose(place.inverse().apply(place.apply(points)), points, atol=1e-12)
    np.testing.assert_allclose(place.after(place).apply(points), place.apply(place.apply(points)), atol=1e-12)


def test_a_straight_path_is_enough_with_orientations() -> None:
    """Centres alone would leave the turn about the path open."""
    rng = np.random.default_rng(3)
    places = truth(rng, 2)
    assert distance(similarity_between(edge(rng, 0, 1, places, 1e-3, line=True)), places[1]) < 5e-3


def test_outliers_do_not_pull() -> None:
    rng = np.random.default_rng(4)
    places = truth(rng, 3)
    edges = [edge(rng, k, k + 1, places, 1e-3) for k in range(2)]
    for e in edges:
        e.points_second[:12] += 5.0
    for found, wanted in zip(align_chunks(3, edges).transforms, places):
        assert distance(found, wanted) < 0.01


def test_a_loop_takes_the_drift_out() -> None:
    """Errors add up along a chain of noisy overlaps; an edge from its end to its start takes most of them away."""
    worst = {}
    for loop in (False, True):
        off = []
        for seed in range(3):
            rng = np.random.default_rng(10 + seed)
            places = truth(rng, 6)
            edges = [edge(rng, k, k + 1, places, 0.1) for k in range(5)]
            if loop:
                edges.append(edge(rng, 5, 0, places, 0.001))
            off.append(distance(align_chunks(6, edges).transforms[5], places[5]))
        worst[loop] = np.mean(off)
    assert worst[True] < 0.4 * worst[False]


def test_what_cannot_be_aligned() -> None:
    rng = np.random.default_rng(5)
    places = truth(rng, 3)
    good = edge(rng, 0, 1, places)
    with pytest.raises(InputError, match="chunk 2 shares nothing"):
        align_chunks(3, [good])
    with pytest.raises(InputError, match="there are chunks 0 to 0"):
        align_chunks(1, [good])
    spot = np.ones((4, 3))
    with pytest.raises(InputError, match="in one spot"):
        similarity_between(Edge(0, 1, spot, spot, good.rotations_first, good.rotations_second))
    with pytest.raises(InputError, match="not finite"):
        Edge(0, 1, spot * np.nan, spot, good.rotations_first, good.rotations_second)
    with pytest.raises(InputError, match="at least two shared points"):
        Edge(0, 1, spot[:1], spot[:1], good.rotations_first, good.rotations_second)
    with pytest.raises(InputError, match="points have shapes"):
        Edge(0, 1, spot, spot[:2], good.rotations_first, good.rotations_second)
