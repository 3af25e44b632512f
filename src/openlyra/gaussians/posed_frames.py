"""Pictures with cameras, and what else is known of them: what a reconstruction starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera


@dataclass(frozen=True, eq=False)
class PosedFrames:
    """F pictures of one size. Arrays that are None are not known. Depth is z-depth in the scene units of the poses."""

    images: NDArray[np.uint8]
    """(F, H, W, 3) RGB."""
    cameras: Camera
    """(F,) cameras of H x W pixels."""
    depth: NDArray[np.float32] | None = None
    """(F, H, W); finite and positive where `valid`."""
    valid: NDArray[np.bool_] | None = None
    """(F, H, W) where depth was measured; needs depth. All of it if None."""
    sky: NDArray[np.bool_] | None = None
    """(F, H, W) where depth stands for infinity."""
    confidence: NDArray[np.float32] | None = None
    """(F, H, W) in [0, 1]: how much the colour can be trusted; 0 leaves a pixel out."""

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[-1] != 3 or self.images.dtype != np.uint8 or not self.images.size:
            raise InputError(
                f"frames: images are {self.images.dtype} {self.images.shape}; uint8 (F, H, W, 3) is needed"
            )
        frames, height, width = self.images.shape[:3]
        if self.cameras.batch_shape != (frames,) or (self.cameras.height, self.cameras.width) != (height, width):
            raise InputError(
                f"frames: {frames} images of {width}x{height}, but cameras of batch {self.cameras.batch_shape} and "
                f"{self.cameras.width}x{self.cameras.height} pixels"
            )
        self.cameras.validate("frames")
        for name in ("depth", "valid", "sky", "confidence"):
            array = getattr(self, name)
            if array is not None and array.shape != (frames, height, width):
                raise InputError(f"frames: {name} has shape {array.shape}; {(frames, height, width)} is needed")
        if self.depth is not None:
            measured = self.depth if self.valid is None else self.depth[self.valid]
            if not (np.isfinite(measured).all() and (measured > 0).all()):
                raise InputError("frames: depth holds values that are not finite and positive; mark them as not valid")
        if self.valid is not None and self.depth is None:
            raise InputError("frames: valid says where depth was measured, but there is no depth")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.images.shape[1], self.images.shape[2]

    def select(self, indices: Sequence[int] | NDArray[np.int_]) -> PosedFrames:
        """The frames at these places, in that order."""
        picked = np.asarray(indices, np.int64)
        changes = {name: array[picked] for name, array in self._arrays()}
        return replace(self, cameras=self.cameras[picked], **changes)

    def held_out(self, every: int = 8) -> tuple[list[int], list[int]]:
        """(frames to learn from, frames to judge by): every `every`-th is held out, counted from the middle of the
        first group so that both ends of the path are learnt from. With every = 0, or too few frames, none is."""
        count = len(self)
        held = list(range(every // 2, count, every)) if every > 1 and count > every // 2 + 1 else []
        return [index for index in range(count) if index not in set(held)], held

    def resized(self, height: int, width: int) -> PosedFrames:
        """The same frames at another size: colours and confidence averaged, depth and masks of the nearest pixel."""
        if (height, width) == self.size:
            return self
        rows = np.minimum((np.arange(height) + 0.5) * self.size[0] / height, self.size[0] - 1).astype(int)
        columns = np.minimum((np.arange(width) + 0.5) * self.size[1] / width, self.size[1] - 1).astype(int)
        changes = {
            name: array[:, rows[:, None], columns]
            for name, array in self._arrays()
            if name not in ("images", "confidence")
        }
        images = np.stack([_scaled(image, height, width) for image in self.images])
        if self.confidence is not None:
            changes["confidence"] = np.stack([_scaled(map_, height, width) for map_ in self.confidence])
        return replace(self, images=images, cameras=self.cameras.resized(height, width), **changes)

    def _arrays(self) -> list[tuple[str, NDArray]]:
        named = [(field.name, getattr(self, field.name)) for field in fields(self) if field.name != "cameras"]
        return [(name, array) for name, array in named if array is not None]


def _scaled(picture: NDArray, height: int, width: int) -> NDArray:
    """Area average when smaller, bicubic when larger."""
    smaller = height <= picture.shape[0] and width <= picture.shape[1]
    how = Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(picture).resize((width, height), how))
