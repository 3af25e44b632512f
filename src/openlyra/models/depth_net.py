"""The small depth network: photo to inverse depth, sky, trust and focal length, all in one pass.

An EfficientNet-Lite0 encoder (Tan, Le, 2019; batch norm folded into the convolutions), a feature pyramid of 48 channels
(Lin et al., Feature pyramid networks, 2017), and a last step from half to full resolution whose weights are read from
the photo itself, a convex combination of 3 x 3 neighbours a pixel (Teed, Deng, RAFT, 2020), so outlines stay sharp.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 32
"""Photo sides must be multiples of this."""
CHANNELS = 48
SHARPNESS = 10.0  # of the soft plus: near things are linear in inverse depth, far ones logarithmic

# EfficientNet-Lite0: repeats, kernel, stride, expansion, channels.
STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
TAPS = {0: 16, 1: 24, 2: 40, 4: 112, 6: 320}
"""Stages whose output the pyramid sees and its channels; strides 2, 4, 8, 16, 32."""


class DepthPrediction(NamedTuple):
    """What the network says of a batch of photos."""

    inverse: Tensor
    """(B, H, W) inverse depth times focal length over image diagonal, positive; about 1/metre for an ordinary lens."""
    sky: Tensor
    """(B, H, W) logits."""
    spread: Tensor
    """(B, H, W) log of the expected absolute error of log depth."""
    log_focal: Tensor
    """(B,) log of focal length over image diagonal."""


class Conv(nn.Conv2d):
    """Convolution that pads the way TensorFlow does: (k - 2) / 2 before an even grid when striding by two."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, dilation: int = 1):
        padding = dilation * (kernel // 2) if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, dilation, groups)
        self.margin = ((kernel - 2) // 2, kernel - 2 - (kernel - 2) // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w), even sides when the stride is two -> (B, outputs, h / stride, w / stride)."""
        x = x if self.stride[0] == 1 else F.pad(x, self.margin * 2)
        if self.groups > 1 and torch.is_autocast_enabled("cpu"):
            # The gradient of a depthwise convolution in bfloat16 is two to four times slower than in float32 here.
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)


class Block(nn.Module):
    """Inverted residual: expand, filter each channel, project; added to its input where shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = inputs * expansion
        self.expand = Conv(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = Conv(wide, wide, kernel, stride, groups=wide)
        self.project = Conv(wide, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h / stride, w / stride)."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class Encoder(nn.Module):
    """EfficientNet-Lite0 without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(3, 32, 3, 2)
        stages, inputs = [], 32
        for repeats, kernel, stride, expansion, outputs in STAGES:
            blocks = []
            for number in range(repeats):
                blocks.append(Block(inputs, outputs, kernel, stride if number == 0 else 1, expansion))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W), normalised -> features at strides 2, 4, 8, 16, 32."""
        y, taps = F.relu6(self.stem(x)), []
        for number, stage in enumerate(self.stages):
            y = stage(y)
            if number in TAPS:
                taps.append(y)
        return taps


class DepthNet(nn.Module):
    """The whole network. Weights are those of a trained file or, fresh, random."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.lateral = nn.ModuleList([Conv(channels, CHANNELS, 1) for channels in TAPS.values()])
        self.merge = nn.ModuleList([Conv(CHANNELS, CHANNELS, 3) for _ in TAPS])
        self.context = Conv(CHANNELS, CHANNELS, 3, dilation=2)
        self.scene = Conv(TAPS[6], CHANNELS, 1)
        self.lens = nn.ModuleList([Conv(TAPS[6] + 2, 64, 1), Conv(64, 64, 3), Conv(64, 1, 1)])
        self.head = Conv(CHANNELS, 32, 3)
        self.fields = Conv(32, 3, 3)
        self.detail = Conv(12, 24, 3)
        self.blend = Conv(32 + 24, 9 * 4, 3)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, photo: Tensor) -> DepthPrediction:
        """(B, 3, H, W) in [0, 1], sides multiples of 32."""
        x = (photo - self.mean) / self.deviation
        taps = self.encoder(x)
        overview = F.relu6(self.scene(taps[-1].mean((2, 3), keepdim=True)))
        features = F.relu6(self.context(self.lateral[4](taps[4]) + overview))
        features = F.relu6(self.merge[4](features))
        for level in (3, 2, 1, 0):
            lateral = self.lateral[level](taps[level])
            grown = F.interpolate(features, size=lateral.shape[-2:], mode="bilinear", align_corners=False)
            features = F.relu6(self.merge[level](lateral + grown))
        head = F.relu6(self.head(features))
        detail = F.relu6(self.detail(F.pixel_unshuffle(x, 2)))
        full = convex_upsample(self.fields(head).float(), self.blend(torch.cat([head, detail], 1)).float())
        inverse = F.softplus(full[:, 0]) / SHARPNESS + 1e-4
        return DepthPrediction(inverse, full[:, 1], full[:, 2], self._log_focal(taps[-1]))

    def _log_focal(self, top: Tensor) -> Tensor:
        rows, columns = top.shape[-2:]
        y = torch.linspace(-1, 1, rows, device=top.device, dtype=top.dtype)[:, None].expand(rows, columns)
        x = torch.linspace(-1, 1, columns, device=top.device, dtype=top.dtype)[None].expand(rows, columns)
        place = torch.stack([y, x.abs()])[None].expand(top.shape[0], -1, -1, -1)
        z = F.relu6(self.lens[0](torch.cat([top, place], 1)))
        z = F.relu6(self.lens[1](z)).mean((2, 3), keepdim=True)
        return self.lens[2](z).float()[:, 0, 0, 0] + math.log(0.7)


def convex_upsample(coarse: Tensor, logits: Tensor) -> Tensor:
    """Double the resolution of (B, C, h, w): each fine pixel is a convex mix of the 3 x 3 coarse ones around it.

    Args:
        logits: (B, 9 * 4, h, w); softmax over the nine gives the weights of the four fine pixels.
    """
    batch, channels, rows, columns = coarse.shape
    weights = logits.view(batch, 9, 4, rows, columns).softmax(1)
    padded = F.pad(coarse, (1, 1, 1, 1), mode="replicate")
    fine = torch.zeros(batch, channels, 4, rows, columns, device=coarse.device, dtype=coarse.dtype)
    for k in range(9):
        shifted = padded[:, :, k // 3 : k // 3 + rows, k % 3 : k % 3 + columns]
        fine = fine + weights[:, k, None] * shifted[:, :, None]
    return F.pixel_shuffle(fine.reshape(batch, channels * 4, rows, columns), 2)
