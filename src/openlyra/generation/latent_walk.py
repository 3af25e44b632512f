"""The autoregressive loop: sample a chunk, decode it, encode the pixels again, measure and remember them, go on.

What a chunk leaves behind is one immutable `WalkState`; `latent_store` keeps it on disk. Source: generation.md 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from openlyra.generation.conditioning import ChunkContext, ChunkInputs, ConditioningSettings, build_inputs
from openlyra.generation.denoise import ChunkVelocity, NoiseSource, VideoNetwork, sample_chunk
from openlyra.generation.history import chunk_start, padding_frames
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame
from openlyra.memory.spatial_memory import SpatialMemory
from openlyra.models.codec import Codec
from openlyra.models.frame_packing import Layout
from openlyra.models.video_vae import StreamState
from openlyra.sampling import Sampler, SamplerState

REMEMBERED_EVERY = 8
"""Frames whose index is a multiple of this are remembered."""


@dataclass(frozen=True)
class LyraModels:
    """The networks of a walk, ready to be called."""

    network: VideoNetwork
    """The video transformer."""
    layout: Layout
    """Its frame packing."""
    vae: Codec
    """Pixels to latents and back."""
    encode_text: Callable[[Sequence[str]], Tensor]
    """Captions to (B, rows, width)."""
    encode_image: Callable[[Tensor], Tensor]
    """(1, 3, H, W) in [-1, 1] to (1, rows, width)."""
    negative: Tensor
    """(1, rows, width) text tokens of the branch that guidance leads away from."""
    device: torch.device | str = "cpu"
    """Where the video transformer computes."""


@dataclass(frozen=True)
class WalkSettings:
    """How a walk is made."""

    sampler: Sampler
    """Turns noise into latents."""
    guidance: float = 5.0
    """Strength of the caption; 1 for the few-step sampler."""
    conditioning: ConditioningSettings = field(default_factory=ConditioningSettings)
    """How the inputs of a chunk are made."""
    depth_interval: int = REMEMBERED_EVERY
    """Spacing in frames of the views whose depth is measured after a chunk."""
    depth_views: int = 10
    """Largest number of such views."""


@dataclass(frozen=True)
class WalkState:
    """What exists after a number of chunks."""

    chunks: int
    """Finished chunks."""
    latents: Tensor
    """(1, 16, L, h, w) temporal latents so far: encodings of the decoded pixels."""
    encoder: StreamState
    """The auto-encoder's stream over all frames so far."""
    decoder: StreamState
    """Its other half."""
    last: MemoryFrame
    """The last frame with its depth."""
    memory: SpatialMemory
    """Remembered frames; grows with the chunks."""
    pixels: dict[int, Tensor]
    """(3, H, W) float32, not clamped, of the remembered frames and the last one."""


class DepthSource(Protocol):
    """Measures the frames of a finished chunk in the units of the path."""

    def measure(
        self, frames: Sequence[int], pixels: dict[int, Tensor], cameras: Camera, state: WalkState
    ) -> list[MemoryFrame]:
        """Depth of the given frames, whose pixels are there; `cameras` are those of all frames by index."""
        ...


