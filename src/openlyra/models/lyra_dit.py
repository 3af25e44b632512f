"""The Lyra 2.0 video transformer: one photo's history, cameras and correspondences in, the flow velocity out.

    model = LyraDiT(config)
    chunk = model.prepare_chunk(conditions=..., rays=..., buffer=..., text=..., image=...)
    other = model.with_text(chunk, negative_text)            # everything but the text is shared
    velocity = model(latents, timestep, chunk)               # once a step and branch

What does not change during a chunk is computed once by `prepare_chunk`: rotary angles, camera tokens, each block's
squeezed correspondences (`Block.squeeze`: the sin-cos field is made once for all blocks and thrown away), keys and
values of text and image. The reference computes all of it in every block at every step, and so does the slow twin,
`lyra_plain.py`.

Batch size is free. Shapes at 480x832 with the released layout: T = 45 latents (25 history, 20 new) of H x W = 60 x 104.
Source: network specification. Keys of the state dict are those of the released checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from openlyra.errors import InputError
from openlyra.models.context_parallel import ContextParallel
from openlyra.models.frame_packing import PATCH, Triple, buffer_tokens, camera_tokens, patches, token_positions, unpatch
from openlyra.models.lyra_config import LyraConfig
from openlyra.models.lyra_layers import (
    Block,
    BlockConstants,
    Head,
    ImageProjection,
    KeysValues,
    linear_float32,
    sincos_encode,
)
from openlyra.models.rotary import rotary_angles

FIELD_SLAB = 4096
"""Tokens whose sin-cos field is computed at a time: bounds the float32 part of it."""


@dataclass(frozen=True)
class ChunkConstants:
    """All that the steps of one chunk share. With context parallelism, token axes hold this rank's slice."""

    conditions: Tensor
    """(B, condition channels, T, H, W) mask and conditioning latents."""
    cos: Tensor
    """(L, d/2) float32."""
    sin: Tensor
    """(L, d/2) float32."""
    camera: Tensor | None
    """(B, L, 4 * camera channels), None without camera encoders."""
    codes: tuple[Tensor, ...] | None
    """Each block's (B, L, squeeze width), None without correspondence encoders."""
    text: Tensor
    """(B, text tokens, D) embedded text."""
    image: Tensor
    """(B, image tokens, D) embedded image tokens."""
    text_rows: tuple[KeysValues, ...] | None
    """Each block's keys and values of the text, None to compute them at every step."""
    image_rows: tuple[KeysValues, ...] | None
    """Each block's keys and values of the image, None to compute them at every step."""
    parallel: ContextParallel | None = None
    """How the tokens are shared among ranks."""


