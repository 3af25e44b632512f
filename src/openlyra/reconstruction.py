"""From posed frames to a compact scene that looks like them: read, lift, fit, measure, write."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from openlyra.depth.multi_view import multi_view_depth
from openlyra.errors import InputError, OutputExistsError
from openlyra.evaluation.reconstruction import (
    MOST_VIEWS,
    ReconstructionReport,
    evaluate_reconstruction,
    view_figures,
)
from openlyra.formats import FORMATS, find_format, write_gaussians
from openlyra.formats.ply import read_point_cloud
from openlyra.gaussians.backdrop import backdrop
from openlyra.gaussians.differentiable import best_backend
from openlyra.gaussians.lift_frames import lift_frames
from openlyra.gaussians.optimise import STEPS, OptimiseProgress, OptimiseSettings, optimise
from openlyra.gaussians.photo_folder import is_photo_folder, list_photos, read_photos, working_size
from openlyra.gaussians.point_cloud import shown_points
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.types import Gaussians
from openlyra.gaussians.video_frames import is_video, read_video_frames
from openlyra.generation.surfaces import Surfaces
from openlyra.geometry.camera import Camera
from openlyra.geometry.depth_edges import near_and_far_sides
from openlyra.geometry.trajectory_io import read_trajectory
from openlyra.media.atomic import write_bytes_atomic
from openlyra.runs import RunFolder
from openlyra.runs.manifest import package_versions

Advance = Callable[[str, int, int], None]

MADE_CONFIDENCE = 0.5
"""Trust in colours that a generator made up, next to 1 for those of the photo."""


MENDING_LOOKS = 25
"""Steps a held-out frame to find its pose in the finished scene."""
PHOTO_SHARE, PHOTO_STEPS = 3.0, 2000
"""Gaussians next to the first scene's, and steps on a CPU, for photos."""


@dataclass(frozen=True)
class ReconstructSettings:
    """What a reconstruction reads and how it fits."""

    held_out: int = 8
    """Every how many frames one is kept back to judge by; 0 uses all."""
    max_frames: int = 160
    """Largest number of frames, evenly spread over the path."""
    share: float | None = None
    """Number of Gaussians next to that of the first scene, unless --budget is given. By default 0.5 for runs (whose
    first scene has one a remembered pixel) and 3 for photos (one for four pixels, each surface once)."""
    size: str | None = None
    """Height x width in pixels to work at, for photos; by default theirs, at most 480 on the longer side."""
    optimise: OptimiseSettings = field(default_factory=OptimiseSettings)
    """The fit."""

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        if self.held_out < 0 or self.held_out == 1:
            raise InputError(f"--held-out {self.held_out}: 0 for none, or 2 and more for every so many frames")
        if self.max_frames < 1:
            raise InputError(f"--max-frames {self.max_frames}: at least 1 is needed")
        if self.share is not None and not 0 < self.share <= 10:
            raise InputError(f"--share {self.share}: must be above 0 and at most 10")
        self.shape()
        self.optimise.check()

    def shape(self) -> tuple[int, int] | None:
        """`size` as (height, width)."""
        if self.size is None:
            return None
        parts = self.size.lower().split("x")
        if len(parts) != 2 or not all(part.isdecimal() and 16 <= int(part) <= 4096 for part in parts):
            raise InputError(f"--size {self.size}: give height x width in pixels, each 16 to 4096, such as 270x480")
        return int(parts[0]), int(parts[1])


