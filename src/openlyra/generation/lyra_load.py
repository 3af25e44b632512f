"""Loading what `lyra_models` looked up: networks ready to be called."""

from __future__ import annotations

import torch

from openlyra.generation.latent_walk import LyraModels
from openlyra.generation.lyra_models import TOY_HEAD_STD, TOY_SEED, TOY_VAE_WIDTH, ModelInfo
from openlyra.models.folder import ModelFolder
from openlyra.models.image_encoder import ImageEncoder
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.lyra_init import initialise
from openlyra.models.text_encoder import TextEncoder
from openlyra.models.video_vae import VideoVae, VideoVaeConfig


def load_network(info: ModelInfo) -> LyraDiT:
    """The video transformer alone, where it computes."""
    if info.folder is None:
        network = initialise(LyraDiT(info.config), TOY_SEED, TOY_HEAD_STD)
        return network.requires_grad_(False).eval()
    device = default_device()
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    return ModelFolder(info.folder).transformer(dtype, device).requires_grad_(False)


def load_models(info: ModelInfo, network: LyraDiT | None = None) -> LyraModels:
    """All networks; `network` when the transformer was loaded before."""
    if info.folder is None:
        return _toy(info, network)
    folder, device = ModelFolder(info.folder), default_device()
    folder.check()
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    text = folder.text_encoder(dtype, device)
    negative = folder.negative_prompt().float()
    return LyraModels(
        network or load_network(info), info.layout, folder.vae(dtype, device),
        lambda captions: text.encode(captions), folder.image_encoder(dtype, device).encode, negative, device,
    )  # fmt: skip


def _toy(info: ModelInfo, network: LyraDiT | None) -> LyraModels:
    """Small random networks, the same for everybody."""
    config = info.config
    text = TextEncoder.random(config.text_width, config.text_tokens, TOY_SEED)
    image = ImageEncoder.random(config.image_width, TOY_SEED)
    vae = VideoVae.random(VideoVaeConfig(base_width=TOY_VAE_WIDTH), TOY_SEED)
    return LyraModels(network or load_network(info), info.layout, vae, text.encode, image.encode, text.encode([""]))


def default_device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
