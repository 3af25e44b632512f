"""Fitted colours and the number of Gaussians."""

from __future__ import annotations

import numpy as np
import pytest

from openlyra.evaluation.metrics import psnr
from openlyra.gaussians import budget
from openlyra.gaussians.fit import fit_colors
from openlyra.gaussians.lift import lift
from openlyra.gaussians.render import render
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame


def flat_wall() -> MemoryFrame:
    rng = np.random.default_rng(1)
    image = np.kron(rng.integers(0, 256, (12, 16, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    known = np.ones((48, 64), bool)
    return MemoryFrame(0, image, np.full((48, 64), 3.0, np.float32), known, ~known, Camera.from_fov(48, 64, 0.9))


def test_fitting_sharpens_and_leaves_earlier_ones_alone() -> None:
    wall = flat_wall()
    lifted = lift(wall)
    behind = lifted.transformed(np.eye(3), np.array([0.0, 0.0, 5.0]), 1.0)
    scene = Gaussians.concatenate([behind, lifted])
    fitted = fit_colors(scene, behind.count, wall.camera, wall.image, wall.valid, np.zeros_like(wall.valid))
    before, after = (psnr(render(s, wall.camera).color, wall.image) for s in (scene, fitted))
    assert after > before + 3
    np.testing.assert_array_equal(fitted.sh[: behind.count], scene.sh[: behind.count])
    np.testing.assert_array_equal(fitted.means, scene.means)


def test_budget_keeps_what_the_path_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = flat_wall()
    seen = lift(wall)
    unseen = seen.transformed(np.eye(3), np.array([0.0, 0.0, -40.0]), 1.0)
    scene = Gaussians.concatenate([unseen, seen])
    cameras = Camera(np.eye(4)[None], np.asarray(wall.camera.intrinsics)[None], wall.width, wall.height)
    assert budget.within_budget(scene, cameras, "full") is scene
    assert budget.within_budget(scene, cameras, "preview") is scene
    monkeypatch.setitem(budget.BUDGETS, "preview", seen.count)
    kept = budget.within_budget(scene, cameras, "preview")
    np.testing.assert_array_equal(kept.means, seen.means)
    monkeypatch.setitem(budget.BUDGETS, "preview", 100)
    assert budget.within_budget(scene, cameras, "preview").count == 100
