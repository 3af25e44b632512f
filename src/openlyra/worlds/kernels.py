"""How the kernels of this package are compiled: one thread, cached, arithmetic that keeps infinities."""

from __future__ import annotations

from typing import Any

OPTIONS: dict[str, Any] = {"cache": True, "fastmath": {"nsz", "arcp", "contract", "afn"}, "error_model": "numpy"}
"""Everything is float64: the ground truth must be exact, and scalar code gains nothing from float32."""
INFINITY = 1e30
