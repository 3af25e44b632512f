"""How good a run is: does the scene look like the photo and the video, is it closed, does a path that returns come
back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np

from openlyra.evaluation.metrics import psnr, ssim
from openlyra.formats import read_gaussians
from openlyra.gaussians.render import render
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.trajectory_io import read_trajectory
from openlyra.media.atomic import write_bytes_atomic
from openlyra.media.image import read_image
from openlyra.runs.folder import RunFolder

OPAQUE = 0.98
RETURN_ANGLE_DEGREES = 0.5
RETURN_DISTANCE = 0.01


@dataclass(frozen=True)
class RunReport:
    """Figures of one run. Decibels are PSNR."""

    gaussians: int
    """Number of Gaussians in the scene."""
    scene_megabytes: float
    """Size of scene.ply."""
    frames_compared: int
    """Frames of the path that were rendered from the scene for this report."""
    photo_psnr: float
    """Scene at the photo's camera against the photo (padding excluded)."""
    path_psnr: float
    """Scene along the path against the video's lossless frames, mean."""
    path_psnr_min: float
    """The worst frame of them."""
    path_ssim: float
    """Structural similarity along the path, mean."""
    opaque_share: float
    """Part of all compared pixels whose alpha is at least 0.98."""
    loop_psnr: float | None
    """Last against first frame, if the path comes back to where it started; else null."""


def evaluate_run(run: RunFolder, every: int = 1) -> RunReport:
    """Measure a run, every ``every``-th frame of its path and the last, and write ``report.json``."""
    scene = read_gaussians(run.path / "scene.ply")
    path = read_trajectory(run.path / "cameras.json")
    photo_frame = run.load_photo()
    at_photo = render(scene, photo_frame.camera)
    picks = sorted({*range(0, len(path), every), len(path) - 1})
    similarity, structure, opaque = [], [], []
    for index in picks:
        seen = render(scene, path[index])
        frame = run.read_frame(index)
        similarity.append(psnr(seen.color, frame))
        structure.append(ssim(seen.color, frame))
        opaque.append(float((seen.alpha >= OPAQUE).mean()))
    report = RunReport(
        gaussians=scene.count,
        scene_megabytes=round((run.path / "scene.ply").stat().st_size / 1e6, 2),
        frames_compared=len(picks),
        photo_psnr=_round(psnr(at_photo.color, read_image(run.path / "input.png"), photo_frame.valid)),
        path_psnr=_round(float(np.mean(similarity))),
        path_psnr_min=_round(min(similarity)),
        path_ssim=_round(float(np.mean(structure)), 4),
        opaque_share=_round(float(np.mean(opaque)), 5),
        loop_psnr=_loop_psnr(run, path),
    )
    write_bytes_atomic(run.path / "report.json", (json.dumps(asdict(report), indent=1) + "\n").encode())
    run.record("report.json")
    return report


def _loop_psnr(run: RunFolder, path: Trajectory) -> float | None:
    first, last = path[0], path[len(path) - 1]
    if len(path) < 2 or not comes_back(first, last, path):
        return None
    return _round(psnr(run.read_frame(len(path) - 1), run.read_frame(0)))


def comes_back(first: Camera, last: Camera, path: Trajectory) -> bool:
    """Whether the last camera stands and looks as the first, measured against the extent of the path."""
    relative = np.asarray(first.camera_from_world) @ np.asarray(last.world_from_camera)
    angle = np.degrees(np.arccos(np.clip((np.trace(relative[:3, :3]) - 1) / 2, -1, 1)))
    centers = np.asarray(path.cameras.center)
    extent = float(np.linalg.norm(centers - centers[0], axis=1).max())
    turned = np.asarray(path.cameras.forward) @ np.asarray(first.forward)
    moved = extent > 1e-6 or float(turned.min()) < 0.9999
    distance = float(np.linalg.norm(relative[:3, 3]))
    same_lens = np.allclose(first.intrinsics, last.intrinsics, rtol=1e-3)
    near = distance <= RETURN_DISTANCE * max(extent, 1e-6) + 1e-9
    return bool(moved and same_lens and angle < RETURN_ANGLE_DEGREES and near)


def _round(value: float, digits: int = 2) -> float:
    return round(float(value), digits)
