"""`net_*`: recorded forward passes of small networks, with the constants of a chunk kept and by the slow twin.

A file holds one run (`out`, `mid.*`, `in.*`) or several (`<case>.out`, ...). What a case changes is told by its stored
inputs (`<case>.in.*`) or by its name. Every result is compared for both formulations where both have it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from openlyra.errors import InputError
from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare
from openlyra.evaluation.parity.network_cases import (
    RECORDED,
    TINY_BASE,
    NetworkInputs,
    RecordedNetwork,
    build,
    formula_inputs,
    nothing_retrieved,
    stored_inputs,
    stored_weights,
)
from openlyra.models.frame_packing import Layout
from openlyra.models.lyra_config import LyraConfig
from openlyra.models.lyra_dit import LyraDiT

TOLERANCE = 2e-5
ZEROED = {"plucker": "rays", "camera": "rays", "buffer": "buffer", "text": "text", "clip": "image"}


@dataclass(frozen=True)
class Case:
    """One recorded run."""

    name: str
    """Prefix of its keys, empty for a file with a single run."""
    config: LyraConfig
    """The network."""
    inputs: NetworkInputs
    """What it was given."""


def check(file: GoldenFile) -> Iterator[Comparison]:
    """All runs of the file."""
    for name in case_names(file):
        case = read_case(file, name)
        model = build(case.config, stored_weights(file, case.config)).eval()
        prefix = f"{name}." if name else ""
        trace: dict[str, Tensor] = {}
        with torch.no_grad():
            plain = case.inputs.plain(model, trace)
            with module_outputs(model) as seen:
                fast = case.inputs.fast(model)
        yield compare(f"{prefix}out", fast, file[f"{prefix}out"], TOLERANCE)
        yield compare(f"{prefix}out (slow twin)", plain, file[f"{prefix}out"], TOLERANCE)
        for key in sorted(key for key in file.keys if key.startswith(f"{prefix}mid.")):
            expected, middle = file[key], key.removeprefix(f"{prefix}mid.")
            for how, values in (("", seen), (" (slow twin)", trace)):
                if (value := _value(values, middle)) is not None:
                    yield compare(key + how, value.reshape(_like(value, expected)), expected, TOLERANCE)


def case_names(file: GoldenFile) -> list[str]:
    """Names of the runs in a file, the empty name for a file that is one run."""
    found = [match[1] or "" for key in sorted(file.keys) if (match := re.fullmatch(r"(?:(.+)\.)?out", key))]
    names = [name for name in found if not re.search(r"(^|\.)(mid|in)(\.|$)", name)]
    if not names:
        raise InputError(f"{file.path}: no tensor 'out' or '<case>.out'; a recorded forward pass has one")
    return names


def read_case(file: GoldenFile, name: str) -> Case:
    """The network and the inputs of one run."""
    prefix = f"{name}." if name else ""
    if file.shape(f"{prefix}out")[2:] == file.shape("in.x")[2:]:  # nothing is history: the plain network
        return Case(name, _sized(file, prefix, TINY_BASE), stored_inputs(file, f"{prefix}in.", None))
    network = _network(file, prefix)
    inputs = stored_inputs(file, "in.", formula_inputs(network))
    inputs = stored_inputs(file, f"{prefix}in.", inputs) if prefix else inputs
    config, inputs = _changed(name, network.config, inputs)
    return Case(name, _sized(file, prefix, config), inputs)


def _network(file: GoldenFile, prefix: str) -> RecordedNetwork:
    """The recorded network whose layout generates what the run generates."""
    new = file.shape(f"{prefix}out")[2:3]
    for network in RECORDED:
        if (Layout.parse(network.config.layout or "").new_frames,) == new:
            return network
    raise InputError(f"{file.path}: no recorded network has an output of shape {file.shape(f'{prefix}out')}")


def _changed(name: str, config: LyraConfig, inputs: NetworkInputs) -> tuple[LyraConfig, NetworkInputs]:
    """What the name of a case says about it."""
    layout = Layout.parse(config.layout or "")
    if match := re.fullmatch(r"(?:int_)?timestep_(\d+(?:\.\d+)?)", name):
        return config, replace(inputs, timestep=torch.full_like(inputs.timestep, float(match[1])))
    if match := re.fullmatch(r"zero_(\w+)", name):
        field = ZEROED[match[1]]
        return config, replace(inputs, **{field: torch.zeros_like(getattr(inputs, field))})
    if name == "no_correspondence":
        return replace(config, buffer_channels=0), replace(inputs, buffer=None)
    if name == "gen_only_buffer" and inputs.buffer is not None:
        return config, replace(inputs, buffer=inputs.buffer[:, :, -layout.new_frames :])
    if name == "nothing_retrieved":
        return config, replace(inputs, buffer=nothing_retrieved(layout, *inputs.latents.shape[-2:]))
    return config, inputs


def _sized(file: GoldenFile, prefix: str, config: LyraConfig) -> LyraConfig:
    """The configuration with what recorded intermediates say about sizes."""
    changes: dict[str, Any] = {}
    if f"{prefix}mid.time.e" in file:
        changes["width"] = file[f"{prefix}mid.time.e"].shape[-1]
    if f"{prefix}mid.tokens.rope_angles" in file:
        angles = file[f"{prefix}mid.tokens.rope_angles"].shape[-1]
        changes["heads"] = changes.get("width", config.width) // (2 * angles)
    pattern = re.compile(re.escape(prefix) + r"mid\.block(\d+)\.out")
    seen = [int(match[1]) for key in file.keys if (match := pattern.fullmatch(key))]
    changes["blocks"] = max([config.blocks, *(index + 1 for index in seen)])
    return replace(config, **changes)


@contextmanager
def module_outputs(model: LyraDiT) -> Iterator[dict[str, Tensor]]:
    """Collect what the modules of the network return while it runs, under the names of the recorded intermediates."""
    seen: dict[str, Tensor] = {}
    named: dict[str, nn.Module] = {"context.text": model.text_embedding, "context.image": model.img_emb}
    for index, block in model.each_block():
        own, cross = block.self_attn, block.cross_attn
        modules: dict[str, nn.Module] = {
            "out": block, "norm1": block.norm1, "self_attn.q_normed": own.norm_q, "self_attn.k_normed": own.norm_k,
            "self_attn.v": own.v, "self_attn.out": own, "cross_attn.out": cross, "ffn.out": block.ffn,
        }  # fmt: skip
        if block.cam_encoder is not None:
            modules["cam_emb"] = block.cam_encoder
        named |= {f"block{index}.{name}": module for name, module in modules.items()}

    def keep(name: str):
        def hook(_module: nn.Module, _given: object, value: Tensor) -> None:
            seen[name] = value

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in named.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _value(values: dict[str, Tensor], name: str) -> Tensor | None:
    if name == "tokens.buffer_first_and_validity":
        tokens = values.get("tokens.buffer")
        return None if tokens is None else tokens[..., [0, -1]]
    if name == "camera_mean":
        tokens = values.get("tokens.camera")
        return None if tokens is None else tokens.mean(-1)
    return values.get(name)


def _like(value: Tensor, expected: Tensor) -> torch.Size:
    """The recorded shape where only the grouping of axes differs, else the shape of the value itself."""
    return expected.shape if value.numel() == expected.numel() else value.shape
