"""How good a scene is: on the frames it was made from, on frames it never saw, and beside the path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from openlyra.evaluation.metrics import as_unit, psnr, ssim
from openlyra.evaluation.off_path import beside, floaters, mixed_share, pull
from openlyra.evaluation.perceptual import DEFAULT_FEATURES, perceptual_distance
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.render import RenderResult, contributions, render
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera

MOST_VIEWS = 24
"""Views of each kind that are looked at, evenly spread."""


@dataclass(frozen=True)
class ViewFigures:
    """Means over views of one kind."""

    views: int
    psnr: float
    """dB."""
    psnr_min: float
    """Of the worst view, dB."""
    psnr_matched: float | None
    """Mean after each channel of each picture got the gain and offset that suit the photo best, as is usual where
    photos differ in exposure, dB; null off the path."""
    ssim: float | None
    """Structural similarity; null where only parts of the views can be compared."""
    perceptual: float | None
    """`perceptual_distance`, 0 is best; null likewise."""
    opaque_share: float
    """Part of the pixels whose alpha is at least 0.98."""
    floaters: float
    """Part of the visible weight that hangs in front of surfaces."""
    ghosting: float
    """Part of the pixels off outlines whose ray ends on two surfaces at once."""


@dataclass(frozen=True)
class ReconstructionReport:
    """Figures of one scene."""

    gaussians: int
    bytes: int | None
    """Of the scene's file, null if there is none."""
    features: str
    """What the perceptual distance compares."""
    off_path_truth: bool
    """Whether off-path views were compared with true pictures; if not, with the nearest frame's colours carried over
    by the scene's own depth, which shows misplaced surfaces and blur but forgives what both views have wrong."""
    input: ViewFigures | None
    """Frames that were learnt from."""
    held_out: ViewFigures | None
    """Frames that were not."""
    off_path: ViewFigures | None
    """Cameras beside the path."""


def evaluate_reconstruction(
    scene: Gaussians,
    frames: PosedFrames,
    held_out: Sequence[int],
    *,
    off_path: PosedFrames | None = None,
    off_path_distance: float | None = None,
    size_bytes: int | None = None,
    features: str = DEFAULT_FEATURES,
    advance: Callable[[str, int, int], None] | None = None,
) -> ReconstructionReport:
    """Compare a scene with frames.

    Args:
        held_out: places of the frames that were kept back.
        off_path: true pictures beside the path, if there are such.
        off_path_distance: without them, how far aside to step in scene units; by default a twentieth of the median
            depth.
    """
    learnt = [index for index in range(len(frames)) if index not in set(held_out)]
    kinds = {"input": (frames, learnt), "held_out": (frames, list(held_out))}
    if off_path is not None:
        kinds["off_path"] = (off_path, list(range(len(off_path))))
    figures: dict[str, ViewFigures | None] = {"input": None, "held_out": None, "off_path": None}
    for number, (name, (views, which)) in enumerate(kinds.items()):
        if advance is not None:
            advance("views", number, 3)
        figures[name] = _against_pictures(scene, views.select(_spread(which)), features) if which else None
    if off_path is None and learnt:
        near = frames.select(_spread(learnt, MOST_VIEWS // 2))
        figures["off_path"] = _against_neighbours(scene, near, off_path_distance)
    if advance is not None:
        advance("views", 3, 3)
    return ReconstructionReport(scene.count, size_bytes, features, off_path is not None, **figures)


def exposed_like(color: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Colours (H, W, 3) with the gain and offset a channel that bring them nearest to an image, within [0, 1]."""
    seen, wanted = as_unit(color), as_unit(image)
    middle, aim = seen.mean((0, 1)), wanted.mean((0, 1))
    spread = ((seen - middle) ** 2).mean((0, 1))
    gain = ((seen - middle) * (wanted - aim)).mean((0, 1)) / np.maximum(spread, 1e-9)
    return np.asarray(np.clip((seen - middle) * gain + aim, 0, 1))


def view_figures(scene: Gaussians, views: PosedFrames, features: str = DEFAULT_FEATURES) -> ViewFigures | None:
    """Figures of a scene on some frames, evenly chosen if there are many; None without frames."""
    return _against_pictures(scene, views.select(_spread(list(range(len(views))))), features) if len(views) else None


def _spread(indices: list[int], most: int = MOST_VIEWS) -> list[int]:
    if len(indices) <= most:
        return indices
    return [indices[i] for i in np.unique(np.linspace(0, len(indices) - 1, most).round().astype(int))]


class _Tally:
    """Collects figures view by view."""

    def __init__(self) -> None:
        self.psnr: list[float] = []
        self.matched: list[float] = []
        self.ssim: list[float] = []
        self.perceptual: list[float] = []
        self.opaque: list[float] = []
        self.ghosting: list[float] = []
        self.hanging = self.weight = 0.0

    def geometry(self, scene: Gaussians, camera: Camera, seen: RenderResult) -> None:
        hanging, weight = floaters(scene, camera, seen, contributions(scene, camera))
        self.hanging, self.weight = self.hanging + hanging, self.weight + weight
        self.ghosting.append(mixed_share(scene, camera, seen))
        self.opaque.append(float((seen.alpha >= 0.98).mean()))

    def figures(self) -> ViewFigures | None:
        if not self.psnr:
            return None
        return ViewFigures(
            views=len(self.psnr),
            psnr=round(float(np.mean(self.psnr)), 2),
            psnr_min=round(min(self.psnr), 2),
            psnr_matched=round(float(np.mean(self.matched)), 2) if self.matched else None,
            ssim=round(float(np.mean(self.ssim)), 4) if self.ssim else None,
            perceptual=round(float(np.mean(self.perceptual)), 4) if self.perceptual else None,
            opaque_share=round(float(np.mean(self.opaque)), 5),
            floaters=round(self.hanging / max(self.weight, 1e-9), 5),
            ghosting=round(float(np.mean(self.ghosting)), 5),
        )


def _against_pictures(scene: Gaussians, views: PosedFrames, features: str) -> ViewFigures | None:
    tally = _Tally()
    for image, camera in zip(views.images, views.cameras):
        seen = render(scene, camera)
        tally.psnr.append(psnr(seen.color, image))
        tally.matched.append(psnr(exposed_like(seen.color, image), image))
        tally.ssim.append(ssim(seen.color, image))
        tally.perceptual.append(perceptual_distance(seen.color, image, features))
        tally.geometry(scene, camera, seen)
    return tally.figures()


def _against_neighbours(scene: Gaussians, frames: PosedFrames, distance: float | None) -> ViewFigures | None:
    tally = _Tally()
    for image, camera in zip(frames.images, frames.cameras):
        own = render(scene, camera)
        solid = own.alpha > 0.9
        if not solid.any():
            continue
        step = distance if distance is not None else 0.05 * float(np.median(own.depth[solid]))
        for other in beside(camera, step):
            seen = render(scene, other)
            depth = np.where(seen.alpha > 0.9, seen.depth, 0.0)
            expected, known = pull(image, np.where(solid, own.depth, 0.0), camera, depth, other)
            if known.mean() > 0.1:
                tally.psnr.append(psnr(seen.color, expected, known))
                tally.geometry(scene, other, seen)
    return tally.figures()
