"""Weights of a fresh network, and the history patch embeddings made from the base one.

Source: network specification, section 8. Numbers come from a generator of their own, so a seed gives the same weights
wherever torch's CPU generator does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from openlyra.models.frame_packing import PATCH, Segment
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.lyra_layers import Block, RMSNorm

SMALL_STD = 0.02


@torch.no_grad()
def initialise(model: LyraDiT, seed: int, head_std: float = 0.0) -> LyraDiT:
    """Fill all parameters and return the model. The last layer gets standard deviation `head_std`.

    A last layer of zeros is where training starts; a network that should move something without training needs another.
    Order: blocks first to last, then embeddings and head. History patch embeddings are derived from the base one.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm) and module.elementwise_affine:
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, RMSNorm):
            nn.init.ones_(module.weight)
        elif isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    for block in model.blocks:
        assert isinstance(block, Block)
        _initialise_block(block, model.config.width**-0.5, generator)
    for embedding in (model.text_embedding, model.time_embedding, model.time_projection):
        for layer in _linears(embedding):
            _normal(layer.weight, SMALL_STD, generator)
    for layer in (model.patch_embedding, *_linears(model.img_emb)):
        nn.init.xavier_uniform_(layer.weight, generator=generator)
    _truncated(model.head.modulation, model.config.width**-0.5, 2.0, generator)
    if head_std:
        _normal(model.head.head.weight, head_std, generator)
    else:
        nn.init.zeros_(model.head.head.weight)
    derive_history_embeddings(model)
    return model


@torch.no_grad()
def derive_history_embeddings(model: LyraDiT) -> None:
    """Set every history patch embedding from the base one. Does nothing for a network without a layout."""
    if model.packing is None:
        return
    base = model.patch_embedding
    for segment, layer in zip(model.packing.segments, model.clean_patch_embeddings):
        assert isinstance(layer, nn.Linear)
        layer.weight.copy_(enlarged_embedding(base.weight, segment))
        layer.bias.copy_(base.bias)


def enlarged_embedding(weight: Tensor, segment: Segment) -> Tensor:
    """Base patch embedding (D, C * 4) -> that of a segment (D, C * patch volume): each tap repeated, then averaged.

    A packed patch that is constant over each base tap's enlargement gets the token the base patch would have got.
    """
    taps = weight.reshape(len(weight), -1, *PATCH)
    for axis, times in enumerate(segment.pooling, start=2):
        taps = taps.repeat_interleave(times, axis)
    times, rows, columns = segment.pooling
    return taps.flatten(1) / (times * rows * columns)


def _initialise_block(block: Block, std: float, generator: torch.Generator) -> None:
    _truncated(block.modulation, std, 2.0, generator)
    for attention in (block.self_attn, block.cross_attn):
        for layer in _linears(attention):
            _truncated(layer.weight, std, 2.0, generator)
    for layer in _linears(block.ffn):
        nn.init.xavier_uniform_(layer.weight, generator=generator)
    for encoder in (block.cam_encoder, block.buffer_encoder):
        for layer in _linears(encoder) if encoder is not None else ():
            _truncated(layer.weight, std, 3 * std, generator)


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [part for part in module.modules() if isinstance(part, nn.Linear)]


def _normal(parameter: Tensor, std: float, generator: torch.Generator) -> None:
    parameter.normal_(0.0, std, generator=generator)


def _truncated(parameter: Tensor, std: float, limit: float, generator: torch.Generator) -> None:
    nn.init.trunc_normal_(parameter, 0.0, std, -limit, limit, generator=generator)
