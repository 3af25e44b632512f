"""The library's front door."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import openlyra
from openlyra import CreateSettings, InputError, OutputExistsError, World, create
from openlyra.evaluation.metrics import psnr
from openlyra.runs import RunFolder


def test_settings_are_checked() -> None:
    assert CreateSettings(size="64x96").shape() == (64, 96)
    for wrong in ("64", "64x", "x", "-64x96", "64x96x3", "30x96", "8000x8000", "65x96"):
        with pytest.raises(InputError, match="--size"):
            CreateSettings(size=wrong).check()
    for aside in (-0.1, 0.6, float("nan")):
        with pytest.raises(InputError, match="--beside"):
            CreateSettings(beside=aside).check()
    with pytest.raises(TypeError):
        create("photo.png", colour="red")


def test_public_names_exist() -> None:
    assert all(getattr(openlyra, name) is not None for name in openlyra.__all__)
    with pytest.raises(AttributeError):
        _ = openlyra.nothing


def test_a_world_reads_its_files(toy_run: Path, tmp_path: Path) -> None:
    world = World(toy_run)
    assert len(world) == 5 and world.gaussians.count > 64 * 96
    assert world.frame(0).shape == (64, 96, 3)
    world.save(tmp_path / "copy")
    with pytest.raises(OutputExistsError):
        world.save(tmp_path / "copy")
    assert World(tmp_path / "copy").run.manifest == world.run.manifest
    with pytest.raises(InputError, match="run folder"):
        World(tmp_path)


def test_the_photo_is_remembered_first(toy_run: Path) -> None:
    run = RunFolder.open(toy_run)
    remembered = [run.load_memory(index) for index in run.memory_indices()]
    assert run.load_photo().valid.all() and remembered[0].index == run.load_photo().index
    np.testing.assert_array_equal(run.load_photo().camera.world_from_camera, np.eye(4))
    assert len({frame.index for frame in remembered}) == len(remembered)


def test_a_loop_returns_to_its_first_frame(photo: Path) -> None:
    seen: list[str] = []
    world = create(photo, path="loop", frames=9, size="64x96", advance=lambda stage, done, total: seen.append(stage))
    assert psnr(world.frame(8), world.frame(0)) >= 30
    assert list(dict.fromkeys(seen)) == [
        "depth", "explore", "frames", "beside", "scene", "video", "viewer", "report",
    ]  # fmt: skip
