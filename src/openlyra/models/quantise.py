"""Weights stored in eight bits, computed with in the type of what comes in: half the memory of bfloat16.

Each row of a weight has its own scale: y = (x Wq^T) * scale + bias. `int8` keeps 254 even steps between the largest
values of a row (relative error of a row's largest weight 0.4 %); `float8_e4m3fn` keeps four significant bits of every
weight (6 % of each, small ones too). Only the linear layers of the blocks are stored so: 98 % of the network.
"""

from __future__ import annotations

import re
from typing import Literal

import torch
from torch import Tensor, nn

QuantisedKind = Literal["int8", "float8"]
IN_BLOCKS = re.compile(r"blocks\.\d+\.(self_attn|cross_attn|ffn|cam_encoder|buffer_encoder).*")
"""Modules whose linear layers are stored in eight bits."""
KINDS: dict[str, tuple[torch.dtype, float]] = {"int8": (torch.int8, 127.0), "float8": (torch.float8_e4m3fn, 448.0)}
"""Type and largest value of each kind."""


class QuantisedLinear(nn.Module):
    """A linear layer with an eight-bit weight (out, in) and a float32 scale (out, 1)."""

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    @classmethod
    def from_weight(cls, weight: Tensor, bias: Tensor | None, kind: QuantisedKind) -> QuantisedLinear:
        """Quantise a weight (out, in)."""
        dtype, largest = KINDS[kind]
        wide = weight.detach().float()
        scale = wide.abs().amax(1, keepdim=True).clamp_min(1e-12) / largest
        steps = wide / scale
        stored = steps.round().clamp(-largest, largest) if dtype == torch.int8 else steps.clamp(-largest, largest)
        return cls(stored.to(dtype), scale, bias)

    def dequantised(self) -> Tensor:
        """The weight as it is used, float32 (out, in)."""
        assert isinstance(self.weight, Tensor) and isinstance(self.scale, Tensor)
        return self.weight.float() * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out) in the type of x."""
        assert isinstance(self.weight, Tensor) and isinstance(self.scale, Tensor)
        y = nn.functional.linear(x, self.weight.to(x.dtype)) * self.scale[:, 0].to(x.dtype)
        return y if self.bias is None else y + self.bias.to(x.dtype)


def quantise(network: nn.Module, kind: QuantisedKind) -> None:
    """Store the linear layers of the blocks in eight bits, in place."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Linear) and IN_BLOCKS.fullmatch(name):
            _replace(network, name, QuantisedLinear.from_weight(module.weight, _bias(module), kind))


def quantise_weight(
    network: nn.Module, name: str, value: Tensor, kind: QuantisedKind, device: torch.device | str
) -> bool:
    """Put one freshly read weight into a network that is still on the meta device, quantised; False if it is not to be.

    So a network is never whole in memory in its wide type.
    """
    owner, _, last = name.rpartition(".")
    module = network.get_submodule(owner)
    if last != "weight" or not isinstance(module, nn.Linear) or not IN_BLOCKS.fullmatch(owner):
        return False
    layer = QuantisedLinear.from_weight(value.to(device), None, kind)
    layer.bias = module.bias
    _replace(network, owner, layer)
    return True


def _bias(module: nn.Linear) -> Tensor | None:
    return None if module.bias is None else module.bias.detach()


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    owner, _, last = name.rpartition(".")
    setattr(network.get_submodule(owner), last, module)
