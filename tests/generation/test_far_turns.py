"""Paths that leave what the photo shows altogether still see something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from openlyra import create
from openlyra.generation.exemplar import complete_view
from openlyra.generation.surfaces import Surfaces
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame


def bright_photo(path: Path) -> Path:
    rows = np.linspace(230, 120, 64)[:, None, None]
    noise = np.random.default_rng(0).integers(-20, 20, (64, 96, 1))
    Image.fromarray((np.array([0.9, 1.0, 1.0]) * (rows + noise)).clip(0, 255).astype(np.uint8)).save(path)
    return path


def test_a_turn_right_round_grows_out_of_the_photo(tmp_path: Path) -> None:
    world = create(
        bright_photo(tmp_path / "photo.png"), path="pan-right", strength=170.0, frames=65, size="64x96", depth="layout"
    )
    for index in range(0, 65, 16):
        dark = (world.frame(index).max(-1) < 40).mean()
        assert dark < 0.05, f"frame {index}: {dark:.0%} is black"


def test_a_view_that_shares_nothing_shows_the_photo_mirrored() -> None:
    image = np.random.default_rng(1).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    depth, sky = np.full((32, 48), 3, np.float32), np.zeros((32, 48), bool)
    photo = MemoryFrame(0, image, depth, ~sky, sky, Camera.from_fov(32, 48, 0.9, np.eye(4)))
    surfaces = Surfaces()
    surfaces.add(photo, made=False)
    back = np.diag([-1.0, 1.0, -1.0, 1.0])

    def painter(view: object, seed: int) -> np.ndarray:
        raise AssertionError("there is nothing to continue")

    frame = complete_view(7, Camera.from_fov(32, 48, 0.9, back), surfaces, [photo], 100.0, 0, painter)
    np.testing.assert_array_equal(frame.image, image[:, ::-1])
    assert frame.index == 7 and frame.valid.all()
