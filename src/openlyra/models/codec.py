"""What a walk and its training need of an auto-encoder, and its folder: `config.json` and `model.safetensors`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from openlyra.errors import InputError
from openlyra.media.atomic import write_bytes_atomic
from openlyra.models.patch_codec import PatchCodec, PatchConfig, PatchNetwork
from openlyra.models.tensors import load_weights, write_tensors
from openlyra.models.video_vae import StreamState, VideoVae, VideoVaeConfig, build_network


class Codec(Protocol):
    """`video_vae.VideoVae` or `patch_codec.PatchCodec`."""

    network: Any
    """Its weights."""
    config: Any
    """A dataclass with its sizes."""

    def encode(self, video: Tensor) -> Tensor:
        """A clip on its own."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Its inverse."""
        ...

    def encode_more(self, video: Tensor, state: StreamState | None) -> tuple[Tensor, StreamState]:
        """The next frames of a stream."""
        ...

    def decode_more(self, latents: Tensor, state: StreamState | None) -> tuple[Tensor, StreamState]:
        """The next latents of a stream."""
        ...


def save_codec(codec: Codec, folder: Path) -> None:
    """Write configuration and weights; the configuration last."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / "model.safetensors", codec.network.state_dict())
    kind = "patches" if isinstance(codec, PatchCodec) else "wan"
    write_bytes_atomic(
        folder / "config.json", (json.dumps({"kind": kind} | asdict(codec.config), indent=1) + "\n").encode()
    )


def load_codec(folder: Path) -> Codec:
    """Read what `save_codec` wrote. Raises InputError."""
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text())
        kind = values.pop("kind")
        config = (
            PatchConfig(**values) if kind == "patches" else VideoVaeConfig(**{k: _tuple(v) for k, v in values.items()})
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: is not the configuration of an auto-encoder ({error})") from None
    codec: Codec
    if isinstance(config, PatchConfig):
        if not 1 <= config.channels <= 768:
            raise InputError(f"{path}: channels is {config.channels}; 1 to 768 is needed")
        codec = PatchCodec(PatchNetwork(config.channels), config)
    else:
        codec = VideoVae(build_network(config), config)
    load_weights(codec.network, folder / "model.safetensors")
    return codec


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
