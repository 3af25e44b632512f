from __future__ import annotations

import numpy as np
import pytest

from openlyra.depth.looks import cell_moments, scores
from openlyra.depth.resample import resized

SIZES = [(24, 40, 4), (25, 39, 4), (7, 5, 2), (3, 3, 8)]


@pytest.mark.parametrize("rows, columns, factor", SIZES)
def test_moments_are_means_over_every_second_pixel(rows: int, columns: int, factor: int) -> None:
    random = np.random.default_rng(0)
    colour = random.random((rows, columns, 3)).astype(np.float32)
    mask = random.random((rows, columns)) < 0.5
    moments = cell_moments(colour, mask, factor)
    assert moments.shape == (7, -(-rows // factor), -(-columns // factor))
    for i, j in np.ndindex(moments.shape[1:]):
        cell = np.s_[i * factor : (i + 1) * factor : 2, j * factor : (j + 1) * factor : 2]
        weight, seen = mask[cell][..., None], colour[cell]
        plain = np.concatenate([weight, weight * seen, weight * seen**2], -1).mean((0, 1))
        np.testing.assert_allclose(moments[:, i, j], plain, rtol=1e-5)


@pytest.mark.parametrize("rows, columns, factor", SIZES)
def test_scores_are_those_of_terms_made_larger_where_asked(rows: int, columns: int, factor: int) -> None:
    random = np.random.default_rng(1)
    colour = random.random((rows, columns, 3)).astype(np.float32)
    terms = random.normal(size=(7, -(-rows // factor), -(-columns // factor))).astype(np.float32)
    full = resized(terms, terms.shape[1] * factor, terms.shape[2] * factor)[:, :rows, :columns]
    plain = (np.moveaxis(colour, -1, 0) * (full[:3] * np.moveaxis(colour, -1, 0) + full[3:6])).sum(0) + full[6]
    asked = random.random(terms.shape[1:]) < 0.7
    plain = np.where(asked.repeat(factor, 0).repeat(factor, 1)[:rows, :columns], plain, 0)
    np.testing.assert_allclose(scores(colour, terms, factor, asked), plain, rtol=1e-4, atol=1e-5)
