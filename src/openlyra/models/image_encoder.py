"""A frame to image tokens: the vision tower of XLM-RoBERTa CLIP ViT-H/14 (transformers), without its last block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from openlyra.errors import InputError, MissingExtraError

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the channels in [0, 1], as CLIP was trained."""
ROOT = "vision_model"
"""First part of every name in the Diffusers release."""


@dataclass(frozen=True)
class ImageEncoderConfig:
    """Size of the tower; the defaults are ViT-H/14 (632,076,800 parameters with its unused head)."""

    image_size: int = 224
    """Side of the square the image is resized to, in pixels."""
    patch: int = 14
    """Side of a patch in pixels."""
    width: int = 1280
    """Channels of a token."""
    ffn_width: int = 5120
    """Hidden width of the feed-forward part."""
    heads: int = 16
    """Attention heads."""
    layers: int = 32
    """Transformer blocks of the file; the last one is not used."""

    @property
    def tokens(self) -> int:
        """Tokens of an image, class token included."""
        return 1 + (self.image_size // self.patch) ** 2


def build_image_network(config: ImageEncoderConfig) -> nn.Module:
    """The network of that size with fresh weights (on the current default device). Raises MissingExtraError."""
    try:
        from transformers import CLIPVisionConfig, CLIPVisionModel
    except ImportError:
        raise MissingExtraError("transformers", "lyra") from None
    sizes = CLIPVisionConfig(
        hidden_size=config.width, intermediate_size=config.ffn_width, num_hidden_layers=config.layers,
        num_attention_heads=config.heads, image_size=config.image_size, patch_size=config.patch,
        hidden_act="gelu", layer_norm_eps=1e-5,
    )  # fmt: skip
    network: Any = CLIPVisionModel(sizes)
    return network


class ImageEncoder:
    """(B, 3, H, W) in [-1, 1] to float32 (B, tokens, width). The image is squeezed to a square, whatever its shape."""

    def __init__(self, network: nn.Module, image_size: int = 224) -> None:
        self.network: Any = network.eval().requires_grad_(False)
        self.image_size = image_size

    @classmethod
    def random(cls, width: int = 32, seed: int = 0, config: ImageEncoderConfig | None = None) -> ImageEncoder:
        """A tiny encoder with 257 tokens and weights from a seed (for the toy model)."""
        config = config or ImageEncoderConfig(32, 2, width, 2 * width, 2, 2)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build_image_network(config)
        return cls(network, config.image_size)

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """Image tokens, class token first. Raises InputError for another shape than (B, 3, H, W)."""
        if image.ndim != 4 or image.shape[1] != 3:
            raise InputError(f"image of shape {tuple(image.shape)}: the image encoder needs (B, 3, H, W)")
        weight = next(self.network.parameters())
        pixels = prepare(image, self.image_size).to(weight)
        return self.network(pixel_values=pixels, output_hidden_states=True).hidden_states[-2].float()


def prepare(image: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) in [-1, 1] to normalised float32 (B, 3, size, size); bicubic, without antialiasing."""
    small = functional.interpolate(image.float(), (size, size), mode="bicubic", align_corners=False)
    mean, std = (torch.tensor(values, device=image.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((small / 2 + 0.5) - mean) / std


def network_key(file_key: str, network: nn.Module) -> str:
    """The network's name of a tensor in a file: files say `vision_model.`, the module only in older transformers."""
    return file_key if hasattr(network, ROOT) else file_key.removeprefix(f"{ROOT}.")


def from_original(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tower of the original CLIP file, renamed for transformers. The projection head is left out.

    Args:
        tensors: names without the leading ``visual.``. Raises InputError for a name that is none of the tower's.
    """
    result: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name != "head":
            result |= _renamed(name, value)
    return result


def _renamed(name: str, value: Tensor) -> dict[str, Tensor]:
    whole = {
        "cls_embedding": ("embeddings.class_embedding", (-1,)),
        "pos_embedding": ("embeddings.position_embedding.weight", tuple(value.shape[1:])),
    }
    if name in whole:
        key, shape = whole[name]
        return {f"{ROOT}.{key}": value.reshape(shape)}
    places = {
        "patch_embedding": "embeddings.patch_embedding",
        "pre_norm": "pre_layrnorm",
        "post_norm": "post_layernorm",
    }
    place, _, kind = name.rpartition(".")
    if place in places:
        return {f"{ROOT}.{places[place]}.{kind}": value}
    parts = place.split(".", 2)
    if parts[0] != "transformer" or len(parts) != 3:
        raise InputError(f"image encoder: tensor '{name}' is unknown")
    return {f"{ROOT}.encoder.layers.{parts[1]}.{k}": v for k, v in _layer(parts[2], kind, value).items()}


def _layer(module: str, kind: str, value: Tensor) -> dict[str, Tensor]:
    if module == "attn.to_qkv":
        return {f"self_attn.{p}_proj.{kind}": part for p, part in zip("qkv", value.chunk(3))}
    renamed = {
        "norm1": "layer_norm1", "norm2": "layer_norm2", "attn.proj": "self_attn.out_proj",
        "mlp.0": "mlp.fc1", "mlp.2": "mlp.fc2",
    }  # fmt: skip
    if module not in renamed:
        raise InputError(f"image encoder: tensor 'transformer.*.{module}.{kind}' is unknown")
    return {f"{renamed[module]}.{kind}": value}
