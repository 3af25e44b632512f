"""What the depth network is trained to lower. All maps are (B, H, W), float32."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from openlyra.evaluation.depth_worlds import FARTHEST
from openlyra.models.depth_net import DepthPrediction

KEPT = 0.9  # part of the residuals that count; the largest are outlines and thin things nobody can place
HOPELESS = 0.7  # error of log depth beyond which a pixel counts as wrong, not as more wrong
CLOSE = 0.2  # error of log depth about which a pixel stops to count as right: a factor of 1.25 is 0.22
STRAIGHT = 2e-3  # relative second difference of inverse depth below which a spot is part of a plane


@dataclass(frozen=True)
class DepthTruth:
    """What a batch should have been."""

    inverse: Tensor
    """(B, H, W) inverse depth times focal length over image diagonal; 0 at the sky."""
    sky: Tensor
    """(B, H, W) bool."""
    log_focal: Tensor
    """(B,) log of focal length over image diagonal."""


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts."""

    affine: float = 1.0
    """Inverse depth up to scale and shift, largest residuals left out."""
    gradient: float = 0.5
    """Its gradients at four scales."""
    log: float = 0.5
    """Log depth up to scale."""
    log_gradient: float = 0.25
    """Gradients of log depth at four scales."""
    aligned: float = 3.0
    """Log depth after the best scale and shift of inverse depth, as evaluations measure it."""
    right: float = 2.0
    """Part of the pixels that are wrong after the same alignment, with a soft bound."""
    metric: float = 0.1
    """Log depth as it is, in metres."""
    plane: float = 1.0
    """Second differences of inverse depth where the truth has none."""
    normal: float = 0.1
    """One minus the cosine between surface normals."""
    sky: float = 2.0
    """Cross entropy of the sky."""
    focal: float = 0.3
    """Absolute error of log focal length."""
    spread: float = 0.05
    """Likelihood of the error under the stated spread (Laplace)."""


