"""Where the cheapest way out of a region leads (numba)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

ROUNDS = 30
"""Most sweeps there and back; ways that wind more often stay a little too dear."""


@njit(cache=True)
def _sweep(cost, places, width, back, price, source):  # type: ignore[no-untyped-def]
    """Pass over flat places in order, or back, looking at neighbours already passed; whether any way got cheaper."""
    changed = False
    sign = 1 if back else -1
    for n in range(places.size):
        here = places[places.size - 1 - n] if back else places[n]
        for k in range(4):
            # The one beside, then the three of the row behind.
            there = here + sign * (1 if k == 0 else width + k - 2)
            length = 0.5 if k == 0 or k == 2 else 0.70710678
            reached = price[there] + length * (cost[here] + cost[there])
            if reached < price[here]:
                price[here], source[here], changed = reached, source[there], True
    return changed


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
    places, costs = np.flatnonzero(np.pad(region, 1)), np.pad(cost, 1).ravel()
    for _ in range(ROUNDS):
        ways = [_sweep(costs, places, width, back, price.ravel(), source.ravel()) for back in (False, True)]
        if not any(ways):
            break
    return price[1:-1, 1:-1], source[1:-1, 1:-1]
