"""Fitting small scenes: better pictures, budgets, interruptions, cameras, exposures, frames that lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from openlyra.errors import InputError
from openlyra.evaluation.metrics import psnr
from openlyra.gaussians import Gaussians, render
from openlyra.gaussians import optimise as optimise_module
from openlyra.gaussians.optimise import OptimiseProgress, OptimiseResult, OptimiseSettings, optimise
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import angle_between, rigid, se3_exp, so3_exp

HEIGHT, WIDTH = 40, 56
QUICK = OptimiseSettings(steps=40, coarse=1.0, backend="cpu")


def true_scene() -> Gaussians:
    rng = np.random.default_rng(0)
    count = 900
    z = rng.uniform(2, 4, count)
    means = np.stack([rng.uniform(-1, 1, count) * z, rng.uniform(-0.7, 0.7, count) * z, z], -1)
    wall = np.stack(np.meshgrid(np.linspace(-6, 6, 40), np.linspace(-5, 5, 34), [5.0]), -1).reshape(-1, 3)
    means = np.concatenate([means, wall])
    scales = np.concatenate([np.full((count, 3), 0.06), np.full((len(wall), 3), 0.25)])
    colors = 0.5 + 0.4 * np.sin(means * [1.3, 1.7, 2.1])
    total = len(means)
    return Gaussians.from_colors(means, np.tile([1.0, 0, 0, 0], (total, 1)), scales, np.full(total, 0.9), colors)


def path(frames: int = 6) -> Camera:
    poses = [rigid(so3_exp(np.array([0, 0.03 * i, 0])), np.array([0.08 * i, 0, 0])) for i in range(frames)]
    return Camera(np.stack(poses), Camera.from_fov(HEIGHT, WIDTH, 0.9).intrinsics, WIDTH, HEIGHT)


def pictures(scene: Gaussians, cameras: Camera, **more: np.ndarray) -> PosedFrames:
    colors = np.stack([render(scene, camera).color for camera in cameras])
    return PosedFrames(np.round(np.clip(colors, 0, 1) * 255).astype(np.uint8), cameras, **more)


def disturbed(scene: Gaussians) -> Gaussians:
    rng = np.random.default_rng(1)
    means = scene.means + rng.normal(0, 0.01, scene.means.shape)
    colors = np.clip(scene.colors + rng.normal(0, 0.1, (scene.count, 3)), 0, 1)
    return Gaussians.from_colors(means, scene.quaternions, scene.scales * 1.2, scene.opacities * 0.8, colors)


def mean_psnr(scene: Gaussians, frames: PosedFrames) -> float:
    return float(np.mean([psnr(render(scene, c).color, image) for c, image in zip(frames.cameras, frames.images)]))


def test_frames_look_better_also_held_out_ones() -> None:
    frames = pictures(true_scene(), path())
    learnt, held = frames.held_out(4)
    start = disturbed(true_scene())
    seen: list[OptimiseProgress] = []
    found = optimise(start, frames.select(learnt), replace(QUICK, steps=80), report=seen.append)
    found.gaussians.validate()
    assert held == [2] and mean_psnr(found.gaussians, frames.select(held)) > mean_psnr(start, frames.select(held)) + 4
    assert [p.step for p in seen] == list(range(1, 81)) and seen[-1].psnr > seen[0].psnr + 3
    assert len(found.progress) == 20


@pytest.mark.parametrize("budget", [600, 3000])
def test_the_budget_is_kept_from_below_and_above(budget: int) -> None:
    frames = pictures(true_scene(), path())
    start = disturbed(true_scene())
    settings = replace(QUICK, budget=budget, relocate_every=5)
    counts: list[int] = []
    found = optimise(start, frames, settings, report=lambda p: counts.append(p.gaussians))
    assert max(counts) <= budget and found.gaussians.count <= budget
    assert counts[-1] > start.count if budget > start.count else counts[-1] == budget


class SteadyClock:
    """A machine on which the steps between two looks at the clock always take a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1.0
        return self.now


