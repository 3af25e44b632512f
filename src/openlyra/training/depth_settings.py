"""What a training of the depth network can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openlyra.errors import InputError
from openlyra.models.depth_net import STAGES


@dataclass(frozen=True)
class TrainDepthSettings:
    """What a training of the depth network depends on besides its data."""

    steps: int = 6000
    """Number of steps."""
    batch: int = 8
    """Views a step, shared by the ranks."""
    rate: float = 6e-3
    """Learning rate of the decoder, on weights scaled to unit size."""
    encoder_rate: float = 8e-4
    """Learning rate of the encoder."""
    weight_decay: float = 1e-3
    """Decoupled weight decay."""
    frozen: int = 2
    """Stem and so many first stages of the encoder stay as they are; with 0 a step takes a twentieth longer."""
    average: float = 0.995
    """Decay of the running mean of weights that is saved."""
    warm_up: int = 100
    """Steps until the rates are full; then they fall along a cosine to 2 %."""
    window: int = 0
    """Draw from the newest so many shards only; 0 from all."""
    surfaces: Path | None = None
    """Folder of photographs of surfaces (brick, wood, grass; .png, .jpg) to lay over one view in five."""
    meshes: Path | None = None
    """Folder of textured meshes (.obj with a .png beside it, .glb, .ply) to stand into one view in five."""
    mine: bool = False
    """Let the network judge the shards that are there first, and draw what it gets wrong more often."""
    seed: int = 0
    """Of batches and augmentation."""
    threads: int = 1
    """Threads of the network; on a shared laptop one and a core for rendering is faster than two."""

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        for name in ("steps", "batch", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} {getattr(self, name)}: must be at least 1")
        if not 0 <= self.frozen <= len(STAGES):
            raise InputError(f"--frozen {self.frozen}: must be 0 to {len(STAGES)}")
        for name, folder in (("surfaces", self.surfaces), ("meshes", self.meshes)):
            if folder is not None and not folder.is_dir():
                raise InputError(f"--{name} {folder}: no such folder")
        if not 0 <= self.average < 1:
            raise InputError(f"--average {self.average}: must be in [0, 1)")
