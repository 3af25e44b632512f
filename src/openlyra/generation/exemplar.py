"""The exemplar generator: no network; what memory does not know is completed from examples in the photo itself.

Keyframes are chosen where the path reveals the unknown. Memory is rendered into a keyframe, depth is completed first
(background first), then colour: narrow holes by depth-guided patch matching, wide ones by stitching large copies, both
blended at the seam in the gradient domain. Only the new surface is remembered, and all frames of the video are memory
seen from the path, so nothing flickers and a place revisited looks the same. When they are drawn, views beside the path
are completed in the same way, for those who leave it in the scene.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy import ndimage

from openlyra.generation.base import Advance, WalkInput, WalkStore
from openlyra.generation.beside import views_beside
from openlyra.generation.complete_depth import complete_depth
from openlyra.generation.copy_maps import Target
from openlyra.generation.free_space import SeenSpace
from openlyra.generation.membrane import membrane
from openlyra.generation.outpaint import outpaint
from openlyra.generation.patchmatch import GuidedImage, PatchMatchSettings, paint
from openlyra.generation.surfaces import KNOWN_ALPHA, Look, Surfaces
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame

BEHIND = 1.02
"""Factor on the depth of new surface."""
UNSEEN = 0.98
"""Unknown part of a view from which there is nothing to continue."""
WIDE = 0.05
"""Half width of a hole, in image heights, from which it is stitched of large copies instead of small patches."""


@dataclass(frozen=True)
class ExemplarSettings:
    """How the exemplar generator walks."""

    window: int = 80
    """Frames looked ahead when choosing keyframes."""
    candidate_step: int = 8
    """Every how many frames a keyframe may be chosen."""
    tolerated_hole: float = 0.002
    """Part of a frame that may be unknown before the frame becomes a keyframe."""
    tolerated_beside: float = 0.01
    """The same for views beside the path."""
    largest_hole: float = 0.5
    """Part of a frame up to which it becomes a keyframe before its neighbours."""
    patchmatch: PatchMatchSettings = field(default_factory=PatchMatchSettings)


@dataclass(frozen=True)
class HoleView:
    """A view whose depth is complete and whose colours are not."""

    index: int
    """Frame of the path; larger for views beside it."""
    camera: Camera
    """Where it is seen from."""
    target: GuidedImage
    """Colours with a first guess in the hole (its mask), completed depth and sky."""
    own: GuidedImage
    """What is known of the view; its mask says what may be copied."""
    photo: MemoryFrame
    """Where colours may be taken from as well."""


class Painter(Protocol):
    """Completes the colours of a view. This is all that differs between the generators that walk in this way."""

    def __call__(self, view: HoleView, seed: int) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1]; only the pixels of the hole count."""
        ...


