"""Tensors in safetensors files: written whole or not at all, read with one clear line for whatever is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from openlyra.errors import InputError
from openlyra.media.atomic import atomic_path


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises InputError."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error})".replace("\n", " ")) from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors, in whatever memory layout they are, and words about them."""
    with atomic_path(path) as temporary:
        save_file({name: value.contiguous() for name, value in tensors.items()}, temporary, metadata)


def load_weights(module: nn.Module, path: Path) -> None:
    """Give a module the weights of a file. Raises InputError for weights of something else."""
    try:
        module.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        said = str(error).splitlines()
        raise InputError(f"{path}: weights of something else ({said[min(1, len(said) - 1)].strip()})") from None
