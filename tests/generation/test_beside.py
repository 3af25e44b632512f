"""The scene goes on beside the path: near things leave no hole behind them for who steps aside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from openlyra.depth import load_depth
from openlyra.evaluation.metrics import psnr
from openlyra.gaussians.render import render
from openlyra.generation.base import WalkInput
from openlyra.generation.beside import EVERY, KEEP_AWAY, views_beside
from openlyra.generation.exemplar import ExemplarGenerator
from openlyra.generation.surfaces import Surfaces
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.memory.frame import MemoryFrame
from openlyra.runs import Manifest, RunFolder

HEIGHT, WIDTH, NEAR, WALL = 64, 96, 2.0, 8.0


def path(frames: int, turned: float = 0.0) -> Trajectory:
    """Straight ahead by 0.02 a frame, seen by a camera turned to the right."""
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = [[np.cos(turned), 0, np.sin(turned)], [0, 1, 0], [-np.sin(turned), 0, np.cos(turned)]]
    poses[:, 2, 3] = 0.02 * np.arange(frames)
    lens = Camera.from_fov(HEIGHT, WIDTH, 0.9)
    return Trajectory(Camera(poses, lens.intrinsics, WIDTH, HEIGHT))


def post() -> MemoryFrame:
    """A post before a striped wall."""
    stripes = 130 + 60 * np.sin(np.arange(WIDTH) / 3)
    image = np.repeat(np.tile(stripes, (HEIGHT, 1))[..., None], 3, 2).astype(np.uint8)
    depth = np.full((HEIGHT, WIDTH), WALL, np.float32)
    image[:, 40:52], depth[:, 40:52] = (200, 40, 30), NEAR
    return MemoryFrame(-1, image, depth, np.ones(depth.shape, bool), np.zeros(depth.shape, bool), path(1)[0])


def walked(folder: Path, beside: float) -> RunFolder:
    run = RunFolder.start(folder, Manifest({}, {}))
    run.remember(post())
    ExemplarGenerator().walk(WalkInput(path(3), 100.0, 0, load_depth("layout"), beside), run, lambda *_: None)
    return run


def scene(run: RunFolder) -> Surfaces:
    surfaces = Surfaces()
    for number, frame in enumerate(run.remembered()):
        surfaces.add(frame, made=number > 0)
    return surfaces


def test_views_stand_to_both_sides_and_have_numbers_of_their_own() -> None:
    walk = path(EVERY + 11, turned=0.5)
    views = views_beside(walk, 0.3, lambda camera: np.full(9, 4.0))
    assert sorted(views) == [len(walk) + 2 * index + side for index in (0, EVERY, EVERY + 10) for side in (0, 1)]
    for number, view in views.items():
        index, side = divmod(number - len(walk), 2)
        moved = np.asarray(view.world_from_camera)[:3, 3] - np.asarray(walk[index].world_from_camera)[:3, 3]
        right = np.array([np.cos(0.5), 0, -np.sin(0.5)])
        np.testing.assert_allclose(moved, (2 * side - 1) * 0.3 * right, atol=1e-12)
        assert (view.height, view.width) == (HEIGHT // 2, WIDTH // 2)
        ray = view.unproject(np.ones((view.height, view.width)))[0, 0] - view.center
        pixel = np.asarray(walk[index].project((walk[index].center + ray)[None])[0])[0]
        np.testing.assert_allclose(pixel, [1, 1], atol=1e-9)


def test_a_step_aside_ends_well_before_what_is_near() -> None:
    near = np.concatenate([np.full(5, 0.4), np.full(95, 50.0)])
    (left, right) = views_beside(path(1), 3.0, lambda camera: near).values()
    assert np.linalg.norm(left.center - right.center) == pytest.approx(2 * KEEP_AWAY * 0.4)
    assert views_beside(path(1), 3.0, lambda camera: np.zeros(0)) == {}


def test_who_steps_aside_finds_no_hole_and_the_video_stays(tmp_path: Path) -> None:
    plain, full = walked(tmp_path / "plain", 0.0), walked(tmp_path / "full", 0.4)
    assert [index for index in full.memory_indices() if index < 3] == plain.memory_indices()
    assert {index % 2 for index in full.memory_indices() if index >= 3} == {0, 1}
    for index in range(3):
        assert (full.read_frame(index) == plain.read_frame(index)).all()
    before, after = scene(plain), scene(full)
    assert after.gaussians is not None
    for side in (-1, 1):
        pose = np.eye(4)
        pose[0, 3] = 0.3 * side
        aside = replace(path(1)[0], world_from_camera=pose)
        assert (before.look(aside).alpha < 0.5).mean() > 0.04
        look = after.look(aside)
        assert (look.alpha < 0.5).mean() < 0.005
        # What is new is the wall, not more of the post.
        new = before.look(aside).alpha < 0.1
        assert np.abs(look.depth[new] / WALL - 1).mean() < 0.1
        assert (look.color[new][:, 1] > 0.3).mean() > 0.9
    for index in range(3):
        assert psnr(np.clip(render(after.gaussians, path(3)[index]).color, 0, 1), full.read_frame(index) / 255) > 35
