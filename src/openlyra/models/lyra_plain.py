"""The network written straight from its specification: the slow twin of `lyra_dit.py`, for tests and comparison.

Only the weights are shared. Nothing is kept between steps, every block encodes the correspondences again, angles are
averaged token by token, attention is an explicit softmax. Everything is float32. `trace` collects intermediate values.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from openlyra.models.frame_packing import Layout, Segment
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.lyra_layers import Block

Trace = dict[str, Tensor]
Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, keys, values (B, N, rows, d) -> (B, N, rows, d)."""


def softmax_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v, written out."""
    return (queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])).softmax(-1) @ values


def plain_velocity(
    model: LyraDiT,
    latents: Tensor,
    timestep: Tensor,
    *,
    conditions: Tensor,
    text: Tensor,
    image: Tensor,
    rays: Tensor | None = None,
    buffer: Tensor | None = None,
    trace: Trace | None = None,
    attention: Attention = softmax_attention,
) -> Tensor:
    """Flow velocity of the new latents; inputs and result as in `LyraDiT.prepare_chunk` and `LyraDiT.forward`."""
    trace = {} if trace is None else trace
    config, layout = model.config, model.packing
    frames, height, width = latents.shape[2:]
    values = torch.cat([latents, conditions], 1)
    trace["tokens.x"] = x = _embed(model, layout, values)
    trace["tokens.rope_angles"] = angles = _angles(layout, frames, height // 2, width // 2, config.head_width)
    camera = None if rays is None or layout is None else _camera(layout, rays)
    tokens = None if buffer is None or layout is None else _buffer(layout, buffer)
    if camera is not None:
        trace["tokens.camera"] = camera
    if tokens is not None:
        trace["tokens.buffer"] = tokens
    half = torch.arange(config.time_width // 2, dtype=torch.float64) / (config.time_width // 2)
    phase = timestep.reshape(-1, 1).double() / 10000.0**half
    trace["time.sinusoid"] = sinusoid = torch.cat([phase.cos(), phase.sin()], 1).float()
    trace["time.e"] = e = model.time_embedding(sinusoid)
    trace["time.e0"] = e0 = model.time_projection(e)
    trace["context.text"] = words = model.text_embedding(text)
    trace["context.image"] = sight = model.img_emb.proj(image)
    for index, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        local: Trace = {}
        x = _block(
            block, x, e0, torch.cat([sight, words], 1), angles, camera, tokens, config.text_tokens, local, attention
        )
        trace.update({f"block{index}.{name}": value for name, value in local.items()})
    shift, scale = model.head.modulation[:, 0] + e, model.head.modulation[:, 1] + e
    normed = F.layer_norm(x, x.shape[-1:], eps=config.eps)
    trace["head.out"] = out = model.head.head(normed * (1 + scale[:, None]) + shift[:, None])
    new = frames if layout is None else layout.new_frames
    out = out[:, -(new * height * width // 4) :].reshape(len(x), new, height // 2, width // 2, 2, 2, -1)
    return out.permute(0, 6, 1, 2, 4, 3, 5).reshape(len(x), -1, new, height, width)


def _block(
    block: Block,
    x: Tensor,
    e0: Tensor,
    context: Tensor,
    angles: Tensor,
    camera: Tensor | None,
    tokens: Tensor | None,
    text_rows: int,
    trace: Trace,
    attention: Attention,
) -> Tensor:
    s1, g1, a1, s2, g2, a2 = (block.modulation + e0.reshape(len(x), 6, -1)).unbind(1)
    bias = torch.zeros_like(x)
    if block.cam_encoder is not None:
        trace["cam_emb"] = camera_bias = block.cam_encoder(camera)
        bias = bias + camera_bias
    if block.buffer_encoder is not None and tokens is not None:
        raw, validity = tokens[..., :-1], tokens[..., -1:]
        octaves = next(block.buffer_encoder.parameters()).shape[1] // raw.shape[-1] // 2
        waves = [wave(math.pi * 2**i * raw) for i in range(octaves) for wave in (torch.sin, torch.cos)]
        trace["buf_emb_before_validity"] = encoded = block.buffer_encoder(torch.cat(waves, -1))
        bias = bias + encoded * validity
    trace["self_attn.kq_bias"] = bias
    trace["norm1"] = normed = F.layer_norm(x, x.shape[-1:], eps=block.norm1.eps)
    trace["self_attn.in"] = y = normed * (1 + g1[:, None]) + s1[:, None]
    own, heads = block.self_attn, block.self_attn.heads
    trace["self_attn.q_normed"] = q = _rms(own.q(y + bias), own.norm_q.weight, own.norm_q.eps)
    trace["self_attn.k_normed"] = k = _rms(own.k(y + bias), own.norm_k.weight, own.norm_k.eps)
    trace["self_attn.v"] = v = own.v(y)
    trace["self_attn.q_roped"] = q = _rotate(q.unflatten(-1, (heads, -1)), angles)
    trace["self_attn.k_roped"] = k = _rotate(k.unflatten(-1, (heads, -1)), angles)
    mixed = attention(*(z.transpose(1, 2) for z in (q, k, v.unflatten(-1, (heads, -1)))))
    trace["self_attn.out"] = out = own.o(mixed.transpose(1, 2).flatten(2))
    x = x + a1[:, None] * out
    other = block.cross_attn
    h = F.layer_norm(x, x.shape[-1:], block.norm3.weight, block.norm3.bias, block.norm3.eps)
    q = _rms(other.q(h), other.norm_q.weight, other.norm_q.eps)
    seen, words = context[:, :-text_rows], context[:, -text_rows:]
    mixed = torch.zeros_like(x)
    for rows, key, value, norm in (
        (words, other.k, other.v, other.norm_k),
        (seen, other.k_img, other.v_img, other.norm_k_img),
    ):
        three = (q, _rms(key(rows), norm.weight, norm.eps), value(rows))
        part = attention(*(z.unflatten(-1, (heads, -1)).transpose(1, 2) for z in three))
        mixed = mixed + part.transpose(1, 2).flatten(2)
    trace["cross_attn.out"] = out = other.o(mixed)
    x = x + out
    z = F.layer_norm(x, x.shape[-1:], eps=block.norm2.eps) * (1 + g2[:, None]) + s2[:, None]
    trace["ffn.out"] = out = block.ffn[2](F.gelu(block.ffn[0](z), approximate="tanh"))
    trace["out"] = x = x + a2[:, None] * out
    return x


def _rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def _rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Channel pairs as complex numbers, turned by the angles."""
    turned = torch.view_as_complex(x.contiguous().unflatten(-1, (-1, 2))) * torch.polar(
        torch.ones_like(angles), angles
    ).unsqueeze(1)
    return torch.view_as_real(turned).flatten(-2)


