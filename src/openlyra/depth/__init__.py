"""One photo -> depth and focal length. One file a backend, found through the table below."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, cast

from openlyra.depth.base import FAR_SKY, DepthEstimator, DepthResult
from openlyra.errors import InputError

__all__ = ["BACKENDS", "FAR_SKY", "BackendInfo", "DepthEstimator", "DepthResult", "load_depth"]


@dataclass(frozen=True)
class BackendInfo:
    """Where a backend lives and what it is."""

    module: str
    """Module below openlyra.depth; imported only when the backend is asked for."""
    factory: str
    """Class in that module; its keyword arguments are the backend's options."""
    summary: str
    """One line for the help."""


BACKENDS: dict[str, BackendInfo] = {
    "nano": BackendInfo("nano", "NanoDepth", "a small network that the package carries"),
    "layout": BackendInfo("layout", "LayoutDepth", "ground, walls and sky from lines and colour; no weights"),
    "depth-anything": BackendInfo("depth_anything", "DepthAnything", "Depth Anything V2 or 3, weights from the Hub"),
}


def load_depth(name: str, **options: Any) -> DepthEstimator:
    """Build the depth estimator called `name`.

    Raises InputError for an unknown name or option, MissingExtraError when the backend's packages are not installed.
    """
    if name not in BACKENDS:
        raise InputError(f"depth backend {name!r} is unknown; choose one of: {', '.join(sorted(BACKENDS))}")
    info = BACKENDS[name]
    factory = getattr(importlib.import_module(f"openlyra.depth.{info.module}"), info.factory)
    known = factory.__init__.__annotations__.keys() - {"return"}
    unknown = sorted(options.keys() - known)
    if unknown:
        raise InputError(
            f"depth backend {name!r} has no option {unknown[0]!r}; it has: {', '.join(sorted(known)) or '-'}"
        )
    return cast(DepthEstimator, factory(**options))