class LatentWalk:
    """The loop; see the module's text."""

    def __init__(
        self, models: LyraModels, settings: WalkSettings, cameras: Camera, captions: Sequence[str], depth: DepthSource,
        noise: NoiseSource,
    ) -> None:  # fmt: skip
        """`cameras` (1 + chunks * new,): all frames up to the end of the last chunk; `captions`: one a chunk."""
        self.models, self.settings, self.depth, self.noise = models, settings, depth, noise
        self.cameras, self.layout = cameras, models.layout
        self.captions = list(captions)
        self._texts: dict[str, Tensor] = {}

    @property
    def chunks(self) -> int:
        """Chunks of the whole walk."""
        return (len(self.cameras) - 1) // self.layout.new_pixel_frames

    def begin(self, photo: MemoryFrame, pixels: Tensor, memory: SpatialMemory) -> WalkState:
        """The state before the first chunk: the photo (3, H, W), repeated until the history is full."""
        clip = pixels[None, :, None].expand(-1, -1, padding_frames(self.layout) + 1, -1, -1)
        latents, encoder = self.models.vae.encode_more(clip, None)
        _, decoder = self.models.vae.decode_more(latents, None)
        return WalkState(0, latents, encoder, decoder, photo, memory, {photo.index: pixels})

    def context(self, state: WalkState) -> ChunkContext:
        """What exists when the next chunk begins."""
        return ChunkContext(
            state.chunks, state.latents, state.last, self.cameras, state.memory, lambda index: state.pixels[index]
        )

    def inputs(self, state: WalkState) -> ChunkInputs:
        """The network's inputs for the next chunk."""
        return build_inputs(self.context(state), self.layout, self.models.vae.encode, self.settings.conditioning)

    def sample(
        self,
        state: WalkState,
        inputs: ChunkInputs,
        start: SamplerState | None = None,
        after: Callable[[SamplerState], None] | None = None,
    ) -> Tensor:
        """Latents (1, 16, new, h, w) of the next chunk; `start` and `after` as in `sample_chunk`."""
        velocity = ChunkVelocity(
            self.models.network, inputs, self._text(self.captions[state.chunks]), self.models.negative,
            self.models.encode_image(state.pixels[state.last.index][None]), self.settings.guidance, self.models.device,
        )  # fmt: skip
        shape = (*state.latents.shape[:2], self.layout.new_frames, *state.latents.shape[3:])
        return sample_chunk(self.settings.sampler, velocity, self.noise, state.chunks, shape, start, after)

    def finish(
        self, state: WalkState, latents: Tensor, until: int | None = None, measure: bool = True
    ) -> tuple[WalkState, Tensor]:
        """Decode a chunk, encode its pixels again, measure and remember frames.

        `until` is the last frame that matters, when that is before the end of the chunk.

        Returns:
            the next state, and the new frames (new, 3, H, W) float32, not clamped.
        """
        frames, decoder = self.models.vae.decode_more(latents, state.decoder)
        again, encoder = self.models.vae.encode_more(frames, state.encoder)
        new = frames[0].transpose(0, 1)
        first = chunk_start(state.chunks, self.layout) + 1
        end = min(first + len(new) - 1, until or first + len(new) - 1)
        kept = {
            index: new[index - first].clone()
            for index in range(first, end + 1)
            if index % REMEMBERED_EVERY == 0 or index == end
        }
        after = replace(
            state, chunks=state.chunks + 1, latents=torch.cat([state.latents, again], 2), encoder=encoder,
            decoder=decoder, pixels=state.pixels | kept,
        )  # fmt: skip
        return (self._remember(after, end, end == until) if measure else after), new

    def _remember(self, state: WalkState, end: int, final: bool) -> WalkState:
        """Measure the views at the end of the walk so far; add those that are due to the memory."""
        views = [view for view in depth_views(end, self.settings) if view in state.pixels]
        memory = SpatialMemory(state.memory.config)
        for frame in state.memory:
            memory.add(frame)
        last = state.last
        for frame in sorted(self.depth.measure(views, state.pixels, self.cameras, state), key=lambda f: f.index):
            last = frame if frame.index == end else last
            due = frame.index % REMEMBERED_EVERY == 0 or (final and frame.index == end)
            if due and frame.index not in memory:
                memory.add(frame)
        wanted = {0, *memory.indices, end}
        pixels = {index: pixels for index, pixels in state.pixels.items() if index in wanted}
        return replace(state, last=last, memory=memory, pixels=pixels)

    def _text(self, caption: str) -> Tensor:
        if caption not in self._texts:
            self._texts[caption] = self.models.encode_text([caption])
        return self._texts[caption]


def depth_views(end: int, settings: WalkSettings) -> list[int]:
    """Frames measured when the walk has come to frame `end`: that frame and earlier ones that are remembered, in order.

    For chunks whose ends are multiples of the interval these are the released ones: end, end - 8, ..."""
    step = settings.depth_interval
    earlier = range((end - 1) // step * step, -1, -step)
    return sorted([end, *list(earlier)[: settings.depth_views - 1]])


def as_image(pixels: Tensor) -> np.ndarray:
    """(3, H, W) in about [-1, 1] to uint8 (H, W, 3)."""
    unit = (pixels.detach().cpu().float().clamp(-1, 1) + 1) * 127.5
    return unit.round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
