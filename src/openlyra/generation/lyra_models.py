"""The networks of the `lyra` generator by name: nano from inside the package, a folder with weights that were trained
here or released ones, or the toy with weights from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openlyra import models
from openlyra.errors import InputError
from openlyra.models.frame_packing import PATCH, Layout
from openlyra.models.lyra_config import TOY, LyraConfig
from openlyra.models.small_folder import SmallModel, is_small, read_walk
from openlyra.models.video_vae import SPATIAL

TOY_NAME, NANO_NAME = "toy", "nano"
NANO = Path(models.__file__).parent / "weights" / "world_nano"
NANO_SHA256 = "be58f86ef1e9c1baffb52b279c6e0ec0344f06bf87e9ef5f8e05a95a794e8be4"
"""Of the network's file in that folder."""
CELL = SPATIAL * PATCH[1]
"""Height and width of what the networks see are multiples of this many pixels."""
TOY_SEED = 20
TOY_HEAD_STD = 0.05
TOY_VAE_WIDTH = 8


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model before any of its weights is read."""

    config: LyraConfig
    """Sizes of the video transformer."""
    steps: int
    """Sampling steps unless told otherwise."""
    guidance: float
    """Guidance unless told otherwise."""
    pixels: int
    """Largest number of pixels of a frame inside the networks."""
    folder: Path | None = None
    """Where the weights are, None for the toy."""
    small: SmallModel | None = None
    """How to walk with a network that was trained here."""

    @property
    def layout(self) -> Layout:
        """Frame packing of the network."""
        layout = self.config.packing
        if layout is None or not layout.spatial_frames:
            raise InputError(f"{self.folder}: the network has no layout with spatial slots, so it cannot walk")
        return layout


def model_info(name: str) -> ModelInfo:
    """Look a model up: `nano`, `toy`, or a folder that `openlyra train world` or `openlyra models convert` made.

    Raises InputError; loads nothing."""
    if name == TOY_NAME:
        return ModelInfo(TOY, 4, 2.0, 96 * 160)
    folder = NANO if name == NANO_NAME else Path(name)
    if not folder.is_dir():
        raise InputError(f"model {name!r} is not known; give {NANO_NAME}, {TOY_NAME} or a folder with weights")
    config = LyraConfig.read(folder / "transformer" / "config.json")
    if is_small(folder):
        small = read_walk(folder)
        return ModelInfo(config, small.steps, 1.0, small.height * small.width, folder, small)
    return ModelInfo(config, 35, 5.0, 480 * 832, folder)


def working_size(height: int, width: int, pixels: int) -> tuple[int, int]:
    """(height, width) inside the networks for frames of another size: multiples of 16, about the same shape.

    They hold at most `pixels` pixels."""
    shrink = min(1.0, (pixels / (height * width)) ** 0.5)
    rows, columns = (max(1, round(side * shrink / CELL)) for side in (height, width))
    while rows * columns * CELL * CELL > pixels and max(rows, columns) > 1:
        rows, columns = (rows - 1, columns) if rows > columns else (rows, columns - 1)
    return rows * CELL, columns * CELL
