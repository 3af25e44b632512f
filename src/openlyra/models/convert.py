"""Released weights to the folder OpenLyra reads: safetensors shards with a configuration beside them.

    MODEL/transformer    the video transformer        from a distributed checkpoint, a .pth, or safetensors shards
    MODEL/vae            the auto-encoder             from vae.pth (Wan2.1_VAE.pth)
    MODEL/text_encoder   UMT5-XXL                     from encoder.pth (models_t5_umt5-xxl-enc-bf16.pth)
    MODEL/image_encoder  CLIP ViT-H/14                from model.pth (models_clip_...pth)
    MODEL/negative_prompt.safetensors                 from negative_prompt.pt
    MODEL/lora           adapters                     copied

The layout of the encoders and the auto-encoder is that of the Diffusers release of Wan 2.1, so either can be used. What
a file is is told by the names in it, not by its own. Names, shapes and finite numbers are checked.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from openlyra.errors import InputError
from openlyra.media.atomic import atomic_path, write_bytes_atomic
from openlyra.models.checkpoint import SHARD_BYTES, Checkpoint, ShardWriter, require_finite
from openlyra.models.foreign import METADATA, read_distributed, read_pickle_file
from openlyra.models.image_encoder import ImageEncoderConfig, build_image_network, from_original, network_key
from openlyra.models.lyra_config import LyraConfig
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.tensors import write_tensors
from openlyra.models.text_encoder import TextEncoderConfig, build_text_network, original_text_key
from openlyra.models.video_vae import VideoVaeConfig, build_network, original_key

NEGATIVE_PROMPT = "t5_text_embeddings"
"""Name of the one tensor in the negative prompt's file, (1, 512, 4096)."""
TRAINING_COUNTERS = "accum_"
PICKLES = (".pth", ".pt")
Rename = Callable[[str, Tensor], Mapping[str, Tensor]]
Advance = Callable[[str, int, int], None]


