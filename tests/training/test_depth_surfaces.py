from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from openlyra.errors import InputError
from openlyra.training import depth_surfaces
from openlyra.training.depth_settings import TrainDepthSettings
from openlyra.training.depth_surfaces import Surfaces
from openlyra.worlds.sample import sample_view


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A folder with one photograph: a chequerboard of 8 by 8 black and white fields."""
    fields = np.indices((8, 8)).sum(0) % 2 * 255
    picture = np.kron(fields, np.ones((64, 64))).astype(np.uint8)
    Image.fromarray(np.repeat(picture[..., None], 3, -1)).save(tmp_path / "board.png")
    return tmp_path


def wall(metres: float, height: int = 96, width: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Grey picture and depth of a wall straight ahead under a strip of sky."""
    rgb, depth = np.full((height, width, 3), 100, np.uint8), np.full((height, width), metres, np.float32)
    depth[:20] = 0
    return rgb, depth


def fields_across(rgb: np.ndarray) -> int:
    """How often brightness changes along the middle row."""
    row = rgb[len(rgb) // 2, :, 0] > 100
    return int((row[1:] != row[:-1]).sum())


def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth_surfaces, "COVERED", 1.0)


def test_a_photograph_keeps_its_size_in_metres(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times as far, three times as many fields are seen; the sky stays as it was."""
    always(monkeypatch)
    surfaces, (rgb, near), (_, far) = Surfaces(board), wall(2.0), wall(6.0)
    close = surfaces.laid_over(rgb, near, 120.0, np.random.default_rng(0))
    distant = surfaces.laid_over(rgb, far, 120.0, np.random.default_rng(0))
    assert fields_across(close) >= 2
    assert abs(fields_across(distant) - 3 * fields_across(close)) <= 3
    assert (close[:18] == 100).all() and (distant[:18] == 100).all()


def test_far_away_a_photograph_fades_to_its_mean(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch)
    rgb, depth = wall(3000.0)
    laid = Surfaces(board).laid_over(rgb, depth, 120.0, np.random.default_rng(0))
    assert np.abs(laid.astype(int) - 100).max() <= 2


def test_views_of_worlds_change_and_the_seed_decides_how(board: Path) -> None:
    view = sample_view(3, "rooms", height=96, width=128)
    depth = np.where(view.sky, 0, view.depth).astype(np.float32)
    surfaces, focal = Surfaces(board), float(view.camera.intrinsics[1, 1])
    first, again = (surfaces.laid_over(view.rgb, depth, focal, np.random.default_rng(5)) for _ in range(2))
    assert (first == again).all()
    assert (first != view.rgb).any(-1).mean() > 0.2


def test_a_folder_without_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no photographs"):
        Surfaces(tmp_path)
    with pytest.raises(InputError, match=r"--surfaces .*: no such folder"):
        TrainDepthSettings(surfaces=tmp_path / "none").check()
