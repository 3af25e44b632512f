"""Low-rank adapters for the video transformer: read, checked against the network, merged or attached at run time.

W_eff = W + weight * alpha / rank * B A, and bias + weight * diff_b. Three ways of naming are understood:

    [diffusion_model.][net.]blocks.3.self_attn.q.lora_A.weight, .lora_B.weight
    [diffusion_model.][net.]blocks.3.self_attn.q.lora_down.weight, .lora_up.weight, .alpha
    lora_unet_blocks_3_self_attn_q.lora_down.weight, .lora_up.weight, .alpha

Source: network specification, section 9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from openlyra.errors import InputError
from openlyra.models.checkpoint import Checkpoint, StoredTensor, require_finite

RECOGNISED = re.compile(
    r"blocks\.\d+\.(self_attn\.[qkvo]|cross_attn\.([qkvo]|k_img|v_img)|ffn\.[02]|cam_encoder|buffer_encoder\.[01])"
    r"|time_projection\.1|head\.head|(text|time)_embedding\.[02]|patch_embedding|clean_patch_embeddings\.\d+"
    r"|img_emb\.proj\.[13]"
)
"""Modules an adapter may change."""
SUFFIXES = {
    ".lora_A.weight": "down", ".lora_B.weight": "up", ".lora_down.weight": "down", ".lora_up.weight": "up",
    ".alpha": "alpha", ".diff_b": "bias", ".diff": "diff",
}  # fmt: skip
UNDERSCORED = "lora_unet_"
LEAST_SPAN = 1.6e-2
"""Bias changes whose absolute values span less than this are noise and dropped."""


@dataclass(frozen=True)
class Adapter:
    """What an adapter file does to one module."""

    module: str
    """Name in the network."""
    down: Tensor
    """(rank, in)."""
    up: Tensor
    """(out, rank); alpha / rank is in it."""
    bias: Tensor | None = None
    """(out,) added to the bias."""

    def delta(self) -> Tensor:
        """Change of the weight, float32 (out, in)."""
        return self.up.float() @ self.down.float()


@dataclass(frozen=True)
class Lora:
    """An adapter file, checked against a network."""

    path: Path
    adapters: tuple[Adapter, ...]

    @property
    def rank(self) -> int:
        """Rank of the first adapter."""
        return self.adapters[0].down.shape[0]

    @classmethod
    def open(cls, path: str | Path, network: nn.Module) -> Lora:
        """Read an adapter. ``network`` may be on the meta device.

        Raises InputError, before any number is read, when the file was made for another network or has names that no
        adapter has.
        """
        checkpoint = Checkpoint.open(path)
        layers = dict(_layers(network))
        groups = _grouped(checkpoint, layers)
        for module, parts in groups.items():
            _check(checkpoint.path, module, parts, layers[module], checkpoint.tensors)
        for module in groups:
            other = module.replace("k_img", "v_img") if "k_img" in module else module.replace("v_img", "k_img")
            if other not in groups:
                raise InputError(f"{checkpoint.path}: {module} without {other}; image keys and values come in pairs")
        values = {name: value for name, value in checkpoint.read() if not name.endswith(".diff")}
        for name, value in values.items():
            require_finite(name, value, checkpoint.tensors[name].file)
        return cls(checkpoint.path, tuple(_adapter(module, parts, values) for module, parts in groups.items()))


def merge(network: nn.Module, lora: Lora, weight: float = 1.0) -> None:
    """Add the adapter to the weights. Costs nothing afterwards; a weight in bfloat16 is rounded once more."""
    for adapter, layer in _targets(network, lora):
        if not isinstance(layer, nn.Linear):
            raise InputError(f"{lora.path}: {adapter.module} is quantised; attach the adapter instead of merging it")
        with torch.no_grad():
            delta = weight * adapter.delta().to(layer.weight.device)
            layer.weight.copy_(layer.weight.float() + delta)
            if adapter.bias is not None:
                layer.bias.copy_(layer.bias.float() + weight * adapter.bias.to(layer.bias.device))


def attach(network: nn.Module, loras: Sequence[tuple[Lora, float]]) -> None:
    """Put adapters beside their layers, each with its weight; `detach` takes them away again.

    The layers themselves (quantised ones as well) stay untouched. Adapters of an earlier `attach` are replaced.
    """
    detach(network)
    for lora, weight in loras:
        for adapter, layer in _targets(network, lora):
            if not isinstance(layer, AdaptedLayer):
                layer = AdaptedLayer(layer)
                _replace(network, adapter.module, layer)
            layer.add(adapter, weight)


def detach(network: nn.Module) -> None:
    """Take all attached adapters away."""
    for name, module in list(network.named_modules()):
        if isinstance(module, AdaptedLayer):
            _replace(network, name, module.base)


class AdaptedLayer(nn.Module):
    """A linear layer with adapters beside it: base(x) + B (A x) for each."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.downs, self.ups, self.biases = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()

    def add(self, adapter: Adapter, weight: float) -> None:
        """One more adapter, in the type and on the device of the layer."""
        like = next((v for v in [*self.base.parameters(), *self.base.buffers()] if v.dtype.itemsize > 1), adapter.down)
        for values, to in ((adapter.down, self.downs), (weight * adapter.up.float(), self.ups)):
            to.append(nn.Parameter(values.to(like), requires_grad=False))
        if adapter.bias is not None:
            self.biases.append(nn.Parameter((weight * adapter.bias.float()).to(like), requires_grad=False))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        result = self.base(x)
        for down, up in zip(self.downs, self.ups):
            result = result + nn.functional.linear(nn.functional.linear(x, down.to(x.dtype)), up.to(x.dtype))
        for bias in self.biases:
            result = result + bias.to(x.dtype)
        return result


