"""Image similarity."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def psnr(image: np.ndarray, reference: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB of two (H, W, 3) images in [0, 1] (uint8 is scaled); at most 100.

    Args:
        mask: (H, W) bool, the pixels that count.
    """
    difference = as_unit(image) - as_unit(reference)
    squared = difference**2 if mask is None else difference[mask] ** 2
    error = float(squared.mean())
    return 100.0 if error < 1e-10 else float(-10 * np.log10(error))


def ssim(image: np.ndarray, reference: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004): 11x11 Gaussian window of deviation 1.5, mean of pixels and channels."""
    a, b = as_unit(image), as_unit(reference)

    def blur(x: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(x, (1.5, 1.5, 0), truncate=3.5)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def as_unit(image: np.ndarray) -> np.ndarray:
    """float64 in [0, 1]."""
    if image.dtype == np.uint8:
        return image.astype(np.float64) / 255.0
    return np.clip(image.astype(np.float64), 0, 1)
