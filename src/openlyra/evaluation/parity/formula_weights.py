"""`net_*weights`: stored weights of golden networks are what the formula gives, bit by bit."""

from __future__ import annotations

from collections.abc import Iterator

from openlyra.evaluation.parity.formula import formula_weight
from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare


def check(file: GoldenFile) -> Iterator[Comparison]:
    """Every tensor of the file against the formula."""
    for key in sorted(file.keys):
        stored = file[key]
        yield compare(key, formula_weight(key, stored.shape), stored, 0.0)
