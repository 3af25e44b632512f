"""From posed frames to a compact scene that looks like them: read, lift, fit, measure, write."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from openlyra.evaluation.reconstruction import MOST_VIEWS, ReconstructionReport, evaluate_reconstruction, view_figures
from openlyra.explorer.showcase import flight_through, novel_path, write_comparison, write_flight
from openlyra.formats import write_gaussians
from openlyra.gaussians.differentiable import best_backend
from openlyra.gaussians.optimise import STEPS, OptimiseProgress, OptimiseSettings, optimise
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Trajectory
from openlyra.geometry.trajectory_io import write_trajectory
from openlyra.media.atomic import write_bytes_atomic
from openlyra.reconstruction.output import FILES, output_at
from openlyra.reconstruction.refined import MENDING_LOOKS, mended, moved, settled, with_cameras
from openlyra.reconstruction.settings import ReconstructSettings
from openlyra.reconstruction.sources import Advance, Material, gather, read_frames
from openlyra.runs.manifest import package_versions

__all__ = ["ReconstructSettings", "Reconstruction", "read_frames", "reconstruct"]

MEASURING_STEPS, SHOWING_STEPS = 100, 60
"""How many steps of the fit take about as long as measuring the scene, and as drawing the videos of a folder."""
BACKDROP_SHARE = 0.1
"""Of the budget that a backdrop may take; if it needs more, there is none."""
BACKGROUNDS = {"black": (0.0, 0.0, 0.0), "white": (1.0, 1.0, 1.0)}


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A finished reconstruction."""

    gaussians: Gaussians
    report: ReconstructionReport
    record: dict[str, Any]
    """What is written beside the scene: figures, settings, counts, timings, versions, licences."""


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
    """Fit a scene to frames and write it, with a record of how good it is.

    A scene file gets ``<name>.report.json`` beside it. A folder gets `output.FILES`: scene, cameras as refined, a
    flight along them and one beside them, pictures next to renders, and the report.

    An interrupted reconstruction goes on where it stopped when called again in the same way: a checkpoint beside the
    scene, with a hash of all inputs and settings, says how far it was.

    Args:
        source: run folder, frames with depth, or photos with cameras: a transforms.json, the folder it lies in, or a
            folder with images and a COLMAP model; or a video, together with `cameras`.
        cameras: camera path of a video, one camera a frame.
        output: scene file, whose suffix says the format; or a folder, a name without a suffix.
        overwrite: replace what is there, and begin anew if the checkpoint is of other inputs or settings.
        advance: called with (stage, done, total); report: called after each step of the fit.

    Raises:
        OutputExistsError: the output exists and ``overwrite`` is not set.
        InputError: unusable source, settings or scene format.
    """
    settings = settings or ReconstructSettings()
    settings.check()
    advance = advance or (lambda stage, done, total: None)
    place = output_at(Path(output), overwrite)
    begin = time.perf_counter()
    material = gather(source, cameras, settings, advance)
    lifted = time.perf_counter()
    learnt = [index for index in range(len(material.frames)) if index not in set(material.held_out)]
    held = material.held_out[:MOST_VIEWS]
    given = material.frames.select(learnt)
    # What the fit does not see is only looked at from here on; its maps would fill memory for nothing.
    material = replace(material, frames=PosedFrames(material.frames.images, material.frames.cameras))
    wanted, behind = _fit_settings(material, settings)
    place.scene.parent.mkdir(parents=True, exist_ok=True)
    deadline = None if settings.minutes is None else begin + 60 * settings.minutes
    found = optimise(
        material.start, given, wanted, behind=behind, checkpoint=place.checkpoint, anew=overwrite, deadline=deadline,
        reserve=_work_after(wanted, len(held), place.folder is not None), report=report,
    )  # fmt: skip
    scene = Gaussians.concatenate([found.gaussians, behind])
    scene, refined = settled(scene, found.cameras, given.cameras)
    fitted = time.perf_counter()
    if place.folder is not None:
        for name in FILES:  # Whoever is killed from here on must not leave a new scene with an old report.
            (place.folder / name).unlink(missing_ok=True)
    write_gaussians(scene, place.scene)
    frames = replace(material.frames, cameras=with_cameras(material.frames.cameras, learnt, refined))
    figures = evaluate_reconstruction(
        scene, frames, material.held_out, size_bytes=place.scene.stat().st_size, advance=advance
    )
    held_mended = None
    if wanted.refine_poses and held:
        looked = mended(scene, frames.select(held), wanted, found.steps / (wanted.steps or 1))
        held_mended = view_figures(scene, looked)
        frames = replace(frames, cameras=with_cameras(frames.cameras, held, looked.cameras))
    measured = time.perf_counter()
    if place.folder is not None:
        _write_folder(place.folder, scene, frames, learnt, material, settings, advance)
    seconds = {
        "lift": lifted - begin, "fit": fitted - lifted, "measure": measured - fitted,
        "show": time.perf_counter() - measured,
    }  # fmt: skip
    record = {
        "figures": asdict(figures), "held_out_mended": None if held_mended is None else asdict(held_mended),
        "counts": {
            "lifted": material.start.count, "budget": (wanted.budget or 0) + behind.count,
            "fitted": found.gaussians.count, "backdrop": behind.count, "scene": scene.count,
        },
        "frames": len(material.frames), "held_out": material.held_out, "settings": asdict(settings),
        "exposure": wanted.exposure, "refine_poses": wanted.refine_poses, "steps": found.steps,
        "cameras_moved": moved(refined, given.cameras),
        "progress": [asdict(entry) for entry in found.progress],
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "versions": package_versions(), "licences": material.licences,
    }  # fmt: skip
    write_bytes_atomic(place.report, (json.dumps(record, indent=1) + "\n").encode())
    place.checkpoint.unlink(missing_ok=True)
    return Reconstruction(scene, figures, record)


