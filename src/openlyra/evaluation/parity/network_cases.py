"""What the recorded networks are, and the inputs of the recorded runs: stored, or by formula where none are stored.

Source: the README of the golden files, tiny network configuration and formula.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from openlyra.errors import InputError
from openlyra.evaluation.parity.formula import formula_normal, formula_weight
from openlyra.evaluation.parity.golden import GoldenFile
from openlyra.geometry.camera import Camera
from openlyra.memory.correspondence import CELL, CorrespondenceConfig, generated_buffer, history_buffer
from openlyra.models.frame_packing import Layout
from openlyra.models.lyra_config import RELEASED_LAYOUT, SLOT_CHANNELS, LyraConfig
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.lyra_plain import Trace, plain_velocity

TINY = LyraConfig(
    width=64, heads=2, ffn_width=96, blocks=3, text_width=32, image_width=64, squeeze_width=8,
    layout="f1k1f2s2f1s1f4k4f2k2f1k1_g4", buffer_channels=3 * SLOT_CHANNELS,
)  # fmt: skip
"""The network of `net_tiny_weights`."""
TINY_RELEASED_LAYOUT = replace(
    TINY, blocks=2, image_width=1280, squeeze_width=256, layout=RELEASED_LAYOUT, buffer_channels=5 * SLOT_CHANNELS
)
"""As small, with the released layout, image width and squeeze width."""
TINY_TEMPORAL_PAD = replace(TINY, blocks=1, layout="f1k1f1s2f3k2f1k1_g3", buffer_channels=SLOT_CHANNELS)
"""A layout whose temporal segment does not divide."""
TINY_BASE = TINY.without_conditioning()
"""The plain image-to-video network."""

WEIGHTS_FILE = "net_tiny_weights"
LATENT_SIZE = (6, 10)
RECORDED_TIMESTEP = 722.0
TEXT_ROWS, IMAGE_ROWS = 512, 257


@dataclass(frozen=True)
class RecordedNetwork:
    """A configuration and how its recorded inputs are named."""

    config: LyraConfig
    """The network."""
    prefix: str
    """Seed-name prefix of the video inputs."""
    context_prefix: str
    """Seed-name prefix of text and image tokens."""
    timestep: float
    """Time of the recorded run."""


RECORDED = (
    RecordedNetwork(TINY, "in", "in", RECORDED_TIMESTEP),
    RecordedNetwork(TINY_RELEASED_LAYOUT, "real", "real", 500.0),
    RecordedNetwork(TINY_TEMPORAL_PAD, "inT", "in", RECORDED_TIMESTEP),
)


@dataclass
class NetworkInputs:
    """Inputs of one run."""

    latents: Tensor
    """(B, 16, T, H, W)."""
    timestep: Tensor
    """(B, 1)."""
    conditions: Tensor
    """(B, 20, T, H, W)."""
    text: Tensor
    """(B, 512, text width)."""
    image: Tensor
    """(B, 257, image width)."""
    rays: Tensor | None = None
    """(B, 384, T, H, W)."""
    buffer: Tensor | None = None
    """(B, 256 * slots, T or new, H, W)."""

    def of_chunk(self) -> dict[str, Any]:
        """What `prepare_chunk` takes."""
        return {
            "conditions": self.conditions, "text": self.text, "image": self.image,
            "rays": self.rays, "buffer": self.buffer,
        }  # fmt: skip

    def fast(self, model: LyraDiT) -> Tensor:
        """The velocity with the constants of a chunk computed once."""
        return cast(Tensor, model(self.latents, self.timestep, model.prepare_chunk(**self.of_chunk())))

    def plain(self, model: LyraDiT, trace: Trace | None = None) -> Tensor:
        """The velocity of the slow twin."""
        return plain_velocity(model, self.latents, self.timestep, trace=trace, **self.of_chunk())


STORED_NAMES = {
    "x": "latents", "timestep": "timestep", "y_mask_cond": "conditions", "y": "conditions", "text": "text",
    "clip": "image", "y_plucker": "rays", "buffer": "buffer",
}  # fmt: skip


def build(config: LyraConfig, weights: Mapping[str, Tensor] | None = None) -> LyraDiT:
    """The network with stored weights, every one of which must be there and fit, or with those of the formula."""
    model = LyraDiT(config)
    parameters = dict(model.named_parameters())
    for key, parameter in parameters.items():
        value = formula_weight(key, parameter.shape) if weights is None else weights.get(key)
        if value is None or value.shape != parameter.shape:
            raise InputError(f"weights: {key} is missing or has another shape than {tuple(parameter.shape)}")
        parameter.data.copy_(value)
    return model


def stored_weights(file: GoldenFile, config: LyraConfig) -> dict[str, Tensor] | None:
    """Weights stored beside `file` that fit `config`, None when there are none: the formula gives the same numbers."""
    neighbour = file.neighbour(WEIGHTS_FILE)
    if neighbour is None or config not in (TINY, TINY_BASE, replace(TINY, buffer_channels=0)):
        return None
    return {key: neighbour[key] for key in neighbour.keys}


def formula_inputs(network: RecordedNetwork) -> NetworkInputs:
    """Inputs of a recorded network by formula."""
    config, layout = network.config, Layout.parse(network.config.layout or "")
    video = (layout.total_frames, *LATENT_SIZE)
    prefix, context = network.prefix, network.context_prefix
    return NetworkInputs(
        formula_normal(f"{prefix}/x", (1, config.latent_channels, *video)),
        torch.tensor([[network.timestep]]),
        formula_normal(f"{prefix}/y", (1, config.condition_channels, *video)),
        formula_normal(f"{context}/text", (1, TEXT_ROWS, config.text_width)),
        formula_normal(f"{context}/clip", (1, IMAGE_ROWS, config.image_width)),
        formula_normal(f"{prefix}/plucker", (1, config.camera_channels, *video)),
        0.6 * formula_normal(f"{prefix}/buffer", (1, config.buffer_channels, *video)),
    )


def stored_inputs(file: GoldenFile, prefix: str, start: NetworkInputs | None) -> NetworkInputs:
    """Inputs stored in `file` under `prefix`, the rest from `start`. A stored `y` may hold the camera rays too."""
    stored = {field: file[prefix + name] for name, field in STORED_NAMES.items() if prefix + name in file}
    if "conditions" in stored and stored["conditions"].shape[1] > TINY.condition_channels:
        both = stored["conditions"]
        stored["conditions"], stored["rays"] = both.tensor_split([TINY.condition_channels], 1)
    if start is not None:
        return replace(start, **stored)
    if missing := {"latents", "timestep", "conditions", "text", "image"} - stored.keys():
        raise InputError(f"{file.path}: no stored {', '.join(sorted(missing))} and no known formula for this network")
    return NetworkInputs(**stored)


def nothing_retrieved(layout: Layout, height: int, width: int) -> Tensor:
    """(1, C, T, H, W) buffer of a chunk for which the memory returns nothing, latents of `height` x `width`."""
    slots, spatial = layout.spatial_frames, iter(range(layout.spatial_frames))
    places = set(layout.indices(spatial=True))
    fills = [next(spatial) if index in places else None for index in range(layout.history_frames)]
    rows, columns = height * CELL, width * CELL
    history = history_buffer(fills, slots, rows, columns)
    poses = np.tile(np.eye(4), (layout.new_pixel_frames, 1, 1))
    targets = Camera(poses, np.tile(np.eye(3), (len(poses), 1, 1)), columns, rows)
    generated = generated_buffer((), targets, CorrespondenceConfig.reference(slots))
    return torch.from_numpy(np.concatenate([history, generated], 1))[None]
