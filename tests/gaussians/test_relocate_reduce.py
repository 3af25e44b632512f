"""Fewer Gaussians, and moved ones, that look the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gaussian_scenes import camera, random_scene

from openlyra.evaluation.metrics import psnr
from openlyra.gaussians import Gaussians, render
from openlyra.gaussians.lift import lift
from openlyra.gaussians.reduce import reduced
from openlyra.gaussians.relocate import choose, copies_of, exploration_noise, split_opacity_and_scale
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame


@pytest.mark.parametrize("opacity", [0.4, 0.7, 0.95])
@pytest.mark.parametrize("copies", [2, 5])
def test_copies_together_look_as_the_one_did(opacity: float, copies: int) -> None:
    each, factor = split_opacity_and_scale(torch.tensor([opacity]), torch.tensor([copies]))
    assert float(1 - (1 - each) ** copies) == pytest.approx(opacity, rel=1e-4)
    one = Gaussians.from_colors([[0, 0, 2.0]], [[1, 0, 0, 0]], [[0.2, 0.2, 0.2]], [opacity], [[1, 1, 1]])
    scale = 0.2 * float(factor)
    arrays = ([[0, 0, 2.0]], [[1, 0, 0, 0]], [[scale] * 3], [float(each)], [[1, 1, 1]])
    many = Gaussians.from_colors(*(np.repeat(np.array(array), copies, 0) for array in arrays))
    view = Camera.from_fov(64, 64, 0.9)
    before, after = (render(scene, view).alpha for scene in (one, many))
    # Equation 9 keeps the integral along a line through the centre.
    assert after[32].sum() == pytest.approx(before[32].sum(), rel=0.03)


def test_movers_go_to_the_living_within_the_budget() -> None:
    opacities = np.array([0.9, 0.001, 0.0, 0.5, 0.002] + [0.3] * 95)
    movers, sources, grown = choose(opacities, 103, np.random.default_rng(0))
    assert grown == 3 and list(movers) == [1, 2, 4, 100, 101, 102]
    assert (opacities[sources] >= 0.005).all()
    assert copies_of(sources, 103).sum() == 103 + 6
    assert choose(opacities, 50, np.random.default_rng(0))[2] == 0
    assert len(choose(np.zeros(5), 50, np.random.default_rng(0))[0]) == 0


def test_noise_shakes_only_the_faint() -> None:
    scales, quaternions = torch.full((2000, 3), 0.1), torch.tensor([[1.0, 0, 0, 0]]).repeat(2000, 1)
    opacities = torch.full((2000,), 0.9)
    opacities[:1000] = 0.001
    which, steps = exploration_noise(scales, quaternions, opacities, torch.Generator().manual_seed(0))
    assert torch.equal(which, torch.arange(1000))
    assert 0.05 < float(steps.std()) < 0.1


def textured_wall() -> MemoryFrame:
    rows, columns = np.mgrid[:48, :64]
    image = np.stack([120 + 80 * np.sin(columns / 9), 100 + 60 * np.cos(rows / 7), 90 + columns], -1).astype(np.uint8)
    image[20:28, 20:36] = (rows + columns)[20:28, 20:36, None] % 2 * 255
    known = np.ones((48, 64), bool)
    return MemoryFrame(0, image, np.full((48, 64), 3.0, np.float32), known, ~known, Camera.from_fov(48, 64, 0.9))


def test_half_of_them_look_nearly_the_same() -> None:
    wall = textured_wall()
    scene = lift(wall)
    unseen = scene.transformed(np.eye(3), np.array([0.0, 0.0, -40.0]), 1.0).select(slice(0, 500))
    cameras = Camera(np.eye(4)[None], np.asarray(wall.camera.intrinsics)[None], wall.width, wall.height)
    half = reduced(Gaussians.concatenate([unseen, scene]), cameras, scene.count // 2)
    half.validate()
    assert half.count == scene.count // 2 and (half.means[:, 2] > 0).all()
    whole = render(scene, wall.camera).color
    thinned = scene.select(np.random.default_rng(0).permutation(scene.count)[: scene.count // 2])
    assert psnr(render(half, wall.camera).color, whole) > psnr(render(thinned, wall.camera).color, whole) + 8
    assert render(half, wall.camera).alpha[4:-4, 4:-4].min() > 0.7


def test_small_budgets_and_full_ones() -> None:
    scene = random_scene(0, 60, 2)
    cameras = Camera(camera().world_from_camera[None], camera().intrinsics, 53, 37)
    assert reduced(scene, cameras, 60) is scene
    for budget in (1, 7, 59):
        few = reduced(scene, cameras, budget)
        assert few.count == budget and few.sh_degree == 2