class LyraDiT(nn.Module):
    """The network. Freshly built it has no meaningful weights: load them, or call `lyra_init.initialise`."""

    def __init__(self, config: LyraConfig) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.packing = config.packing
        self.gradient_checkpointing = False
        """Recompute blocks in the backward pass instead of keeping their activations."""
        self.context_parallel: ContextParallel | None = None
        """Ranks that share a sequence; set before `prepare_chunk`."""
        for name in ("accum_video_sample_counter", "accum_image_sample_counter", "accum_iteration"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64))
        self.register_buffer("accum_train_in_hours", torch.zeros((), dtype=torch.float32))
        self.patch_embedding = nn.Linear(config.input_channels * _volume(PATCH), width)
        self.text_embedding = _mlp(config.text_width, nn.GELU("tanh"), width)
        self.time_embedding = _mlp(config.time_width, nn.SiLU(), width)
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.head = Head(config)
        self.img_emb = ImageProjection(config)
        if self.packing is not None:
            self.clean_patch_embeddings = nn.ModuleList(
                nn.Linear(config.input_channels * _volume(segment.patch), width) for segment in self.packing.segments
            )

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights, and of the tokens between blocks."""
        return self.head.modulation.dtype

    def each_block(self) -> Iterator[tuple[int, Block]]:
        """Blocks in order. All that touches blocks goes through here, so that offloading can bring them in turn."""
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            yield index, block

    def prepare_chunk(
        self,
        *,
        conditions: Tensor,
        text: Tensor,
        image: Tensor,
        rays: Tensor | None = None,
        buffer: Tensor | None = None,
        keep_context: bool = True,
    ) -> ChunkConstants:
        """What the steps of a chunk share.

        conditions (B, 4 + 16, T, H, W): mask, then conditioning latents. rays (B, 384, T, H, W): camera rays. buffer
        (B, 256 * slots, T or only the new latents, H, W): correspondences. text (B, 512, text width), image
        (B, 257, image width). `keep_context` also keeps each block's keys and values of text and image (2 * rows * D
        numbers a block; 1.3 GB for two branches in bfloat16 at full size, of which the image part is shared).
        Raises InputError when a shape does not fit the configuration, or an input the network needs is missing.
        """
        text = self._checked_text(text)
        self._check(conditions, image, rays, buffer)
        frames, height, width = conditions.shape[2:]
        positions = token_positions(self.packing, frames, height, width).to(conditions.device)
        angles = rotary_angles(positions, self.config.head_width)
        parallel = self.context_parallel and self.context_parallel.of_length(len(angles))
        if parallel:
            angles = parallel.split(angles, 0)
        camera = field = validity = None
        if rays is not None and self.packing is not None:
            camera = camera_tokens(self.packing, rays).to(self.dtype)
            camera = parallel.split(camera) if parallel else camera
        if buffer is not None and self.packing is not None:
            tokens, validity = buffer_tokens(self.packing, buffer.to(self.dtype))
            if parallel:
                tokens, validity = parallel.split(tokens), parallel.split(validity)
            octaves = self.config.buffer_octaves
            field = torch.cat([sincos_encode(slab, octaves) for slab in tokens.split(FIELD_SLAB, 1)], 1)
        words, sight = self.text_embedding(text.to(self.dtype)), self.img_emb(image.to(self.dtype))
        seen = None if field is None or validity is None else (field, validity)
        context = (words, sight) if keep_context else (None, None)
        kept = [block.prepare(seen, *context) for _, block in self.each_block()]
        return ChunkConstants(
            conditions.to(self.dtype),
            angles.cos(),
            angles.sin(),
            camera,
            tuple(code for code, _, _ in kept if code is not None) if seen is not None else None,
            words,
            sight,
            tuple(rows for _, rows, _ in kept if rows is not None) if keep_context else None,
            tuple(rows for _, _, rows in kept if rows is not None) if keep_context else None,
            parallel,
        )

    def with_text(self, chunk: ChunkConstants, text: Tensor) -> ChunkConstants:
        """The same chunk with another text (B, 512, text width): the other branch of guidance. The rest is shared."""
        text = self.text_embedding(self._checked_text(text).to(self.dtype))
        rows = None
        if chunk.image_rows is not None:
            every = [block.prepare(None, text, None)[1] for _, block in self.each_block()]
            rows = tuple(row for row in every if row is not None)
        return replace(chunk, text=text, text_rows=rows)

    def forward(self, latents: Tensor, timestep: Tensor, chunk: ChunkConstants) -> Tensor:
        """Flow velocity (noise - data) of the new latents, (B, 16, new, H, W) float32; all latents without a layout.

        latents (B, 16, T, H, W): clean history, then noisy new ones. timestep (B,) or (B, 1) on the 0..1000 scale.
        """
        _, _, frames, height, width = latents.shape
        e, e0 = self.time_modulation(timestep)
        x = self.embed(latents, chunk.conditions)
        parallel = chunk.parallel
        x = parallel.split(x) if parallel else x
        for index, block in self.each_block():
            constants = self._for_block(index, block, chunk)
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, e0, constants, use_reentrant=False)
            else:
                x = block(x, e0, constants)
        new = frames if self.packing is None else self.packing.new_frames
        grid: Triple = (new, height // PATCH[1], width // PATCH[2])
        if parallel:
            out = parallel.gather_output(self.head(x, e))[:, -_volume(grid) :]
        else:
            out = self.head(x[:, -_volume(grid) :], e)
        return unpatch(out, grid, self.config.latent_channels)

    def embed(self, latents: Tensor, conditions: Tensor) -> Tensor:
        """Latents and conditions -> tokens (B, L, D): each segment through its own patch embedding."""
        values = torch.cat([latents.to(self.dtype), conditions], 1)
        if self.packing is None:
            return self.patch_embedding(patches(values, PATCH))
        layers = [*self.clean_patch_embeddings, self.patch_embedding]
        sizes = [*(segment.patch for segment in self.packing.segments), PATCH]
        return torch.cat(
            [layer(patches(values[:, :, a:b], size)) for layer, size, (a, b) in zip(layers, sizes, self.packing.spans)],
            1,
        )

    def time_modulation(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Timestep (B,) or (B, 1) -> time embedding e (B, D) and modulation e0 (B, 6, D), float32."""
        sinusoid = time_sinusoid(timestep.reshape(-1), self.config.time_width)
        e = linear_float32(self.time_embedding[2], nn.functional.silu(linear_float32(self.time_embedding[0], sinusoid)))
        return e, linear_float32(self.time_projection[1], nn.functional.silu(e)).unflatten(-1, (6, -1))

    @staticmethod
    def _for_block(index: int, block: Block, chunk: ChunkConstants) -> BlockConstants:
        text, image = chunk.text_rows, chunk.image_rows
        if text is None or image is None:
            _, own_text, own_image = block.prepare(None, chunk.text, chunk.image)
        else:
            own_text, own_image = text[index], image[index]
        assert own_text is not None and own_image is not None
        return BlockConstants(
            chunk.cos,
            chunk.sin,
            chunk.camera,
            None if chunk.codes is None else chunk.codes[index],
            own_text,
            own_image,
            chunk.parallel,
        )

    def _check(self, conditions: Tensor, image: Tensor, rays: Tensor | None, buffer: Tensor | None) -> None:
        config, packing = self.config, self.packing
        frames, height, width = conditions.shape[2:]
        if conditions.shape[1] != config.condition_channels:
            raise InputError(f"{conditions.shape[1]} condition channels; the network takes {config.condition_channels}")
        if height % PATCH[1] or width % PATCH[2]:
            raise InputError(f"latents of {height}x{width}; multiples of {PATCH[1]} are needed")
        if packing is not None and frames != packing.total_frames:
            raise InputError(f"{frames} latents; layout {packing} takes {packing.total_frames}")
        new = packing.new_frames if packing else frames
        for name, given, channels, counts in (
            ("camera rays", rays, config.camera_channels, (frames,)),
            ("correspondence buffer", buffer, config.buffer_channels, (frames, new)),
        ):
            if bool(channels) != (given is not None):
                how = "missing" if channels else "given"
                raise InputError(f"{name} {how}: the network has {channels} channels for it")
            if given is not None and given.shape[1:] not in [(channels, count, height, width) for count in counts]:
                needed = f"(B, {channels}, {frames}, {height}, {width})"
                raise InputError(f"{name} of shape {tuple(given.shape)}; {needed} is needed")
        if image.dim() != 3 or image.shape[-1] != config.image_width:
            raise InputError(f"image tokens of shape {tuple(image.shape)}; (B, rows, {config.image_width}) is needed")

    def _checked_text(self, text: Tensor) -> Tensor:
        text = text.squeeze(1) if text.dim() == 4 else text
        if text.dim() != 3 or text.shape[1:] != (self.config.text_tokens, self.config.text_width):
            needed = f"(B, {self.config.text_tokens}, {self.config.text_width})"
            raise InputError(f"text of shape {tuple(text.shape)}; {needed} is needed")
        return text


def time_sinusoid(timestep: Tensor, width: int) -> Tensor:
    """(B,) times on the 0..1000 scale -> (B, width) float32: cosines, then sines; computed in float64."""
    half = width // 2
    rates = 10000.0 ** (-torch.arange(half, dtype=torch.float64, device=timestep.device) / half)
    angles = timestep.double()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], -1).float()


def _mlp(given: int, activation: nn.Module, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(given, width), activation, nn.Linear(width, width))


def _volume(sizes: Triple) -> int:
    return sizes[0] * sizes[1] * sizes[2]
