"""A small made-up photo and runs of the real command line on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from openlyra.cli.main import main
from runs_for_tests import TOY


def toy_photo(height: int = 120, width: int = 180, seed: int = 3) -> np.ndarray:
    """Ground, a brick-coloured wall and sky, uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(height, width)), 1.5)
    noise = (noise / noise.std())[..., None]
    horizon = height // 2
    image = np.zeros((height, width, 3))
    image[:horizon] = np.linspace((90, 140, 220), (190, 210, 240), horizon)[:, None]
    image[horizon:] = (np.array([110, 95, 70]) + 12 * noise)[horizon:]
    wall = (slice(height // 4, int(height * 0.62)), slice(width // 10, int(width * 0.35)))
    image[wall] = (np.array([150, 80, 60]) + 10 * noise)[wall]
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "toy.png"
    Image.fromarray(toy_photo()).save(path)
    return path


@pytest.fixture(scope="session")
def toy_run(photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 5 frames at 64x96. Not to be written to."""
    folder = tmp_path_factory.mktemp("run") / "world"
    assert main(["create", str(photo), "-o", str(folder), *TOY]) == 0
    return folder
