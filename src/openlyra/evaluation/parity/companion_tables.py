"""`state_dict_vae.tsv` and `state_dict_text_image_encoders.tsv`: every published tensor of the companion networks has a
place of its shape in ours, on the meta device, and no place of ours is left over."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from openlyra.errors import InputError
from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare_exact
from openlyra.models.image_encoder import ImageEncoderConfig, build_image_network, from_original, network_key
from openlyra.models.text_encoder import TextEncoderConfig, build_text_network, original_text_key
from openlyra.models.video_vae import VideoVaeConfig, build_network, original_key

Shapes = dict[str, tuple[int, ...]]
MAX_BYTES = 4_000_000


def check(file: GoldenFile) -> Iterator[Comparison]:
    """Keys and shapes of each network in the table, in the file's own names where they are one to one."""
    for network, published in _read(file).items():
        with torch.device("meta"):
            ours, theirs = _both(network, published)
        differing = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
        yield compare_exact(f"{network}: keys and shapes", differing[:3], [])
        yield compare_exact(f"{network}: tensors", len(ours), len(theirs))


def _both(network: str, published: Shapes) -> tuple[Shapes, Shapes]:
    """(our shapes, published shapes) under common names."""
    if network == "vae":
        built = build_network(VideoVaeConfig()).state_dict()
        return {original_key(key): tuple(value.shape) for key, value in built.items()}, published
    if network == "text_encoder":
        built = build_text_network(TextEncoderConfig()).state_dict()
        named = {original_text_key(key): tuple(value.shape) for key, value in built.items()}
        return {key: shape for key, shape in named.items() if key is not None}, published
    if network == "image_encoder":
        tower = build_image_network(ImageEncoderConfig())
        tensors = {key.removeprefix("visual."): torch.empty(*shape) for key, shape in published.items()}
        renamed = {network_key(key, tower): tuple(value.shape) for key, value in from_original(tensors).items()}
        return {key: tuple(value.shape) for key, value in tower.state_dict().items()}, renamed
    raise InputError(f"network '{network}' of the table is unknown; vae, text_encoder or image_encoder are")


def _read(file: GoldenFile) -> dict[str, Shapes]:
    """Network -> key -> shape. The auto-encoder's table has no column that names the network."""
    if file.path.stat().st_size > MAX_BYTES:
        raise InputError(f"{file.path}: is larger than {MAX_BYTES} bytes, so it is no key table")
    header, *rows = [line.split("\t") for line in file.path.read_text().splitlines() if line]
    tables: dict[str, Shapes] = {}
    for row in rows:
        entry = dict(zip(header, row))
        if entry.keys() < {"key", "shape"}:
            raise InputError(f"{file.path}: a row has no key and shape: {row}")
        shape = tuple(int(size) for size in entry["shape"].split("x") if size)
        tables.setdefault(entry.get("file", "vae"), {})[entry["key"]] = shape
    return tables
