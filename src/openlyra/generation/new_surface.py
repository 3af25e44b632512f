"""What of a whole remembered frame is new: the scene takes each surface from the frame that saw it first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scipy import ndimage

from openlyra.generation.free_space import SeenSpace
from openlyra.generation.surfaces import KNOWN_ALPHA, Surfaces
from openlyra.memory.frame import MemoryFrame


def unseen_part(frame: MemoryFrame, surfaces: Surfaces, before: Sequence[MemoryFrame]) -> MemoryFrame:
    """The frame, valid only where the surfaces known so far leave a hole in its view; seams overlap by two pixels.

    Nothing new stands in front of what the frames `before` saw."""
    if surfaces.gaussians is None:
        return frame
    hole = surfaces.look(frame.camera).alpha < KNOWN_ALPHA
    if not hole.any():
        return replace(frame, valid=hole)
    new = frame.valid & ndimage.binary_dilation(hole, iterations=2)
    return replace(frame, valid=new & ~SeenSpace(before, frame.camera).blocked(frame.depth, new))