class Source(Protocol):
    """A tensor that can be read when its turn comes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        ...

    def read(self) -> Tensor:
        """Its numbers."""
        ...


@dataclass(frozen=True)
class Sizes:
    """Sizes of the networks that the files must fit; the defaults are the released ones."""

    transformer: LyraConfig = field(default_factory=LyraConfig)
    vae: VideoVaeConfig = field(default_factory=VideoVaeConfig)
    text: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    image: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)


@dataclass(frozen=True)
class Converted:
    """What became of one part."""

    part: str
    """Folder or file below the model folder."""
    source: Path
    tensors: int
    """Tensors written."""
    parameters: int
    """Numbers written."""


def convert(
    source: Path, target: Path, sizes: Sizes | None = None, dtype: torch.dtype = torch.bfloat16,
    shard_bytes: int = SHARD_BYTES, advance: Advance = lambda stage, done, total: None,
) -> list[Converted]:  # fmt: skip
    """Convert one file, one checkpoint folder, or a whole released `checkpoints` folder.

    Args:
        dtype: type of the transformer's and the text encoder's weights; the other parts keep theirs.
        advance: called with (part, tensors done, tensors in all).

    Raises:
        InputError: nothing known in ``source``; a name, a shape or a number that is wrong. Nothing is written then, or
            the parts that were whole before.
    """
    sizes = sizes or Sizes()
    found = find_sources(source)
    done = []
    for part, path, tensors in found:
        if part == "lora":
            done.append(_copy_adapter(path, target))
        elif part == "negative_prompt":
            done.append(_write_negative_prompt(path, tensors, target))
        else:
            done.append(_write_network(part, path, tensors, target, sizes, dtype, shard_bytes, advance))
    return done


def find_sources(source: Path) -> list[tuple[str, Path, Mapping[str, Source]]]:
    """(part, path, tensors by name) of everything known at ``source``. Raises InputError when there is nothing."""
    if not source.exists():
        raise InputError(f"{source}: does not exist")
    distributed = [
        folder for folder in (source, source / "model", source / "model" / "model") if (folder / METADATA).is_file()
    ]
    found: list[tuple[str, Path, Mapping[str, Source]]] = []
    if distributed:
        found.append(_named(distributed[0], read_distributed(distributed[0])))
    if source.is_file():
        return [_named(source, _tensors_of(source))]
    for path in sorted(p for pattern in ("*", "*/*") for p in source.glob(pattern) if p.suffix in PICKLES):
        part = _named(path, read_pickle_file(path), strict=False)
        if part[0]:
            found.append(part)
    if any(source.glob("*.safetensors")):
        found.append(_named(source, _tensors_of(source)))
    found += [("lora", path, {}) for path in sorted(source.glob("lora/*.safetensors"))]
    if not found:
        raise InputError(f"{source}: nothing to convert here (no {METADATA}, no .pth or .pt of Lyra 2.0 or Wan 2.1)")
    return found


def _tensors_of(path: Path) -> Mapping[str, Source]:
    if path.suffix in PICKLES:
        return read_pickle_file(path)
    checkpoint = Checkpoint.open(path)
    return {name: _Stored(checkpoint, name) for name in checkpoint.tensors}


@dataclass(frozen=True)
class _Stored:
    checkpoint: Checkpoint
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.checkpoint.tensors[self.name].shape

    def read(self) -> Tensor:
        return next(iter(self.checkpoint.read([self.name])))[1]


def _named(path: Path, tensors: Mapping[str, Source], strict: bool = True) -> tuple[str, Path, Mapping[str, Source]]:
    """Which part it is, told by names that only this part has."""
    marks = {
        "negative_prompt": NEGATIVE_PROMPT, "image_encoder": "visual.patch_embedding.weight",
        "text_encoder": "blocks.0.attn.q.weight", "vae": "decoder.conv1.weight",
    }  # fmt: skip
    for part, mark in marks.items():
        if mark in tensors:
            return part, path, tensors
    stripped = {name.removeprefix("net."): value for name, value in tensors.items() if not name.startswith("net_ema.")}
    if "blocks.0.self_attn.q.weight" in stripped:
        return "transformer", path, stripped
    if strict:
        raise InputError(f"{path}: is none of the known files (its first tensor is {next(iter(tensors))})")
    return "", path, tensors


def _write_network(
    part: str, path: Path, tensors: Mapping[str, Source], target: Path, sizes: Sizes, dtype: torch.dtype,
    shard_bytes: int, advance: Advance,
) -> Converted:  # fmt: skip
    network, rename, used = _plan(part, tensors, sizes)
    _check_names(path, network, rename, used)
    stem = "diffusion_pytorch_model" if part == "vae" else "model"
    writer = ShardWriter(target / part, stem, shard_bytes)
    written = parameters = 0
    try:
        for number, (name, source) in enumerate(used.items()):
            advance(part, number, len(used))
            for new, value in rename(name, source.read()).items():
                require_finite(name, value, path)
                convert_type = value.is_floating_point() and part in ("transformer", "text_encoder")
                writer.add(new, value.to(dtype) if convert_type else value)
                written, parameters = written + 1, parameters + value.numel()
        writer.finish()
    except BaseException:
        writer.discard()
        raise
    _write_config(part, network, target / part)
    advance(part, len(used), len(used))
    return Converted(part, path, written, parameters)


def _plan(part: str, tensors: Mapping[str, Source], sizes: Sizes) -> tuple[nn.Module, Rename, dict[str, Source]]:
    """The network on the meta device, how to rename a tensor, and the tensors that are used."""
    with torch.device("meta"):
        if part == "vae":
            network = build_network(sizes.vae)
            names = {original_key(key): key for key in network.state_dict()}
            return network, lambda name, value: {names.get(name, name): value}, dict(tensors)
        if part == "text_encoder":
            network = build_text_network(sizes.text)
            keys = {original: key for key in network.state_dict() if (original := original_text_key(key))}
            return network, lambda name, value: {keys.get(name, name): value}, dict(tensors)
        if part == "image_encoder":
            tower = {k.removeprefix("visual."): v for k, v in tensors.items() if k.startswith("visual.")}
            tower.pop("head", None)
            return build_image_network(sizes.image), lambda name, value: from_original({name: value}), tower
        plain = not any(name.startswith("clean_patch_embeddings.") for name in tensors)
        config = sizes.transformer.without_conditioning() if plain else sizes.transformer
        used = {
            k: v for k, v in tensors.items() if not k.endswith("_extra_state") and not k.startswith(TRAINING_COUNTERS)
        }
        return LyraDiT(config), _flat_patch_embedding, used


def _flat_patch_embedding(name: str, value: Tensor) -> Mapping[str, Tensor]:
    """The public Wan file keeps the patch embedding as a convolution kernel."""
    return {name: value.flatten(1) if name == "patch_embedding.weight" else value}


def _check_names(path: Path, network: nn.Module, rename: Rename, tensors: Mapping[str, Source]) -> None:
    """Every tensor of the network is there with the right shape, and no other. Raises InputError."""
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items() if needed(name)}
    seen: set[str] = set()
    for name, source in tensors.items():
        for new, value in rename(name, torch.empty(source.shape, device="meta")).items():
            key = network_key(new, network)
            if key not in expected:
                raise InputError(f"{path}: {name} is not a tensor of this model")
            if tuple(value.shape) != expected[key]:
                raise InputError(f"{path}: {name} is {tuple(value.shape)}; the model needs {expected[key]}")
            seen.add(key)
    missing = sorted(expected.keys() - seen)
    if missing:
        raise InputError(f"{path}: {len(missing)} of {len(expected)} tensors are missing, first {missing[0]}")


def needed(name: str) -> bool:
    """Whether a name in a network's state dict has to come from a file: counters, copies and positions do not."""
    return not (
        name.startswith(TRAINING_COUNTERS) or name == "encoder.embed_tokens.weight" or name.endswith("position_ids")
    )


def _write_config(part: str, network: Any, folder: Path) -> None:
    if part == "transformer":
        write_bytes_atomic(folder / "config.json", network.config.to_json().encode())
    elif part == "vae":
        network.save_config(folder)
    else:
        network.config.save_pretrained(folder)


def _write_negative_prompt(path: Path, tensors: Mapping[str, Source], target: Path) -> Converted:
    value = tensors[NEGATIVE_PROMPT].read()
    require_finite(NEGATIVE_PROMPT, value, path)
    target.mkdir(parents=True, exist_ok=True)
    write_tensors(target / "negative_prompt.safetensors", {NEGATIVE_PROMPT: value})
    return Converted("negative_prompt.safetensors", path, 1, value.numel())


def _copy_adapter(path: Path, target: Path) -> Converted:
    checkpoint = Checkpoint.open(path)
    (target / "lora").mkdir(parents=True, exist_ok=True)
    with atomic_path(target / "lora" / path.name) as temporary:
        shutil.copyfile(path, temporary)
    count = sum(torch.Size(tensor.shape).numel() for tensor in checkpoint.tensors.values())
    return Converted(f"lora/{path.name}", path, len(checkpoint.tensors), count)