class ExemplarGenerator:
    """See the module's text; settings in `ExemplarSettings`."""

    name = "exemplar"
    remembers_whole_frames = False

    def __init__(self, settings: ExemplarSettings | None = None, painter: Painter | None = None) -> None:
        """``painter`` None copies from the photo."""
        self.settings = settings or ExemplarSettings()
        self.painter = painter or self._copy

    def _copy(self, view: HoleView, seed: int) -> np.ndarray:
        """Wide holes of large copies, the others of small patches."""
        target, own, wide = view.target, view.own, wide_parts(view.target.mask)
        color = target.color
        if wide.any():
            open_view = Target(view.camera, own.color, np.exp(target.log_depth), target.sky, wide, own.mask)
            color = np.where(wide[..., None], outpaint(open_view, view.photo), color)
        narrow = GuidedImage(color, target.log_depth, target.sky, target.mask & ~wide)
        if narrow.mask.any():
            color = paint(narrow, copy_sources(view), seed, self.settings.patchmatch)
        return color

    def check(self, frames: int) -> None:
        """Any number of frames will do."""

    def inputs(self) -> list[Path]:
        """None."""
        return []

    def walk(self, start: WalkInput, store: WalkStore, advance: Advance) -> None:
        """Remember keyframes until nothing unknown is left along the path, then look at every frame."""
        surfaces = Surfaces()
        frames = store.remembered()
        for number, frame in enumerate(frames):
            surfaces.add(frame, made=number > 0)
        total = len(start.trajectory)
        for first in range(0, total, self.settings.window):
            last = min(first + self.settings.window, total)
            advance("explore", first, total)
            candidates = sorted({*range(first, last, self.settings.candidate_step), last - 1})
            views = {index: start.trajectory[index] for index in candidates}
            self._explore(views, self.settings.tolerated_hole, start, store, surfaces, frames)
        advance("explore", total, total)
        self._draw(start, store, surfaces, frames, advance)
        if start.beside > 0:
            advance("beside", 0, 1)
            views = views_beside(start.trajectory, start.beside, surfaces.known_depths)
            self._explore(views, self.settings.tolerated_beside, start, store, surfaces, frames)
            advance("beside", 1, 1)

    def _draw(
        self, start: WalkInput, store: WalkStore, surfaces: Surfaces, frames: list[MemoryFrame], advance: Advance
    ) -> None:
        """Every frame of the video, as memory shows it."""
        total = len(start.trajectory)
        with ThreadPoolExecutor(1) as beside:
            written: Future[None] | None = None
            for index in range(total):
                if not store.has_frame(index):
                    picture = self._frame(index, start, store, surfaces, frames)
                    if written:
                        written.result()
                    # A picture is packed while the next is drawn.
                    written = beside.submit(store.write_frame, index, picture)
                advance("frames", index + 1, total)
            if written:
                written.result()

    def _explore(
        self, views: dict[int, Camera], tolerated: float, start: WalkInput, store: WalkStore, surfaces: Surfaces,
        frames: list[MemoryFrame],
    ) -> None:  # fmt: skip
        """Complete the view that reveals most, again and again, until none reveals more than is tolerated.

        What is hardly known at all waits until its neighbours are complete: there is nothing in it to continue."""
        holes = {index: 1.0 for index in views}
        limits = replace(self.settings, tolerated_hole=tolerated)

        def hole(index: int) -> float:
            return float((surfaces.look(views[index]).alpha < KNOWN_ALPHA).mean())

        while True:
            done = set(store.memory_indices()[1:])
            worst = next_to_complete([i for i in views if i not in done], holes, hole, limits)
            if worst is None:
                return
            self._complete(worst, views[worst], start, store, surfaces, frames)
            holes[worst] = 0.0

    def _complete(
        self, index: int, camera: Camera, start: WalkInput, store: WalkStore, surfaces: Surfaces,
        frames: list[MemoryFrame],
    ) -> None:  # fmt: skip
        seed = zlib.crc32(f"{start.seed}/{self.name}/{index}".encode())
        frame = complete_view(index, camera, surfaces, frames, start.far, seed, self.painter)
        store.remember(frame)
        frames.append(frame)
        surfaces.add(frame, made=True)

    def _frame(
        self, index: int, start: WalkInput, store: WalkStore, surfaces: Surfaces, frames: list[MemoryFrame]
    ) -> np.ndarray:
        camera = start.trajectory[index]
        look = surfaces.look(camera)
        unknown = float((look.alpha < KNOWN_ALPHA).mean())
        if unknown > self.settings.tolerated_hole and index not in store.memory_indices()[1:]:
            self._complete(index, camera, start, store, surfaces, frames)
            look = surfaces.look(camera)
        return to_bytes(close_cracks(look))


def next_to_complete(
    candidates: Sequence[int], holes: dict[int, float], hole: Callable[[int], float], settings: ExemplarSettings
) -> int | None:
    """The candidate that reveals most, None if none reveals more than is tolerated.

    Args:
        holes: unknown part of each candidate's view as last measured, 1 if never; brought up to date where it matters.
            Holes only shrink, so the rest need not be measured again.
        hole: measures one.
    """
    fresh: set[int] = set()
    while wanting := [i for i in candidates if holes[i] > settings.tolerated_hole]:
        apart = [i for i in wanting if holes[i] > settings.largest_hole]
        linked = [i for i in wanting if holes[i] <= settings.largest_hole]
        if unsure := [i for i in apart if i not in fresh]:
            pick = unsure[0]  # perhaps linked by now
        elif linked:
            pick = max(linked, key=lambda i: (holes[i], i))
        else:
            pick = min(apart, key=lambda i: (holes[i], i))
        if pick in fresh:
            return pick
        holes[pick] = hole(pick)
        fresh.add(pick)
    return None


def complete_view(
    index: int, camera: Camera, surfaces: Surfaces, frames: list[MemoryFrame], far: float, seed: int,
    painter: Painter,
) -> MemoryFrame:  # fmt: skip
    """The new surface that a camera reveals: image, depth and sky, valid where memory knew nothing."""
    look = surfaces.look(camera)
    hole = ndimage.binary_dilation(look.alpha < KNOWN_ALPHA, iterations=2)
    if hole.mean() > UNSEEN:
        return _another_photo(index, camera, frames[0].resized(*hole.shape), hole)
    view = surfaces.partial_view(camera, hole, look)
    seen = SeenSpace(frames, camera)
    completed = complete_depth(view, far, seen)
    copyable = ~hole & (view.foreground < 0.3)
    guess = np.where(hole[..., None], _mirrored(look.color, copyable), look.color).astype(np.float32)
    target = GuidedImage(guess, np.log(completed.depth), completed.sky, hole)
    own = GuidedImage(look.color, target.log_depth, completed.sky, copyable)
    painted = painter(HoleView(index, camera, target, own, frames[0].resized(*hole.shape)), seed)
    image = to_bytes(_blend_seam(painted, look.color, hole, copyable))
    repeated = seen.known(completed.depth, hole) & (look.alpha > 0.5)
    new = hole & ~repeated & ~seen.blocked(completed.depth, hole)
    # A little behind: where the new overlaps what was known, the known is what is seen.
    behind = np.where(hole, BEHIND * completed.depth, completed.depth).astype(np.float32)
    return MemoryFrame(index, image, behind, new, completed.sky, camera)


