"""The frames seen so far, in the order they were remembered."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame, load_frame, load_frame_and_position, save_frame
from openlyra.memory.retrieval import RetrievalConfig, RetrievalResult, retrieve

__all__ = ["SpatialMemory", "load_frame", "save_frame"]

PREFIX = "frame_"


class SpatialMemory:
    """Remembered frames and their point maps. Frames are never changed, only added or replaced."""

    def __init__(self, config: RetrievalConfig | None = None) -> None:
        self.config = config or RetrievalConfig()
        """Settings of retrieval and of the point maps it needs."""
        self.frames: list[MemoryFrame] = []
        """In the order they were added; retrieval breaks ties by this order."""
        self._points: list[NDArray[Any]] = []

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[MemoryFrame]:
        return iter(self.frames)

    def __contains__(self, index: int) -> bool:
        return any(frame.index == index for frame in self.frames)

    @property
    def indices(self) -> list[int]:
        """Frame indices in the order the frames were added."""
        return [frame.index for frame in self.frames]

    def frame(self, index: int) -> MemoryFrame:
        """The frame with this index; InputError if it is not remembered."""
        for frame in self.frames:
            if frame.index == index:
                return frame
        raise InputError(f"frame {index} is not in the memory; it holds {self.indices}")

    def add(self, frame: MemoryFrame) -> None:
        """Remember a frame; InputError if its index is taken (a remembered frame is never measured again)."""
        if frame.index in self:
            raise InputError(f"frame {frame.index} is already in the memory")
        self.frames.append(frame)
        self._points.append(self._point_map(frame))

    def replace(self, frame: MemoryFrame) -> None:
        """Put new geometry in the place of the frame with the same index."""
        place = self.frames.index(self.frame(frame.index))
        self.frames[place] = frame
        self._points[place] = self._point_map(frame)

    def _point_map(self, frame: MemoryFrame) -> NDArray[Any]:
        return frame.point_map(self.config.stride, reference_compat=self.config.reference_compat)

    def retrieve(self, targets: Camera, slots: int | None = None) -> list[int]:
        """Indices of up to `slots` frames that together see most of the target views, the best one last."""
        return self.search(targets, slots).indices

    def search(self, targets: Camera, slots: int | None = None) -> RetrievalResult:
        """As `retrieve`, with the number of cells each frame adds."""
        config = self.config
        if slots is not None:
            config = dataclasses.replace(config, slots=slots)
        return retrieve(self.indices, self._points, targets, config)

    def save_frame(self, directory: str | os.PathLike[str], index: int | None = None) -> Path:
        """Write one frame (by default the newest) to `directory` as frame_00042.safetensors; return the path."""
        if not self.frames:
            raise InputError("the memory is empty; there is no frame to save")
        frame = self.frames[-1] if index is None else self.frame(index)
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{PREFIX}{frame.index:05d}.safetensors"
        save_frame(frame, path, self.frames.index(frame))
        return path

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write all frames; files already there are replaced."""
        for frame in self.frames:
            self.save_frame(directory, frame.index)

    @staticmethod
    def load(directory: str | os.PathLike[str], config: RetrievalConfig | None = None) -> SpatialMemory:
        """Read all frames of a folder back, in the order they were added; InputError if there are none.

        Files are ordered by the place they hold, then by name, so names that begin with a running number work as well.
        """
        folder = Path(directory)
        paths = sorted(path for path in folder.glob(f"*{PREFIX}*.safetensors") if not path.name.startswith("."))
        if not paths:
            raise InputError(f"{folder}: holds no {PREFIX}*.safetensors files; give the memory folder of a run")
        loaded = [load_frame_and_position(path) for path in paths]
        memory = SpatialMemory(config)
        for frame, _ in sorted(loaded, key=lambda pair: pair[1]):
            memory.add(frame)
        return memory
