"""The video transformer that a training makes: freshly initialised, stored, read back for walks."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from openlyra.models.codec import Codec
from openlyra.models.lyra_config import LyraConfig
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.lyra_init import initialise
from openlyra.models.small_dit import network_for
from openlyra.models.small_folder import SmallModel, load_small, save_small
from openlyra.models.tensors import load_weights
from openlyra.training.world_settings import WorldTraining, stored_settings


def new_network(config: LyraConfig, settings: WorldTraining) -> LyraDiT:
    """A network with fresh weights from the seed, or with those of the training it starts from. Raises InputError."""
    network = initialise(network_for(config, settings.objective.predicts), settings.run.seed)
    if settings.run.start:
        load_weights(network, Path(settings.run.start) / "transformer" / "model.safetensors")
    return network


def save_network(weights: dict[str, Tensor], settings: WorldTraining, folder: Path) -> None:
    """Write what a walk needs (float32) beside the auto-encoder."""
    save_small(walk_model(settings), weights, settings.network(), folder)


def walk_model(settings: WorldTraining) -> SmallModel:
    """What a walk has to do as it was trained."""
    data, aim = settings.data, settings.objective
    return SmallModel(
        aim.predicts, data.height, data.width, aim.shift, settings.run.sampling_steps, aim.warped, aim.edge_threshold,
        aim.retrieval_stride, aim.memory_every, settings.run.few_step,
    )  # fmt: skip


def load_trained(folder: Path) -> tuple[LyraDiT, Codec, WorldTraining]:
    """Network, auto-encoder and settings that `train_world` left in a folder. Raises InputError."""
    network, codec, _ = load_small(folder)
    return network, codec, stored_settings(folder)