def test_a_deadline_shortens_the_schedule_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = pictures(true_scene(), path())
    start, settings = disturbed(true_scene()), replace(QUICK, steps=50, relocate_every=10)

    def in_time(deadline: float | None, steps: int = 50, reserve: int = 0) -> OptimiseResult:
        monkeypatch.setattr(optimise_module, "time", SteadyClock())
        return optimise(start, frames, replace(settings, steps=steps), deadline=deadline, reserve=reserve)

    free, early, late = in_time(None), in_time(3600.0), in_time(0.0)
    assert free.steps == early.steps == 50 and free.gaussians.means.tobytes() == early.gaussians.means.tobytes()
    assert late.steps == 30 and mean_psnr(late.gaussians, frames) > mean_psnr(start, frames) + 2
    assert in_time(7.0, 100_000).steps == 6 * optimise_module.LAP == 60
    assert in_time(7.0, 100_000, reserve=20).steps == 40
    assert in_time(7.0, 100_000, reserve=100_000).steps == 30


def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    frames = pictures(true_scene(), path(), depth=np.full((6, HEIGHT, WIDTH), 4.0, np.float32))
    start = disturbed(true_scene())
    settings = replace(
        QUICK, steps=24, relocate_every=5, exposure=True, refine_poses=True, coarse=0.5, budget=2000, sh_degree=1
    )
    whole = optimise(start, frames, settings)
    checkpoint = tmp_path / "fit.safetensors"

    class Killed(Exception):
        pass

    def kill(progress: OptimiseProgress) -> None:
        if progress.step == 17:
            raise Killed

    with pytest.raises(Killed):
        optimise(start, frames, settings, checkpoint=checkpoint, checkpoint_every=7, report=kill)
    left: list[int] = []
    rest = optimise(start, frames, settings, checkpoint=checkpoint, report=lambda p: left.append(p.step))
    assert left == list(range(15, 25))
    for name in ("means", "quaternions", "scales", "opacities", "sh"):
        assert getattr(whole.gaussians, name).tobytes() == getattr(rest.gaussians, name).tobytes(), name
    assert whole.cameras.world_from_camera.tobytes() == rest.cameras.world_from_camera.tobytes()
    with pytest.raises(InputError, match="other frames or settings"):
        optimise(start, frames, replace(settings, seed=1), checkpoint=checkpoint)
    anew = optimise(start, frames, replace(settings, seed=1), checkpoint=checkpoint, anew=True)
    assert anew.steps == 24 and anew.gaussians.means.tobytes() != whole.gaussians.means.tobytes()
    checkpoint.write_bytes(b"\xff" * 40)
    with pytest.raises(InputError, match="not a readable checkpoint"):
        optimise(start, frames, settings, checkpoint=checkpoint)


def test_poses_are_mended() -> None:
    scene, true = true_scene(), path()
    frames = pictures(scene, true)
    rng = np.random.default_rng(2)
    wrong = np.array(true.world_from_camera)
    for i in range(1, 6):
        wrong[i] = wrong[i] @ se3_exp(rng.normal(0, [0.01] * 3 + [0.004] * 3))
    spoiled = replace(frames, cameras=Camera(wrong, true.intrinsics, WIDTH, HEIGHT))
    settings = replace(QUICK, steps=150, refine_poses=True, relocate_every=0, robust=0.0)
    found = optimise(scene, spoiled, settings)

    def error(poses: np.ndarray) -> float:
        return float(np.mean(angle_between(poses[1:, :3, :3], np.asarray(true.world_from_camera)[1:, :3, :3])))

    assert error(found.cameras.world_from_camera) < 0.5 * error(wrong)
    assert (found.cameras.world_from_camera[0] == wrong[0]).all()


def test_exposure_takes_up_what_the_camera_did() -> None:
    scene = true_scene()
    frames = pictures(scene, path())
    images = frames.images.copy()
    images[3] = np.round(images[3] * 0.8).astype(np.uint8)
    settings = replace(QUICK, steps=120, exposure=True, relocate_every=0, robust=0.0)
    found = optimise(scene, replace(frames, images=images), settings)
    others = np.delete(found.gains, 3, 0).mean()
    assert found.gains[3].mean() < others - 0.02
    plain = optimise(scene, replace(frames, images=images), replace(settings, exposure=False))
    assert mean_psnr(found.gaussians, frames) > mean_psnr(plain.gaussians, frames)


