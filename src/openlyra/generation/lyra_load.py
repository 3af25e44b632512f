"""Loading what `lyra_models` looked up: networks ready to be called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from openlyra.errors import InputError
from openlyra.generation.conditioning import small_conditioning
from openlyra.generation.latent_walk import LyraModels, WalkSettings
from openlyra.generation.lyra_models import NANO, NANO_SHA256, TOY_HEAD_STD, TOY_SEED, TOY_VAE_WIDTH, ModelInfo
from openlyra.memory.retrieval import RetrievalConfig
from openlyra.memory.spatial_memory import SpatialMemory
from openlyra.models import small_folder
from openlyra.models.codec import Codec, load_codec
from openlyra.models.fit import load_fitted, load_transformer
from openlyra.models.folder import ModelFolder
from openlyra.models.frame_packing import Layout
from openlyra.models.image_encoder import ImageEncoder
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.lyra_init import initialise
from openlyra.models.plan import Work
from openlyra.models.small_dit import no_image
from openlyra.models.small_folder import SmallModel
from openlyra.models.text_encoder import TextEncoder
from openlyra.models.video_vae import VideoVae, VideoVaeConfig
from openlyra.sampling import FewStep, Sampler, UniPC

LARGEST = Work(480, 832)
"""All ranks plan for the same work, whatever the photo: they must hold the same weights."""
DISTILLED = "dmd_distillation.safetensors"
"""Adapter for the four-step sampler, in the folder `lora` of a model."""


def load_network(info: ModelInfo, fast: bool = False) -> LyraDiT:
    """The video transformer alone, where it computes, with the distilled adapter when `fast`."""
    if info.folder is None:
        network = initialise(LyraDiT(info.config), TOY_SEED, TOY_HEAD_STD)
        return network.requires_grad_(False).eval()
    if info.small is not None:
        return small_folder.load_network(info.folder, info.small, NANO_SHA256 if info.folder == NANO else None)
    return load_transformer(ModelFolder(info.folder), LARGEST, _adapters(info.folder, fast))[0]


def load_models(
    info: ModelInfo, network: LyraDiT | None = None, captions: Sequence[str] = (), fast: bool = False
) -> LyraModels:
    """All networks, loaded so that they fit the GPU; `network` when the transformer was loaded before.

    `captions` are encoded before the rest is loaded, so that the text encoder need not stay. `fast` adds the distilled
    adapter of the folder. Raises InputError, before any weight is read, for what is missing, wrong or does not fit.
    """
    if info.folder is None:
        return _toy(info, network)
    if info.small is not None:
        return small_models(network or load_network(info), load_codec(info.folder / "vae"))
    fitted = load_fitted(ModelFolder(info.folder), captions, LARGEST, _adapters(info.folder, fast))
    return LyraModels(
        network or fitted.network, info.layout, fitted.vae, fitted.encode, fitted.image_encoder.encode, fitted.negative,
        fitted.device,
    )  # fmt: skip


def _adapters(folder: Path, fast: bool) -> list[tuple[Path, float]]:
    return [(distilled_adapter(folder), 1.0)] if fast else []


def distilled_adapter(folder: Path) -> Path:
    """The four-step adapter of a model folder. Raises InputError when it is not there."""
    path = folder / "lora" / DISTILLED
    if not path.is_file():
        raise InputError(f"{path}: is missing; --fast needs it (openlyra models fetch lyra-2.0-lora)")
    return path


def small_models(network: LyraDiT, codec: Codec) -> LyraModels:
    """Networks trained here: captions and image tokens are the empty ones that the network was trained with."""
    config = network.config
    layout = config.packing
    if layout is None:
        raise InputError("the network has no layout of its history, so it cannot walk")

    def encode_text(captions: Sequence[str]) -> Tensor:
        return torch.zeros(len(captions), config.text_tokens, config.text_width)

    return LyraModels(
        network, layout, codec, encode_text, lambda image: no_image(len(image), config.image_width), encode_text([""])
    )


def small_walk(model: SmallModel, steps: int | None = None, retrieval_views: int = 1) -> WalkSettings:
    """How to walk with such networks, the way they were trained; `steps` other than the model's network calls."""
    kind = FewStep if model.few_step else UniPC
    sampler: Sampler = kind(steps or model.steps, model.shift)
    return WalkSettings(sampler, 1.0, small_conditioning(model, retrieval_views), model.memory_every)


def small_memory(layout: Layout, stride: int) -> SpatialMemory:
    """An empty memory for such a walk; `stride`: `SmallModel.retrieval_stride`."""
    return SpatialMemory(RetrievalConfig(max(1, layout.spatial_frames), stride))


def _toy(info: ModelInfo, network: LyraDiT | None) -> LyraModels:
    """Small random networks, the same for everybody."""
    config = info.config
    text = TextEncoder.random(config.text_width, config.text_tokens, TOY_SEED)
    image = ImageEncoder.random(config.image_width, TOY_SEED)
    vae = VideoVae.random(VideoVaeConfig(base_width=TOY_VAE_WIDTH), TOY_SEED)
    return LyraModels(network or load_network(info), info.layout, vae, text.encode, image.encode, text.encode([""]))
