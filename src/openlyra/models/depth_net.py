"""The small depth network: photo to inverse depth, sky, trust and focal length, all in one pass.

An EfficientNet-Lite0 encoder (Tan, Le, 2019; batch norm folded into the convolutions), attention between all places of
its two coarsest grids, a feature pyramid (Lin et al., Feature pyramid networks, 2017), and a last step from half to
full resolution whose weights are read from the photo's finest features, a convex combination of 3 x 3 neighbours a
pixel (Teed, Deng, RAFT, 2020), so outlines stay sharp.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 32
"""Photo sides must be multiples of this."""
OVERVIEW = 256
"""Channels at stride 32."""
WIDTHS = (128, 96, 48)
"""Channels of the pyramid at strides 16, 8, 4."""
MIXERS = (10, 12)
"""Number of layers that see the whole photo at strides 32 and 16."""
HEAD = 32
"""Channels at stride 2."""
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
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
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
        y, taps = F.relu6(self.stem(x), inplace=True), []
        for number, stage in enumerate(self.stages):
            y = stage(y)
            if number in TAPS:
                taps.append(y)
        return taps


class Mixer(nn.Module):
    """What each place of a coarse grid learns from all others: self-attention, then two layers of its own.

    Normalised before each (Vaswani et al., Attention is all you need, 2017); places are told apart by a filter of
    neighbours (Chu et al., Conditional positional encodings, 2021), so any photo shape will do.
    """

    def __init__(self, width: int, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.place = Conv(width, width, 3, groups=width)
        self.ask = Conv(width, 3 * width, 1)
        self.answer = Conv(width, width, 1)
        self.grow = Conv(width, 3 * width, 1)
        self.shrink = Conv(3 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> the same."""
        batch, width, rows, columns = x.shape
        x = x + self.place(x)
        parts = self.ask(_normal(x)).reshape(batch, 3, self.heads, width // self.heads, rows * columns)
        query, key, value = parts.transpose(3, 4).unbind(1)
        if torch.is_grad_enabled():
            # Written out: on CPUs the gradient of `scaled_dot_product_attention` takes two to three times as long.
            heard = (query * query.shape[-1] ** -0.5 @ key.mT).softmax(-1) @ value
        else:
            heard = F.scaled_dot_product_attention(query, key, value)
        x = x + self.answer(heard.transpose(2, 3).reshape(batch, width, rows, columns))
        return x + self.shrink(F.gelu(self.grow(_normal(x))))


class Fuse(nn.Module):
    """A level of the pyramid: its own features plus the coarser level's, then a residual pair of 3 x 3 filters."""

    def __init__(self, inputs: int, above: int, width: int):
        super().__init__()
        self.lateral = Conv(inputs, width, 1)
        self.carry = Conv(above, width, 1)
        self.first = Conv(width, width, 3)
        self.second = Conv(width, width, 3)

    def forward(self, tap: Tensor, above: Tensor) -> Tensor:
        """(B, inputs, h, w) and (B, above, h / 2, w / 2) -> (B, width, h, w)."""
        grown = F.interpolate(self.carry(above), size=tap.shape[-2:], mode="bilinear", align_corners=False)
        x = self.lateral(tap) + grown
        return x + self.second(F.relu6(self.first(F.relu6(x)), inplace=True))


class DepthNet(nn.Module):
    """The whole network. Weights are those of a trained file or, fresh, random."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.enter = Conv(TAPS[6] + 2, OVERVIEW, 1)
        self.overview = nn.ModuleList([Mixer(OVERVIEW) for _ in range(MIXERS[0])])
        self.lens = nn.ModuleList([Conv(OVERVIEW, 64, 1), Conv(64, 1, 1)])
        above = (OVERVIEW, *WIDTHS)
        self.levels = nn.ModuleList(
            [Fuse(inputs, above[n], WIDTHS[n]) for n, inputs in enumerate((TAPS[4], TAPS[2], TAPS[1]))]
        )
        self.middle = nn.ModuleList([Mixer(WIDTHS[0]) for _ in range(MIXERS[1])])
        self.carry = Conv(WIDTHS[-1], HEAD, 1)
        self.lateral = Conv(TAPS[0], HEAD, 1)
        self.detail = Conv(12, HEAD, 3)
        self.head = Conv(HEAD, HEAD, 3)
        self.fields = Conv(HEAD, 3, 3)
        self.blend = Conv(HEAD, 9 * 4, 1)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, photo: Tensor) -> DepthPrediction:
        """(B, 3, H, W) in [0, 1], sides multiples of 32."""
        x = (photo - self.mean) / self.deviation
        taps = self.encoder(x)
        features = self.enter(torch.cat([taps[-1], _directions(taps[-1])], 1))
        for mixer in self.overview:
            features = mixer(features)
        log_focal = self._log_focal(features)
        features = self.levels[0](taps[3], features)
        for mixer in self.middle:
            features = mixer(features)
        features = self.levels[2](taps[1], self.levels[1](taps[2], features))
        fine = self.lateral(taps[0]) + self.detail(F.pixel_unshuffle(x, 2))
        fine = fine + F.interpolate(self.carry(features), size=fine.shape[-2:], mode="bilinear", align_corners=False)
        head = F.relu6(self.head(F.relu6(fine, inplace=True)), inplace=True)
        full = convex_upsample(self.fields(head).float(), self.blend(head).float())
        inverse = F.softplus(full[:, 0]) / SHARPNESS + 1e-4
        return DepthPrediction(inverse, full[:, 1], full[:, 2], log_focal)

    def _log_focal(self, overview: Tensor) -> Tensor:
        z = F.relu6(self.lens[0](_normal(overview))).mean((2, 3), keepdim=True)
        return self.lens[1](z).float()[:, 0, 0, 0] + math.log(0.7)


def _normal(x: Tensor) -> Tensor:
    """(B, C, h, w) with mean 0 and deviation 1 over the channels of each place."""
    return F.layer_norm(x.permute(0, 2, 3, 1).float(), x.shape[1:2]).permute(0, 3, 1, 2)


def _directions(top: Tensor) -> Tensor:
    """(B, 2, h, w): row and column of each place from the middle, in half diagonals."""
    rows, columns = top.shape[-2:]
    half = math.hypot(rows, columns) / 2
    y = (torch.arange(rows, device=top.device) + 0.5 - rows / 2) / half
    x = (torch.arange(columns, device=top.device) + 0.5 - columns / 2) / half
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")).to(top.dtype)
    return grid[None].expand(top.shape[0], -1, -1, -1)


def convex_upsample(coarse: Tensor, logits: Tensor) -> Tensor:
    """Double the resolution of (B, C, h, w): each fine pixel is a convex mix of the 3 x 3 coarse ones around it.

    Args:
        logits: (B, 9 * 4, h, w); softmax over the nine gives the weights of the four fine pixels.
    """
    batch, channels, rows, columns = coarse.shape
    # Unbound, their gradient is stacked once; nine slices would each fill and add a full one.
    weights = logits.view(batch, 9, 4, rows, columns).softmax(1).unbind(1)
    padded = F.pad(coarse, (1, 1, 1, 1), mode="replicate")
    fine = torch.zeros(batch, channels, 4, rows, columns, device=coarse.device, dtype=coarse.dtype)
    for k in range(9):
        shifted = padded[:, :, k // 3 : k // 3 + rows, k % 3 : k % 3 + columns]
        fine = torch.addcmul(fine, weights[k][:, None], shifted[:, :, None])
    return F.pixel_shuffle(fine.reshape(batch, channels * 4, rows, columns), 2)