def _segments(layout: Layout) -> list[tuple[Segment | None, slice]]:
    parts: list[tuple[Segment | None, slice]] = []
    start = 0
    for segment in layout.segments:
        parts.append((segment, slice(start, start + segment.frames)))
        start += segment.frames
    return [*parts, (None, slice(start, start + layout.new_frames))]


def _grow(x: Tensor, steps: tuple[int, int, int]) -> Tensor:
    """(B, C, T, H, W) with edge values repeated at the ends until divisible, index by index."""
    for axis, step in zip((2, 3, 4), steps):
        size = x.shape[axis]
        index = [min(i, size - 1) for i in range(math.ceil(size / step) * step)]
        x = x.index_select(axis, torch.tensor(index))
    return x


def _cells(x: Tensor, steps: tuple[int, int, int]) -> Tensor:
    """(B, C, T, H, W) -> (B, tokens, C, steps): non-overlapping cells in (t, h, w) order."""
    x = _grow(x, steps)
    for axis, step in zip((2, 3, 4), steps):
        x = x.unfold(axis, step, step)
    return x.permute(0, 2, 3, 4, 1, 5, 6, 7).flatten(1, 3)


def _embed(model: LyraDiT, layout: Layout | None, values: Tensor) -> Tensor:
    if layout is None:
        return model.patch_embedding(_cells(values, (1, 2, 2)).flatten(2))
    tokens = []
    for index, (segment, place) in enumerate(_segments(layout)):
        layer = model.patch_embedding if segment is None else model.clean_patch_embeddings[index]
        tokens.append(layer(_cells(values[:, :, place], (1, 2, 2) if segment is None else segment.patch).flatten(2)))
    return torch.cat(tokens, 1)


def _angles(layout: Layout | None, frames: int, rows: int, columns: int, head_width: int) -> Tensor:
    side = head_width // 6
    ladders = [10000.0 ** -(torch.arange(n).double() / n) for n in (head_width // 2 - 2 * side, side, side)]
    grid = torch.stack(torch.meshgrid(*(torch.arange(n).double() for n in (frames, rows, columns)), indexing="ij"))
    base = torch.cat([grid[axis][..., None] * ladder for axis, ladder in enumerate(ladders)], -1)
    base = base.permute(3, 0, 1, 2)[None]
    if layout is None:
        return base[0].flatten(1).T.float()
    return torch.cat([_mean(base[:, :, place], segment) for segment, place in _segments(layout)], 1)[0].float()


def _mean(x: Tensor, segment: Segment | None) -> Tensor:
    return _cells(x, (1, 1, 1) if segment is None else segment.pooling).flatten(3).mean(-1)


def _camera(layout: Layout, rays: Tensor) -> Tensor:
    return torch.cat([_mean(_two_by_two(rays)[:, :, place], segment) for segment, place in _segments(layout)], 1)


def _two_by_two(x: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B, 4 C, T, H/2, W/2)."""
    return F.pixel_unshuffle(x.transpose(1, 2), 2).transpose(1, 2)


def _buffer(layout: Layout, buffer: Tensor) -> Tensor:
    """Tokens (B, L, 4 C + 1), the validity last."""
    batch, channels, frames, height, width = buffer.shape
    parts = []
    for segment, place in _segments(layout):
        if segment is None:
            values, valid = _cells(_two_by_two(buffer[:, :, -layout.new_frames :]), (1, 1, 1)).flatten(2), 1.0
        elif segment.spatial and frames == layout.total_frames:
            k = segment.kernel
            cells = _cells(buffer[:, :, place], (1, k, k)).flatten(3).mean(-1).transpose(1, 2)
            pooled = cells.reshape(batch, channels, segment.frames, math.ceil(height / k), math.ceil(width / k))
            values, valid = _cells(_two_by_two(_grow(pooled, (1, 2, 2))), (1, 1, 1)).flatten(2), 1.0
        else:
            count = math.prod(math.ceil(n / p) for n, p in zip((segment.frames, height, width), segment.patch))
            values, valid = torch.full((batch, count, 4 * channels), 0.0 if segment.spatial else -1.0), 0.0
        parts.append(torch.cat([values, torch.full((*values.shape[:2], 1), valid)], -1))
    return torch.cat(parts, 1)
