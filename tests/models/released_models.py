"""Tiny models in the file formats of the releases, for the tests of conversion."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor

from openlyra.evaluation.parity.formula import formula_weights
from openlyra.evaluation.parity.text_image_encoders import original_image_shapes
from openlyra.models.convert import Sizes
from openlyra.models.image_encoder import ImageEncoderConfig
from openlyra.models.lyra_config import LyraConfig
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.text_encoder import TextEncoderConfig, build_text_network, original_text_key
from openlyra.models.video_vae import VideoVaeConfig, build_network, original_key

SIZES = Sizes(
    LyraConfig(
        width=24, heads=2, ffn_width=32, blocks=2, text_width=16, image_width=16, squeeze_width=4,
        layout="f1k1f2s2f1s1f4k4f2k2f1k1_g4", buffer_channels=3 * 256,
    ),
    VideoVaeConfig(base_width=4), TextEncoderConfig(64, 16, 12, 24, 2, 2), ImageEncoderConfig(28, 7, 16, 32, 2, 3),
)  # fmt: skip


def transformer_weights(config: LyraConfig = SIZES.transformer) -> dict[str, Tensor]:
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in LyraDiT(config).named_parameters()}
    return formula_weights(shapes)


def vae_weights() -> dict[str, Tensor]:
    with torch.device("meta"):
        network = build_network(SIZES.vae)
    return formula_weights({original_key(key): value.shape for key, value in network.state_dict().items()}, "vae.")


def text_weights() -> dict[str, Tensor]:
    with torch.device("meta"):
        network = build_text_network(SIZES.text)
    shapes = {original_text_key(key): value.shape for key, value in network.state_dict().items()}
    return formula_weights({key: shape for key, shape in shapes.items() if key}, "t5.")


def image_weights() -> dict[str, Tensor]:
    tower = formula_weights(original_image_shapes(SIZES.image), "clip.")
    return {f"visual.{key}": value for key, value in tower.items()} | {"visual.head": torch.ones(16, 8)}


def write_release(folder: Path) -> None:
    """The published folder layout: a distributed checkpoint, pickles of the companions, an adapter."""
    for part in ("vae", "text_encoder", "image_encoder", "model"):
        (folder / part).mkdir(parents=True)
    weights = {f"net.{name}": value for name, value in transformer_weights().items()}
    extras = {"net.accum_iteration": torch.tensor(7), "net.blocks.0.self_attn._extra_state": {"a": 1}}
    dcp.save({**weights, **extras}, checkpoint_id=str(folder / "model" / "model"), no_dist=True)
    torch.save(vae_weights(), folder / "vae" / "vae.pth")
    torch.save(text_weights(), folder / "text_encoder" / "encoder.pth")
    clip = {**image_weights(), "textual.norm.weight": torch.ones(3), "log_scale": torch.zeros(())}
    torch.save(clip, folder / "image_encoder" / "model.pth")
    negative = {"t5_text_embeddings": torch.ones(1, 512, 16), "prompt": "blurry"}
    torch.save(negative, folder / "text_encoder" / "negative_prompt.pt")


def write_tokenizer(folder: Path) -> None:
    """A tokeniser of five words."""
    import tokenizers
    from transformers import PreTrainedTokenizerFast

    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "red": 3}, "<unk>"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)
