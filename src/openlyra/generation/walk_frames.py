"""Where a latent walk keeps its frames and what it remembers: in the run, or, at the size of a small network, aside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from openlyra.generation.base import WalkStore
from openlyra.generation.latent_walk import as_image
from openlyra.media.image import read_image, scaled, write_image
from openlyra.memory.frame import MemoryFrame, load_frame, save_frame


class WalkFrames(Protocol):
    """Every file is written whole or not at all; nothing that is there is written again."""

    def has(self, index: int) -> bool:
        """Whether a frame is there."""
        ...

    def write(self, index: int, pixels: Tensor) -> None:
        """Keep a frame (3, H, W) in about [-1, 1]."""
        ...

    def remembered(self) -> set[int]:
        """Indices of the remembered frames."""
        ...

    def remember(self, frame: MemoryFrame) -> None:
        """Keep a frame's geometry."""
        ...

    def load(self, index: int) -> MemoryFrame:
        """A remembered frame."""
        ...


@dataclass(frozen=True)
class RunFrames:
    """In the run: frames at its size."""

    store: WalkStore
    height: int
    width: int

    def has(self, index: int) -> bool:
        """See `WalkFrames`."""
        return self.store.has_frame(index)

    def write(self, index: int, pixels: Tensor) -> None:
        """See `WalkFrames`."""
        if not self.has(index):
            self.store.write_frame(index, scaled(as_image(pixels), self.height, self.width))

    def remembered(self) -> set[int]:
        """See `WalkFrames`."""
        return set(self.store.memory_indices())

    def remember(self, frame: MemoryFrame) -> None:
        """See `WalkFrames`."""
        self.store.remember(frame)

    def load(self, index: int) -> MemoryFrame:
        """See `WalkFrames`."""
        return self.store.load_memory(index)


@dataclass(frozen=True)
class SmallFrames:
    """In the working folder of a walk, at the size of the network."""

    folder: Path

    def has(self, index: int) -> bool:
        """See `WalkFrames`."""
        return self._frame(index).is_file()

    def write(self, index: int, pixels: Tensor) -> None:
        """See `WalkFrames`."""
        if not self.has(index):
            write_image(self._frame(index), as_image(pixels))

    def read(self, index: int) -> np.ndarray:
        """A frame, uint8 (h, w, 3)."""
        return read_image(self._frame(index))

    def remembered(self) -> set[int]:
        """See `WalkFrames`."""
        found = (re.fullmatch(r"memory_(\d+)", path.stem) for path in self.folder.glob("memory_*.safetensors"))
        return {int(match[1]) for match in found if match}

    def remember(self, frame: MemoryFrame) -> None:
        """See `WalkFrames`."""
        save_frame(frame, self._memory(frame.index))

    def load(self, index: int) -> MemoryFrame:
        """See `WalkFrames`."""
        return load_frame(self._memory(index))

    def _frame(self, index: int) -> Path:
        return self.folder / f"small_{index:05d}.png"

    def _memory(self, index: int) -> Path:
        return self.folder / f"memory_{index:05d}.safetensors"
