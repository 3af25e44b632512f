"""What the networks of a walk cost: bytes and floating-point operations, counted from their sizes.

The parts that are not plain sums of shapes (what is alive at the fullest moment of a forward pass) are factors that
were counted once with PyTorch's MemTracker on tensors without data, at full size; a test counts them again, smaller.
docs/memory.md explains every term.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from openlyra.models.frame_packing import PATCH, Layout
from openlyra.models.lyra_config import LyraConfig
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.video_vae import SPATIAL, TEMPORAL

HALF = 2
"""Bytes of a number in bfloat16."""
FORWARD_WIDTHS = 27.0
"""Bytes a token and channel alive at the fullest moment of a block, besides weights and constants."""
FIELD_COPIES = 2.8
"""Prepared sin-cos fields (bfloat16) alive at the fullest moment of preparing a chunk."""
STATE_BYTES = (2808, 4729)
"""Bytes a pixel that the streams of the encoder and the decoder keep, in bfloat16."""
STEP_BYTES = (5492, 9352)
"""Bytes a pixel alive while the encoder takes four frames and while the decoder makes four."""
STEP_OPERATIONS = (20.01e6, 33.78e6)
"""Floating-point operations a pixel for four frames, encoder and decoder."""


@dataclass(frozen=True)
class NetworkWork:
    """The video transformer at one frame size."""

    tokens: int
    """L, tokens of the packed sequence."""
    parameters: int
    """Numbers in all weights."""
    block_parameters: int
    """Numbers in the weights of one block."""
    block_linear: int
    """Of these, in linear weights, which can be stored in eight bits."""
    blocks: int
    forward_operations: float
    """Floating-point operations of one call of the network, constants of the chunk excluded."""
    activation_bytes: int
    """Alive during a call, besides weights and constants."""
    prepare_bytes: int
    """Alive while the constants of a chunk are made."""
    constant_bytes: int
    """Constants of a chunk for two branches of guidance."""


@dataclass(frozen=True)
class Parameters:
    """Numbers in the weights of the other released networks."""

    vae: int = 126_892_531
    text_encoder: int = 5_680_910_336
    image_encoder: int = 630_766_080


def transformer_work(config: LyraConfig, height: int, width: int) -> NetworkWork:
    """Count the network for frames of height x width pixels."""
    with torch.device("meta"):
        network = LyraDiT(config)
    parameters = sum(value.numel() for value in network.parameters())
    block = sum(value.numel() for value in network.blocks[0].parameters())
    linear = sum(m.weight.numel() for m in network.blocks[0].modules() if isinstance(m, torch.nn.Linear))
    grid = (height // SPATIAL, width // SPATIAL)
    segments = segment_tokens(config.packing, *grid)
    tokens = sum(count for count, _ in segments)
    image_rows = 257
    encoded = 4 * config.buffer_channels * 2 * config.buffer_octaves
    constants = tokens * 4 * config.camera_channels + config.blocks * (
        tokens * (config.squeeze_width if config.buffer_channels else 0)
        + 2 * config.width * (2 * config.text_tokens + image_rows)
    )
    return NetworkWork(
        tokens, parameters, block, linear, config.blocks, _operations(config, segments, image_rows),
        int(FORWARD_WIDTHS * tokens * config.width), int(FIELD_COPIES * HALF * tokens * encoded), HALF * constants,
    )  # fmt: skip


def segment_tokens(layout: Layout | None, rows: int, columns: int) -> list[tuple[int, int]]:
    """(tokens, latent cells a token) of each segment, the new latents last, for latents of rows x columns."""
    base = math.ceil(rows / PATCH[1]) * math.ceil(columns / PATCH[2])
    if layout is None:
        return [(base, math.prod(PATCH))]
    found = []
    for segment, (first, last) in zip(layout.segments, layout.spans):
        t, h, w = segment.patch
        found.append((math.ceil((last - first) / t) * math.ceil(rows / h) * math.ceil(columns / w), t * h * w))
    return [*found, (layout.new_frames * base, math.prod(PATCH))]


def _operations(config: LyraConfig, segments: list[tuple[int, int]], image_rows: int) -> float:
    """Two for each multiply-and-add of the matrix products; everything else is small beside them."""
    d, f, tokens = config.width, config.ffn_width, sum(count for count, _ in segments)
    bias = 4 * config.camera_channels * d + (config.squeeze_width * d if config.buffer_channels else 0)
    linear = tokens * (4 * d * d + 2 * d * d + 2 * d * f + bias)
    attention = 2 * d * (tokens * tokens + tokens * (config.text_tokens + image_rows))
    embedding = sum(count * cells for count, cells in segments) * config.input_channels * d
    head = segments[-1][0] * d * 4 * config.latent_channels
    return 2.0 * (config.blocks * (linear + attention) + embedding + head)


def vae_operations(pixels: int, new_latents: int) -> float:
    """Operations of the auto-encoder for one chunk: decode, encode again, encode the warped frames."""
    encoder, decoder = STEP_OPERATIONS
    return pixels * (new_latents * (decoder + 2 * encoder) + encoder / TEMPORAL)
