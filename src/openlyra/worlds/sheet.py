"""One picture of many worlds: colour above, depth below."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openlyra.worlds.sample import View

# Colours of a perceptual ramp from far (dark blue) to near (yellow), and of the sky.
_RAMP = np.array([[20, 12, 60], [84, 22, 120], [160, 45, 110], [225, 90, 65], [250, 165, 35], [250, 245, 150]], float)
_SKY = np.array([150, 190, 230], np.uint8)


def depth_picture(view: View) -> NDArray[np.uint8]:
    """(H, W, 3) inverse depth in colours, near bright; sky light blue."""
    inverse = 1.0 / np.maximum(view.depth, 1e-3)
    solid = inverse[~view.sky]
    high = np.percentile(solid, 98) if solid.size else 1.0
    place = np.clip(inverse / high, 0, 1) ** 0.6 * (len(_RAMP) - 1)
    colors = np.stack([np.interp(place, np.arange(len(_RAMP)), _RAMP[:, c]) for c in range(3)], -1).astype(np.uint8)
    colors[view.sky] = _SKY
    return colors


def contact_sheet(views: list[View], columns: int) -> NDArray[np.uint8]:
    """All views of one size in a grid, each with its depth below."""
    tiles = [np.concatenate([view.rgb, depth_picture(view)], 0) for view in views]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows, 0)
