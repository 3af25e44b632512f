"""The video transformer that a training makes: freshly initialised, stored, read back for walks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from openlyra.generation.latent_walk import LyraModels
from openlyra.media.atomic import write_bytes_atomic
from openlyra.models.lyra_config import LyraConfig
from openlyra.models.lyra_dit import ChunkConstants, LyraDiT
from openlyra.models.lyra_init import initialise
from openlyra.models.tensors import load_weights, write_tensors
from openlyra.models.video_vae import VideoVae
from openlyra.sampling.flow import TABLE
from openlyra.training.world_codec import Codec, load_codec
from openlyra.training.world_objective import no_image
from openlyra.training.world_settings import WorldTraining, stored_settings

LEAST_SIGMA = 0.05
"""Below this noise level the velocity of a network that predicts data is not made any steeper."""


class DataDiT(LyraDiT):
    """The same network, but what it puts out is taken for the clean latents; the velocity follows from them.

    With many latent channels the noise in a token does not fit through the width of the network; clean latents do."""

    def forward(self, latents: Tensor, timestep: Tensor, chunk: ChunkConstants) -> Tensor:
        """As `LyraDiT.forward`."""
        clean = super().forward(latents, timestep, chunk)
        sigma = (timestep.reshape(-1).float() / TABLE).clamp_min(LEAST_SIGMA).view(-1, 1, 1, 1, 1)
        return (latents[:, :, -clean.shape[2] :].float() - clean) / sigma


def new_network(config: LyraConfig, predicts: str, seed: int) -> LyraDiT:
    """A network with fresh weights from a seed."""
    network = DataDiT(config) if predicts == "data" else LyraDiT(config)
    return initialise(network, seed)


def save_network(weights: dict[str, Tensor], config: LyraConfig, folder: Path) -> None:
    """Write `config.json` and `model.safetensors` (float32); the configuration last."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / "model.safetensors", weights)
    write_bytes_atomic(folder / "config.json", config.to_json().encode())


def load_trained(folder: Path) -> tuple[LyraDiT, Codec, WorldTraining]:
    """Network, auto-encoder and settings that `train_world` left in a folder. Raises InputError."""
    settings = stored_settings(folder)
    path = folder / "transformer" / "config.json"
    config = LyraConfig.read(path)
    network = new_network(config, settings.objective.predicts, 0).requires_grad_(False).eval()
    load_weights(network, path.with_name("model.safetensors"))
    return network, load_codec(folder / "vae"), settings


def walk_models(network: LyraDiT, vae: Codec, settings: WorldTraining) -> LyraModels:
    """What a walk needs: captions and image tokens are the empty ones that the network was trained with."""
    model, width = settings.model, settings.network().image_width

    def encode_text(captions: Sequence[str]) -> Tensor:
        return torch.zeros(len(captions), model.text_tokens, model.text_width)

    return LyraModels(
        network, settings.layout, cast(VideoVae, vae), encode_text, lambda image: no_image(len(image), width),
        encode_text([""]),
    )  # fmt: skip