def _targets(network: nn.Module, lora: Lora) -> Iterator[tuple[Adapter, nn.Module]]:
    layers = dict(_layers(network))
    for adapter in lora.adapters:
        yield adapter, layers[adapter.module]


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules an adapter may change, by their name without any wrapper."""
    return ((name, module) for name, module in network.named_modules() if RECOGNISED.fullmatch(name))


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    owner, _, last = name.rpartition(".")
    setattr(network.get_submodule(owner), last, module)


def _grouped(checkpoint: Checkpoint, layers: Mapping[str, nn.Module]) -> dict[str, dict[str, str]]:
    """Module -> part (down, up, alpha, bias) -> name in the file. Raises InputError for a name that fits nothing."""
    underscored = {name.replace(".", "_"): name for name in layers}
    groups: dict[str, dict[str, str]] = {}
    for name in checkpoint.tensors:
        suffix = next((s for s in SUFFIXES if name.endswith(s)), None)
        if suffix is None:
            raise InputError(f"{checkpoint.path}: {name} is no tensor of an adapter")
        if SUFFIXES[suffix] == "diff":
            continue
        module = name.removesuffix(suffix).replace("diffusion_model.", "").removeprefix("net.")
        if module.startswith(UNDERSCORED):
            module = underscored.get(module.removeprefix(UNDERSCORED), module)
        if module not in layers:
            raise InputError(f"{checkpoint.path}: is for another model ({module} is not in this network)")
        groups.setdefault(module, {})[SUFFIXES[suffix]] = name
    if not groups:
        raise InputError(f"{checkpoint.path}: holds no adapter")
    return groups


def _check(
    path: Path, module: str, parts: Mapping[str, str], layer: nn.Module, stored: Mapping[str, StoredTensor]
) -> None:
    if "down" not in parts or "up" not in parts:
        raise InputError(f"{path}: {module} has only one of the two matrices of an adapter")
    down, up = stored[parts["down"]].shape, stored[parts["up"]].shape
    out, inside = layer_shape(layer)
    if len(down) != 2 or len(up) != 2 or down[0] != up[1]:
        raise InputError(f"{path}: the matrices of {module} are {down} and {up}, which cannot be multiplied")
    if (up[0], down[1]) != (out, inside):
        raise InputError(
            f"{path}: is for another model ({module} goes from {down[1]} to {up[0]}; "
            f"this network's from {inside} to {out})"
        )
    if "bias" in parts and stored[parts["bias"]].shape != (out,):
        raise InputError(f"{path}: the bias of {module} is {stored[parts['bias']].shape}; ({out},) is needed")
    if "bias" in parts and getattr(layer, "bias", True) is None:
        raise InputError(f"{path}: is for another model ({module} has no bias in this network)")


def layer_shape(layer: nn.Module) -> tuple[int, int]:
    """(out, in) of a linear layer, quantised or with adapters."""
    if isinstance(layer, AdaptedLayer):
        return layer_shape(layer.base)
    return layer.out_features, layer.in_features  # type: ignore[return-value]


def _adapter(module: str, parts: Mapping[str, str], values: Mapping[str, Tensor]) -> Adapter:
    down, up = values[parts["down"]], values[parts["up"]]
    if "alpha" in parts:
        up = up.float() * (float(values[parts["alpha"]]) / down.shape[0])
    bias = values[parts["bias"]].float() if "bias" in parts else None
    if bias is not None and (bias.abs().max() - bias.abs().min()) < LEAST_SPAN:
        bias = None
    return Adapter(module, down, up, bias)
