"""One view behind another: what is near in the first stands before the second, whose world grows until it fits.

A world that grows about the camera looks the same, so the truth stays exact. Windows get views, and things that nobody
expects stand close to the camera.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

SHARE = 0.25
"""Part of the views for which another one to stand behind them is looked for; half find one."""
TRIES = 3
"""So many are tried."""
CUTS = 12
"""Depths that are tried as the end of the first view."""
LEAST, MOST = 0.08, 0.9
"""Part of the picture that the first view keeps."""
GROWTH = 3.0
"""The second world grows by no more than this: rooms are not to become halls."""
LENSES = 1.35
"""Most that the focal lengths may differ by."""
_CLOSE = 0.07  # of a depth, relative; a cut is bad where much of the picture is this close to it

Picture = NDArray[np.uint8]
Depth = NDArray[np.float32]


def stacked(
    front: tuple[Picture, Depth, float], back: tuple[Picture, Depth, float], random: Generator
) -> tuple[Picture, Depth] | None:
    """Picture (H, W, 3) and depth (H, W) in metres, 0 at the sky, of `front` up to some depth and `back` behind it.

    Both are (picture, depth, focal length in pixels). None if they do not go together.
    """
    (rgb, depth, focal), (other, beyond, lens) = front, back
    alike = depth.shape == beyond.shape and 1 / LENSES < focal / lens < LENSES
    cut = _cut(depth, random) if alike else None
    if cut is None:
        return None
    kept = (depth > 0) & (depth < cut)
    behind = ~kept & (beyond > 0)
    if not behind.any():
        return None
    growth = max(1.0, cut / float(np.quantile(beyond[behind][::16], 0.02)))
    if growth > GROWTH:
        return None
    gain = float(np.exp(random.normal(0, 0.2)))
    lit = np.clip(other.astype(np.float32) * gain, 0, 255).astype(np.uint8)
    far = np.where(beyond > 0, np.maximum(beyond * growth, cut), 0)
    return np.where(kept[..., None], rgb, lit), np.where(kept, depth, far).astype(np.float32)


def _cut(depth: Depth, random: Generator) -> float | None:
    """A depth at which little of the picture is: between a wall and what its window shows, or before the sky.

    None if there is none that leaves enough on both sides.
    """
    coarse = depth[::4, ::4]
    logs = np.sort(np.log(coarse[coarse > 0]))
    if not len(logs):
        return None
    places = np.append(np.quantile(logs, random.uniform(0.05, 0.95, CUTS)), logs[-1] + 2 * _CLOSE)
    kept = np.searchsorted(logs, places) / coarse.size
    places = places[(kept >= LEAST) & (kept <= MOST)]
    if not len(places):
        return None
    crossed = np.searchsorted(logs, places + _CLOSE) - np.searchsorted(logs, places - _CLOSE)
    best = np.argsort(crossed)[: 1 + CUTS // 4]
    return float(np.exp(places[int(random.choice(best))]))
