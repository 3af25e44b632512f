"""Which weights exist: names, repositories, sizes, licences. `openlyra models list` prints this table."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openlyra.errors import InputError, MissingExtraError
from openlyra.models.licences import LICENCES, Entry, Licence, record, require_accepted


@dataclass(frozen=True)
class Weights:
    """A download."""

    name: str
    """What `openlyra models fetch` takes."""
    repository: str
    """Id on the Hugging Face Hub."""
    files: tuple[str, ...]
    """Patterns of the files that are needed."""
    gigabytes: float
    """Size of these files, about."""
    licence: str
    """A name in `LICENCES`."""
    role: str
    """What it is for."""
    format: str
    """`safetensors`: used as it is; `convert`: `openlyra models convert` makes safetensors of it first."""
    parts: tuple[str, ...] = ()
    """Parts of a model folder that these files are or become."""

    @property
    def terms(self) -> Licence:
        """The licence."""
        return LICENCES[self.licence]


PARTS = ("vae", "text_encoder", "image_encoder")
REGISTRY: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            "lyra-2.0", "nvidia/Lyra-2.0", ("checkpoints/model/*", "checkpoints/text_encoder/negative_prompt.pt"), 34.1,
            "nvidia-research", "the video transformer, 17.0 B parameters, and its negative prompt", "convert",
            ("transformer", "negative_prompt.safetensors"),
        ),
        Weights(
            "lyra-2.0-lora", "nvidia/Lyra-2.0", ("checkpoints/lora/*.safetensors",), 1.0, "nvidia-research",
            "adapters: four-step distillation and two styles", "convert", ("lora",),
        ),
        Weights(
            "lyra-2.0-encoders", "nvidia/Lyra-2.0",
            ("checkpoints/vae/*", "checkpoints/text_encoder/encoder.pth", "checkpoints/image_encoder/*"), 16.7,
            "nvidia-research", "the same encoders in the original format", "convert", PARTS,
        ),
        Weights(
            "wan-2.1-encoders", "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
            ("vae/*", "text_encoder/*", "tokenizer/*", "image_encoder/*"), 25.8, "apache-2.0",
            "auto-encoder, UMT5-XXL text encoder with tokeniser, CLIP ViT-H/14 image encoder", "safetensors",
            (*PARTS, "tokenizer"),
        ),
        Weights(
            "wan-2.1-i2v", "Wan-AI/Wan2.1-I2V-14B-480P", ("diffusion_pytorch_model*",), 65.6, "apache-2.0",
            "the image-to-video transformer that training starts from", "convert", ("transformer",),
        ),
        Weights(
            "depth-anything-v2-small", "depth-anything/Depth-Anything-V2-Small-hf", ("*.safetensors", "*.json"), 0.1,
            "apache-2.0", "depth from one photo (--depth depth-anything)", "safetensors",
        ),
        Weights(
            "depth-anything-3", "depth-anything/DA3NESTED-GIANT-LARGE-1.1", ("*.safetensors", "*.json"), 6.8,
            "cc-by-nc-4.0", "depth from several frames with known cameras", "safetensors",
        ),
        Weights(
            "stable-diffusion-2-inpainting", "stabilityai/stable-diffusion-2-inpainting",
            ("*.json", "*.txt", "*/*.json", "*/*.txt", "*/*.safetensors"), 5.2, "openrail++",
            "an inpainting pipeline (--generator inpaint --inpaint-model)", "safetensors",
        ),
    )
}  # fmt: skip
"""Downloads by name."""


def find(name: str) -> Weights:
    """The entry of that name. Raises InputError."""
    if name not in REGISTRY:
        raise InputError(f"weights '{name}' are not known; choose from: {', '.join(REGISTRY)}")
    return REGISTRY[name]


Download = Callable[..., str]


def fetch(
    name: str, folder: Path, accepted: Iterable[str] = (), revision: str | None = None, download: Download | None = None
) -> Path:
    """Download weights into a folder and record their licence. A download that was interrupted goes on.

    Raises InputError for unknown names, licences that were not accepted, and what the Hub answers; MissingExtraError.
    """
    weights = find(name)
    require_accepted([weights.licence], list(accepted), name)
    download = download or _snapshot_download()
    try:
        download(
            repo_id=weights.repository, allow_patterns=list(weights.files), local_dir=str(folder), revision=revision
        )
    except (OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{weights.repository}: cannot be downloaded ({first})") from error
    missing = [pattern for pattern in weights.files if not _any_match(folder, pattern)]
    if missing:
        raise InputError(f"{weights.repository}: has no files {missing[0]}; what was expected there has changed")
    parts = weights.parts if weights.format == "safetensors" and weights.parts else (weights.name,)
    record(folder, [Entry(part, weights.repository, weights.licence) for part in parts])
    return folder


def licence_of_repository(repository: str) -> str:
    """Licence name of a repository in the table; `unknown` when it is not there."""
    return next((w.licence for w in REGISTRY.values() if w.repository == repository), "unknown")


def _any_match(folder: Path, pattern: str) -> bool:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return any(fnmatch.fnmatch(name, pattern) for name in names)


def _snapshot_download() -> Any:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingExtraError("huggingface-hub", "lyra") from None
    return snapshot_download
