"""`net_info.json`, `extra_info.json`: layouts, sizes, hashes, sensitivities, loss and gradient norms."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare, compare_exact
from openlyra.evaluation.parity.gradients import compute
from openlyra.evaluation.parity.network_cases import (
    LATENT_SIZE,
    RECORDED,
    TINY,
    TINY_RELEASED_LAYOUT,
    NetworkInputs,
    build,
    formula_inputs,
    nothing_retrieved,
)
from openlyra.memory.correspondence import CELL
from openlyra.models.frame_packing import FRAMES_PER_LATENT, Layout, token_positions
from openlyra.models.lyra_config import SLOT_CHANNELS, LyraConfig
from openlyra.models.rotary import plane_split

TOLERANCE = 2e-5
INPUT_FIELDS = {
    "x": "latents", "y_mask_cond": "conditions", "y_plucker": "rays", "buffer": "buffer", "text": "text",
    "clip": "image", "timestep": "timestep",
}  # fmt: skip


def check(file: GoldenFile) -> Iterator[Comparison]:
    """All facts of the file that are about the network."""
    facts = json.loads(file.path.read_text())
    if "framepack" in facts:
        for text, expected in facts["framepack"].items():
            yield compare_exact(f"framepack {text}", layout_facts(text), expected)
    yield from _tiny_facts(facts)
    if "real" in facts:
        yield from _released_layout_facts(facts["real"])
    yield from _gradient_facts(file, facts)
    for key in ("rope.hd128", "rope.hd32"):
        if key in facts:
            split = dict(zip(("t_pairs", "h_pairs", "w_pairs"), plane_split(int(key.removeprefix("rope.hd")))))
            yield compare_exact(key, {**split, "ntk": facts[key].get("ntk")}, facts[key])


def layout_facts(text: str) -> dict[str, Any]:
    """A layout as the recorded facts describe it."""
    layout = Layout.parse(text)
    return {
        "splits": [*(segment.frames for segment in layout.segments), layout.new_frames],
        "kernel_sizes": [segment.kernel for segment in layout.segments],
        "kernel_types": [segment.kind for segment in layout.segments],
        "kernel_ids": [*range(len(layout.segments)), -1],
        "indices_len": layout.spans[-1][1],
        "temporal_hist": layout.temporal_frames,
        "spatial_hist": layout.spatial_frames,
        "new_latent": layout.new_frames,
        "new_video": FRAMES_PER_LATENT * layout.new_frames,
        "history_latent": layout.history_frames,
        "total": layout.total_frames,
    }


def _tiny_facts(facts: Mapping[str, Any]) -> Iterator[Comparison]:
    inputs = formula_inputs(RECORDED[0])
    if "tiny_parameters" in facts:
        yield compare_exact("tiny_parameters", _parameters(TINY), facts["tiny_parameters"])
    if "lyra_inputs" in facts:
        yield from _hashes("lyra_inputs", inputs, facts["lyra_inputs"])
    if "nothing_retrieved_buffer_sha256" in facts:
        buffer = _last_bits_of_linspace(nothing_retrieved(Layout.parse(TINY.layout or ""), *LATENT_SIZE))
        yield compare_exact("nothing_retrieved buffer", sha256(buffer), facts["nothing_retrieved_buffer_sha256"])
    if "sensitivity" in facts:
        yield from _sensitivity(inputs, facts["sensitivity"])


def _last_bits_of_linspace(buffer: Tensor) -> Tensor:
    """Canonical coordinates with the rounding of torch's linspace, which the recorded hash has and NumPy's has not."""
    counts = (CELL * LATENT_SIZE[0], CELL * LATENT_SIZE[1], buffer.shape[1] // SLOT_CHANNELS)
    grid = torch.cat([torch.linspace(-1, 1, count) for count in counts]).unique()
    above = torch.searchsorted(grid, buffer).clamp(1, len(grid) - 1)
    lower, upper = grid[above - 1], grid[above]
    near = torch.where(buffer - lower < upper - buffer, lower, upper)
    return torch.where((near - buffer).abs() < 1e-6, near, buffer)


def _sensitivity(inputs: NetworkInputs, expected: Mapping[str, float]) -> Iterator[Comparison]:
    """Mean absolute output, and how far it moves without rays or correspondences."""
    model = build(TINY)
    with torch.no_grad():
        full = inputs.fast(model)
        assert inputs.rays is not None and inputs.buffer is not None
        no_rays = replace(inputs, rays=torch.zeros_like(inputs.rays)).fast(model)
        no_buffer = replace(inputs, buffer=torch.zeros_like(inputs.buffer)).fast(model)
    found = {
        "out_abs_mean": full.abs().mean(),
        "zero_plucker": (full - no_rays).abs().mean(),
        "zero_buffer": (full - no_buffer).abs().mean(),
    }
    for name in sorted(found.keys() & expected.keys()):
        yield compare(f"sensitivity {name}", found[name], expected[name], TOLERANCE)


def _released_layout_facts(facts: Mapping[str, Any]) -> Iterator[Comparison]:
    network = RECORDED[1]
    yield from _hashes("real", formula_inputs(network), facts["inputs"])
    model = build(network.config)
    weights = {key: sha256(value) for key, value in model.named_parameters()}
    yield compare_exact("real weights", weights, facts["weights_sha256"])
    yield compare_exact("real num_parameters", _parameters(TINY_RELEASED_LAYOUT), facts["num_parameters"])
    layout = Layout.parse(network.config.layout or "")
    tokens = len(token_positions(layout, layout.total_frames, *LATENT_SIZE))
    yield compare_exact("real tokens", tokens, facts["tokens"])


def _gradient_facts(file: GoldenFile, facts: Mapping[str, Any]) -> Iterator[Comparison]:
    if "loss" not in facts and "grad_norms" not in facts:
        return
    loss, gradients = compute(file)
    if "loss" in facts:
        yield compare("loss", loss, facts["loss"], TOLERANCE)
    for key, norm in facts.get("grad_norms", {}).items():
        yield compare(f"grad_norms {key}", gradients[key].norm(), norm, TOLERANCE)


def _hashes(name: str, inputs: NetworkInputs, expected: Mapping[str, Mapping[str, Any]]) -> Iterator[Comparison]:
    for key, facts in expected.items():
        yield compare_exact(f"{name} {key}", sha256(getattr(inputs, INPUT_FIELDS[key])), facts["sha256"])


def sha256(value: Tensor) -> str:
    """Hash of a tensor's bytes in row-major order."""
    return hashlib.sha256(value.detach().contiguous().numpy().tobytes()).hexdigest()


def _parameters(config: LyraConfig) -> int:
    return sum(parameter.numel() for parameter in build(config).parameters())
