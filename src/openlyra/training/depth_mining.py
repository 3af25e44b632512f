"""Which views a network gets wrong, so that a training can draw those more often.

One view in six holds half of all errors, so most steps of an even draw teach what is known already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from openlyra.depth.nano import network_size
from openlyra.errors import InputError
from openlyra.models.depth_net import DepthNet
from openlyra.models.tensors import read_tensors, write_tensors
from openlyra.training.depth_losses import wrong_part

PIXELS = 90_000
"""About what the network sees of a view, between the two looks of `depth/nano.py`."""
EVEN = 0.5
"""Part of the draws in which all views are equal."""
LEAST = 0.02
"""A view counts as at least so wrong, or the best ones would be met in even draws alone."""

Advance = Callable[[str, int, int], None]
"""Stage, number done, number in all."""


def judge_shards(
    net: DepthNet, data: Path, names: Sequence[str], verdicts: Path, advance: Advance | None = None
) -> None:
    """For some shards of a folder, write into `verdicts` which part of each view the network gets wrong.

    What an earlier call has judged is kept, unless the file is damaged.
    """
    verdicts.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        if advance is not None:
            advance("judging views", number, len(names))
        with safe_open(data / name, "np") as file:
            count = len(file.get_tensor("focal"))
            if _verdict(verdicts / name, count) is None:
                wrong = wrong_parts(net, *(file.get_tensor(key) for key in ("rgb", "depth", "focal")))
                write_tensors(verdicts / name, {"wrong": torch.from_numpy(wrong)})


def _verdict(path: Path, count: int) -> Tensor | None:
    """What a file says of `count` views; None if it is missing or says nothing usable."""
    if not path.exists():
        return None
    try:
        wrong = read_tensors(path).get("wrong")
    except InputError:
        return None
    usable = wrong is not None and wrong.shape == (count,) and bool(((wrong >= 0) & (wrong <= 1)).all())
    return wrong if usable else None


def wrong_parts(
    net: DepthNet, rgb: NDArray[np.uint8], depth: NDArray[np.float16], focal: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(B,) part of the solid pixels of each view off by more than a factor of 1.25, scale and shift aligned.

    Args:
        rgb: (B, H, W, 3).
        depth: (B, H, W) in metres, 0 at the sky.
        focal: (B,) in pixels.
    """
    rows, columns = rgb.shape[1:3]
    size = network_size(rows, columns, PIXELS)
    photos = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255
    metres = F.interpolate(torch.from_numpy(depth.astype(np.float32))[:, None], size, mode="nearest")[:, 0]
    ratio = torch.from_numpy(focal / np.float32(np.hypot(rows, columns)))
    inverse = torch.where(metres > 0, ratio[:, None, None] / metres.clamp_min(0.05), 0.0)
    photos = F.interpolate(photos, size, mode="bilinear", antialias=True, align_corners=False)
    with torch.inference_mode():
        said = net(photos.contiguous(memory_format=torch.channels_last)).inverse
        return np.asarray(wrong_part(said, inverse, ratio))


class Wrongs:
    """How often to draw which view, by the verdicts in a folder."""

    def __init__(self, verdicts: Path) -> None:
        self.folder = verdicts
        self.known: dict[str, NDArray[np.float32]] = {}
        self.names: list[str] = []
        self.ends = np.zeros(0)

    def refresh(self, names: Sequence[str]) -> None:
        """Take the views of these shards, as far as they have been judged."""
        for name in names:
            if name not in self.known and (self.folder / name).exists():
                self.known[name] = read_tensors(self.folder / name)["wrong"].numpy()
        self.names = [name for name in names if name in self.known]
        parts = [np.maximum(self.known[name], LEAST).sum() for name in self.names]
        self.ends = np.cumsum(np.array(parts, np.float64))

    def draw(self, random: Generator) -> tuple[str, int] | None:
        """Shard and number of a view, the more likely the more of it is wrong; None where all are to be equal."""
        if not self.names or random.random() < EVEN:
            return None
        name = self.names[int(np.searchsorted(self.ends, random.random() * self.ends[-1], side="right"))]
        wrong = np.maximum(self.known[name], LEAST).astype(np.float64)
        return name, int(random.choice(len(wrong), p=wrong / wrong.sum()))
