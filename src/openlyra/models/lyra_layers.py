"""The transformer block of the Lyra 2.0 network and its layers; module names give the released checkpoint's keys.

Source: network specification, sections 2, 3 and the precision rules of section 9. Numbers are in the type of the
weights (bfloat16 for the released ones) except where the rules ask for float32: norms, modulation, rotation, sin-cos.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openlyra.models.context_parallel import ContextParallel
from openlyra.models.lyra_config import LyraConfig
from openlyra.models.rotary import rotate

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of an attention, each (B, heads, rows, d)."""


@dataclass(frozen=True)
class BlockConstants:
    """What one block needs beside its tokens; none of it changes between the steps of a chunk."""

    cos: Tensor
    """(L, d/2) float32 cosines of the rotary angles."""
    sin: Tensor
    """(L, d/2) float32 sines."""
    camera: Tensor | None
    """(B, L, 4 * camera channels) camera tokens, the same for all blocks."""
    code: Tensor | None
    """(B, L, squeeze width) squeezed correspondences of this block, zero where they are not valid."""
    text: KeysValues
    """Keys and values of the text rows, for this block."""
    image: KeysValues
    """Keys and values of the image rows, for this block."""
    parallel: ContextParallel | None = None
    """How the tokens are shared among ranks, None when they are not."""


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) over the full width in float32, rounded to the type of x, times the weight."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype) * self.weight


def sincos_encode(values: Tensor, octaves: int) -> Tensor:
    """(..., C) -> (..., 2 * octaves * C): groups sin(pi u), cos(pi u), sin(2 pi u), ...; float32 inside."""
    field = values.new_empty((*values.shape[:-1], 2 * octaves, values.shape[-1]))
    for octave in range(octaves):
        angle = values.float() * (math.pi * 2**octave)
        field[..., 2 * octave, :] = angle.sin()
        field[..., 2 * octave + 1, :] = angle.cos()
    return field.flatten(-2)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x * (1 + scale) + shift in float32, cast back to the type of x. Shift and scale are (B, 1, D)."""
    return (x.float() * (1 + scale) + shift).to(x.dtype)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, D) -> (B, L, heads, d)."""
    return x.unflatten(-1, (heads, -1))