def _another_photo(index: int, camera: Camera, photo: MemoryFrame, hole: np.ndarray) -> MemoryFrame:
    """A view that shares nothing with what is known (a path may jump): the photo's mirror image stands there."""
    image, depth = photo.image[:, ::-1].copy(), photo.depth[:, ::-1].copy()
    return MemoryFrame(index, image, depth, photo.valid[:, ::-1] & hole, photo.sky[:, ::-1].copy(), camera)


def wide_parts(hole: np.ndarray) -> np.ndarray:
    """The parts of a hole that are too wide for small patches: beyond the photo's borders, mostly. (H, W) bool."""
    parts, count = ndimage.label(hole)
    if count == 0:
        return hole
    inside = ndimage.distance_transform_edt(np.pad(hole, 1, mode="edge"))[1:-1, 1:-1]
    depth_of_part = ndimage.maximum(inside, parts, np.arange(1, count + 1))
    return np.concatenate([[False], depth_of_part > WIDE * hole.shape[0]])[parts]


def _mirrored(color: np.ndarray, copyable: np.ndarray) -> np.ndarray:
    """A first guess with texture in it: every pixel takes its mirror image at the nearest background pixel."""
    if not copyable.any():
        return color
    at = np.indices(copyable.shape)
    nearest = ndimage.distance_transform_edt(~copyable, return_distances=False, return_indices=True)
    mirror = np.clip(2 * nearest - at, 0, np.array(copyable.shape)[:, None, None] - 1)
    usable = copyable[mirror[0], mirror[1]]
    return color[np.where(usable, mirror[0], nearest[0]), np.where(usable, mirror[1], nearest[1])]


def copy_sources(view: HoleView) -> GuidedImage:
    """What may be copied into a view: what is known of it, above the photo."""
    return _stacked(view.own, _as_source(view.photo))


def _as_source(photo: MemoryFrame) -> GuidedImage:
    return GuidedImage(photo.image.astype(np.float32) / 255.0, np.log(photo.depth), photo.sky, photo.valid)


def _stacked(first: GuidedImage, second: GuidedImage) -> GuidedImage:
    """Two sources as one tall image. A row that may not be copied keeps patches from crossing."""
    gap = np.zeros((1, first.mask.shape[1]), bool)
    return GuidedImage(
        np.concatenate([first.color, np.zeros((*gap.shape, 3), np.float32), second.color]),
        np.concatenate([first.log_depth, np.zeros(gap.shape, np.float32), second.log_depth]),
        np.concatenate([first.sky, gap, second.sky]),
        np.concatenate([first.mask, gap, second.mask]),
    )


def _blend_seam(painted: np.ndarray, known: np.ndarray, hole: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Shift the paint by the membrane of the jump at the hole's border (Poisson blending with the paint's gradients).

    Only background counts as border: the colours of what stands in front must not bleed into what lies behind.
    """
    ring = ndimage.binary_dilation(hole, iterations=2) & background
    if not ring.any():
        return np.where(hole[..., None], painted, known)
    inner = ndimage.binary_erosion(hole, border_value=1)
    edge = hole & ~inner
    smooth_paint = _masked_mean(painted, edge)
    smooth_known = _masked_mean(known, ring)
    jump = np.where(ring[..., None], np.clip(smooth_known - smooth_paint, -0.25, 0.25), 0.0)
    correction = membrane(jump, ~ring)
    fade = np.exp(-ndimage.distance_transform_edt(hole) / 24.0)[..., None]
    return np.where(hole[..., None], painted + fade * correction, known)


def _masked_mean(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Local mean of the masked pixels only."""
    weight = ndimage.uniform_filter(mask.astype(np.float32), 5)[..., None]
    total = ndimage.uniform_filter(image * mask[..., None], (5, 5, 1))
    return total / np.maximum(weight, 1e-6)


def close_cracks(look: Look) -> np.ndarray:
    """Colours of a view with what is still transparent filled smoothly from around it. (H, W, 3) float32."""
    open_pixels = look.alpha < KNOWN_ALPHA
    if not open_pixels.any():
        return look.color
    fill = membrane(look.color, open_pixels)
    share = np.where(open_pixels, look.alpha, 1.0)[..., None]
    return look.color * share + fill * (1 - share)


def to_bytes(color: np.ndarray) -> np.ndarray:
    """float [0, 1] to uint8."""
    return np.round(np.clip(color, 0, 1) * 255).astype(np.uint8)
