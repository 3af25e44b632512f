"""In which order the clips of shards are learned from: each once an epoch, shard after shard, in lanes.

The order is a function of seed, step and place in the batch, so that a training can be taken up anywhere. An epoch's
order is cut into as many equal lanes as the batch has places; ranks own neighbouring places and so read other shards.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

STREAM = 1 << 22
"""Sets these random numbers apart from those of examples."""


@lru_cache(maxsize=4)
def epoch_order(shards: tuple[int, ...], seed: int, epoch: int) -> tuple[int, ...]:
    """All clips, each once: shards in a random order, and within a shard its clips. `shards`: that of each clip."""
    random = np.random.default_rng([seed, epoch, STREAM])
    groups = np.asarray(shards)
    parts = [random.permutation(np.flatnonzero(groups == shard)) for shard in random.permutation(np.unique(groups))]
    return tuple(int(place) for place in np.concatenate(parts))


def streamed_clip(shards: tuple[int, ...], batch: int, seed: int, visit: int, place: int) -> int:
    """The clip that one place of the batch learns from at a visit, counted from 0 over the whole training.

    What does not divide by the batch is left out of an epoch, another part each time. With fewer clips than places,
    the places go on into the next epoch."""
    lane = len(shards) // batch
    if lane == 0:
        epoch, at = divmod(visit * batch + place, len(shards))
        return epoch_order(shards, seed, epoch)[at]
    epoch, at = divmod(visit, lane)
    return epoch_order(shards, seed, epoch)[place * lane + at]
