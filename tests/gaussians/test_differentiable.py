"""Values and gradients of the differentiable backends against the float64 twin."""

from __future__ import annotations

import sys
import types

import numba
import numpy as np
import pytest
import torch
from gaussian_scenes import camera, random_scene

from openlyra.errors import InputError, MissingExtraError
from openlyra.gaussians import Gaussians
from openlyra.gaussians.differentiable import DifferentiableRender, SceneTensors, best_backend, load_differentiable
from openlyra.gaussians.render_gsplat import GsplatRenderer
from openlyra.gaussians.render_torch import render_dense
from openlyra.geometry.camera import Camera

BACKGROUND = (0.2, 0.5, 0.9)
NAMES = ("means", "quaternions", "scales", "opacities", "sh", "pose")


def loss_of(result: DifferentiableRender) -> torch.Tensor:
    """A weight of its own for every number of colour, depth and alpha."""
    generator = torch.Generator().manual_seed(0)
    parts = (result.color, result.depth, result.alpha)
    weights = [torch.randn(part.shape, generator=generator, dtype=torch.float64) for part in parts]
    return sum((part.double() * weight).sum() for part, weight in zip(parts, weights))  # type: ignore[return-value]


def values_and_gradients(
    backend: str, scene: Gaussians, view: Camera
) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    dtype = torch.float64 if backend == "torch" else torch.float32
    tensors = [tensor.requires_grad_() for tensor in SceneTensors.of(scene, dtype).tensors()]
    pose = torch.tensor(view.world_from_camera).float().double().requires_grad_()
    moving = Camera(pose, torch.tensor(view.intrinsics), view.width, view.height)
    result = load_differentiable(backend)(SceneTensors(*tensors), moving, BACKGROUND)
    loss_of(result).backward()
    found = [tensor.grad.double() for tensor in (*tensors, pose) if tensor.grad is not None]
    assert len(found) == 6
    return [part.detach().double() for part in (result.color, result.depth, result.alpha)], dict(zip(NAMES, found))


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("seed", [0, 2, 5])
def test_agrees_with_the_float64_twin(seed: int, degree: int) -> None:
    # The seeds are such that no pixel sits on the 1/255 or the 1e-4 threshold, where float32 may fall either way.
    scene, view = random_scene(seed, 60, degree, 0.15), camera(37, 53)
    values, gradients = values_and_gradients("cpu", scene, view)
    true_values, true_gradients = values_and_gradients("torch", scene, view)
    for value, true in zip(values, true_values):
        assert relative(value, true) < 3e-6
    for name in NAMES:
        assert relative(gradients[name], true_gradients[name]) < 1e-5, name


def test_agrees_where_pixels_fill_up_and_alpha_is_clamped() -> None:
    scene = random_scene(5, 300, 0, 0.6)
    opaque = Gaussians(scene.means, scene.quaternions, scene.scales, np.ones(300), scene.sh)
    _, gradients = values_and_gradients("cpu", opaque, camera(32, 32))
    _, true = values_and_gradients("torch", opaque, camera(32, 32))
    for name in NAMES:
        assert relative(gradients[name], true[name]) < 2e-3, name


def test_a_second_render_does_not_disturb_the_first_gradient() -> None:
    renderer = load_differentiable("cpu")
    first, second = random_scene(0), random_scene(1, 200)
    alone = []
    for scene in (first, second):
        tensors = SceneTensors.of(scene)
        tensors.means.requires_grad_()
        loss_of(renderer(tensors, camera(), BACKGROUND)).backward()
        alone.append(tensors.means.grad)
    pair = [SceneTensors.of(scene) for scene in (first, second)]
    for tensors in pair:
        tensors.means.requires_grad_()
    loss = loss_of(renderer(pair[0], camera(), BACKGROUND)) + loss_of(renderer(pair[1], camera(), BACKGROUND))
    loss.backward()
    for tensors, expected in zip(pair, alone):
        assert torch.equal(tensors.means.grad, expected)


def test_bits_do_not_depend_on_threads() -> None:
    scene, view = random_scene(13, 5000, 1, 0.04), camera(97, 141)
    before, runs = numba.get_num_threads(), []
    try:
        for threads in [*range(1, numba.config.NUMBA_NUM_THREADS + 1), 1]:
            numba.set_num_threads(threads)
            runs.append(values_and_gradients("cpu", scene, view)[1])
    finally:
        numba.set_num_threads(before)
    for other in runs[1:]:
        for name in NAMES:
            assert torch.equal(runs[0][name], other[name]), name


