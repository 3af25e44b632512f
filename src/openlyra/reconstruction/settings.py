"""What a reconstruction is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from openlyra.errors import InputError
from openlyra.gaussians.optimise import OptimiseSettings


@dataclass(frozen=True)
class ReconstructSettings:
    """What a reconstruction reads and how it fits."""

    held_out: int = 8
    """Every how many frames one is kept back to judge by; 0 uses all."""
    max_frames: int = 160
    """Largest number of frames, evenly spread over the path."""
    share: float | None = None
    """Number of Gaussians next to that of the first scene, unless --budget is given. By default 0.5 for runs (whose
    first scene has one a remembered pixel) and 3 for photos (one for four pixels, each surface once)."""
    size: str | None = None
    """Height x width in pixels to work at, for photos; by default theirs, at most 480 on the longer side."""
    minutes: float | None = None
    """Wall-clock minutes to be done in, about: where the machine is slow the fit takes fewer steps. The result then
    depends on how fast the machine was."""
    background: Literal["black", "white"] = "black"
    """Of the videos of an output folder: what shows where nothing was reconstructed."""
    optimise: OptimiseSettings = field(default_factory=OptimiseSettings)
    """The fit."""

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        if self.held_out < 0 or self.held_out == 1:
            raise InputError(f"--held-out {self.held_out}: 0 for none, or 2 and more for every so many frames")
        if self.max_frames < 1:
            raise InputError(f"--max-frames {self.max_frames}: at least 1 is needed")
        if self.share is not None and not 0 < self.share <= 10:
            raise InputError(f"--share {self.share}: must be above 0 and at most 10")
        if self.minutes is not None and not 0 < self.minutes < 1e6:
            raise InputError(f"--minutes {self.minutes}: must be above 0")
        self.shape()
        self.optimise.check()

    def shape(self) -> tuple[int, int] | None:
        """`size` as (height, width)."""
        if self.size is None:
            return None
        parts = self.size.lower().split("x")
        if len(parts) != 2 or not all(part.isdecimal() and 16 <= int(part) <= 4096 for part in parts):
            raise InputError(f"--size {self.size}: give height x width in pixels, each 16 to 4096, such as 270x480")
        return int(parts[0]), int(parts[1])
