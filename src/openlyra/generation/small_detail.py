"""From a network's small frames to full size: the photo's detail where it is known, the network elsewhere.

The surfaces that memory knows are seen along the path at full size, as in the exemplar generator; where a keyframe
shows something unknown, the network's frame of that view is the paint. So the photo stays as sharp as it is, the
network decides what there is beside it, and all frames show one scene.
"""

from __future__ import annotations

import numpy as np

from openlyra.generation.base import Advance, WalkInput, WalkStore
from openlyra.generation.exemplar import ExemplarGenerator, ExemplarSettings, HoleView
from openlyra.generation.walk_frames import SmallFrames, scaled


class SmallDetail(ExemplarGenerator):
    """The walk at full size, painted by the frames of a walk at a small one."""

    name = "small"

    def __init__(self, frames: SmallFrames, settings: ExemplarSettings | None = None) -> None:
        super().__init__(settings, self._enlarge)
        self.frames = frames

    def _enlarge(self, view: HoleView, seed: int) -> np.ndarray:
        """The network's frame at full size. The photo itself was given to it, so what is missing there is copied."""
        if view.index == 0:
            return self._copy(view, seed)
        image = scaled(self.frames.read(view.index), *view.target.mask.shape)
        return image.astype(np.float32) / 255.0


def carry_detail(start: WalkInput, store: WalkStore, frames: SmallFrames, advance: Advance) -> None:
    """Fill the store with all frames of the path at full size."""
    SmallDetail(frames).walk(start, store, advance)