@dataclass(frozen=True, eq=False)
class Material:
    """What a source gives: the frames and a scene to start from."""

    frames: PosedFrames
    start: Gaussians
    held_out: list[int]
    """Places of the frames that the start was not made from and the fit does not see."""
    licences: dict[str, str]
    """Of weights that were used to make the source."""
    share: float = 0.5
    """Gaussians to end with, next to those of the start, unless told."""
    steps: int = STEPS["cpu"]
    """Steps of the fit on a CPU, unless told."""
    photos: bool = False
    """Whether a camera took the frames: then exposures differ and poses are measured, with errors."""
    behind: Gaussians | None = None
    """What is put behind the fitted scene, within the budget."""


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A finished reconstruction."""

    gaussians: Gaussians
    report: ReconstructionReport
    record: dict[str, Any]
    """What is written beside the scene: figures, settings, counts, timings, versions, licences."""


def read_frames(source: Path) -> PosedFrames:
    """All frames with their cameras. InputError if it is no run folder, or a frame of its path is missing."""
    run = RunFolder.open(source)
    path = read_trajectory(source / "cameras.json")
    return _run_frames(run, np.arange(len(path)))


def reconstruct(
    source: str | Path | PosedFrames,
    output: str | Path,
    *,
    cameras: str | Path | None = None,
    settings: ReconstructSettings | None = None,
    overwrite: bool = False,
    advance: Advance | None = None,
    report: Callable[[OptimiseProgress], None] | None = None,
) -> Reconstruction:
    """Fit a scene to frames and write it, with a record of how good it is in ``<name>.report.json``.

    An interrupted reconstruction goes on where it stopped when called again in the same way: a checkpoint beside the
    output, named by a hash of all inputs and settings, says how far it was.

    Args:
        source: run folder, frames with depth, or photos with cameras: a transforms.json, the folder it lies in, or a
            folder with images and a COLMAP model; or a video, together with `cameras`.
        cameras: camera path of a video, one camera a frame.
        output: scene file; its suffix says the format.
        advance: called with (stage, done, total); report: called after each step of the fit.

    Raises:
        OutputExistsError: the output exists and ``overwrite`` is not set.
        InputError: unusable source, settings or scene format.
    """
    settings, output = settings or ReconstructSettings(), Path(output)
    settings.check()
    advance = advance or (lambda stage, done, total: None)
    known = find_format(output)
    if known is None:
        raise InputError(f"{output}: scene files end in {' or '.join(FORMATS)}")
    if output.exists() and not overwrite:
        raise OutputExistsError(f"{output}: exists; replace it with --overwrite or give another name")
    begin = time.perf_counter()
    if isinstance(source, PosedFrames):
        material = from_frames(source, settings, advance)
    elif cameras is not None or is_video(Path(source)):
        material = from_video(Path(source), cameras, settings, advance)
    elif is_photo_folder(Path(source)):
        material = from_photos(Path(source), settings, advance)
    elif (Path(source) / "run.json").is_file() or not Path(source).is_dir():
        material = from_run(RunFolder.open(Path(source)), settings, advance)
    else:
        raise InputError(f"{source}: has no run.json, no transforms.json and no COLMAP model beside images")
    lifted = time.perf_counter()
    learnt = [index for index in range(len(material.frames)) if index not in set(material.held_out)]
    given = material.frames.select(learnt)
    share = settings.share if settings.share is not None else material.share
    budget = settings.optimise.budget or max(1, int(share * material.start.count))
    behind = material.behind if material.behind is not None and material.behind.count < budget else Gaussians.empty()
    backend = best_backend() if settings.optimise.backend == "auto" else settings.optimise.backend
    steps = settings.optimise.steps or (material.steps if backend == "cpu" else STEPS.get(backend))
    exposure, refine = settings.optimise.exposure, settings.optimise.refine_poses
    wanted = replace(
        settings.optimise, budget=budget - behind.count, steps=steps,
        exposure=material.photos if exposure is None else exposure,
        refine_poses=material.photos if refine is None else refine,
    )  # fmt: skip
    checkpoint = output.parent / f".{output.name}.checkpoint.safetensors"
    output.parent.mkdir(parents=True, exist_ok=True)
    found = optimise(material.start, given, wanted, behind=behind, checkpoint=checkpoint, report=report)
    scene = Gaussians.concatenate([found.gaussians, behind])
    scene, refined = settled(scene, found.cameras, given.cameras)
    fitted = time.perf_counter()
    write_gaussians(scene, output)
    frames = replace(material.frames, cameras=_with_cameras(material.frames.cameras, learnt, refined))
    figures = evaluate_reconstruction(
        scene, frames, material.held_out, size_bytes=output.stat().st_size, advance=advance
    )
    held = frames.select(material.held_out[:MOST_VIEWS])
    mended = view_figures(scene, _mended(scene, held, wanted)) if wanted.refine_poses and len(held) else None
    seconds = {"lift": lifted - begin, "fit": fitted - lifted, "measure": time.perf_counter() - fitted}
    record = {
        "figures": asdict(figures), "held_out_mended": None if mended is None else asdict(mended),
        "lifted_gaussians": material.start.count, "frames": len(material.frames),
        "held_out": material.held_out, "settings": asdict(settings),
        "exposure": wanted.exposure, "refine_poses": wanted.refine_poses,
        "progress": [asdict(entry) for entry in found.progress],
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "versions": package_versions(), "licences": material.licences,
    }  # fmt: skip
    write_bytes_atomic(report_path(output), (json.dumps(record, indent=1) + "\n").encode())
    checkpoint.unlink(missing_ok=True)
    return Reconstruction(scene, figures, record)


def settled(scene: Gaussians, found: Camera, given: Camera) -> tuple[Gaussians, Camera]:
    """Scene and refined cameras brought back to where the given cameras are as a whole.

    Refining leaves free where the world lies, how it is turned and how large it is; the mean of all poses decides.
    """
    refined, wanted = found.numpy(), given.numpy()
    if np.array_equal(refined.world_from_camera, wanted.world_from_camera):
        return scene, found
    turns = wanted.world_from_camera[:, :3, :3] @ refined.world_from_camera[:, :3, :3].swapaxes(1, 2)
    rotation = Rotation.from_matrix(turns).mean().as_matrix()
    middle, aim = refined.center.mean(0), wanted.center.mean(0)
    apart, apart_wanted = (refined.center - middle) @ rotation.T, wanted.center - aim
    spread = float((apart**2).sum())
    scale = float((apart * apart_wanted).sum()) / spread if spread > 0 else 1.0
    scale = scale if 0.9 < scale < 1.1 else 1.0
    translation = aim - scale * rotation @ middle
    poses = np.array(refined.world_from_camera)
    poses[:, :3, :3] = rotation @ poses[:, :3, :3]
    poses[:, :3, 3] = scale * refined.center @ rotation.T + translation
    return scene.transformed(rotation, translation, scale), replace(found, world_from_camera=poses)


def _with_cameras(all_cameras: Camera, which: list[int], cameras: Camera) -> Camera:
    """(F,) cameras, those at some places replaced."""
    poses = np.array(all_cameras.numpy().world_from_camera)
    poses[which] = cameras.numpy().world_from_camera
    return replace(all_cameras.numpy(), world_from_camera=poses)


def _mended(scene: Gaussians, held: PosedFrames, settings: OptimiseSettings) -> PosedFrames:
    """Frames that were not learnt from, their poses fitted to the finished scene as those of the others were."""
    steps = MENDING_LOOKS * len(held)
    only_cameras = replace(settings, steps=steps, budget=None, depth=0, coarse=1)
    return replace(held, cameras=optimise(scene, held, only_cameras, fixed_scene=True).cameras)


def report_path(scene: Path) -> Path:
    """Where the record of a scene is: scene.ply -> scene.report.json."""
    return scene.with_name(scene.name.split(".")[0] + ".report.json")


def from_frames(frames: PosedFrames, settings: ReconstructSettings, advance: Advance) -> Material:
    """Frames with depth, and the lift of those that are not held out."""
    picked = frames.select(_picks(len(frames), settings.max_frames))
    learnt, held = picked.held_out(settings.held_out)
    return Material(picked, lift_frames(picked.select(learnt), advance=advance), held, {})


def from_photos(source: Path, settings: ReconstructSettings, advance: Advance) -> Material:
    """Photos with cameras: depth by comparing those that are not held out with one another, then their lift.

    Surfaces that several photos agree on come first; between them depth is filled in smoothly, so that nothing the
    photos show is missing when the fit begins.
    """
    photos = list_photos(source)
    photos = photos.select(_picks(len(photos), settings.max_frames))
    frames = read_photos(photos, *working_size(photos, settings.shape()), advance)
    points = photos.points
    if points is None and photos.cloud is not None:
        points = shown_points(read_point_cloud(photos.cloud), frames.cameras)
    return _compared(frames, points, settings, advance)


def from_video(source: Path, cameras: str | Path | None, settings: ReconstructSettings, advance: Advance) -> Material:
    """Frames of a video, chosen by motion and sharpness, and their depth as for photos."""
    if cameras is None:
        raise InputError(f"{source}: a video needs its camera path; give it with --cameras FILE")
    return _compared(
        read_video_frames(source, cameras, settings.max_frames, settings.shape(), advance), None, settings, advance
    )


def _compared(
    frames: PosedFrames, points: list[np.ndarray] | None, settings: ReconstructSettings, advance: Advance
) -> Material:
    learnt, held = frames.held_out(settings.held_out)
    seen = frames.select(learnt)
    shown = None if points is None else [points[index] for index in learnt]
    found = multi_view_depth(seen.images, seen.cameras, points=shown, advance=advance)
    start = lift_frames(replace(seen, depth=found.depth, valid=found.valid, sky=found.far), advance=advance)
    start = lift_frames(replace(seen, depth=found.depth, sky=found.far), advance=advance, onto=start)
    depth = np.ones(frames.images.shape[:3], np.float32)
    valid, sky = np.zeros(depth.shape, bool), np.zeros(depth.shape, bool)
    depth[learnt], valid[learnt], sky[learnt] = found.depth, found.valid, found.far
    reach = float(np.linalg.norm(start.means - seen.cameras.center.mean(0), axis=1).max())
    frames = replace(frames, depth=depth, valid=valid, sky=sky)
    return Material(frames, start, held, {}, PHOTO_SHARE, PHOTO_STEPS, True, backdrop(seen, 1.3 * reach))


def _picks(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` places, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def from_run(run: RunFolder, settings: ReconstructSettings, advance: Advance) -> Material:
    """A run's video, and the lift of what it remembers (without held-out frames).

    Depth, sky and confidence of each frame come from the lifted memory seen from its camera: depth away from outlines,
    and less confidence where a generator made the colours up.
    """
    path = read_trajectory(run.path / "cameras.json")
    picks = _picks(len(path), settings.max_frames)
    plain = _run_frames(run, picks)
    _, held = plain.held_out(settings.held_out)
    kept_back = {int(picks[index]) for index in held}
    surfaces = Surfaces()
    remembered = [frame for frame in run.remembered() if frame.index not in kept_back or frame.index <= 0]
    for number, frame in enumerate(remembered):
        advance("lift", number, len(remembered) + len(plain))
        surfaces.add(frame, made=number > 0)
    if surfaces.gaussians is None:
        raise InputError(f"{run.path}: remembers no surface; is the run finished?")
    depth, confidence = (np.empty(plain.images.shape[:3], np.float32) for _ in range(2))
    valid, sky = (np.empty(plain.images.shape[:3], np.bool_) for _ in range(2))
    for index, camera in enumerate(plain.cameras):
        advance("lift", len(remembered) + index, len(remembered) + len(plain))
        look, shares = surfaces.look(camera), surfaces.shares(camera)
        depth[index] = np.where(look.alpha > 0.5, look.depth, 1.0)
        outline = np.logical_or(*near_and_far_sides(depth[index]))
        valid[index] = (look.alpha > 0.95) & ~outline
        sky[index] = shares[..., 1] > 0.5
        confidence[index] = 1 - (1 - MADE_CONFIDENCE) * shares[..., 2]
    frames = PosedFrames(plain.images, plain.cameras, depth, valid, sky, confidence)
    return Material(frames, surfaces.gaussians, held, dict(run.manifest.licences))


def _run_frames(run: RunFolder, picks: np.ndarray) -> PosedFrames:
    path = read_trajectory(run.path / "cameras.json")
    missing = [int(index) for index in picks if not run.has_frame(int(index))]
    if missing:
        raise InputError(f"{run.path}: frame {missing[0]} of the path is missing; finish the run with --resume")
    return PosedFrames(np.stack([run.read_frame(int(index)) for index in picks]), path.cameras[picks])
