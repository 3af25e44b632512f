"""A folder with all parts of a model: checked from the headers first, loaded part by part afterwards.

    models = ModelFolder("weights/lyra-2.0")
    models.check()                      # every name, shape and type of every part; nothing is allocated
    network = models.transformer(torch.bfloat16, "cuda")

`convert.py` makes such folders; `vae`, `text_encoder`, `tokenizer` and `image_encoder` may as well be those of the
Diffusers release of Wan 2.1 I2V 14B 480P.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from openlyra.errors import InputError
from openlyra.models.checkpoint import Checkpoint, assign, load_into
from openlyra.models.convert import NEGATIVE_PROMPT, needed
from openlyra.models.image_encoder import ImageEncoder, ImageEncoderConfig, build_image_network, network_key
from openlyra.models.lyra_config import LyraConfig
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.quantise import QuantisedKind, quantise_weight
from openlyra.models.text_encoder import TextEncoder, TextEncoderConfig, build_text_network, folder_tokeniser
from openlyra.models.video_vae import Tiling, VideoVae, VideoVaeConfig, build_network

PARTS = ("transformer", "vae", "text_encoder", "image_encoder")
TOKENIZER = "tokenizer"
NEGATIVE = "negative_prompt.safetensors"
MAX_CONFIG_BYTES = 1 << 20
Put = Callable[[nn.Module, str, Tensor], None]


class ModelFolder:
    """Parts of a model by name; see the module's text."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises InputError when ``path`` is no folder."""
        self.path = Path(path)
        if not self.path.is_dir():
            raise InputError(f"{self.path}: no such folder; openlyra models fetch and convert make one")

    def check(self) -> None:
        """Every part is there, with every tensor in its shape. Raises InputError; allocates nothing."""
        for part in PARTS:
            self.check_part(part)
        folder_tokeniser(self._part(TOKENIZER))
        self._negative_checkpoint()

    def check_part(self, part: str) -> Checkpoint:
        """The same for one part of `PARTS`; returns its checkpoint."""
        checkpoint = Checkpoint.open(self._part(part))
        network = self.build(part)
        shapes = {name: value.shape for name, value in network.state_dict().items() if needed(name)}
        renamed = Checkpoint(
            checkpoint.path,
            {network_key(k, network): v for k, v in checkpoint.tensors.items() if needed(k) and not _unused(k)},
        )
        renamed.check(shapes)
        return checkpoint

    def build(self, part: str) -> nn.Module:
        """The part's network on the meta device, of the size its configuration says."""
        with torch.device("meta"):
            if part == "transformer":
                return LyraDiT(LyraConfig.read(self._part(part) / "config.json"))
            if part == "vae":
                return build_network(self.vae_config())
            if part == "text_encoder":
                return build_text_network(self.text_config())
            return build_image_network(self.image_config())

    def transformer(
        self, dtype: torch.dtype = torch.bfloat16, device: torch.device | str = "cpu",
        blocks: torch.device | str | None = None, quantised: QuantisedKind | None = None,
    ) -> LyraDiT:  # fmt: skip
        """The video transformer; counters are zero.

        ``blocks``: where the blocks stay, when not on ``device`` (see `offload.BlockOffload`). ``quantised``: type that
        the weights of the blocks are stored in.
        """
        network = self.build("transformer")

        def put(whole: nn.Module, name: str, value: Tensor) -> None:
            where = blocks if blocks is not None and name.startswith("blocks.") else device
            value = value.to(dtype)
            if quantised is None or not quantise_weight(whole, name, value, quantised, where):
                assign(whole, name, value.to(where))

        self._load("transformer", network, dtype, device, put)
        for name, buffer in list(network.named_buffers()):
            network._buffers[name] = torch.zeros_like(buffer, device=device)
        assert isinstance(network, LyraDiT)
        return network.eval()

    def vae(
        self, dtype: torch.dtype = torch.bfloat16, device: torch.device | str = "cpu", tiling: Tiling | None = None,
        states_on: torch.device | str | None = None,
    ) -> VideoVae:  # fmt: skip
        """The auto-encoder."""
        network = self.build("vae")
        self._load("vae", network, dtype, device)
        return VideoVae(network, self.vae_config(), tiling, states_on)

    def text_encoder(self, dtype: torch.dtype = torch.bfloat16, device: torch.device | str = "cpu") -> TextEncoder:
        """The text encoder with its tokeniser."""
        tokenise = folder_tokeniser(self._part(TOKENIZER))
        network: Any = self.build("text_encoder")
        self._load("text_encoder", network, dtype, device)
        network.encoder.embed_tokens.weight = network.shared.weight
        return TextEncoder(network, tokenise)

    def image_encoder(self, dtype: torch.dtype = torch.float16, device: torch.device | str = "cpu") -> ImageEncoder:
        """The vision tower."""
        network = self.build("image_encoder")
        self._load("image_encoder", network, dtype, device)
        for name, buffer in list(network.named_buffers()):
            if name.endswith("position_ids"):
                owner = network.get_submodule(name.rpartition(".")[0])
                owner._buffers["position_ids"] = torch.arange(buffer.shape[-1], device=device)[None]
        return ImageEncoder(network, self.image_config().image_size)

    def negative_prompt(self) -> Tensor:
        """Text tokens of the unconditional branch, (1, tokens, width)."""
        (_, value), *_ = self._negative_checkpoint().read([NEGATIVE_PROMPT])
        return value

    def vae_config(self) -> VideoVaeConfig:
        """Size of the auto-encoder in the folder."""
        values = self._config("vae")
        return VideoVaeConfig(
            base_width=_count(values, "base_dim"), multipliers=tuple(_list(values, "dim_mult")),
            residual_blocks=_count(values, "num_res_blocks"),
            temporal_downsample=tuple(bool(v) for v in _list(values, "temperal_downsample")),
            latent_mean=tuple(_list(values, "latents_mean")), latent_std=tuple(_list(values, "latents_std")),
        )  # fmt: skip

    def text_config(self) -> TextEncoderConfig:
        """Size of the text encoder in the folder."""
        values = self._config("text_encoder")
        keys = ("vocab_size", "d_model", "d_kv", "d_ff", "num_heads", "num_layers", "relative_attention_num_buckets")
        vocabulary, width, head, hidden, heads, layers, buckets = (_count(values, key) for key in keys)
        return TextEncoderConfig(vocabulary, width, head * heads, hidden, heads, layers, buckets)

    def image_config(self) -> ImageEncoderConfig:
        """Size of the vision tower in the folder."""
        values = self._config("image_encoder")
        keys = (
            "image_size", "patch_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers",
        )  # fmt: skip
        return ImageEncoderConfig(*(_count(values, key) for key in keys))

    def _load(
        self, part: str, network: nn.Module, dtype: torch.dtype, device: torch.device | str, put: Put | None = None
    ) -> None:
        free = [name for name in network.state_dict() if not needed(name)]
        load_into(
            network, Checkpoint.open(self._part(part)), rename=lambda name: network_key(name, network),
            ignored=lambda name: not needed(name) or _unused(name), optional=free, dtype=dtype, device=device,
            put=put,
        )  # fmt: skip

    def _part(self, part: str) -> Path:
        folder = self.path / part
        if not folder.is_dir():
            raise InputError(f"{folder}: this part of the model is missing")
        return folder

    def _config(self, part: str) -> Mapping[str, Any]:
        file = self._part(part) / "config.json"
        if not file.is_file() or file.stat().st_size > MAX_CONFIG_BYTES:
            raise InputError(f"{file}: missing or larger than {MAX_CONFIG_BYTES} bytes")
        try:
            values = json.loads(file.read_text())
        except ValueError as error:
            raise InputError(f"{file}: not JSON ({error})") from error
        if not isinstance(values, dict):
            raise InputError(f"{file}: a JSON object is needed")
        return {**values, "": file}

    def _negative_checkpoint(self) -> Checkpoint:
        checkpoint = Checkpoint.open(self.path / NEGATIVE)
        if NEGATIVE_PROMPT not in checkpoint.tensors:
            raise InputError(f"{checkpoint.path}: no tensor {NEGATIVE_PROMPT}")
        return checkpoint


def _unused(name: str) -> bool:
    """Tensors that releases carry along without use here."""
    return name.startswith("visual_projection") or name.endswith("_extra_state")


def _count(values: Mapping[str, Any], key: str) -> int:
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 1 << 24:
        raise InputError(f"{values['']}: {key} is {value!r}; a positive integer is needed")
    return value


def _list(values: Mapping[str, Any], key: str) -> list[Any]:
    value = values.get(key)
    if not isinstance(value, list) or not 0 < len(value) <= 1024 or not all(isinstance(v, int | float) for v in value):
        raise InputError(f"{values['']}: {key} is {str(value)[:40]}; a list of numbers is needed")
    return value