def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Full softmax attention of (B, heads, rows, d), scale 1/sqrt(d) -> (B, rows, heads * d)."""
    return F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(-2)


class SelfAttention(nn.Module):
    """Attention among all tokens; what camera and correspondences say enters queries and keys only."""

    def __init__(self, config: LyraConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.q, self.k, self.v, self.o = (nn.Linear(config.width, config.width) for _ in range(4))
        self.norm_q, self.norm_k = (RMSNorm(config.width, config.eps) for _ in range(2))

    def forward(self, y: Tensor, where: Tensor, constants: BlockConstants) -> Tensor:
        """(B, L, D) values `y`, queries and keys from `where` = y + bias -> (B, L, D)."""
        queries = split_heads(self.norm_q(self.q(where)), self.heads)
        keys = split_heads(self.norm_k(self.k(where)), self.heads)
        queries, keys = (rotate(x, constants.cos, constants.sin) for x in (queries, keys))
        values = split_heads(self.v(y), self.heads)
        if constants.parallel is not None:
            keys, values = constants.parallel.gather(keys), constants.parallel.gather(values)
        return cast(Tensor, self.o(attention(*(x.transpose(1, 2) for x in (queries, keys, values)))))


class CrossAttention(nn.Module):
    """Attention to text rows and to image rows, each with its own softmax, added up."""

    def __init__(self, config: LyraConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.q, self.k, self.v, self.o = (nn.Linear(config.width, config.width) for _ in range(4))
        self.k_img, self.v_img = (nn.Linear(config.width, config.width) for _ in range(2))
        self.norm_q, self.norm_k, self.norm_k_img = (RMSNorm(config.width, config.eps) for _ in range(3))

    def text_rows(self, text: Tensor) -> KeysValues:
        """(B, rows, D) embedded text -> keys and values."""
        return self._rows(self.norm_k(self.k(text)), self.v(text))

    def image_rows(self, image: Tensor) -> KeysValues:
        """(B, rows, D) embedded image tokens -> keys and values."""
        return self._rows(self.norm_k_img(self.k_img(image)), self.v_img(image))

    def forward(self, x: Tensor, text: KeysValues, image: KeysValues) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        queries = split_heads(self.norm_q(self.q(x)), self.heads).transpose(1, 2)
        return cast(Tensor, self.o(attention(queries, *text) + attention(queries, *image)))

    def _rows(self, keys: Tensor, values: Tensor) -> KeysValues:
        return split_heads(keys, self.heads).transpose(1, 2), split_heads(values, self.heads).transpose(1, 2)


class Block(nn.Module):
    """Self attention, cross attention and feed-forward, with time modulation and camera and correspondence bias."""

    def __init__(self, config: LyraConfig) -> None:
        super().__init__()
        width = config.width
        self.modulation = nn.Parameter(torch.zeros(1, 6, width))
        self.norm1 = nn.LayerNorm(width, config.eps, elementwise_affine=False)
        self.self_attn = SelfAttention(config)
        self.norm3 = nn.LayerNorm(width, config.eps)
        self.cross_attn = CrossAttention(config)
        self.norm2 = nn.LayerNorm(width, config.eps, elementwise_affine=False)
        self.ffn = nn.Sequential(
            nn.Linear(width, config.ffn_width), nn.GELU("tanh"), nn.Linear(config.ffn_width, width)
        )
        self.cam_encoder: nn.Linear | None = None
        self.buffer_encoder: nn.Sequential | None = None
        if config.camera_channels:
            self.cam_encoder = nn.Linear(4 * config.camera_channels, width, bias=False)
        if config.buffer_channels:
            encoded = 4 * config.buffer_channels * 2 * config.buffer_octaves
            self.buffer_encoder = nn.Sequential(
                nn.Linear(encoded, config.squeeze_width, bias=False), nn.Linear(config.squeeze_width, width, bias=False)
            )

    def prepare(
        self, correspondences: tuple[Tensor, Tensor] | None, text: Tensor | None, image: Tensor | None
    ) -> tuple[Tensor | None, KeysValues | None, KeysValues | None]:
        """What stays the same for all steps of a chunk, of whatever is given: the code of a field with its validity
        (see `squeeze`), keys and values of embedded text and image (B, rows, D). One call, so that weights that live
        elsewhere travel once."""
        return (
            None if correspondences is None else self.squeeze(*correspondences),
            None if text is None else self.cross_attn.text_rows(text),
            None if image is None else self.cross_attn.image_rows(image),
        )

    def squeeze(self, field: Tensor, validity: Tensor) -> Tensor:
        """Sin-cos field (B, L, F) and validity (B, L, 1) -> this block's code (B, L, squeeze width).

        The layer behind the code is linear and has no bias, so gating the code by the validity gates the bias.
        """
        assert self.buffer_encoder is not None
        return self.buffer_encoder[0](field) * validity

    def bias(self, constants: BlockConstants) -> Tensor | None:
        """Camera and correspondence bias (B, L, D) of queries and keys, None for the plain network."""
        total = None
        if self.cam_encoder is not None:
            total = self.cam_encoder(constants.camera)
        if self.buffer_encoder is not None:
            correspondences = self.buffer_encoder[1](constants.code)
            total = correspondences if total is None else total + correspondences
        return total

    def forward(self, x: Tensor, e0: Tensor, constants: BlockConstants) -> Tensor:
        """Tokens (B, L, D) and time modulation e0 (B, 6, D) float32 -> tokens (B, L, D)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation.float() + e0).split(1, 1)
        y = modulate(self.norm1(x), shift1, scale1)
        bias = self.bias(constants)
        x = x + gate1.to(x.dtype) * self.self_attn(y, y if bias is None else y + bias, constants)
        x = x + self.cross_attn(self.norm3(x), constants.text, constants.image)
        return x + gate2.to(x.dtype) * self.ffn(modulate(self.norm2(x), shift2, scale2))


class ImageProjection(nn.Module):
    """Image tokens to the width of the network."""

    def __init__(self, config: LyraConfig) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.LayerNorm(config.image_width),
            nn.Linear(config.image_width, config.image_width),
            nn.GELU(),
            nn.Linear(config.image_width, config.width),
            nn.LayerNorm(config.width),
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, rows, image width) -> (B, rows, D)."""
        return cast(Tensor, self.proj(image))


class Head(nn.Module):
    """Tokens to patches of the flow velocity, in float32."""

    def __init__(self, config: LyraConfig) -> None:
        super().__init__()
        self.modulation = nn.Parameter(torch.zeros(1, 2, config.width))
        self.norm = nn.LayerNorm(config.width, config.eps, elementwise_affine=False)
        self.head = nn.Linear(config.width, 4 * config.latent_channels)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """Tokens (B, L, D) and time embedding e (B, D) float32 -> (B, L, 4 * latent channels) float32."""
        shift, scale = (self.modulation.float() + e[:, None]).chunk(2, 1)
        return linear_float32(self.head, self.norm(x.float()) * (1 + scale) + shift)


def linear_float32(layer: nn.Module, x: Tensor) -> Tensor:
    """A linear layer applied in float32 whatever the type of its weights.

    A layer of another class (quantised, or with an adapter beside it) is called in its own type and its result widened.
    """
    if type(layer) is nn.Linear:
        bias = None if layer.bias is None else layer.bias.float()
        return F.linear(x.float(), layer.weight.float(), bias)
    weight = getattr(layer, "weight", None)
    return cast(Tensor, layer(x if weight is None else x.to(weight.dtype)).float())
