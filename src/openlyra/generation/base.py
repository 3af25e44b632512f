"""What a generator is: it walks along a path and fills a store with remembered geometry and frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from openlyra.depth.base import DepthEstimator
from openlyra.geometry.camera import Trajectory
from openlyra.memory.frame import MemoryFrame


class WalkStore(Protocol):
    """Where a walk keeps what it made. Everything in it survives a kill; a walk started again goes on from it."""

    def memory_indices(self) -> list[int]:
        """Indices of the remembered frames in the order in which they were remembered."""
        ...

    def remembered(self) -> list[MemoryFrame]:
        """All remembered frames in that order; the photo comes first."""
        ...

    def load_photo(self) -> MemoryFrame:
        """The first remembered frame."""
        ...

    def load_memory(self, index: int) -> MemoryFrame:
        """The remembered frame with that index."""
        ...

    def work_folder(self) -> Path:
        """A folder for what a walk needs to go on after a kill; empty at the walk's end."""
        ...

    def remember(self, frame: MemoryFrame) -> None:
        """Keep a frame's geometry, atomically."""
        ...

    def has_frame(self, index: int) -> bool:
        """Whether the video frame is already there."""
        ...

    def write_frame(self, index: int, image: np.ndarray) -> None:
        """Keep a video frame, uint8 (H, W, 3), lossless, atomically."""
        ...


@dataclass(frozen=True)
class WalkInput:
    """What a generator starts from."""

    trajectory: Trajectory
    """The path, one camera a video frame; the world frame is that of the photo's camera."""
    far: float
    """z-depth of the sky in scene units."""
    seed: int
    """Seed of the run."""
    depth_estimator: DepthEstimator
    """Measures what a generator has painted (not every generator needs it)."""
    beside: float = 0.0
    """How far to both sides of the path the scene should be complete too, in scene units (not every generator does
    it)."""


Advance = Callable[[str, int, int], None]
"""Progress: (stage, done, total)."""


class Generator(Protocol):
    """One file a generator; found through the table in this package's ``__init__``."""

    remembers_whole_frames: bool
    """Remembered frames hold all that a camera saw, not only what was new."""

    def check(self, frames: int) -> None:
        """Raise InputError when a walk of so many frames cannot work; loads nothing."""
        ...

    def inputs(self) -> list[Path]:
        """Files, besides photo and path, that the result depends on."""
        ...

    def walk(self, start: WalkInput, store: WalkStore, advance: Advance) -> None:
        """Fill the store with all frames of the path. The first remembered frame (the photo) is there already."""
        ...
