"""A first scene from posed frames with depth: each frame adds the surfaces that those before it do not show.

A surface that another frame sees from much nearer is left to that frame: lifted from far away it would be coarse, and
would cover what the near frame has to show.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from openlyra.errors import InputError
from openlyra.gaussians.lift import LiftSettings, lift
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.render import render
from openlyra.gaussians.types import Gaussians
from openlyra.memory.frame import MemoryFrame

NEW_ALPHA = 0.5
"""Pixels where the scene so far covers less than this are new."""
FINER = 0.75
"""A frame whose pixels cover less than this much of a surface, next to another's, shows it instead of the other."""
SAME_SURFACE = 0.05
"""Relative difference of depth up to which two frames see the same surface."""
RIVALS = 16
"""Frames, evenly spread, that a frame is compared with for this."""
FOOTPRINT = 0.5
"""Deviation of a Gaussian in pixels of the frame it is lifted from: wide enough to close, as the fit sharpens."""


def lift_frames(
    frames: PosedFrames,
    shrink: int = 2,
    advance: Callable[[str, int, int], None] | None = None,
    onto: Gaussians | None = None,
) -> Gaussians:
    """Gaussians of all surfaces that the frames show, each from the first frame that sees it about as finely as any.

    Frames are taken coarse to fine along the path (first, last, middle, ...), so that distant ones share the work.

    Args:
        shrink: one Gaussian stands for shrink x shrink pixels.
        onto: a scene that is there already and comes first in the result.

    Raises:
        InputError: the frames have no depth.
    """
    if frames.depth is None:
        raise InputError("frames: there is no depth; a first scene needs it")
    height, width = frames.size
    small = frames.resized(max(1, height // shrink), max(1, width // shrink))
    settings = LiftSettings(footprint=FOOTPRINT)
    parts: list[Gaussians] = [] if onto is None else [onto]
    for number, index in enumerate(_coarse_to_fine(len(small))):
        if advance is not None:
            advance("lift", number, len(small))
        frame = _memory_frame(small, index)
        new = frame.valid & ~seen_finer(small, index)
        if parts:
            new = new & (render(Gaussians.concatenate(parts), frame.camera).alpha < NEW_ALPHA)
        parts.append(lift(frame, new, settings))
    return Gaussians.concatenate(parts)


def seen_finer(frames: PosedFrames, index: int, rivals: int = RIVALS) -> NDArray[np.bool_]:
    """(H, W) which pixels of a frame show a surface that one of the other frames measured from much nearer.

    Args:
        frames: with depth; the sky is as far from everywhere, so it is never seen finer.
        rivals: number of other frames, evenly spread, that are looked at.
    """
    assert frames.depth is not None
    cameras, (height, width) = frames.cameras.numpy(), frames.size
    points = cameras[index].unproject(frames.depth[index].astype(np.float64)).reshape(-1, 3)
    grain = frames.depth[index].ravel() / cameras[index].intrinsics[0, 0]
    found = np.zeros(height * width, bool)
    for other in np.unique(np.linspace(0, len(frames) - 1, min(rivals, len(frames))).round().astype(int)):
        pixels, z = cameras[other].project(points)
        near = (z > 0) & (z / cameras[other].intrinsics[0, 0] < FINER * grain) & ~found
        near &= (pixels >= 0).all(-1) & (pixels < [width, height]).all(-1)
        which = np.flatnonzero(near)
        column, row = pixels[which].astype(int).T
        same = np.abs(frames.depth[other, row, column] - z[which]) < SAME_SURFACE * z[which]
        if frames.valid is not None:
            same &= frames.valid[other, row, column]
        if frames.sky is not None:
            same &= ~frames.sky[other, row, column]
        found[which[same]] = True
    if frames.sky is not None:
        found &= ~frames.sky[index].ravel()
    return found.reshape(height, width)


def _coarse_to_fine(count: int) -> list[int]:
    """All of 0 ... count - 1, the ends first, then halves, quarters and so on."""
    order = dict.fromkeys((0, count - 1))
    pieces = 2
    while len(order) < count:
        order |= dict.fromkeys(np.linspace(0, count - 1, pieces + 1).round().astype(int).tolist())
        pieces *= 2
    return list(order)


def _memory_frame(frames: PosedFrames, index: int) -> MemoryFrame:
    assert frames.depth is not None
    known = np.ones(frames.size, bool)
    valid = known if frames.valid is None else frames.valid[index]
    sky = ~known if frames.sky is None else frames.sky[index]
    depth = frames.depth[index].astype(np.float32)
    return MemoryFrame(index, frames.images[index], depth, valid, sky, frames.cameras[index].numpy())
