"""The folder of a video generator that was trained here: network, auto-encoder, and how to walk with them.

walk.json                                 `SmallModel`
transformer/config.json, model.safetensors
vae/config.json, model.safetensors
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from openlyra.errors import InputError, OutputExistsError
from openlyra.media.atomic import write_bytes_atomic
from openlyra.models.codec import Codec, load_codec, save_codec
from openlyra.models.lyra_config import LyraConfig
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.small_dit import PREDICTS, network_for
from openlyra.models.tensors import load_weights, write_tensors

WALK = "walk.json"
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class SmallModel:
    """How a network was trained, as far as a walk has to do the same."""

    predicts: str
    """One of `small_dit.PREDICTS`."""
    height: int
    """Pixels inside the networks."""
    width: int
    """Pixels inside the networks."""
    shift: float
    """How much of the steps goes to high noise."""
    steps: int
    """Network calls a chunk."""
    warped: str
    """What is warped into new frames: `last` or `memory`."""
    edge_threshold: float
    """Relative depth range at which a pixel is not warped."""
    retrieval_stride: int
    """Side in pixels of a cell of the grid on which frames are compared."""
    memory_every: int
    """Frames whose index is a multiple of this are remembered."""
    few_step: bool = False
    """Whether the network was distilled: it is sampled with the few-step sampler."""


def is_small(folder: Path) -> bool:
    """Whether a folder holds such a model."""
    return (folder / WALK).is_file()


def read_walk(folder: Path) -> SmallModel:
    """Read `walk.json`. Raises InputError."""
    path = folder / WALK
    if not path.is_file():
        raise InputError(f"{folder}: holds no {WALK}; give a folder that `openlyra train world` wrote")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        found = SmallModel(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: does not say how to walk ({error})") from None
    numbers = (found.height, found.width, found.steps, found.retrieval_stride, found.memory_every)
    if any(type(value) is not int or not 1 <= value <= 8192 for value in numbers):
        raise InputError(f"{path}: sizes, steps and intervals are integers from 1 to 8192, not {numbers}")
    if found.predicts not in PREDICTS or found.warped not in ("last", "memory"):
        raise InputError(f"{path}: predicts {found.predicts!r} or warped {found.warped!r} is unknown")
    if not (type(found.shift) in (int, float) and 0 < found.shift <= 100 and 0 < found.edge_threshold <= 100):
        raise InputError(f"{path}: shift and edge_threshold are numbers above 0 and up to 100")
    return found


def save_small(model: SmallModel, weights: Mapping[str, Tensor], config: LyraConfig, folder: Path) -> None:
    """Write the network and how to walk with it; the auto-encoder is there already (`codec.save_codec`)."""
    inner = folder / "transformer"
    inner.mkdir(parents=True, exist_ok=True)
    write_tensors(inner / "model.safetensors", weights)
    write_bytes_atomic(inner / "config.json", config.to_json().encode())
    write_bytes_atomic(folder / WALK, (json.dumps(asdict(model), indent=1) + "\n").encode())


def load_network(folder: Path, model: SmallModel | None = None, sha256: str | None = None) -> LyraDiT:
    """The network in float32, ready to be called; `sha256` is what its file must hash to. Raises InputError."""
    path = folder / "transformer" / "config.json"
    weights = path.with_name("model.safetensors")
    if sha256 is not None and (found := file_sha256(weights)) != sha256:
        raise InputError(f"{weights}: damaged: SHA-256 {found[:12]}..., must be {sha256[:12]}...; reinstall openlyra")
    network = network_for(LyraConfig.read(path), (model or read_walk(folder)).predicts).requires_grad_(False).eval()
    load_weights(network, weights)
    return network


def file_sha256(path: Path) -> str:
    """In hexadecimal; of nothing when the file is missing."""
    return hashlib.sha256(path.read_bytes() if path.is_file() else b"").hexdigest()


def pack(folder: Path, output: Path) -> str:
    """A copy of what a walk needs at half the size: matrices in bfloat16. Returns the hash of the network's file.

    Raises InputError for a folder that holds no such model, OutputExistsError when there is something in `output`."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputExistsError(f"{output}: exists; give a new folder")
    network, codec, model = load_small(folder)
    weights = {name: _halved(value) for name, value in network.state_dict().items()}
    save_codec(codec, output / "vae")
    save_small(model, weights, network.config, output)
    return file_sha256(output / "transformer" / "model.safetensors")


def _halved(value: Tensor) -> Tensor:
    return value.bfloat16() if value.is_floating_point() and value.dim() >= 2 else value


def load_small(folder: Path) -> tuple[LyraDiT, Codec, SmallModel]:
    """Network, auto-encoder and how to walk. Raises InputError."""
    model = read_walk(folder)
    return load_network(folder, model), load_codec(folder / "vae"), model
