"""Where the cheapest way out of a region leads (numba)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def _flood(cost, region, width, price, source):  # type: ignore[no-untyped-def]
    """Let prices flow into the flat places of a region until no way gets cheaper.

    Places whose price fell wait in a queue, each once (Moore, The shortest path through a maze, 1959).
    """
    size = cost.size
    queue = np.empty(size, np.int32)
    waiting = np.zeros(size, np.bool_)
    first, count = 0, 0
    # The four beside, then the four across corners.
    steps = np.array([-width, -1, 1, width, -width - 1, -width + 1, width - 1, width + 1])
    for here in range(size):
        if region[here]:
            for step in steps:
                there = here + step
                if price[there] == 0 and not waiting[there]:
                    queue[count], waiting[there] = there, True
                    count += 1
    while count > 0:
        here = queue[first]
        first, count = (first + 1) % size, count - 1
        waiting[here] = False
        for k in range(8):
            there = here + steps[k]
            if not region[there]:
                continue
            length = 0.5 if k < 4 else 0.70710678
            reached = np.float32(price[here] + length * (cost[here] + cost[there]))
            if reached < price[there]:
                price[there], source[there] = reached, source[here]
                if not waiting[there]:
                    queue[(first + count) % size], waiting[there] = there, True
                    count += 1


def cheapest_way_out(
    cost: NDArray[np.float32], region: NDArray[np.bool_], closed: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """For each pixel of a region, (H, W), the pixel outside it that is reached at the least cost.

    A way goes over the eight neighbours; a step costs its length times the mean cost of its ends, positive. Pixels of
    `closed` outside the region are no ends. Returns the price of the way, float32 (H, W), infinite where there is none,
    and the flat index of its end, int64 (H, W), -1 where there is none; 0 and itself outside the region.
    """
    end = ~region & ~closed
    width = cost.shape[1] + 2
    # A rim of one pixel that nobody comes from saves looking for the picture's end.
    price = np.pad(np.where(end, 0, np.inf).astype(np.float32), 1, constant_values=np.inf)
    source = np.pad(np.where(end, np.arange(cost.size).reshape(cost.shape), -1), 1, constant_values=-1)
    _flood(np.pad(cost, 1).ravel(), np.pad(region, 1).ravel(), width, price.ravel(), source.ravel())
    return price[1:-1, 1:-1], source[1:-1, 1:-1]