def depth_loss(
    said: DepthPrediction, truth: DepthTruth, weights: LossWeights | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum of all terms, a scalar, and the terms by name."""
    weights = weights or LossWeights()
    solid = ~truth.sky
    residual = (_normalised(said.inverse, solid) - _normalised(truth.inverse, solid)).clamp(-10, 10)
    log_residual = torch.log(said.inverse) - torch.log(truth.inverse.clamp_min(1e-4))
    centred = log_residual - _median(log_residual, solid)[:, None, None]
    wild = centred.clamp(-3, 3)
    farthest = truth.log_focal.exp()[:, None, None] / FARTHEST
    near = truth.inverse > farthest
    wrong = _aligned_error(said.inverse, truth.inverse, near, farthest)
    terms = {
        "affine": _trimmed(residual.abs(), torch.ones_like(solid)),
        "gradient": _gradients(residual, torch.ones_like(solid)),
        "log": _trimmed(wild.abs(), solid),
        "log_gradient": _gradients(wild, solid),
        "aligned": _mean(wrong.clamp_max(HOPELESS), near),
        "right": _mean(1 - torch.exp(-0.5 * (wrong / CLOSE) ** 2), near),
        "metric": _mean(log_residual.abs().clamp_max(3), solid),
        "plane": _bumps(said.inverse, truth.inverse),
        "normal": _normal_error(said.inverse, truth),
        "sky": F.binary_cross_entropy_with_logits(said.sky, truth.sky.float()),
        "focal": (said.log_focal - truth.log_focal).abs().mean(),
        "spread": _mean(wild.abs().detach() * torch.exp(-said.spread.clamp(-6, 2)) + said.spread.clamp(-6, 2), solid),
    }
    total = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
    return total, terms


def wrong_part(said: Tensor, true: Tensor, focal: Tensor) -> Tensor:
    """(B,) part of the pixels of maps of inverse depth off by more than a factor of 1.25 once scale and shift fit.

    What is farther than FARTHEST takes no part. `focal`, (B,), is focal length over image diagonal.
    """
    farthest = focal[:, None, None] / FARTHEST
    near = true > farthest
    wrong = (_aligned_error(said, true, near, farthest) > math.log(1.25)) & near
    return wrong.sum((1, 2)) / near.sum((1, 2)).clamp_min(1)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp_min(1)


def _median(values: Tensor, mask: Tensor, detach: bool = True) -> Tensor:
    """Median of each image inside its mask, (B,); 0 where the mask is empty."""
    values = values.detach() if detach else values
    return torch.where(mask, values, math.nan).flatten(1).nanmedian(1).values.nan_to_num(0.0)


def _normalised(inverse: Tensor, solid: Tensor) -> Tensor:
    """Each image minus its median, over its mean deviation from it: free of scale and shift (Ranftl et al., 2020).

    Both are those of the solid pixels: a picture that is mostly sky has no scale in its sky.
    """
    centred = inverse - _median(inverse, solid, detach=False)[:, None, None]
    spread = (centred.abs() * solid).sum((1, 2)) / solid.sum((1, 2)).clamp_min(1)
    return centred / (spread[:, None, None] + 1e-4)


def _aligned_error(said: Tensor, true: Tensor, near: Tensor, least: Tensor) -> Tensor:
    """(B, H, W) error of log depth where `near`, scale and shift of inverse depth aligned there by least squares.

    The alignment is differentiated too: an error close by moves it, and with it everything far away. `least`,
    (B, 1, 1), is the inverse depth of all that is farther.
    """
    count = near.sum((1, 2)).clamp_min(1)

    def mean(values: Tensor) -> Tensor:
        return ((values * near).sum((1, 2)) / count)[:, None, None]

    centred = said - mean(said)
    scale = mean(centred * true) / mean(centred.square()).clamp_min(1e-6)
    aligned = torch.maximum(scale * centred + mean(true), least)
    return (torch.log(aligned) - torch.log(torch.maximum(true, least))).abs()


def _trimmed(residual: Tensor, mask: Tensor) -> Tensor:
    """Mean of the smallest residuals of all images."""
    fixed = residual.detach()
    # A quantile from a sample is close enough and far cheaper than sorting everything.
    some = fixed[:, ::2, ::3][mask[:, ::2, ::3]]
    cut = torch.quantile(some, KEPT) if some.numel() else fixed.new_tensor(math.inf)
    return _mean(residual, mask & (fixed <= cut))


def _gradients(residual: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute first differences at four scales (Li, Snavely, MegaDepth, 2018)."""
    total = residual.new_zeros(())
    for scale in range(4):
        r, m = residual[:, :: 2**scale, :: 2**scale], mask[:, :: 2**scale, :: 2**scale]
        for axis in (1, 2):
            n = r.shape[axis] - 1
            both = m.narrow(axis, 1, n) & m.narrow(axis, 0, n)
            total = total + _mean((r.narrow(axis, 1, n) - r.narrow(axis, 0, n)).abs(), both)
    return total


def _second_difference(inverse: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """(second difference, mean of the three) along an axis, two shorter."""
    n = inverse.shape[axis] - 2
    a, b, c = (inverse.narrow(axis, start, n) for start in (0, 1, 2))
    return a + c - 2 * b, (a + b + c) / 3


def _bumps(said: Tensor, true: Tensor) -> Tensor:
    """Relative second differences of `said` where those of the truth vanish: planes are linear in inverse depth."""
    total = said.new_zeros(())
    for step in (2, 6, 16):
        for axis in (1, 2):
            bend, level = _second_difference(said[:, ::step, ::step], axis)
            true_bend, true_level = _second_difference(true[:, ::step, ::step], axis)
            straight = (true_bend.abs() < STRAIGHT * true_level) & (true_level > 0)
            relative = bend.abs() / level.detach().clamp_min(1e-3)
            total = total + _mean(relative.clamp_max(1.0), straight)
    return total


def _normal_error(said: Tensor, truth: DepthTruth) -> Tensor:
    """One minus the cosine between normals at half resolution, away from outlines."""
    rows, columns = said.shape[1:]
    focal = truth.log_focal.exp() * (rows**2 + columns**2) ** 0.5
    ours, other = _normals(said, focal), _normals(truth.inverse, focal)
    low, high = _range3(truth.inverse[:, ::2, ::2])
    smooth = (high < 1.1 * low)[:, 1:-1, 1:-1] & (low > 0)[:, 1:-1, 1:-1]
    return _mean(1 - (ours * other).sum(1), smooth)


def _normals(inverse: Tensor, focal: Tensor) -> Tensor:
    """Unit normals (B, 3, h, w) of a map seen with focal length (B,) in pixels; every second pixel, rim left out."""
    rows, columns = inverse.shape[1:]
    q = inverse[:, ::2, ::2]
    dx = (q[:, 1:-1, 2:] - q[:, 1:-1, :-2]) / 4
    dy = (q[:, 2:, 1:-1] - q[:, :-2, 1:-1]) / 4
    y = torch.arange(0, rows, 2, device=q.device)[1:-1, None] + 0.5 - rows / 2
    x = torch.arange(0, columns, 2, device=q.device)[None, 1:-1] + 0.5 - columns / 2
    # Plane n . (x/f, y/f, 1) = q: the gradient of q times f gives the first two entries.
    normal = torch.stack([dx * focal[:, None, None], dy * focal[:, None, None], q[:, 1:-1, 1:-1] - x * dx - y * dy], 1)
    return normal * normal.square().sum(1, keepdim=True).clamp_min(1e-12).rsqrt()


def _range3(values: Tensor) -> tuple[Tensor, Tensor]:
    """Least and greatest of 3 x 3 neighbours."""
    return -F.max_pool2d(-values[:, None], 3, 1, 1)[:, 0], F.max_pool2d(values[:, None], 3, 1, 1)[:, 0]
