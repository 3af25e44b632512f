"""Photographs of surfaces laid over rendered views, so that the network meets grain that no formula makes.

Floors, ceilings and the two sorts of walls, told apart by the normals of the true depth, each get a photograph whose
colour, relative to its mean brightness, multiplies the rendered one: what was there still shows, with light and shadow.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from openlyra.errors import InputError
from openlyra.media.image import read_photo

SIDE = 512
"""Pixels of a photograph, cut square and scaled."""
SHARE = 0.2
"""Part of the views that are laid over."""
COVERED = 0.6
"""Part of the floors, ceilings and walls of such a view that get a photograph."""
LEAST = 0.25  # gain; joints and holes may be black in a photograph, things behind them must not vanish
MOST = 2.5
WALL_AHEAD, FLOOR, CEILING, WALL_ASIDE = range(4)


class Surfaces:
    """Photographs at all sizes from SIDE down to one pixel, for lookups without shimmer."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
        if not paths:
            raise InputError(f"{folder}: holds no photographs of surfaces (.png, .jpg, .webp)")
        finest = np.stack([_square(read_photo(path).image) for path in paths])
        self.means = np.maximum(finest.mean((1, 2), dtype=np.float64), 8.0).astype(np.float32)
        levels = [finest]
        while levels[-1].shape[1] > 1:
            rows = levels[-1][:, ::2].astype(np.uint16) + levels[-1][:, 1::2]
            levels.append(((rows[:, :, ::2] + rows[:, :, 1::2] + 2) // 4).astype(np.uint8))
        self.pixels = np.concatenate([level.reshape(-1, 3) for level in levels])
        sizes = np.array([level.shape[0] * level.shape[1] ** 2 for level in levels])
        self.starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def laid_over(
        self, rgb: NDArray[np.uint8], depth: NDArray[np.float32], focal: float, random: Generator
    ) -> NDArray[np.uint8]:
        """The picture (H, W, 3) with photographs on some of its surfaces; `depth` (H, W) in metres, 0 at the sky."""
        rows, columns = depth.shape
        y = (np.arange(rows, dtype=np.float32) + 0.5 - rows / 2)[:, None] / focal
        x = (np.arange(columns, dtype=np.float32) + 0.5 - columns / 2)[None] / focal
        kind, slant, _ = facing(depth, x, y, focal)
        px, py = x * depth, y * depth
        along = np.where(kind == WALL_ASIDE, depth, px)
        down = np.where((kind == FLOOR) | (kind == CEILING), depth, py)
        out = rgb.astype(np.float32)
        for which in range(4):
            if random.random() >= COVERED:
                continue
            number, metres = int(random.integers(len(self.means))), float(np.exp(random.uniform(-1.0, 1.3)))
            power, shift = float(random.uniform(0.4, 1.0)), random.uniform(0, 1, 2)
            here = np.nonzero((kind == which) & (depth > 0))
            texels = SIDE / metres
            detail = self._look_up(
                number, along[here] * texels + shift[0] * SIDE, down[here] * texels + shift[1] * SIDE,
                depth[here] / focal * texels / np.sqrt(slant[here]),
            )  # fmt: skip
            out[here] *= np.clip(detail / self.means[number], LEAST, MOST) ** power
        return np.clip(out, 0, 255).astype(np.uint8)

    def _look_up(self, number: int, u: np.ndarray, v: np.ndarray, footprint: np.ndarray) -> NDArray[np.float32]:
        """Colour (N, 3) at texels (u, v), repeated by mirroring, averaged over `footprint` texels."""
        level = np.clip(np.round(np.log2(np.maximum(footprint, 1.0))), 0, len(self.starts) - 1).astype(np.int64)
        side = SIDE >> level
        column, row = (_mirrored(value) >> level for value in (u, v))
        return self.pixels[self.starts[level] + (number * side + row) * side + column].astype(np.float32)


def _square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of a photograph, SIDE by SIDE."""
    rows, columns = image.shape[:2]
    side = min(rows, columns)
    top, left = (rows - side) // 2, (columns - side) // 2
    cut = Image.fromarray(image[top : top + side, left : left + side])
    return np.asarray(cut.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def _mirrored(texel: np.ndarray) -> NDArray[np.int64]:
    """Whole texels 0 to SIDE - 1 of an endless strip of the photograph and its mirror image."""
    place = np.floor(texel).astype(np.int64) % (2 * SIDE)
    return np.minimum(place, 2 * SIDE - 1 - place)


def facing(
    depth: NDArray[np.float32], x: np.ndarray, y: np.ndarray, focal: float
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Which sort of surface a pixel shows (H, W), the cosine between its ray and its normal, at least 0.05, and that
    normal (H, W, 3), pointing away.

    Planes are linear in inverse depth: its gradient times the focal length, and what is left at the middle ray, are the
    normal.
    """
    inverse = np.where(depth > 0, 1.0 / np.maximum(depth, 1e-3), 0).astype(np.float32)
    dy, dx = (g * focal for g in np.gradient(inverse))
    dz = inverse - x * dx - y * dy
    size = np.sqrt(dx * dx + dy * dy + dz * dz) + 1e-9
    slant = np.maximum(inverse / (size * np.sqrt(1 + x * x + y * y)), 0.05)
    steepest = np.argmax(np.abs(np.stack([dz, dy, dx])), 0)
    level = np.where(dy > 0, FLOOR, CEILING)
    kind = np.choose(steepest, (np.full_like(level, WALL_AHEAD), level, np.full_like(level, WALL_ASIDE)))
    return kind, slant.astype(np.float32), (np.stack([dx, dy, dz], -1) / size[..., None]).astype(np.float32)
