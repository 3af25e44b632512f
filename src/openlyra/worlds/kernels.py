"""How the kernels of this package are compiled: one thread, cached, arithmetic that keeps infinities."""

from __future__ import annotations

from typing import Any

from numba import njit

INFINITY = 1e30
OPTIONS: dict[str, Any] = {"cache": True, "fastmath": {"nsz", "arcp", "contract", "afn"}, "error_model": "numpy"}
"""Everything is float64: the ground truth must be exact, and scalar code gains nothing from float32. Only the march of
`land_rays` and the filter of `spread`, which are vector code, are float32."""


def _without_counting(options: dict[str, Any]) -> dict[str, Any]:
    """The options with numba's reference counting off, where this version of numba can do that."""
    lean = {**options, "_nrt": False}
    try:
        njit(**lean)(lambda: 0)
    except (KeyError, TypeError):
        return options
    return lean


LEAN: dict[str, Any] = _without_counting(OPTIONS)
"""For functions that a ray calls and that allocate nothing. Counting references to the world's arrays at every call
takes three times as long as the intersections themselves."""
