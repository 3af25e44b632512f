"""Chunks of one scene made into one: aligned, sky on a far shell, each surface owned by the chunk that saw it nearest,
and pruned step by step with a count after each.

Ownership tests visibility with the depth that each chunk renders, not only whether a place lies in a camera's frustum:
what a chunk could not see, because something stood before it, stays with the chunk that saw it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import minimum_filter

from openlyra.errors import InputError
from openlyra.gaussians.merge_align import IDENTITY, Alignment, Edge, Similarity, align_chunks
from openlyra.gaussians.reduce import reduced
from openlyra.gaussians.render import render
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import rigid

SOLID = 0.9
"""Alpha from which a pixel's depth is that of a surface."""
TIE = 1.001
"""Distances that differ by less than this factor are equal; what is seen from there belongs to the earlier chunk."""
REACH = 2.0
"""Deviations from its centre within which a Gaussian may still belong to a surface."""
OUTLINE = 7
"""Width in pixels of what counts as near an outline."""
POINTS_A_VIEW = 400
"""Surface points that a shared camera adds to an edge, beside its centre."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """A part of a scene in a frame of its own."""

    gaussians: Gaussians
    cameras: Camera
    """(F,) from which it was made."""
    sky: np.ndarray | None = None
    """(N,) bool, which Gaussians are sky; none if None."""


@dataclass(frozen=True)
class MergeSettings:
    """Which steps to take, in this order."""

    sky_shell: bool = True
    """Put the sky on a sphere around all cameras, three times as far as anything else."""
    min_opacity: float = 1 / 255
    """Drop what is fainter; 0 keeps all."""
    ownership: bool = True
    """Drop what another chunk shows too and saw from nearer."""
    consistency: bool = True
    """Drop what at least two views of other chunks look through, and more than see it. Own views prove nothing:
    what floats before a camera is seen by it."""
    tolerance: float = 0.1
    """Difference of depths, as a part of the depth, within which two chunks show the same surface."""
    views: int = 12
    """Most cameras of a chunk to look through, evenly spread."""
    budget: int | None = None
    """Most Gaussians in the end; pairs that look alike are merged by moment matching."""

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        if not 0 <= self.min_opacity < 1:
            raise InputError(f"--min-opacity {self.min_opacity}: must be from 0 to below 1")
        if not 0 < self.tolerance < 0.5:
            raise InputError(f"--tolerance {self.tolerance}: must be between 0 and 0.5")
        if self.views < 1:
            raise InputError(f"--views {self.views}: at least 1 is needed")
        if self.budget is not None and self.budget < 1:
            raise InputError(f"--budget {self.budget}: at least 1 Gaussian is needed")


@dataclass(frozen=True, eq=False)
class Merged:
    """One scene in the frame of the first chunk."""

    gaussians: Gaussians
    cameras: Camera
    """(F,) of all chunks, in order."""
    alignment: Alignment
    counts: dict[str, int]
    """Gaussians left after each step that was taken."""


def shared_edge(chunks: Sequence[Chunk], first: int, second: int, cameras: Sequence[tuple[int, int]]) -> Edge:
    """The edge between two chunks that share frames: pairs (camera of the first, camera of the second) of one frame.

    Points are the centres and, pixel by pixel, the surfaces that both chunks show from there.
    """
    points: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    turns: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for pair in cameras:
        seen = [_seen(chunks[c].gaussians, chunks[c].cameras[i]) for c, i in zip((first, second), pair)]
        both = np.flatnonzero((seen[0] > 0) & (seen[1] > 0))
        both = both[:: max(1, len(both) // POINTS_A_VIEW)]
        for side, (chunk, index) in enumerate(zip((first, second), pair)):
            camera = chunks[chunk].cameras[index].numpy()
            surface = camera.unproject(seen[side]).reshape(-1, 3)[both]
            points[side].append(np.concatenate([camera.center[None], surface]))
            turns[side].append(camera.world_from_camera[:3, :3])
    if not cameras:
        raise InputError(f"chunks {first} and {second}: no shared camera was given")
    return Edge(first, second, *(np.concatenate(side) for side in points), *(np.stack(side) for side in turns))


def merge(chunks: Sequence[Chunk], edges: Sequence[Edge] | None, settings: MergeSettings | None = None) -> Merged:
    """One scene of all chunks.

    Args:
        edges: overlaps and loops, see `shared_edge`; they must join all chunks. None if all are in one frame already.

    Raises:
        InputError: no chunks, sky masks of another length, or chunks that cannot be aligned.
    """
    settings = settings or MergeSettings()
    for number, chunk in enumerate(chunks):
        if chunk.sky is not None and chunk.sky.shape != (chunk.gaussians.count,):
            raise InputError(f"chunk {number}: sky has shape {chunk.sky.shape}; {(chunk.gaussians.count,)} is needed")
    if not chunks:
        raise InputError("there are no chunks to merge")
    if edges is None:
        alignment = Alignment([IDENTITY] * len(chunks), [], 1.0)
    else:
        alignment = align_chunks(len(chunks), edges)
    counts = {"all": sum(chunk.gaussians.count for chunk in chunks)}
    parts = [_placed(_finite(chunk), place) for chunk, place in zip(chunks, alignment.transforms)]
    counts["finite"] = sum(part.gaussians.count for part in parts)
    if settings.min_opacity > 0:
        parts = [_kept(part, part.gaussians.opacities >= settings.min_opacity) for part in parts]
        counts["opaque"] = sum(part.gaussians.count for part in parts)
    if settings.sky_shell:
        parts = on_shell(parts)
    nearest, seen, through = _votes(parts, settings)
    owner = np.concatenate([np.full(part.gaussians.count, number) for number, part in enumerate(parts)])
    keep = np.ones(len(owner), bool)
    if settings.ownership:
        least = nearest.min(0)
        keep &= np.isinf(least) | ((nearest <= TIE * least).argmax(0) == owner)  # what nobody sees stays where it is
        counts["owned"] = int(keep.sum())
    if settings.consistency:
        keep &= (through < 2) | (through <= seen)
        counts["consistent"] = int(keep.sum())
    scene = Gaussians.concatenate([part.gaussians for part in parts]).select(keep)
    first = parts[0].cameras
    poses = np.concatenate([part.cameras.world_from_camera for part in parts])
    lenses = np.concatenate([part.cameras.resized(first.height, first.width).intrinsics for part in parts])
    cameras = Camera(poses, lenses, first.width, first.height)
    if settings.budget is not None:
        scene = reduced(scene, cameras, settings.budget)
        counts["budget"] = scene.count
    return Merged(scene, cameras, alignment, counts)


def on_shell(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Chunks of one frame with their sky moved to one far sphere; from its middle nothing looks different."""
    middle = np.concatenate([np.asarray(chunk.cameras.center) for chunk in chunks]).mean(0)
    ground = [c.gaussians.means if c.sky is None else c.gaussians.means[~c.sky] for c in chunks]
    distances = np.linalg.norm(np.concatenate(ground) - middle, axis=1)
    if not len(distances) or all(chunk.sky is None for chunk in chunks):
        return list(chunks)
    radius = 3 * float(distances.max())
    moved = []
    for chunk in chunks:
        away = chunk.gaussians.means.astype(np.float64) - middle
        distance = np.maximum(np.linalg.norm(away, axis=1), 1e-12)
        grow = np.ones(len(away)) if chunk.sky is None else np.where(chunk.sky, radius / distance, 1.0)
        # What does not move keeps its exact place.
        means = np.where(grow[:, None] == 1, chunk.gaussians.means, middle + away * grow[:, None])
        scaled = replace(chunk.gaussians, means=means, scales=chunk.gaussians.scales * grow[:, None])
        moved.append(replace(chunk, gaussians=scaled))
    return moved


