"""`*weights`: stored weights of golden networks are what the formula gives, bit by bit."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from openlyra.evaluation.parity.formula import formula_weight
from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare

PREFIXES = ("", "vae.", "t5.", "clip.")
"""Seed-name prefixes: none for the transformer, one for each companion network."""


def check(file: GoldenFile) -> Iterator[Comparison]:
    """Every tensor of the file against the formula of the network whose prefix fits the first one."""
    keys = sorted(file.keys)
    fits = (p for p in PREFIXES if torch.equal(formula_weight(keys[0], file[keys[0]].shape, p), file[keys[0]]))
    prefix = next(fits, "")
    for key in keys:
        stored = file[key]
        yield compare(key, formula_weight(key, stored.shape, prefix), stored, 0.0)
