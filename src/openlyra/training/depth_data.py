"""Batches for the depth network: views of procedural worlds from shards, augmented as photographs differ."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from openlyra.training import depth_meshes, depth_surfaces
from openlyra.training.depth_losses import DepthTruth
from openlyra.training.depth_meshes import Meshes
from openlyra.training.depth_mining import Wrongs
from openlyra.training.depth_stack import SHARE, TRIES, stacked
from openlyra.training.depth_surfaces import Surfaces

SMALL = ((192, 320), (192, 256), (224, 288), (256, 192), (224, 352))
LARGE = ((224, 384), (256, 384), (288, 384), (288, 352), (352, 256))
"""Heights and widths of batches, early and late in a training."""
LATE = 0.7
"""Part of the training after which batches are large."""
WHOLE = 0.5
"""Part of the views shown as large as they fit, as photos are when asked about; the others through a longer lens."""


@dataclass(frozen=True)
class View:
    """One rendered view."""

    rgb: np.ndarray
    """uint8 (H, W, 3)."""
    depth: np.ndarray
    """float32 (H, W) in metres, 0 at the sky."""
    focal: float
    """Pixels."""


class Shards:
    """The views in a folder of shards, which may be growing; some with another view behind them, under photographs of
    surfaces or with meshes stood into them, if there are any; wrong ones more often, if it is known which."""

    def __init__(
        self, folder: Path, window: int = 0, surfaces: Surfaces | None = None, meshes: Meshes | None = None,
        verdicts: Path | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.window = window
        self.surfaces = surfaces
        self.meshes = meshes
        self.names: list[str] = []
        self.wrongs = None if verdicts is None else Wrongs(verdicts)
        self.refresh()

    def refresh(self) -> None:
        """Look which shards there are now; only the newest `window` count unless it is 0."""
        names = sorted(path.name for path in self.folder.glob("*.safetensors"))
        self.names = names[-self.window :] if self.window else names
        if self.wrongs is not None:
            self.wrongs.refresh(self.names)

    def draw(self, random: Generator) -> View:
        """One view at random, with what is laid over it."""
        rgb, depth, focal = self._drawn(random)
        if random.random() < SHARE:
            tries = (stacked((rgb, depth, focal), self._drawn(random), random) for _ in range(TRIES))
            rgb, depth = next((found for found in tries if found is not None), (rgb, depth))
        if self.surfaces is not None and random.random() < depth_surfaces.SHARE:
            rgb = self.surfaces.laid_over(rgb, depth, focal, random)
        if self.meshes is not None and random.random() < depth_meshes.SHARE:
            rgb, depth = self.meshes.stood_into(rgb, depth, focal, random)
        return View(rgb, depth, focal)

    def _drawn(self, random: Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32], float]:
        """Picture, depth and focal length of a view at random, as it was rendered."""
        mined = None if self.wrongs is None else self.wrongs.draw(random)
        name, i = mined or (self.names[int(random.integers(len(self.names)))], None)
        with safe_open(self.folder / name, "np") as file:
            focal = file.get_tensor("focal")
            i = int(random.integers(len(focal))) if i is None else i
            return file.get_slice("rgb")[i], file.get_slice("depth")[i].astype(np.float32), float(focal[i])


def batch_size(progress: float, random: Generator) -> tuple[int, int]:
    """Height and width of a batch at `progress` in [0, 1] of the training."""
    sizes = LARGE if progress >= LATE else SMALL
    return sizes[int(random.integers(len(sizes)))]


def draw_batch(
    shards: Shards, places: range, size: tuple[int, int], seed: tuple[int, int]
) -> tuple[Tensor, DepthTruth]:
    """The augmented views of some places of the batch of a (seed, step): photos (B, 3, H, W) in [0, 1], their truth."""
    randoms = [np.random.default_rng([*seed, 1 + place]) for place in places]
    parts = [_augmented(shards.draw(random), size, random) for random in randoms]
    photos, inverse, log_focal = zip(*parts)
    stacked = torch.stack(inverse)
    return torch.stack(photos), DepthTruth(stacked, stacked == 0, torch.tensor(log_focal))


def as_truth(view: View) -> DepthTruth:
    """The truth of a single view as it was rendered, a batch of one."""
    rows, columns = view.depth.shape
    ratio = view.focal / math.hypot(rows, columns)
    inverse = torch.from_numpy(np.where(view.depth > 0, ratio / np.maximum(view.depth, 1e-3), 0).astype(np.float32))
    return DepthTruth(inverse[None], inverse[None] == 0, torch.tensor([math.log(ratio)]))


def _augmented(view: View, size: tuple[int, int], random: Generator) -> tuple[Tensor, Tensor, float]:
    """One view cropped, turned, mirrored and photographed badly: (3, H, W), inverse (H, W), log focal ratio."""
    rows, columns = view.depth.shape
    height, width = size
    # A window of the wanted shape; a smaller one is a longer lens.
    largest = min(rows / height, columns / width)
    zoom = largest * (1.0 if random.random() < WHOLE else random.uniform(0.62, 1.0))
    slack_y, slack_x = (rows - zoom * height) / rows, (columns - zoom * width) / columns
    centre_y, centre_x = random.uniform(-1, 1) * slack_y, random.uniform(-1, 1) * slack_x
    roll = random.normal(0, 0.035) if random.random() < 0.5 else 0.0
    mirror = -1.0 if random.random() < 0.5 else 1.0
    y = (torch.arange(height) + 0.5 - height / 2) * zoom
    x = (torch.arange(width) + 0.5 - width / 2) * zoom * mirror
    cos, sin = math.cos(roll), math.sin(roll)
    grid_x = (x[None] * cos - y[:, None] * sin) * 2 / columns + centre_x
    grid_y = (x[None] * sin + y[:, None] * cos) * 2 / rows + centre_y
    grid = torch.stack([grid_x, grid_y], -1)[None]
    rgb = torch.from_numpy(view.rgb).permute(2, 0, 1)[None].float() / 255
    photo = F.grid_sample(rgb, grid, mode="bilinear", padding_mode="reflection", align_corners=False)[0]
    truth = torch.from_numpy(view.depth)[None, None]
    depth = F.grid_sample(truth, grid, mode="nearest", padding_mode="reflection", align_corners=False)[0, 0]
    ratio = view.focal / zoom / math.hypot(height, width)
    inverse = torch.where(depth > 0, ratio / depth.clamp_min(0.05), torch.zeros(()))
    return photographed(photo, random), inverse, math.log(ratio)


def photographed(photo: Tensor, random: Generator) -> Tensor:
    """Blur, light, colour, noise and compression of an ordinary camera on (3, H, W) in [0, 1]."""
    if random.random() < 0.3:
        photo = _blurred(photo, random.uniform(0.4, 1.6))
    if random.random() < 0.8:
        photo = photo.clamp_min(1e-4) ** math.exp(random.normal(0, 0.3))
        contrast, light = random.uniform(0.6, 1.35), random.normal(0, 0.08)
        photo = (photo - 0.5) * contrast + 0.5 + light
    if random.random() < 0.6:
        photo = photo * _tensor(np.exp(random.normal(0, 0.1, (3, 1, 1))))
    if random.random() < 0.5:
        grey = photo.mean(0, keepdim=True)
        photo = grey + (photo - grey) * random.uniform(0.0, 1.6)
    elif random.random() < 0.15:
        photo = photo[torch.from_numpy(random.permutation(3))]
    if random.random() < 0.3:
        photo = photo * _shade(photo.shape[1:], random)
    if random.random() < 0.4:
        photo = photo + random.uniform(0.005, 0.05) * _tensor(random.standard_normal(tuple(photo.shape), np.float32))
    photo = photo.clamp(0, 1)
    if random.random() < 0.3:
        photo = _compressed(photo, int(random.integers(25, 90)))
    if random.random() < 0.1:
        photo = _coarse(photo, random.uniform(0.4, 0.8))
    return photo


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


def _blurred(photo: Tensor, sigma: float) -> Tensor:
    reach = math.ceil(2.5 * sigma)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = F.pad(photo[None], (reach,) * 4, mode="reflect")
    rowwise = F.conv2d(padded, kernel.view(1, 1, 1, -1).expand(3, 1, 1, -1), groups=3)
    return F.conv2d(rowwise, kernel.view(1, 1, -1, 1).expand(3, 1, -1, 1), groups=3)[0]


def _shade(size: torch.Size, random: Generator) -> Tensor:
    """A smooth gain over the picture: vignetting, a shadow over one side."""
    coarse = _tensor(np.exp(random.normal(0, 0.35, (1, 1, 3, 4))))
    return F.interpolate(coarse, size=tuple(size), mode="bicubic", align_corners=False)[0].clamp_min(0.2)


def _coarse(photo: Tensor, factor: float) -> Tensor:
    """Shrunk and grown again."""
    small = F.interpolate(photo[None], scale_factor=factor, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(small, size=photo.shape[1:], mode="bilinear", align_corners=False)[0]


def _compressed(photo: Tensor, quality: int) -> Tensor:
    buffer = io.BytesIO()
    Image.fromarray((photo * 255).byte().permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).float() / 255
