"""From light to a photo: exposure, white balance, tone curve, vignetting, glow, blur, noise, compression.

None of this touches the truth. A look is drawn once for a photo or a whole video; only the noise changes by frame.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True)
class PhotoLook:
    """How a camera renders light. The defaults are a good camera on a tripod."""

    exposure: float = 0.0
    """Stops above what the meter says."""
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gains of red, green, blue."""
    neutral: float = 0.5
    """How far the camera removes the tint of the scene by itself, 0 to 1."""
    contrast: float = 1.0
    """Slope of the tone curve in the middle; 1 is plain sRGB."""
    shoulder: float = 0.6
    """How gently highlights roll off, 0 clips."""
    saturation: float = 1.0
    vignetting: float = 0.1
    """Darkening in the corners, 0 to 1."""
    glow: float = 0.03
    """Light that leaks around what is too bright."""
    blur: float = 0.0
    """Standard deviation in pixels, at 336 pixels of width."""
    sharpen: float = 0.0
    noise: float = 0.0
    """Standard deviation at middle grey, of 1."""
    jpeg: int | None = None
    """Quality from 30 to 95, None for none."""


def random_look(rng: np.random.Generator) -> PhotoLook:
    """A plausible camera: usually good, sometimes dark, noisy, soft or strongly tinted."""
    warm = rng.normal(0, 0.08)
    tint = rng.normal(0, 0.03)
    rough = rng.random()
    return PhotoLook(
        exposure=float(np.clip(rng.normal(-0.1, 0.45), -1.6, 0.9)),
        white_balance=(float(np.exp(warm)), float(np.exp(tint)), float(np.exp(-warm))),
        neutral=float(rng.uniform(0.0, 1.0)),
        contrast=float(rng.uniform(0.85, 1.35)),
        shoulder=float(rng.uniform(0.2, 1.0)),
        saturation=float(rng.uniform(0.6, 1.3)) if rng.random() > 0.04 else 0.0,
        vignetting=float(rng.uniform(0.0, 0.35) ** 1.5),
        glow=float(rng.uniform(0.0, 0.12)),
        blur=float(rng.uniform(0.0, 0.5) if rough < 0.7 else rng.uniform(0.5, 1.3)),
        sharpen=float(rng.uniform(0.0, 0.8)) if rng.random() < 0.3 else 0.0,
        noise=float(rng.uniform(0.0, 0.01) if rng.random() < 0.8 else rng.uniform(0.01, 0.04)),
        jpeg=int(rng.integers(45, 95)) if rng.random() < 0.5 else None,
    )


def metered(light: NDArray[np.float32]) -> float:
    """The factor that brings the scene (H, W, 3) to a pleasing brightness: mostly its mean, guarding highlights."""
    luma = light @ LUMA
    middle = float(np.exp(np.mean(np.log(np.clip(luma, 1e-3, 4.0)))))
    bright = float(np.percentile(luma, 95))
    return float(np.clip(min(0.22 / middle, 0.9 / max(bright, 1e-3)), 0.15, 12.0))


def develop(
    light: NDArray[np.float32], look: PhotoLook, rng: np.random.Generator, meter: float | None = None
) -> NDArray[np.uint8]:
    """A photo (H, W, 3) uint8 of linear light (H, W, 3).

    `rng` makes the noise; `meter` fixes the exposure for a video (from `metered`), else the frame is metered itself.
    """
    height, width = light.shape[:2]
    unit = width / 336.0
    value = light * np.float32((metered(light) if meter is None else meter) * 2.0**look.exposure)
    value = value * _balance(value, look)
    if look.vignetting > 0:
        value = value * _corners(height, width, look.vignetting)[..., None]
    if look.glow > 0:
        value = value + look.glow * _blurred(np.clip(value - 0.7, 0, 3), 5.0 * unit)
    if look.blur > 0:
        value = _blurred(value, look.blur * unit)
    value = _tone(np.maximum(value, 0), look)
    if look.sharpen > 0:
        value = value + look.sharpen * (value - _blurred(value, 0.8 * unit))
    if look.noise > 0:
        value = value + _noise(value, look.noise, rng)
    out = np.round(np.clip(value, 0, 1) * 255).astype(np.uint8)
    return out if look.jpeg is None else _compressed(out, look.jpeg)


def _balance(value: NDArray[np.float32], look: PhotoLook) -> NDArray[np.float32]:
    mean = np.clip(value, 0, 1).reshape(-1, 3).mean(0) + 1e-3
    own = (mean.mean() / mean) ** (0.6 * look.neutral)
    return (own * np.array(look.white_balance)).astype(np.float32)


def _corners(height: int, width: int, strength: float) -> NDArray[np.float32]:
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    return (1 - strength * 0.5 * (x**2 + y**2)).astype(np.float32)


def _blurred(value: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    if sigma > 2.5:
        # Twice a box is close enough to a Gaussian when it is wide, and much faster.
        size = max(3, round(2.4 * sigma) | 1)
        return np.asarray(uniform_filter(uniform_filter(value, (size, size, 1)), (size, size, 1)), np.float32)
    return np.asarray(gaussian_filter(value, (sigma, sigma, 0), truncate=2.5), np.float32)


def _tone(value: NDArray[np.float32], look: PhotoLook) -> NDArray[np.float32]:
    knee = 1.0 - 0.55 * look.shoulder
    excess = np.maximum(value - knee, 0)
    value = np.minimum(value, knee) + (1 - knee) * excess / (excess + (1 - knee) + 1e-6) * (1 + 0.15 * look.shoulder)
    value = np.clip(value, 0, 1)
    luma = (value @ LUMA)[..., None]
    value = np.clip(luma + look.saturation * (value - luma), 0, 1)
    value = np.where(value <= 0.0031308, 12.92 * value, 1.055 * np.maximum(value, 1e-6) ** (1 / 2.4) - 0.055)
    return ((value - 0.45) * look.contrast + 0.45).astype(np.float32)


def _noise(value: NDArray[np.float32], level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    shape = value.shape
    grain = rng.standard_normal(shape, np.float32) * 0.6 + rng.standard_normal((*shape[:2], 1), np.float32) * 0.8
    if level > 0.02:
        grain = 0.6 * grain + 0.9 * gaussian_filter(grain, (0.7, 0.7, 0))
    return (level * grain * (1.3 - 0.7 * np.clip(value, 0, 1))).astype(np.float32)


def _compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    with Image.open(io.BytesIO(buffer.getvalue())) as read:
        return np.asarray(read.convert("RGB"))
