"""`text_image_encoders*`: the text encoder and the vision tower, tiny, with weights by formula."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from openlyra.evaluation.parity.formula import Shape, formula_weights
from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare
from openlyra.models.image_encoder import (
    ImageEncoder,
    ImageEncoderConfig,
    build_image_network,
    from_original,
    network_key,
    prepare,
)
from openlyra.models.text_encoder import (
    TextEncoder,
    TextEncoderConfig,
    build_text_network,
    original_text_key,
    word_tokeniser,
)

TOLERANCE = 2e-5
TEXT: Mapping[str, Any] = {
    "vocab": 64, "dim": 32, "dim_attn": 24, "dim_ffn": 40, "num_heads": 4, "num_layers": 3, "num_buckets": 32,
}  # fmt: skip
IMAGE: Mapping[str, Any] = {
    "image_size": 28, "patch_size": 7, "dim": 32, "mlp_ratio": 4, "num_heads": 4, "num_layers": 4,
}  # fmt: skip
"""Sizes of the recorded networks when `extra_info.json` is not there to say them."""


def check(file: GoldenFile) -> Iterator[Comparison]:
    """Both encoders, with what goes in and what is made of it."""
    facts = file.facts("extra_info")
    if "t5.ids" in file:
        yield from _text(file, {**TEXT, **facts.get("t5_cfg", {})})
    if "clip.in_image_-1_1" in file:
        yield from _image(file, {**IMAGE, **facts.get("clip_cfg", {})})


def _text(file: GoldenFile, sizes: Mapping[str, Any]) -> Iterator[Comparison]:
    encoder = tiny_text_encoder(sizes)
    ids, mask = file["t5.ids"], file["t5.mask"]
    if "t5.context_zero_padded" in file:
        yield compare(
            "t5.context_zero_padded", encoder.encode_ids(ids, mask), file["t5.context_zero_padded"], TOLERANCE
        )
    if "t5.encoder_out" in file:
        with torch.no_grad():
            hidden = encoder.network(input_ids=ids, attention_mask=mask).last_hidden_state
        yield compare("t5.encoder_out", hidden, file["t5.encoder_out"], TOLERANCE)
    if "t5.relative_buckets" in file:
        yield from _buckets(file, encoder)


def _buckets(file: GoldenFile, encoder: TextEncoder) -> Iterator[Comparison]:
    """Recorded are the rows of the first positions."""
    recorded = file["t5.relative_buckets"]
    attention = encoder.network.encoder.block[0].layer[0].SelfAttention
    rows, columns = (torch.arange(count) for count in recorded.shape)
    buckets = attention._relative_position_bucket(columns[None, :] - rows[:, None])
    yield compare("t5.relative_buckets", buckets, recorded, 0.0)


def tiny_text_encoder(sizes: Mapping[str, Any] = TEXT) -> TextEncoder:
    """The text encoder of the golden files, float32."""
    config = TextEncoderConfig(
        sizes["vocab"], sizes["dim"], sizes["dim_attn"], sizes["dim_ffn"], sizes["num_heads"], sizes["num_layers"],
        sizes["num_buckets"],
    )  # fmt: skip
    network = build_text_network(config)
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    names = {original: key for key in shapes if (original := original_text_key(key))}
    weights = formula_weights({original: shapes[key] for original, key in names.items()}, "t5.")
    result = network.load_state_dict({names[k]: v for k, v in weights.items()}, strict=False)
    assert not result.unexpected_keys
    return TextEncoder(network, word_tokeniser(config.vocabulary, 512))


def _image(file: GoldenFile, sizes: Mapping[str, Any]) -> Iterator[Comparison]:
    encoder = tiny_image_encoder(sizes)
    image = file["clip.in_image_-1_1"]
    if "clip.preprocessed" in file:
        yield compare("clip.preprocessed", prepare(image, sizes["image_size"]), file["clip.preprocessed"], TOLERANCE)
    if "clip.tokens_without_last_block" in file:
        expected = file["clip.tokens_without_last_block"]
        yield compare("clip.tokens_without_last_block", encoder.encode(image), expected, TOLERANCE)


def tiny_image_encoder(sizes: Mapping[str, Any] = IMAGE) -> ImageEncoder:
    """The vision tower of the golden files, float32."""
    width = sizes["dim"]
    config = ImageEncoderConfig(
        sizes["image_size"],
        sizes["patch_size"],
        width,
        sizes["mlp_ratio"] * width,
        sizes["num_heads"],
        sizes["num_layers"],
    )
    network = build_image_network(config)
    weights = from_original(formula_weights(original_image_shapes(config), "clip."))
    network.load_state_dict({network_key(key, network): value for key, value in weights.items()})
    return ImageEncoder(network, config.image_size)


def original_image_shapes(config: ImageEncoderConfig) -> dict[str, Shape]:
    """Names and shapes of the tower in the original file (without the leading ``visual.`` and the unused head)."""
    width, hidden = config.width, config.ffn_width
    shapes: dict[str, Shape] = {
        "cls_embedding": (1, 1, width), "pos_embedding": (1, config.tokens, width),
        "patch_embedding.weight": (width, 3, config.patch, config.patch),
    }  # fmt: skip
    linear = {
        "attn.to_qkv": (3 * width, width), "attn.proj": (width, width),
        "mlp.0": (hidden, width), "mlp.2": (width, hidden),
    }  # fmt: skip
    norms = ["pre_norm", "post_norm"]
    for layer in range(config.layers):
        root = f"transformer.{layer}"
        norms += [f"{root}.norm1", f"{root}.norm2"]
        for name, shape in linear.items():
            shapes |= {f"{root}.{name}.weight": shape, f"{root}.{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return shapes
