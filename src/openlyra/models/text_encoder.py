"""Captions to text tokens: the UMT5-XXL encoder of Wan 2.1 (transformers), cleaned text, zeros after the last word."""

from __future__ import annotations

import html
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from openlyra.errors import InputError, MissingExtraError

TOKENS = 512
"""Rows the video network gets for a caption, padding included."""
Tokeniser = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
"""Captions to (ids, mask), both int64 (B, TOKENS)."""


@dataclass(frozen=True)
class TextEncoderConfig:
    """Size of the encoder; the defaults are UMT5-XXL (5,680,910,336 parameters)."""

    vocabulary: int = 256384
    """Rows of the embedding table."""
    width: int = 4096
    """Channels of a token."""
    attention_width: int = 4096
    """Channels of all heads together."""
    ffn_width: int = 10240
    """Hidden width of the gated feed-forward part."""
    heads: int = 64
    """Attention heads."""
    layers: int = 24
    """Transformer layers, each with its own relative position bias."""
    buckets: int = 32
    """Buckets of the relative position bias."""


def build_text_network(config: TextEncoderConfig) -> nn.Module:
    """The network of that size with fresh weights (on the current default device). Raises MissingExtraError."""
    try:
        from transformers import UMT5Config, UMT5EncoderModel
    except ImportError:
        raise MissingExtraError("transformers", "lyra") from None
    sizes = UMT5Config(
        vocab_size=config.vocabulary, d_model=config.width, d_kv=config.attention_width // config.heads,
        d_ff=config.ffn_width, num_layers=config.layers, num_heads=config.heads, feed_forward_proj="gated-gelu",
        relative_attention_num_buckets=config.buckets, relative_attention_max_distance=128, layer_norm_epsilon=1e-6,
        dropout_rate=0.0,
    )  # fmt: skip
    network: Any = UMT5EncoderModel(sizes)
    return network


class TextEncoder:
    """Captions in, (B, tokens, width) out. Rows after a caption's end are zero: the video network has no text mask."""

    def __init__(self, network: nn.Module, tokenise: Tokeniser) -> None:
        """See `build_text_network`; ``tokenise`` pads or cuts to the number of rows wanted."""
        self.network: Any = network.eval().requires_grad_(False)
        self.tokenise = tokenise

    @classmethod
    def random(cls, width: int = 32, tokens: int = TOKENS, seed: int = 0) -> TextEncoder:
        """A tiny encoder with weights from a seed and words numbered by their CRC-32 (for the toy model)."""
        config = TextEncoderConfig(512, width, width, 2 * width, 2, 2)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build_text_network(config)
        return cls(network, word_tokeniser(config.vocabulary, tokens))

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Text tokens of every caption, float32 (B, tokens, width)."""
        ids, mask = self.tokenise([clean_caption(caption) for caption in captions])
        return self.encode_ids(ids, mask)

    @torch.no_grad()
    def encode_ids(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The same from token numbers and the mask (1 for words), both int64 (B, tokens)."""
        device = next(self.network.parameters()).device
        hidden = self.network(input_ids=ids.to(device), attention_mask=mask.to(device)).last_hidden_state
        # A padded row can hold anything, not-a-number included: choose, do not multiply.
        return torch.where(mask.to(device)[..., None] > 0, hidden.float(), torch.zeros((), device=device))


def clean_caption(caption: str) -> str:
    """Broken encodings mended, HTML entities resolved (twice), white space collapsed. Raises MissingExtraError."""
    try:
        import ftfy
    except ImportError:
        raise MissingExtraError("ftfy", "lyra") from None
    text = html.unescape(html.unescape(ftfy.fix_text(caption)))
    return re.sub(r"\s+", " ", text).strip()


def folder_tokeniser(folder: Path, tokens: int = TOKENS) -> Tokeniser:
    """The tokeniser in ``folder`` (`google/umt5-xxl`). Raises InputError when there is none."""
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtraError("transformers", "lyra") from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{folder}: no tokeniser can be loaded from here ({first})") from error

    def tokenise(captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        batch = tokenizer(
            list(captions), padding="max_length", truncation=True, max_length=tokens, add_special_tokens=True,
            return_attention_mask=True, return_tensors="pt",
        )  # fmt: skip
        return batch["input_ids"], batch["attention_mask"]

    return tokenise


def word_tokeniser(vocabulary: int, tokens: int) -> Tokeniser:
    """Words numbered by their CRC-32; 0 pads, 1 ends. Needs no vocabulary file."""

    def tokenise(captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        ids = torch.zeros((len(captions), tokens), dtype=torch.int64)
        for row, caption in zip(ids, captions):
            words = [2 + zlib.crc32(word.encode()) % (vocabulary - 2) for word in caption.lower().split()]
            numbers = torch.tensor([*words[: tokens - 1], 1])
            row[: len(numbers)] = numbers
        return ids, (ids > 0).long()

    return tokenise


def original_text_key(key: str) -> str | None:
    """Name in the original `encoder.pth` of a tensor that has the name ``key`` in transformers; None for a copy."""
    if key == "encoder.embed_tokens.weight":
        return None
    whole = {"shared.weight": "token_embedding.weight", "encoder.final_layer_norm.weight": "norm.weight"}
    if key in whole:
        return whole[key]
    _, _, index, _, part, module, *rest = key.split(".")
    name = ".".join([module, *rest])
    if module == "layer_norm":
        return f"blocks.{index}.norm{int(part) + 1}.weight"
    if "relative_attention_bias" in name:
        return f"blocks.{index}.pos_embedding.embedding.weight"
    renamed = {"wi_0": "ffn.gate.0", "wi_1": "ffn.fc1", "wo": "ffn.fc2", **{k: f"attn.{k}" for k in "qkvo"}}
    return f"blocks.{index}.{renamed[rest[0]]}.weight"