def _votes(chunks: Sequence[Chunk], settings: MergeSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For all N Gaussians together: distance (C, N) to the nearest camera of each chunk that shows a surface there
    (infinite if none does), and the number of views (N,) of other chunks that see it, and that look through it."""
    owner = np.concatenate([np.full(chunk.gaussians.count, number) for number, chunk in enumerate(chunks)])
    means = np.concatenate([chunk.gaussians.means for chunk in chunks]).astype(np.float64)
    reach = REACH * np.concatenate([chunk.gaussians.scales.max(1) for chunk in chunks])
    nearest = np.full((len(chunks), len(means)), np.inf)
    seen, through = np.zeros(len(means), int), np.zeros(len(means), int)
    for number, chunk in enumerate(chunks):
        count = len(chunk.cameras)
        for index in np.unique(np.linspace(0, count - 1, min(settings.views, count)).round().astype(int)):
            camera = chunk.cameras[int(index)]
            depth = _seen(chunk.gaussians, camera)
            # At an outline the nearer surface counts, else its rim would seem looked through to what lies behind.
            front = minimum_filter(np.where(depth > 0, depth, np.inf), OUTLINE)
            pixels, z = camera.project(means)
            inside = (z > 0) & (pixels >= 0).all(1) & (pixels < [camera.width, camera.height]).all(1)
            column, row = np.where(inside[:, None], pixels, 0).astype(int).T
            there = np.where(inside, depth[row, column], 0)
            agrees = (there > 0) & (np.abs(z - there) <= settings.tolerance * there + reach)
            distance = np.linalg.norm(means - camera.center, axis=1)
            nearest[number] = np.where(agrees, np.minimum(nearest[number], distance), nearest[number])
            seen += agrees & (owner != number)
            before = np.where(inside & (there > 0), front[row, column], 0)
            through += (owner != number) & (z + reach < (1 - 2 * settings.tolerance) * before)
    return nearest, seen, through


def _seen(gaussians: Gaussians, camera: Camera) -> np.ndarray:
    """(H, W) z-depth of solid surfaces; 0 elsewhere."""
    look = render(gaussians, camera)
    return np.where(look.alpha > SOLID, look.depth, 0)


def _finite(chunk: Chunk) -> Chunk:
    """Without Gaussians whose numbers make no sense."""
    g = chunk.gaussians
    good = np.isfinite(g.means).all(1) & np.isfinite(g.scales).all(1) & (g.scales > 0).all(1)
    good &= np.isfinite(g.opacities) & np.isfinite(g.quaternions).all(1) & np.isfinite(g.sh).all((1, 2))
    return _kept(chunk, good)


def _kept(chunk: Chunk, which: np.ndarray) -> Chunk:
    sky = None if chunk.sky is None else chunk.sky[which]
    return replace(chunk, gaussians=chunk.gaussians.select(which), sky=sky)


def _placed(chunk: Chunk, place: Similarity) -> Chunk:
    """A chunk in the frame of the first one; harmonics turn along."""
    camera = chunk.cameras.numpy()
    poses = rigid(place.rotation @ camera.world_from_camera[:, :3, :3], place.apply(camera.center))
    moved = chunk.gaussians.transformed(place.rotation, place.translation, place.scale)
    return replace(chunk, gaussians=moved, cameras=replace(camera, world_from_camera=poses))
