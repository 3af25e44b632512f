"""Which view is completed next: the same as when every candidate is measured each time, with fewer measurements."""

from __future__ import annotations

import numpy as np
import pytest

from openlyra.generation.exemplar import ExemplarSettings, next_to_complete


def plain_choice(candidates: list[int], sizes: np.ndarray, settings: ExemplarSettings) -> int | None:
    wanting = [i for i in candidates if sizes[i] > settings.tolerated_hole]
    linked = [i for i in wanting if sizes[i] <= settings.largest_hole]
    if linked:
        return max(linked, key=lambda i: (sizes[i], i))
    return min(wanting, key=lambda i: (sizes[i], i), default=None)


@pytest.mark.parametrize("seed", range(20))
def test_the_choices_are_those_of_measuring_all(seed: int) -> None:
    random, settings = np.random.default_rng(seed), ExemplarSettings(tolerated_hole=0.05, largest_hole=0.5)
    # In steps, so that some are equal.
    sizes = random.integers(0, 21, 12) / 20
    candidates, holes, measured = list(range(12)), dict.fromkeys(range(12), 1.0), []

    def hole(index: int) -> float:
        measured.append(index)
        return float(sizes[index])

    turns = 0
    while True:
        turns += 1
        chosen = next_to_complete(candidates, holes, hole, settings)
        assert chosen == plain_choice(candidates, sizes, settings)
        if chosen is None:
            break
        candidates.remove(chosen)
        sizes = np.round(sizes * random.choice([0.6, 1.0], 12), 2)
    assert turns > 2 and len(measured) < 0.7 * 12 * turns
