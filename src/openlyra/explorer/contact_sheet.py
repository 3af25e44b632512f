"""One picture of a whole run: frames in a grid, and what of each was carried over and what was newly made."""

from __future__ import annotations

import numpy as np
from PIL import Image

from openlyra.generation.surfaces import Surfaces
from openlyra.geometry.camera import Trajectory
from openlyra.media.image import write_image
from openlyra.runs.folder import RunFolder

TILES = 12
COLUMNS = 4
TILE_WIDTH = 416
MADE = np.array([255, 120, 30], np.float32)
EDGE = np.array([255, 240, 120], np.float32)


def write_contact_sheet(run: RunFolder, surfaces: Surfaces, path: Trajectory) -> None:
    """Write ``contact_sheet.jpg``: twelve frames along the path, under each a grey twin with new regions in orange."""
    picks = np.unique(np.linspace(0, len(path) - 1, TILES).round().astype(int))
    tiles = [_tile(run.read_frame(int(i)), surfaces.shares(path[int(i)])[..., 2]) for i in picks]
    columns = min(COLUMNS, len(tiles))
    blank = np.full_like(tiles[0], 24)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    write_image(run.path / "contact_sheet.jpg", np.concatenate(rows, 0))


def _tile(frame: np.ndarray, made: np.ndarray) -> np.ndarray:
    """A frame above, and below it the same frame in grey with the made part tinted."""
    height = round(frame.shape[0] * TILE_WIDTH / frame.shape[1])
    small = np.asarray(Image.fromarray(frame).resize((TILE_WIDTH - 4, height - 4), Image.Resampling.LANCZOS))
    share = np.asarray(Image.fromarray(made).resize((TILE_WIDTH - 4, height - 4), Image.Resampling.BILINEAR))[..., None]
    grey = np.repeat(small.mean(2, keepdims=True), 3, 2) * 0.8
    tinted = grey * (1 - 0.65 * share) + MADE * (0.65 * share)
    marked = np.where((share > 0.4) & (share < 0.6), EDGE, tinted).astype(np.uint8)
    frame_tile = np.full((2 * height, TILE_WIDTH, 3), 24, np.uint8)
    frame_tile[2 : height - 2, 2:-2] = small
    frame_tile[height + 2 : -2, 2:-2] = marked
    return frame_tile
