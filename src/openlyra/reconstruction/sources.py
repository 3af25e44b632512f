"""What a reconstruction starts from: frames of a run, photos or a video, and a first scene of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from openlyra.depth.multi_view import multi_view_depth
from openlyra.errors import InputError
from openlyra.formats.ply import read_point_cloud
from openlyra.gaussians.backdrop import backdrop
from openlyra.gaussians.lift_frames import lift_frames
from openlyra.gaussians.optimise import STEPS
from openlyra.gaussians.photo_folder import is_photo_folder, list_photos, read_photos, working_size
from openlyra.gaussians.point_cloud import shown_points
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.types import Gaussians
from openlyra.gaussians.video_frames import is_video, read_video_frames
from openlyra.generation.surfaces import Surfaces
from openlyra.geometry.camera import Trajectory
from openlyra.geometry.depth_edges import near_and_far_sides
from openlyra.geometry.trajectory_io import read_trajectory
from openlyra.reconstruction.settings import ReconstructSettings
from openlyra.runs import RunFolder

Advance = Callable[[str, int, int], None]

MADE_CONFIDENCE = 0.5
"""Trust in colours that a generator made up, next to 1 for those of the photo."""
PHOTO_SHARE, PHOTO_STEPS = 3.0, 2000
"""Gaussians next to the first scene's, and steps on a CPU, for photos."""


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
    path: Trajectory | None = None
    """The whole path that the frames are of, if it is smooth."""


def gather(
    source: str | Path | PosedFrames, cameras: str | Path | None, settings: ReconstructSettings, advance: Advance
) -> Material:
    """Read any source and make a first scene of it. Raises InputError."""
    if isinstance(source, PosedFrames):
        return from_frames(source, settings, advance)
    place = Path(source)
    if cameras is not None or is_video(place):
        return from_video(place, cameras, settings, advance)
    if is_photo_folder(place):
        return from_photos(place, settings, advance)
    if (place / "run.json").is_file() or not place.is_dir():
        return from_run(RunFolder.open(place), settings, advance)
    raise InputError(f"{source}: has no run.json, no transforms.json and no COLMAP model beside images")


def read_frames(source: Path) -> PosedFrames:
    """All frames with their cameras. InputError if it is no run folder, or a frame of its path is missing."""
    run = RunFolder.open(source)
    path = read_trajectory(source / "cameras.json")
    return _run_frames(run, np.arange(len(path)))


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
    total = len(run.memory_indices())
    for number, frame in enumerate(run.each_remembered()):
        advance("lift", number, total + len(plain))
        if frame.index not in kept_back or frame.index <= 0:
            surfaces.add(frame, made=number > 0)
    if surfaces.gaussians is None:
        raise InputError(f"{run.path}: remembers no surface; is the run finished?")
    depth, confidence = (np.empty(plain.images.shape[:3], np.float32) for _ in range(2))
    valid, sky = (np.empty(plain.images.shape[:3], np.bool_) for _ in range(2))
    for index, camera in enumerate(plain.cameras):
        advance("lift", total + index, total + len(plain))
        look, shares = surfaces.look(camera), surfaces.shares(camera)
        depth[index] = np.where(look.alpha > 0.5, look.depth, 1.0)
        outline = np.logical_or(*near_and_far_sides(depth[index]))
        valid[index] = (look.alpha > 0.95) & ~outline
        sky[index] = shares[..., 1] > 0.5
        confidence[index] = 1 - (1 - MADE_CONFIDENCE) * shares[..., 2]
    frames = PosedFrames(plain.images, plain.cameras, depth, valid, sky, confidence)
    start = surfaces.gaussians
    learnt = [index for index in range(len(plain)) if index not in set(held)]
    reach = float(np.linalg.norm(start.means - plain.cameras.center.mean(0), axis=1).max())
    behind = backdrop(plain.select(learnt), 1.3 * reach)
    return Material(frames, start, held, dict(run.manifest.licences), behind=behind, path=path)


def _run_frames(run: RunFolder, picks: np.ndarray) -> PosedFrames:
    path = read_trajectory(run.path / "cameras.json")
    missing = [int(index) for index in picks if not run.has_frame(int(index))]
    if missing:
        raise InputError(f"{run.path}: frame {missing[0]} of the path is missing; finish the run with --resume")
    return PosedFrames(np.stack([run.read_frame(int(index)) for index in picks]), path.cameras[picks])
