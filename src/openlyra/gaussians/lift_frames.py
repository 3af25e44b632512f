"""A first scene from posed frames with depth: each frame adds the surfaces that those before it do not show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from openlyra.errors import InputError
from openlyra.gaussians.lift import LiftSettings, lift
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.render import render
from openlyra.gaussians.types import Gaussians
from openlyra.memory.frame import MemoryFrame

NEW_ALPHA = 0.5
"""Pixels where the scene so far covers less than this are new."""
FOOTPRINT = 0.5
"""Deviation of a Gaussian in pixels of the frame it is lifted from: wide enough to close, as the fit sharpens."""


def lift_frames(
    frames: PosedFrames,
    shrink: int = 2,
    advance: Callable[[str, int, int], None] | None = None,
    onto: Gaussians | None = None,
) -> Gaussians:
    """Gaussians of all surfaces that the frames show, each from the frame that comes first.

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
        new = frame.valid
        if parts:
            new = new & (render(Gaussians.concatenate(parts), frame.camera).alpha < NEW_ALPHA)
        parts.append(lift(frame, new, settings))
    return Gaussians.concatenate(parts)


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