def test_lies_count_less_by_confidence_and_robust_weights() -> None:
    scene = true_scene()
    frames = pictures(scene, path())
    images = frames.images.copy()
    images[3, 10:30, 15:40] = 255
    trust = np.ones(images.shape[:3], np.float32)
    trust[3, 10:30, 15:40] = 0
    results = []
    for settings, confidence in (
        (replace(QUICK, robust=0.0), None),
        (QUICK, None),
        (replace(QUICK, robust=0.0), trust),
    ):
        found = optimise(
            disturbed(scene), replace(frames, images=images, confidence=confidence), replace(settings, steps=120)
        )
        seen = render(found.gaussians, frames.cameras[3]).color
        results.append(psnr(seen, frames.images[3], trust[3] == 0))
    assert results[1] > results[0] + 0.5 and results[2] > results[0] + 0.5, results


def test_bad_input_is_named() -> None:
    frames = pictures(true_scene(), path(2))
    with pytest.raises(InputError, match="no Gaussians"):
        optimise(Gaussians.empty(), frames)
    for change in ({"steps": 0}, {"budget": 0}, {"sh_degree": 4}, {"coarse": 0.0}):
        with pytest.raises(InputError, match=next(iter(change))):
            optimise(true_scene(), frames, replace(QUICK, **change))
    with pytest.raises(InputError, match="cameras of batch"):
        PosedFrames(frames.images, path(3))
    with pytest.raises(InputError, match="depth has shape"):
        replace(frames, depth=np.ones((2, 3, 3), np.float32))
    with pytest.raises(InputError, match="not finite and positive"):
        replace(frames, depth=np.zeros((2, HEIGHT, WIDTH), np.float32))


def test_frames_of_another_size_and_held_out_ones() -> None:
    frames = pictures(true_scene(), path(), confidence=np.ones((6, HEIGHT, WIDTH), np.float32))
    small = frames.resized(20, 28)
    assert small.size == (20, 28) and small.cameras.width == 28 and small.confidence is not None
    means = frames.images.reshape(6, 20, 2, 28, 2, 3).mean((2, 4))
    assert np.abs(small.images - means).max() <= 1
    pixel, _ = small.cameras[2].project(np.array([[0.3, 0.2, 3.0]]))
    np.testing.assert_allclose(2 * pixel, frames.cameras[2].project(np.array([[0.3, 0.2, 3.0]]))[0])
    assert frames.held_out(2) == ([0, 2, 4], [1, 3, 5]) and frames.held_out(0) == ([0, 1, 2, 3, 4, 5], [])
    assert frames.select([0]).held_out(8) == ([0], [])


def test_what_is_behind_stays_and_is_no_part_of_the_result() -> None:
    whole = true_scene()
    far = np.stack(np.meshgrid(np.linspace(-30, 30, 24), np.linspace(-24, 24, 20), [25.0]), -1).reshape(-1, 3)
    behind = Gaussians.from_colors(
        far, np.tile([1.0, 0, 0, 0], (len(far), 1)), np.full((len(far), 3), 2.0), np.full(len(far), 0.99),
        np.tile([0.9, 0.2, 0.1], (len(far), 1)),
    )  # fmt: skip
    objects = whole.select(np.arange(900))
    frames = pictures(Gaussians.concatenate([objects, behind]), path())
    settings = replace(QUICK, steps=60, cover=0.0)
    start = disturbed(objects)
    found = optimise(start, frames, settings, behind=behind).gaussians
    assert found.count <= start.count
    plain = optimise(start, frames, settings).gaussians
    scores = [mean_psnr(Gaussians.concatenate([scene, behind]), frames) for scene in (start, plain, found)]
    assert scores[2] > scores[0] + 3 and scores[2] > scores[1] + 3