def test_gradients_lead_a_camera_home() -> None:
    from openlyra.geometry.poses import se3_exp

    scene, view = SceneTensors.of(random_scene(3, 200, 0, 0.1)), camera(48, 64)
    renderer = load_differentiable("cpu")
    target = renderer(scene, view, BACKGROUND).color
    twist = torch.tensor([0.01, -0.008, 0.006, 0.004, -0.003, 0.004], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([twist], lr=2e-3)
    slower = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.98)
    intrinsics = torch.tensor(view.intrinsics)
    for _ in range(150):
        optimiser.zero_grad()
        moved = Camera(torch.tensor(view.world_from_camera) @ se3_exp(twist), intrinsics, view.width, view.height)
        (renderer(scene, moved, BACKGROUND).color - target).abs().mean().backward()
        optimiser.step()
        slower.step()
    assert float(twist.detach().norm()) < 0.002


def test_nothing_in_sight_has_no_gradient() -> None:
    behind = Gaussians.from_colors([[0, 0, -3.0]], [[1, 0, 0, 0]], [[1, 1, 1]], [0.9], [[1, 1, 1]])
    for scene in (behind, Gaussians.empty()):
        tensors = [tensor.requires_grad_() for tensor in SceneTensors.of(scene).tensors()]
        result = load_differentiable("cpu")(SceneTensors(*tensors), camera(5, 3), BACKGROUND)
        loss_of(result).backward()
        assert all(not tensor.grad.any() for tensor in tensors)


def fake_gsplat(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A module with gsplat's call, drawn by the twin; returns what it was called with."""
    called: dict[str, object] = {}

    def rasterization(means, quats, scales, opacities, colors, viewmats, Ks, width, height, **options):  # type: ignore[no-untyped-def]
        called.update(options)
        assert viewmats.shape == (1, 4, 4) and Ks.shape == (1, 3, 3)
        view = Camera(torch.linalg.inv(viewmats[0]), Ks[0], width, height)
        drawn = render_dense(means, quats, scales, opacities, colors, view)
        return torch.cat([drawn.color, drawn.depth[..., None]], -1)[None], drawn.alpha[None, ..., None], {}

    module = types.ModuleType("gsplat")
    module.rasterization = rasterization  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gsplat", module)
    return called


def test_gsplat_is_asked_for_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    called = fake_gsplat(monkeypatch)
    scene, view = SceneTensors.of(random_scene(0, 60, 2)), camera()
    drawn = GsplatRenderer(device="cpu")(scene, view, BACKGROUND)
    ours = load_differentiable("cpu")(scene, view, BACKGROUND)
    for name in ("color", "depth", "alpha"):
        torch.testing.assert_close(getattr(drawn, name), getattr(ours, name), atol=2e-4, rtol=2e-4)
    assert called["sh_degree"] == 2 and called["eps2d"] == 0.3 and called["near_plane"] == 0.01
    assert called["render_mode"] == "RGB+ED"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with gsplat")
def test_gsplat_agrees_on_a_gpu() -> None:
    pytest.importorskip("gsplat")
    scene, view = random_scene(0, 60, 2, 0.15), camera()
    values, gradients = values_and_gradients("cuda", scene, view)
    true_values, true_gradients = values_and_gradients("torch", scene, view)
    assert max(relative(a, b) for a, b in zip(values, true_values)) < 1e-3
    assert max(relative(gradients[name], true_gradients[name]) for name in NAMES) < 1e-2


def test_backends_that_cannot_work_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"'vulkan' does not exist.*auto, cpu, cuda, torch"):
        load_differentiable("vulkan")
    with pytest.raises(InputError, match="float32 tensors on the CPU"):
        load_differentiable("cpu")(SceneTensors.of(random_scene(0), torch.float64), camera(), BACKGROUND)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert best_backend() == "cpu"
    with pytest.raises(InputError, match="no CUDA GPU"):
        load_differentiable("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(MissingExtraError, match=r"openlyra\[gpu\]"):
        load_differentiable("cuda")
    assert best_backend() == "cpu"
