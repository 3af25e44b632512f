"""The tile renderer against its plain twin, and what must hold for either."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace

import numba
import numpy as np
import pytest
import torch
from gaussian_scenes import camera, random_scene
from hypothesis import given, settings
from hypothesis import strategies as st

from openlyra.errors import InputError
from openlyra.gaussians import Gaussians, contributions, render
from openlyra.gaussians.render import BACKENDS, recolorable
from openlyra.gaussians.render_torch import render_dense
from openlyra.gaussians.spherical_harmonics import C0
from openlyra.geometry.camera import Camera

BACKGROUND = (0.2, 0.5, 0.9)


def assert_same(scene: Gaussians, view: Camera) -> None:
    """CPU and twin agree: everywhere to 1e-4, but for few pixels that sit on the 1/255 or the 1e-4 threshold."""
    fast, plain = (render(scene, view, BACKGROUND, backend=backend) for backend in ("cpu", "torch"))
    strict = 1e-4 * max(1.0, float(np.abs(plain.color).max()))
    for name, tolerance, loose in (("color", strict, 0.02), ("alpha", 1e-4, 0.006)):
        difference = np.abs(getattr(fast, name) - getattr(plain, name))
        assert np.sum(difference > tolerance) <= 2 + 0.004 * difference.size, name
        assert difference.max() < loose, name
    solid = plain.alpha > 0.1
    relative = np.abs(fast.depth - plain.depth)[solid] / plain.depth[solid]
    assert np.sum(relative > 2e-4) <= 2 + 0.004 * relative.size
    np.testing.assert_allclose(contributions(scene, view), contributions(scene, view, "torch"), rtol=2e-3, atol=0.02)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 70), st.integers(1, 70), st.integers(0, 3), st.floats(0.005, 0.3))
def test_agrees_with_the_twin(seed: int, height: int, width: int, degree: int, size: float) -> None:
    assert_same(random_scene(seed, 80, degree, size), camera(height, width))


@pytest.mark.parametrize("principal", [(0.1, 0.9), (-0.5, 0.5), (1.4, 1.8)])
def test_agrees_with_the_principal_point_anywhere(principal: tuple[float, float]) -> None:
    assert_same(random_scene(3), camera(principal=principal))


def test_agrees_when_pixels_fill_up() -> None:
    scene = random_scene(5, 400, 0, 0.6)
    opaque = Gaussians(scene.means, scene.quaternions, scene.scales, np.ones(400), scene.sh)
    assert_same(opaque, camera(48, 48))
    assert render(opaque, camera(48, 48)).alpha.max() > 0.9998


def test_agrees_on_thin_and_huge_gaussians() -> None:
    scene = random_scene(6, 60)
    scales = scene.scales * np.random.default_rng(0).choice([1e-6, 1e-2, 1.0, 30.0], (60, 3))
    assert_same(Gaussians(scene.means, scene.quaternions, scales, scene.opacities, scene.sh), camera())


def test_agrees_when_looking_almost_along_the_clamped_edge() -> None:
    scene = random_scene(8, 100, 0, 0.4)
    moved = scene.means * [4, 4, 0.3]
    assert_same(Gaussians(moved, scene.quaternions, scene.scales, scene.opacities, scene.sh), camera())


def test_one_gaussian_by_hand() -> None:
    # Isotropic, on the axis, on a pixel centre: alpha = opacity * exp(-d^2 / (2 var)), var = (f * sigma / z)^2 + 0.3.
    g = Gaussians.from_colors([[0, 0, 2.0]], [[1, 0, 0, 0]], [[0.1, 0.1, 0.1]], [0.8], [[1.0, 0.5, 0.25]])
    view = Camera(np.eye(4), np.array([[40.0, 0, 10.5], [0, 40.0, 8.5], [0, 0, 1]]), 21, 17)
    result = render(g, view, (0.0, 0.0, 1.0))
    d2 = (np.arange(21) - 10.0) ** 2 + (np.arange(17)[:, None] - 8.0) ** 2
    expected = 0.8 * np.exp(-d2 / (2 * 4.3))
    expected[expected < 1 / 255] = 0
    np.testing.assert_allclose(result.alpha, expected, atol=2e-5)
    color = expected[..., None] * [1, 0.5, 0.25] + (1 - expected[..., None]) * [0, 0, 1]
    np.testing.assert_allclose(result.color, color, atol=2e-5)
    np.testing.assert_allclose(result.depth[expected > 0], 2.0, rtol=1e-5)
    assert not result.depth[expected == 0].any()
    np.testing.assert_allclose(contributions(g, view), expected.sum(), rtol=1e-4)


def test_colour_depends_on_where_one_stands() -> None:
    # Y_2 = +C1 z: red grows when looking along +z, falls when looking along -z.
    sh = np.zeros((1, 4, 3))
    sh[0, 2, 0] = 0.5
    g = Gaussians([[0, 0, 0]], [[1, 0, 0, 0]], [[0.2, 0.2, 0.2]], [0.99], sh)
    k = np.array([[20.0, 0, 8.5], [0, 20.0, 8.5], [0, 0, 1]])
    front, back = np.eye(4), np.diag([-1.0, 1.0, -1.0, 1.0])
    front[2, 3], back[2, 3] = -2, 2
    reds = [render(g, Camera(pose, k, 17, 17)).color[8, 8, 0] for pose in (front, back)]
    np.testing.assert_allclose(reds, [0.99 * (0.5 + 0.2443), 0.99 * (0.5 - 0.2443)], atol=1e-3)


@pytest.mark.parametrize("start", [0, 30])
@pytest.mark.parametrize("backend", BACKENDS)
def test_other_colours_render_as_a_scene_of_those_colours(backend: str, start: int) -> None:
    scene, view = random_scene(7, sh_degree=1), camera(45, 70)
    wanted = np.zeros((45, 70), bool)
    wanted[20:23, 40:60] = True
    recolored = recolorable(scene, view, start, wanted, backend)
    for seed in range(3):
        colors = np.random.default_rng(seed).uniform(-0.2, 1.2, (scene.count, 3)).astype(np.float32)
        sh = scene.sh.copy()
        sh[start:] = 0
        sh[start:, 0] = (colors[start:] - 0.5) / C0
        expected = render(replace(scene, sh=sh), view, backend=backend)
        if seed == 1:
            render(random_scene(8), view)  # takes the same buffers
        found = recolored(colors[start:])
        for name in ("color", "alpha", "depth"):
            np.testing.assert_allclose(getattr(found, name)[wanted], getattr(expected, name)[wanted], atol=1e-5)
        assert expected.color[wanted].std() > 0.05


def test_pixels_nobody_asked_for_may_stay_black() -> None:
    scene, view = random_scene(7), camera(45, 70)
    wanted = np.zeros((45, 70), bool)
    wanted[20, 40] = True
    found = recolorable(scene, view, 0, wanted)(np.ones((scene.count, 3), np.float32))
    assert found.alpha[16:32, 32:48].min() > 0
    found.alpha[16:32, 32:48] = 0
    assert not found.alpha.any()


def test_contributions_sum_to_alpha() -> None:
    scene, view = random_scene(11, 2000, 0, 0.05), camera(96, 131)
    total = contributions(scene, view)
    np.testing.assert_allclose(total.sum(dtype=np.float64), render(scene, view).alpha.sum(dtype=np.float64), rtol=1e-4)
    assert not total[scene.means[:, 2] < -0.5].any() and (total >= 0).all()


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_nothing_to_see_is_background(backend: str) -> None:
    view = camera(5, 3)
    behind = Gaussians.from_colors([[0, 0, -3.0]], [[1, 0, 0, 0]], [[1, 1, 1]], [0.9], [[1, 1, 1]])
    for scene in (Gaussians.empty(), Gaussians.empty(3), behind):
        result = render(scene, view, BACKGROUND, backend)
        np.testing.assert_array_equal(result.color, np.broadcast_to(np.float32(BACKGROUND), (5, 3, 3)))
        assert result.color.dtype == result.depth.dtype == result.alpha.dtype == np.float32
        assert not result.depth.any() and not result.alpha.any()
        assert not contributions(scene, view, backend).any() and len(contributions(scene, view, backend)) == scene.count


@pytest.mark.parametrize("field", ["means", "quaternions", "scales", "opacities", "sh"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_broken_gaussians_do_not_spoil_the_image(field: str, value: float) -> None:
    scene = random_scene(2, 60)
    arrays = {name: getattr(scene, name).copy() for name in ("means", "quaternions", "scales", "opacities", "sh")}
    arrays[field].reshape(60, -1)[::4, -1] = value
    result = render(Gaussians(**arrays), camera(), BACKGROUND)
    for name in ("color", "depth", "alpha"):
        assert np.isfinite(getattr(result, name)).all(), name
    assert 0 <= result.alpha.min() and result.alpha.max() <= 1
    assert np.isfinite(contributions(Gaussians(**arrays), camera())).all()


def test_zero_length_quaternions_are_left_out() -> None:
    g = Gaussians.from_colors([[0, 0, 2.0]], [[0, 0, 0, 0]], [[1, 1, 1]], [0.9], [[1, 1, 1]])
    assert not render(g, camera()).alpha.any()


def test_bits_do_not_depend_on_threads_or_repetition() -> None:
    scene, view = random_scene(13, 5000, 2, 0.04), camera(97, 141)
    images = []
    before = numba.get_num_threads()
    try:
        for threads in [*range(1, numba.config.NUMBA_NUM_THREADS + 1), 1]:
            numba.set_num_threads(threads)
            result = render(scene, view, BACKGROUND)
            images.append((result.color, result.depth, result.alpha, contributions(scene, view)))
    finally:
        numba.set_num_threads(before)
    for other in images[1:]:
        for a, b in zip(images[0], other):
            assert a.tobytes() == b.tobytes()


def test_bits_do_not_depend_on_the_number_of_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    # The pieces of the sort usually equal the threads; more of them than this machine has cores must change nothing.
    from openlyra.gaussians import tiles

    scene, view = random_scene(14, 3000, 0, 0.04), camera(97, 141)
    expected = render(scene, view).color
    for pieces in (1, 3, 16):
        monkeypatch.setattr(tiles.numba, "get_num_threads", lambda pieces=pieces: pieces)
        assert render(scene, view).color.tobytes() == expected.tobytes()


def test_results_outlive_the_next_call_and_sizes_may_change() -> None:
    scene = random_scene(1)
    first = render(scene, camera())
    kept = first.color.copy()
    render(random_scene(2, 500), camera(100, 90))
    np.testing.assert_array_equal(first.color, kept)
    np.testing.assert_array_equal(render(scene, camera()).color, kept)


def test_threads_may_render_at_the_same_time() -> None:
    scenes = [random_scene(seed, 300) for seed in range(4)]
    expected = [render(scene, camera()).color for scene in scenes]
    got: list[np.ndarray | None] = [None] * 4

    def work(index: int) -> None:
        for _ in range(5):
            got[index] = render(scenes[index], camera()).color

    workers = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for a, b in zip(got, expected):
        np.testing.assert_array_equal(a, b)


def test_bad_arguments_are_named() -> None:
    scene, view = random_scene(0, 3), camera()
    with pytest.raises(InputError, match=r"'vulkan' does not exist.*cpu, torch"):
        render(scene, view, backend="vulkan")
    with pytest.raises(InputError, match="background"):
        render(scene, view, (0.0, 0.0))
    with pytest.raises(InputError, match="batch of shape"):
        render(scene, Camera(view.world_from_camera[None], view.intrinsics, view.width, view.height))
    with pytest.raises(InputError, match="camera"):
        render(scene, Camera(np.full((4, 4), np.nan), view.intrinsics, view.width, view.height))


def test_twin_has_the_right_gradients() -> None:
    scene, view = random_scene(4, 6, 1, 0.3), camera(7, 9)
    inputs = [
        torch.from_numpy(array.astype(np.float64)).requires_grad_()
        for array in (scene.means, scene.quaternions, scene.scales, scene.opacities * 0.5 + 0.2, scene.sh)
    ]

    def function(*tensors: torch.Tensor) -> torch.Tensor:
        result = render_dense(*tensors, view)
        weights = torch.linspace(0.5, 1.5, result.color.numel(), dtype=torch.float64)
        return (result.color.flatten() * weights).sum()

    # Thresholds make the image jump by up to 1/255; the step is small enough not to meet one in this scene.
    assert torch.autograd.gradcheck(function, inputs, eps=1e-7, atol=1e-4, rtol=1e-3)


def test_importing_the_package_is_light() -> None:
    code = "import sys, openlyra.gaussians; print([m for m in ('torch', 'numba') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
