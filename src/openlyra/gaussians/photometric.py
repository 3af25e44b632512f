"""The photometric loss of a rendered frame, with its gradient: (1 - k) L1 + k (1 - SSIM), weighted a pixel (numba).

SSIM (Wang et al. 2004) with an 11x11 Gaussian window of deviation 1.5, pixels beyond the border counting as 0. With
B the blur, mx, my the blurred images, vx, vy, c their variances and covariance, S the SSIM map and w its weights,
the gradient by x is B(w (dS/dmx - 2 mx dS/dvx - my dS/dc)) + 2 x B(w dS/dvx) + y B(w dS/dc), B being its own adjoint.
`photometric_plain` is the twin for gradients by autograd, for float64 and for GPUs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange

from openlyra.gaussians.tiles_layout import STRICT, f4

RADIUS = 5
_C1, _C2 = 0.01**2, 0.03**2
_WINDOW = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / 1.5) ** 2)
_TAPS = tuple(f4(tap) for tap in _WINDOW / _WINDOW.sum())
_ZERO, _ONE, _TWO = f4(0), f4(1), f4(2)
_C1_F, _C2_F = f4(_C1), f4(_C2)


@njit(parallel=True, **STRICT)
def blur_planes(planes, out):  # type: ignore[no-untyped-def]
    """Blur each of (P, H, W) float32 planes."""
    count, height, width = planes.shape
    taps = np.array(_TAPS, f4)
    for job in prange(count * height):
        plane, row = job // height, job % height
        line = np.zeros(width + 2 * RADIUS, f4)
        for k in range(max(0, RADIUS - row), min(2 * RADIUS + 1, height + RADIUS - row)):
            tap = taps[k]
            for j in range(width):
                line[RADIUS + j] += tap * planes[plane, row + k - RADIUS, j]
        for j in range(width):
            out[plane, row, j] = _ZERO
        for k in range(2 * RADIUS + 1):
            tap = taps[k]
            for j in range(width):
                out[plane, row, j] += tap * line[j + k]


@njit(parallel=True, **STRICT)
def _moments(x, y, planes):  # type: ignore[no-untyped-def]
    """From images (H, W, 3) to the 15 planes x, y, xx, yy, xy a channel."""
    for i in prange(x.shape[0]):
        for channel in range(3):
            for j in range(x.shape[1]):
                a, b = x[i, j, channel], y[i, j, channel]
                planes[channel, i, j], planes[3 + channel, i, j], planes[6 + channel, i, j] = a, b, a * a
                planes[9 + channel, i, j], planes[12 + channel, i, j] = b * b, a * b


@njit(parallel=True, **STRICT)
def _slopes(blurred, weight, slopes, row_sums):  # type: ignore[no-untyped-def]
    """From blurred moments (15, H, W) to the three weighted slopes a channel (9, H, W); row sums of weighted 1 - S."""
    for i in prange(weight.shape[0]):
        total = 0.0
        for channel in range(3):
            for j in range(weight.shape[1]):
                mx, my, w = blurred[channel, i, j], blurred[3 + channel, i, j], weight[i, j]
                vx, vy = blurred[6 + channel, i, j] - mx * mx, blurred[9 + channel, i, j] - my * my
                top_mean = _TWO * mx * my + _C1_F
                top_spread = _TWO * (blurred[12 + channel, i, j] - mx * my) + _C2_F
                low_mean, low_spread = mx * mx + my * my + _C1_F, vx + vy + _C2_F
                inverse = _ONE / (low_mean * low_spread)
                s = top_mean * top_spread * inverse
                by_vx, by_c = -s / low_spread, _TWO * top_mean * inverse
                by_mx = _TWO * (my * top_spread * inverse - s * mx / low_mean)
                slopes[channel, i, j] = w * (by_mx - _TWO * mx * by_vx - my * by_c)
                slopes[3 + channel, i, j], slopes[6 + channel, i, j] = w * by_vx, w * by_c
                total += w * (_ONE - s)
        row_sums[i] = total


@njit(parallel=True, **STRICT)
def _combine(x, y, weight, blurred, share, gradient, row_sums):  # type: ignore[no-untyped-def]
    """The gradient of the sum (not the mean), and row sums of weighted |x - y|."""
    for i in prange(x.shape[0]):
        total = 0.0
        for j in range(x.shape[1]):
            for channel in range(3):
                a, b = x[i, j, channel], y[i, j, channel]
                d = a - b
                sign = _ONE if d > _ZERO else (-_ONE if d < _ZERO else _ZERO)
                rise = blurred[channel, i, j] + _TWO * a * blurred[3 + channel, i, j] + b * blurred[6 + channel, i, j]
                gradient[i, j, channel] = (_ONE - share) * weight[i, j] * sign - share * rise
                total += weight[i, j] * abs(d)
        row_sums[i] = total


class _Photometric(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, share: float) -> Any:  # type: ignore[override]
        x, y, w = (np.ascontiguousarray(t.detach().numpy(), np.float32) for t in (image, target, weight))
        height, width = w.shape
        moments = np.empty((15, height, width), np.float32)
        blurred = np.empty_like(moments)
        _moments(x, y, moments)
        blur_planes(moments, blurred)
        slopes, soft = moments[:9], np.empty(height)
        _slopes(blurred, w, slopes, soft)
        blur_planes(slopes, blurred[:9])
        gradient, hard = np.empty_like(x), np.empty(height)
        _combine(x, y, w, blurred[:9], f4(share), gradient, hard)
        total = max(float(w.sum(dtype=np.float64)), 1e-6) * 3
        ctx.save_for_backward(torch.from_numpy(gradient) / total)
        return image.new_tensor(((1 - share) * hard.sum() + share * soft.sum()) / total)

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient * outputs[0], None, None, None


def photometric(image: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, share: float = 0.2) -> torch.Tensor:
    """The loss, a scalar, as a mean weighted by `weight`.

    Args:
        image: (H, W, 3), the only one that gets a gradient.
        target: (H, W, 3) in [0, 1].
        weight: (H, W), not negative.
        share: k, the part of 1 - SSIM.
    """
    if image.device.type == "cpu" and image.dtype == torch.float32:
        return _Photometric.apply(image, target, weight, share)
    return photometric_plain(image, target, weight, share)


def photometric_plain(
    image: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, share: float = 0.2
) -> torch.Tensor:
    """The same by plain torch operations, any float type and device."""
    taps = image.new_tensor(_WINDOW / _WINDOW.sum())
    x, y = (t.movedim(-1, 0)[:, None] for t in (image, target))

    def blur(planes: torch.Tensor) -> torch.Tensor:
        down = torch.nn.functional.conv2d(planes, taps[None, None, :, None], padding=(RADIUS, 0))
        return torch.nn.functional.conv2d(down, taps[None, None, None, :], padding=(0, RADIUS))

    mx, my = blur(x), blur(y)
    vx, vy, c = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    similarity = (2 * mx * my + _C1) * (2 * c + _C2) / ((mx * mx + my * my + _C1) * (vx + vy + _C2))
    each = (1 - share) * (x - y).abs() + share * (1 - similarity)
    return (each[:, 0] * weight).sum() / (3 * weight.sum().clamp_min(1e-6))
