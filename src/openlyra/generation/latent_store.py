"""The state of a walk on disk, so that it can be killed anywhere and go on with the same bits.

Files are written whole or not at all and named by what they hold; `state_0003.safetensors` is written last and says
that three chunks are finished. `step_0003.safetensors` is where the sampling of the next chunk stands.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from openlyra.errors import InputError
from openlyra.generation.latent_walk import WalkState
from openlyra.memory.frame import MemoryFrame, load_frame, save_frame
from openlyra.memory.spatial_memory import SpatialMemory
from openlyra.models.tensors import read_tensors, write_tensors
from openlyra.models.video_vae import StreamState
from openlyra.sampling import SamplerState


@dataclass(frozen=True)
class LatentStore:
    """A folder with the working state of one walk."""

    folder: Path
    """Exists."""

    def chunks(self) -> int | None:
        """Finished chunks, None when nothing was saved."""
        found = [int(path.stem.removeprefix("state_")) for path in self.folder.glob("state_*.safetensors")]
        return max(found, default=None)

    def save(self, state: WalkState) -> None:
        """Keep what exists after a chunk, then forget what it replaces."""
        for index, pixels in state.pixels.items():
            path = self._pixels(index)
            if not path.is_file():
                write_tensors(path, {"pixels": pixels})
        save_frame(state.last, self.folder / f"last_{state.chunks:04d}.safetensors")
        tensors = {
            "latents": state.latents,
            "memory": torch.tensor(state.memory.indices, dtype=torch.int64),
            "pixels": torch.tensor(sorted(state.pixels), dtype=torch.int64),
        }
        for name, stream in (("encoder", state.encoder), ("decoder", state.decoder)):
            tensors |= {f"{name}.{key}": value for key, value in stream.tensors().items()}
        write_tensors(self.folder / f"state_{state.chunks:04d}.safetensors", tensors)
        for path in self.folder.glob("*.safetensors"):
            match = re.fullmatch(r"(state|last|step)_(\d+)", path.stem)
            if match and (int(match[2]) < state.chunks):
                path.unlink()

    def load(self, remembered: Callable[[int], MemoryFrame], memory: SpatialMemory) -> WalkState | None:
        """The newest state, None when there is none. `remembered(index)` gives the frames that fill `memory`."""
        chunks = self.chunks()
        if chunks is None:
            return None
        tensors = _read(self.folder / f"state_{chunks:04d}.safetensors")
        for index in tensors["memory"].tolist():
            memory.add(remembered(index))
        pixels = {index: _read(self._pixels(index))["pixels"] for index in tensors["pixels"].tolist()}
        return WalkState(
            chunks,
            tensors["latents"],
            StreamState.from_tensors(_part(tensors, "encoder.")),
            StreamState.from_tensors(_part(tensors, "decoder.")),
            load_frame(self.folder / f"last_{chunks:04d}.safetensors"),
            memory,
            pixels,
        )

    def save_step(self, chunk: int, state: SamplerState) -> None:
        """Keep where the sampling of a chunk stands."""
        tensors = {"step": torch.tensor(state.step), "sample": state.sample}
        tensors |= {f"memory.{name}": value for name, value in state.memory.items()}
        write_tensors(self.folder / f"step_{chunk:04d}.safetensors", tensors)

    def load_step(self, chunk: int) -> SamplerState | None:
        """Where the sampling of a chunk was interrupted, None when it had not begun."""
        path = self.folder / f"step_{chunk:04d}.safetensors"
        if not path.is_file():
            return None
        tensors = _read(path)
        return SamplerState(int(tensors["step"]), tensors["sample"], _part(tensors, "memory."))

    def clear(self) -> None:
        """Forget everything, the folder included."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _pixels(self, index: int) -> Path:
        return self.folder / f"pixels_{index:05d}.safetensors"


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return read_tensors(path)
    except InputError as error:
        raise InputError(f"{error}; the state of the walk is lost, start over with --overwrite") from None
