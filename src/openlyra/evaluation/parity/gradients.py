"""`*grad*`: recorded loss and gradients of the tiny network.

The loss is the mean square of (velocity - N("in/target")) for the inputs of `net_lyra_forward`. Keys are parameter
names, with or without something before them; a single number is the norm of a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from openlyra.errors import InputError
from openlyra.evaluation.parity.formula import formula_normal
from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare
from openlyra.evaluation.parity.network_cases import (
    RECORDED,
    STORED_NAMES,
    TINY,
    build,
    formula_inputs,
    stored_inputs,
    stored_weights,
)

TOLERANCE = 2e-5


def check(file: GoldenFile) -> Iterator[Comparison]:
    """Loss, gradients and gradient norms in the file."""
    loss, gradients = compute(file)
    for key in sorted(key for key in file.keys if not key.startswith("in.")):
        expected = file[key]
        if key.rpartition(".")[2] == "loss":
            yield compare(key, torch.full_like(expected, loss), expected, TOLERANCE)
            continue
        name = next((name for name in gradients if key == name or key.endswith(f".{name}")), None)
        name = name or next((name for name in gradients if key.removesuffix(".norm").endswith(name)), None)
        if name is None:
            yield Comparison(key, math.inf, TOLERANCE, "not the loss, not a parameter or input of the tiny network")
            continue
        value = gradients[name]
        if expected.numel() == 1 and value.numel() != 1:
            value = value.norm().reshape(expected.shape)
        yield compare(key, value, expected, TOLERANCE)


def compute(file: GoldenFile) -> tuple[float, dict[str, Tensor]]:
    """Loss and the gradients of all parameters and inputs; inputs stored in the file or beside it, else by formula."""
    neighbour = file.neighbour("net_lyra_forward")
    inputs = formula_inputs(RECORDED[0])
    for source in filter(None, (neighbour, file if file.path.suffix == ".safetensors" else None)):
        inputs = stored_inputs(source, "in.", inputs)
    leaves = {name: getattr(inputs, field) for name, field in STORED_NAMES.items() if name not in ("timestep", "y")}
    for leaf in leaves.values():
        leaf.requires_grad_(True)
    model = build(TINY, stored_weights(file, TINY))
    velocity = inputs.fast(model)
    target = file["in.target"] if "in.target" in _keys(file) else formula_normal("in/target", velocity.shape)
    loss = (velocity - target).square().mean()
    loss.backward()
    gradients = {key: _gradient(key, parameter) for key, parameter in model.named_parameters()}
    return loss.item(), gradients | {name: _gradient(name, leaf) for name, leaf in leaves.items()}


def _keys(file: GoldenFile) -> frozenset[str]:
    return file.keys if file.path.suffix == ".safetensors" else frozenset()


def _gradient(name: str, leaf: Tensor) -> Tensor:
    if leaf.grad is None:
        raise InputError(f"{name}: the loss does not depend on it")
    return leaf.grad
