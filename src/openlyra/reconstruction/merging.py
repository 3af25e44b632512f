"""Several runs, reconstructions or scene files made into one scene."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from openlyra.errors import InputError
from openlyra.formats import read_gaussians, write_gaussians
from openlyra.gaussians.merge import Chunk, Merged, MergeSettings, merge, shared_edge
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Trajectory
from openlyra.geometry.trajectory_io import read_trajectory, write_trajectory
from openlyra.media.atomic import write_bytes_atomic
from openlyra.reconstruction.output import output_at
from openlyra.runs import RunFolder
from openlyra.runs.manifest import package_versions

SAME_DEPTH = 0.2
"""Relative difference of depth up to which a Gaussian belongs to the sky of the pixel it falls on."""
BEHIND_BORDER = 5
"""Pixels that the sky's backing goes on behind what stands before it."""


def merge_scenes(
    sources: Sequence[Path],
    output: Path,
    *,
    overlap: int = 0,
    loop: bool = False,
    settings: MergeSettings | None = None,
    overwrite: bool = False,
) -> tuple[Merged, dict[str, Any]]:
    """Merge scenes and write the result with cameras and a report; returns it and the report.

    Args:
        sources: see `read_chunk`.
        output: scene file, or a folder for scene.ply, cameras.json and report.json.
        overlap: the last so many frames of each are the first of the next; 0 if all stand in one world already.
        loop: the last so many frames of the last are also the first of the first.
        overwrite: replace what is there.

    Raises:
        OutputExistsError: the output exists and `overwrite` is not set.
        InputError: a source lacks scene or cameras, or the scenes cannot be aligned.
    """
    settings = settings or MergeSettings()
    settings.check()
    place = output_at(output, overwrite)
    if len(sources) < 2:
        raise InputError(f"{len(sources)} scene to merge; at least 2 are needed")
    if overlap < 0 or (loop and not overlap):
        raise InputError(f"--overlap {overlap}: give how many frames neighbours share" + " (--loop too)" * loop)
    chunks = [read_chunk(source) for source in sources]
    for source, chunk in zip(sources, chunks):
        if overlap > len(chunk.cameras):
            raise InputError(f"{source}: has {len(chunk.cameras)} cameras, so no overlap of {overlap} frames")
    pairs = [(number, number + 1) for number in range(len(chunks) - 1)] + [(len(chunks) - 1, 0)] * loop
    edges = [
        shared_edge(chunks, a, b, [(len(chunks[a].cameras) - overlap + k, k) for k in range(overlap)])
        for a, b in pairs if overlap
    ]  # fmt: skip
    merged = merge(chunks, edges if overlap else None, settings)
    record = {
        "sources": [str(source) for source in sources], "counts": merged.counts,
        "alignment": {
            "pairs": pairs if overlap else [], "residuals": merged.alignment.residuals,
            "conditioning": merged.alignment.conditioning, "scales": [t.scale for t in merged.alignment.transforms],
        },
        "overlap": overlap, "loop": loop, "settings": asdict(settings), "versions": package_versions(),
    }  # fmt: skip
    place.scene.parent.mkdir(parents=True, exist_ok=True)
    write_gaussians(merged.gaussians, place.scene)
    name = "cameras.json" if place.folder else f"{place.scene.name.split('.')[0]}.cameras.json"
    write_trajectory(Trajectory(merged.cameras, name="merged"), place.scene.with_name(name))
    write_bytes_atomic(place.report, (json.dumps(record, indent=1) + "\n").encode())
    return merged, record


def read_chunk(source: Path) -> Chunk:
    """Scene, cameras and sky of a run folder, a reconstruction's folder, or a scene file with its cameras beside it.

    The cameras of ``name.ply`` are in ``name.cameras.json``, else in ``cameras.json``.
    """
    file = source / "scene.ply" if source.is_dir() else source
    if not file.is_file():
        raise InputError(f"{file}: does not exist; give run folders, folders of reconstruct, or scene files")
    beside = (file.with_name(file.name.split(".")[0] + ".cameras.json"), file.with_name("cameras.json"))
    cameras = next((path for path in beside if path.is_file()), None)
    if cameras is None:
        raise InputError(f"{file}: there is no {beside[0].name} or cameras.json beside it; cameras say who saw what")
    scene = read_gaussians(file)
    return Chunk(scene, read_trajectory(cameras).cameras, _sky(source, file, scene))


def _sky(source: Path, file: Path, scene: Gaussians) -> np.ndarray | None:
    """(N,) which Gaussians are sky, where the source knows: by a run's memory, or as the backdrop that ends a scene."""
    if (source / "run.json").is_file():
        return _sky_of_run(RunFolder.open(source), scene)
    report = source / "report.json" if source.is_dir() else file.with_name(file.name.split(".")[0] + ".report.json")
    if not report.is_file() or file.suffix.lower() != ".ply":
        return None
    try:
        counts = json.loads(report.read_text())["counts"]
        backdrop, total = int(counts["backdrop"]), int(counts["scene"])
    except (ValueError, KeyError, TypeError, OSError):
        return None
    return np.arange(scene.count) >= total - backdrop if total == scene.count and backdrop else None


def _sky_of_run(run: RunFolder, scene: Gaussians) -> np.ndarray:
    sky = np.zeros(scene.count, bool)
    means = scene.means.astype(np.float64)
    for frame in run.each_remembered():
        if not frame.sky.any():
            continue
        pixels, z = (np.asarray(part) for part in frame.camera.project(means))
        size = (frame.camera.width, frame.camera.height)
        inside = np.flatnonzero((z > 0) & (pixels >= 0).all(1) & (pixels < size).all(1))
        column, row = pixels[inside].astype(int).T
        distance, nearest = ndimage.distance_transform_edt(~frame.sky, return_indices=True)
        depth = np.where(distance <= BEHIND_BORDER, frame.depth[tuple(nearest)], 0.0)[row, column]
        sky[inside[np.abs(z[inside] - depth) < SAME_DEPTH * depth]] = True
    return sky
