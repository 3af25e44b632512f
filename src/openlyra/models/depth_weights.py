"""The depth network's weights: which file, how it is checked, how it becomes a network."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from openlyra.errors import InputError
from openlyra.models.depth_net import DepthNet

SHA256 = "ccb4d097db7487209567a873a4b6f49249712b81ee1f1d80a182f67a09b5d761"
"""Of the file the package ships."""
MAX_BYTES = 64_000_000
"""No file of weights for this network is larger."""


@lru_cache(maxsize=2)
def load_depth_net(path: Path | None = None) -> DepthNet:
    """The network with the package's weights, checked against their hash, or with those of another file.

    Raises InputError when the file is missing, damaged, or holds another network.
    """
    if path is not None:
        return read_depth_net(path)
    with resources.as_file(resources.files("openlyra.models") / "weights" / "depth_nano.safetensors") as shipped:
        return read_depth_net(shipped, SHA256)


def read_depth_net(path: Path, sha256: str | None = None) -> DepthNet:
    """Read a network from safetensors; `sha256` in hexadecimal is what the file must hash to. See `load_depth_net`."""
    if not path.is_file():
        raise InputError(f"{path}: weights of the depth network are missing; reinstall openlyra or train them anew")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: {path.stat().st_size} bytes; weights of the depth network are far smaller")
    if sha256 is not None and (found := hashlib.sha256(path.read_bytes()).hexdigest()) != sha256:
        raise InputError(f"{path}: damaged: SHA-256 {found[:12]}..., must be {sha256[:12]}...; reinstall openlyra")
    net = DepthNet()
    expected = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    try:
        with safe_open(path, "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
            wrong = sorted(name for name in expected.keys() | shapes.keys() if expected.get(name) != shapes.get(name))
            if wrong:
                raise InputError(
                    f"{path}: not weights of this depth network: {wrong[0]} is {shapes.get(wrong[0], 'missing')}, "
                    f"must be {expected.get(wrong[0], 'absent')}"
                )
            state = {name: file.get_tensor(name).float() for name in expected}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error})") from None
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise InputError(f"{path}: the weights hold values that are not finite")
    net.load_state_dict(state)
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