def _fit_settings(material: Material, settings: ReconstructSettings) -> tuple[OptimiseSettings, Gaussians]:
    """How to fit, all defaults filled in, and what stands behind."""
    own = settings.optimise
    share = settings.share if settings.share is not None else material.share
    budget = own.budget or max(1, int(share * material.start.count))
    behind = material.behind if material.behind is not None else Gaussians.empty()
    if behind.count > BACKDROP_SHARE * budget:
        behind = Gaussians.empty()
    backend = best_backend() if own.backend == "auto" else own.backend
    return replace(
        own, budget=budget - behind.count,
        steps=own.steps or (material.steps if backend == "cpu" else STEPS.get(backend)),
        exposure=material.photos if own.exposure is None else own.exposure,
        refine_poses=material.photos if own.refine_poses is None else own.refine_poses,
    ), behind  # fmt: skip


def _work_after(wanted: OptimiseSettings, held: int, folder: bool) -> int:
    """What comes after the fit, in steps of it: poses of held-out frames, views that are measured, frames of videos."""
    mending = MENDING_LOOKS * held if wanted.refine_poses else 0
    return mending + MEASURING_STEPS + SHOWING_STEPS * folder


def _write_folder(
    folder: Path, scene: Gaussians, frames: PosedFrames, learnt: list[int], material: Material,
    settings: ReconstructSettings, advance: Advance,
) -> None:  # fmt: skip
    """Everything of a folder but scene and report."""
    for name in ("cameras.json", "cameras.npz"):
        write_trajectory(Trajectory(frames.cameras.numpy(), name="frames"), folder / name)
    background = BACKGROUNDS[settings.background]
    flight = material.path or flight_through(scene, frames.select(learnt).cameras)
    write_flight(scene, flight, folder / "flythrough.mp4", background, advance)
    write_flight(scene, novel_path(scene, frames.cameras), folder / "novel_path.mp4", background, advance)
    shown = material.held_out or learnt
    write_comparison(scene, frames.select(shown), folder / "contact_sheet.jpg")
