"""From a network's small frames to full size: the photo's detail where it is known, its texture elsewhere.

The surfaces that memory knows are seen along the path at full size, as in the exemplar generator. Where a keyframe
shows something unknown, the network's frame of that view says what is there, and patches of the photo that look like it
paint it. So the network decides, everything is as sharp as the photo, and all frames show one scene.
"""

from __future__ import annotations

import numpy as np

from openlyra.generation.base import Advance, WalkInput, WalkStore
from openlyra.generation.exemplar import ExemplarGenerator, ExemplarSettings, HoleView, copy_sources, wide_parts
from openlyra.generation.patchmatch import GuidedImage, paint
from openlyra.generation.walk_frames import SmallFrames
from openlyra.media.image import scaled


class SmallDetail(ExemplarGenerator):
    """The walk at full size, painted by the frames of a walk at a small one."""

    name = "small"

    def __init__(self, frames: SmallFrames, settings: ExemplarSettings | None = None) -> None:
        super().__init__(settings, self._texture)
        self.frames = frames

    def _texture(self, view: HoleView, seed: int) -> np.ndarray:
        """The network's frame as the guess from which patches grow over wide holes; narrow ones are closed from around.

        What is missing at the photo itself (it was given to the network) and beside the path is copied."""
        if view.index == 0 or not self.frames.has(view.index):
            return self._copy(view, seed)
        target = view.target
        image = scaled(self.frames.read(view.index), *target.mask.shape).astype(np.float32) / 255.0
        guess = np.where(wide_parts(target.mask)[..., None], image, target.color)
        guided = GuidedImage(guess, target.log_depth, target.sky, target.mask)
        return paint(guided, copy_sources(view), seed, self.settings.patchmatch)


def carry_detail(start: WalkInput, store: WalkStore, frames: SmallFrames, advance: Advance) -> None:
    """Fill the store with all frames of the path at full size."""
    SmallDetail(frames).walk(start, store, advance)
