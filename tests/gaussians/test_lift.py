"""Lifted frames render as themselves, without holes, without anything beside outlines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from openlyra.errors import InputError
from openlyra.evaluation.metrics import psnr
from openlyra.gaussians.lift import lift, lift_backing
from openlyra.gaussians.lift_frames import lift_frames
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.render import render
from openlyra.generation.surfaces import Surfaces
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame

HEIGHT, WIDTH = 96, 128


def frame(depth: np.ndarray) -> MemoryFrame:
    """Smooth colours with some noise at that depth."""
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=(HEIGHT, WIDTH, 3)), (6, 6, 0))
    fine = ndimage.gaussian_filter(rng.normal(size=(HEIGHT, WIDTH, 3)), (1, 1, 0))
    image = np.clip(128 + 45 * smooth / smooth.std() + 8 * fine / fine.std(), 0, 255).astype(np.uint8)
    known = np.ones((HEIGHT, WIDTH), bool)
    return MemoryFrame(0, image, depth.astype(np.float32), known, ~known, Camera.from_fov(HEIGHT, WIDTH, 0.9))


def slanted() -> np.ndarray:
    return 1 / (0.35 - 0.2 * (np.arange(WIDTH) / WIDTH)[None] + np.zeros((HEIGHT, 1)))


def moved(camera: Camera, right: float, forward: float) -> Camera:
    pose = np.eye(4)
    pose[0, 3], pose[2, 3] = right, forward
    return replace(camera, world_from_camera=pose)


def test_a_frame_renders_as_itself() -> None:
    depth = slanted()
    depth[30:70, 40:80] = 1.5
    photo = frame(depth)
    surfaces = Surfaces()
    surfaces.add(photo, made=False)
    assert surfaces.gaussians is not None
    seen = render(surfaces.gaussians, photo.camera)
    assert psnr(seen.color, photo.image) >= 30
    assert (seen.alpha >= 0.98).mean() >= 0.995


def test_a_slanted_plane_has_no_holes_from_elsewhere() -> None:
    photo = frame(slanted())
    surfaces = Surfaces()
    surfaces.add(photo, made=False)
    assert surfaces.gaussians is not None
    for right, forward in ((0.15, 0.4), (-0.15, 0.4), (0.0, 0.8)):
        inside = render(surfaces.gaussians, moved(photo.camera, right, forward)).alpha[12:-12, 16:-16]
        assert inside.min() > 0.9


def test_one_gaussian_a_pixel_at_its_place() -> None:
    photo = frame(slanted())
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:20, 30:50] = True
    lifted = lift(photo, mask)
    assert lifted.count == mask.sum()
    pixels, depth = photo.camera.project(lifted.means.astype(np.float64))
    rows, columns = np.nonzero(mask)
    np.testing.assert_allclose(pixels, np.stack([columns, rows], 1) + 0.5, atol=1e-3)
    np.testing.assert_allclose(depth, photo.depth[mask], rtol=1e-5)


def test_the_backing_keeps_behind_and_inside_outlines() -> None:
    depth = np.full((HEIGHT, WIDTH), 10.0)
    depth[30:70, 40:80] = 2.0
    photo = frame(depth)
    backing, _ = lift_backing(photo)
    pixels, z = (np.asarray(a) for a in photo.camera.project(backing.means.astype(np.float64)))
    front = z < 5
    assert front.any()
    assert (z[front] > 2.0).all() and (z[~front] > 10.0).all()
    # Three deviations of the nearest ones still end inside the object.
    reach = 3 * backing.scales[front].max() * float(np.asarray(photo.camera.intrinsics)[0, 0]) / 2.0
    assert pixels[front, 0].min() - reach >= 39 and pixels[front, 0].max() + reach <= 81
    assert pixels[front, 1].min() - reach >= 29 and pixels[front, 1].max() + reach <= 71


def test_nothing_beyond_the_scene_shines_through_the_border_of_the_sky() -> None:
    ridge = 50 + 8 * np.sin(np.arange(WIDTH) / 9)
    sky = np.arange(HEIGHT)[:, None] < ridge
    photo = replace(frame(np.where(sky, 400.0, 30.0)), sky=sky)
    photo = replace(photo, image=np.where(sky[..., None], (120, 160, 220), photo.image // 2).astype(np.uint8))
    surfaces = Surfaces()
    surfaces.add(photo, made=False)
    assert surfaces.gaussians is not None
    for size in ((HEIGHT, WIDTH), (107, 143), (131, 175)):
        for right in (0.0, 0.1):
            seen = render(surfaces.gaussians, moved(photo.camera.resized(*size), right, 0.0)).alpha
            assert seen[6:-6, 6:-6].min() > 0.97
    backing, is_sky = lift_backing(photo)
    z = np.asarray(photo.camera.project(backing.means.astype(np.float64))[1])
    assert (z[is_sky] > 400).all() and (z[~is_sky] < 40).all()
    assert np.ptp(backing.sh[is_sky], axis=0).max() < 1e-3


@pytest.mark.parametrize("width", [2, 3, 4, 5, 6, 7])
def test_the_backing_of_what_stands_before_the_sky_does_not_lean_on_it(width: int) -> None:
    column = np.arange(WIDTH)[None] + np.zeros((HEIGHT, 1))
    post = (column < width) | (abs(column - 60) < width / 2)
    photo = replace(frame(np.where(post, 10.0, 400.0)), sky=~post)
    backing, _ = lift_backing(photo)
    z = np.asarray(photo.camera.project(backing.means.astype(np.float64))[1])
    near = z < 200
    pixel = 10.0 / float(np.asarray(photo.camera.intrinsics)[0, 0])
    assert (z[near] < 10.2).all() and (backing.scales[near] < 2 * pixel).all()


def test_frames_are_lifted_once() -> None:
    first = frame(np.full((HEIGHT, WIDTH), 4.0))
    poses = np.stack([np.asarray(first.camera.world_from_camera)] * 3)
    poses[:, 0, 3] += np.array([0.0, 0.4, 0.8])
    cameras = Camera(poses, np.asarray(first.camera.intrinsics), WIDTH, HEIGHT)
    depth = np.full((3, HEIGHT, WIDTH), 4.0, np.float32)
    frames = PosedFrames(np.stack([first.image] * 3), cameras, depth)
    scene = lift_frames(frames)
    one = (HEIGHT // 2) * (WIDTH // 2)
    shift = 0.8 / 4.0 * float(np.asarray(first.camera.intrinsics)[0, 0]) / WIDTH
    # The second frame adds the strip the first does not see, the one between them nothing.
    assert one * (1 + 0.8 * shift) < scene.count < one * (1 + 1.2 * shift) + HEIGHT
    for camera in cameras:
        assert render(scene, camera).alpha[4:-4, 4:-4].min() > 0.5
    with pytest.raises(InputError, match="no depth"):
        lift_frames(PosedFrames(frames.images, cameras))
