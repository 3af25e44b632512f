"""Reconstruct walks through procedural worlds from their frames and exact cameras, and compare with the true world.

Run: python benchmarks/bench_world_scenes.py --work /tmp/world-scenes --size 480x832

For each kind a walk is drawn: frames and a transforms.json, no depth. `openlyra reconstruct` makes a scene of them
with every 8th frame held out. The scene is compared with the frames it learnt from, with those held out, and with
pictures of the world from cameras 0.3 m to the left and right of the path, which nothing in the reconstruction has
seen; "seen" counts only pixels whose surface a frame that was learnt from shows, by the true depth. Pictures are drawn
by a camera of fixed exposure without vignetting or noise, and are kept in the folder for the next run.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from openlyra.evaluation.metrics import psnr
from openlyra.evaluation.off_path import beside
from openlyra.evaluation.reconstruction import evaluate_reconstruction
from openlyra.gaussians.optimise import OptimiseSettings
from openlyra.gaussians.photo_folder import list_photos, read_photos
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.render import render
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.trajectory_nerfstudio import write_transforms
from openlyra.media.image import write_image
from openlyra.reconstruction import ReconstructSettings, reconstruct
from openlyra.worlds.cameras import inside_something
from openlyra.worlds.photo_look import PhotoLook, develop, metered
from openlyra.worlds.render import Scene
from openlyra.worlds.sample import sample_world
from openlyra.worlds.walks import WalkSettings, walk

LOOK = PhotoLook(neutral=0.0, vignetting=0.0, glow=0.0)
"""What changes with the frame (white balance, corners) is no part of the world."""
ASIDE_EVERY = 8


def draw_world(folder: Path, kind: str, seed: int, frames: int, size: tuple[int, int], aside: float) -> None:
    """Frames and cameras of a walk in `folder`, views beside it in `folder`/aside, unless they are there."""
    if (folder / "depth.npz").is_file():
        return
    scene = Scene(sample_world(seed, kind))
    path = walk(scene, np.random.default_rng([seed, 6]), WalkSettings(frames, *size))
    probes = [scene.draw(path[int(i)].resized(48, 84), samples=0)[0] for i in np.linspace(0, frames - 1, 5)]
    meter = float(np.exp(np.mean(np.log([metered(probe) for probe in probes]))))
    others = [camera for i in range(ASIDE_EVERY // 2, frames, ASIDE_EVERY) for camera in beside(path[i], aside)]
    others = [camera for camera in others if not inside_something(scene, camera.center)]
    poses = np.stack([camera.world_from_camera for camera in others])
    away = Trajectory(Camera(poses, others[0].intrinsics, *size[::-1]), path.fps, "aside")
    for where, views in ((folder, path), (folder / "aside", away)):
        (where / "images").mkdir(parents=True, exist_ok=True)
        for index in range(len(views)):
            light, _ = scene.draw(views[index])
            picture = develop(light, LOOK, np.random.default_rng(index), meter)
            write_image(where / "images" / f"{index:05d}.png", picture)
        write_transforms(views, where / "transforms.json")
    depths = [
        np.stack([scene.truth(view).depth for view in views.cameras]).astype(np.float32) for views in (path, away)
    ]
    np.savez_compressed(folder / "depth.npz", path=depths[0], aside=depths[1])


def seen_share(folder: Path, frames: PosedFrames, away: PosedFrames, learnt: list[int]) -> np.ndarray:
    """(views, H, W) bool: which pixels of the views beside the path show what a frame on it shows."""
    with np.load(folder / "depth.npz") as stored:
        on_path, aside = stored["path"], np.where(np.isfinite(stored["aside"]), stored["aside"], 1e4)
    on_path = np.where(np.isfinite(on_path), on_path, 1e4)
    found = np.zeros(aside.shape, bool)
    height, width = aside.shape[1:]
    cameras = frames.cameras.numpy()
    for view in range(len(aside)):
        points = away.cameras[view].numpy().unproject(aside[view].astype(np.float64)).reshape(-1, 3)
        for index in learnt[::2]:
            pixels, z = cameras[index].project(points)
            inside = np.flatnonzero((z > 0) & (pixels >= 0).all(-1) & (pixels < [width, height]).all(-1))
            column, row = pixels[inside].astype(int).T
            same = np.abs(on_path[index, row, column] / z[inside] - 1) < 0.03
            found[view].reshape(-1)[inside[same]] = True
    return found


def sheet(scene_file: Path, views: PosedFrames, picks: list[int]) -> np.ndarray:
    """Pictures above renders above their differences, for the eye."""
    from openlyra.formats import read_gaussians

    scene = read_gaussians(scene_file)
    columns = []
    for index in picks:
        seen = np.clip(render(scene, views.cameras[index]).color * 255, 0, 255).astype(np.uint8)
        wrong = np.clip(3 * np.abs(seen.astype(int) - views.images[index]), 0, 255).astype(np.uint8)
        columns.append(np.concatenate([views.images[index], seen, wrong]))
    return np.concatenate(columns, 1)


def measure(folder: Path, settings: ReconstructSettings, name: str) -> dict[str, float]:
    """One row of the table."""
    height, width = (int(side) for side in (settings.size or "").split("x"))
    begin, cpu = time.perf_counter(), time.process_time()
    found = reconstruct(folder, folder / f"{name}.ply", settings=settings, overwrite=True)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    away = read_photos(list_photos(folder / "aside"), height, width)
    beside_path = evaluate_reconstruction(found.gaussians, away, range(len(away))).held_out
    frames = read_photos(list_photos(folder), height, width)
    seen = seen_share(folder, frames, away, frames.held_out(settings.held_out)[0])
    parts = [
        psnr(render(found.gaussians, c).color, i, m) for i, c, m in zip(away.images, away.cameras, seen) if m.any()
    ]
    figures = found.report
    assert figures.input is not None and figures.held_out is not None and beside_path is not None
    picks = np.linspace(0, len(away) - 1, 4).round().astype(int).tolist()
    write_image(folder / f"{name}-aside.png", sheet(folder / f"{name}.ply", away, picks))
    (folder / f"{name}.json").write_text(json.dumps({**found.record, "aside": asdict(beside_path)}, indent=1))
    return {
        "input": figures.input.psnr, "held out": figures.held_out.psnr, "aside": beside_path.psnr,
        "aside seen": float(np.mean(parts)), "seen": float(seen.mean()),
        "aside worst": beside_path.psnr_min, "ssim": beside_path.ssim or 0, "perceptual": beside_path.perceptual or 0,
        "opaque": beside_path.opaque_share, "Gaussians": found.gaussians.count,
        "lift s": found.record["seconds"]["lift"], "fit s": found.record["seconds"]["fit"], "wall s": seconds,
        "cpu s": cpu,
    }  # fmt: skip


def main() -> None:
    """Draw, reconstruct, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for pictures and scenes")
    parser.add_argument("--kinds", nargs="+", default=["living", "street", "square", "landscape", "tabletop"])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--size", default="480x832")
    parser.add_argument("--aside", type=float, default=0.3, help="metres")
    parser.add_argument("--gaussians", type=int, default=500_000)
    parser.add_argument("--steps", type=int, help="of the fit; by default as for photos")
    parser.add_argument("--name", default="scene", help="of the scene files")
    given = parser.parse_args()
    height, width = (int(side) for side in given.size.split("x"))
    print(f"{given.frames} frames of {given.size}, seed {given.seed}; load {os.getloadavg()[0]:.1f}")
    for number, kind in enumerate(given.kinds):
        folder = given.work / f"{kind}-{given.seed}-{given.size}"
        draw_world(folder, kind, given.seed, given.frames, (height, width), given.aside)
        # Cameras and exposure are exact.
        fit = OptimiseSettings(steps=given.steps, budget=given.gaussians, exposure=False, refine_poses=False)
        row = measure(folder, ReconstructSettings(size=given.size, optimise=fit), given.name)
        if number == 0:
            print(f"{'world':12s}" + "".join(f"{key:>12s}" for key in row), flush=True)
        print(f"{kind:12s}" + "".join(f"{value:12,.4g}" for value in row.values()), flush=True)


if __name__ == "__main__":
    main()
