"""The fused photometric loss against its twin and against the metric."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from openlyra.evaluation.metrics import ssim
from openlyra.gaussians.photometric import photometric, photometric_plain


def pair(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    target = torch.rand(height, width, 3, generator=generator)
    image = (target + 0.1 * torch.randn(height, width, 3, generator=generator)).clamp(0, 1)
    return image, target, torch.rand(height, width, generator=generator)


@pytest.mark.parametrize("size", [(37, 53), (5, 70), (1, 1)])
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_value_and_gradient_agree_with_the_float64_twin(size: tuple[int, int], share: float) -> None:
    image, target, weight = pair(*size)
    fast, plain = image.clone().requires_grad_(), image.double().requires_grad_()
    quick = photometric(fast, target, weight, share)
    true = photometric_plain(plain, target.double(), weight.double(), share)
    quick.backward()
    true.backward()
    assert float(quick.detach()) == pytest.approx(float(true.detach()), rel=1e-5)
    assert float((fast.grad - plain.grad).norm()) <= 1e-5 * float(plain.grad.norm())


def test_structure_is_the_metric_away_from_the_border() -> None:
    image, target, _ = pair(60, 70)
    weight = torch.zeros(60, 70)
    weight[12:-12, 12:-12] = 1
    found = 1 - float(photometric(image, target, weight, 1.0))
    # The metric averages over the whole image and reflects at the border, which moves the mean a little.
    assert found == pytest.approx(ssim(image.numpy(), target.numpy()), abs=0.02)


def test_equal_images_cost_nothing_and_weightless_pixels_do_not_count() -> None:
    image, target, weight = pair(20, 30)
    assert float(photometric(target, target, weight)) == pytest.approx(0, abs=1e-6)
    weight = torch.ones(20, 30)
    weight[:, 15:] = 0
    spoiled = image.clone()
    spoiled[:, 25:] = torch.from_numpy(np.random.default_rng(0).uniform(0, 1, (20, 5, 3)).astype(np.float32))
    assert float(photometric(spoiled, target, weight)) == pytest.approx(float(photometric(image, target, weight)))
