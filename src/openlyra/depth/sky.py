"""Which pixels are sky: bright or blue, smooth, connected to the upper edge; snapped to the photo's own outlines.

Made to fail towards "no sky": a missing sky costs a far wall, an imagined one tears the ceiling off a room.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from openlyra.depth.filters import gradient_strength, grow, guided_filter, opened, opponent, shrink

_ROWS = 240  # the search runs on about this many rows
_BINS = 12
_ROUNDS = 3
_THIN = 20  # things narrower than this part of the photo's height are thin
_DARKER = 0.15  # how much darker than the sky on both sides
_CLEAR = 0.07  # least mean change of light across 1/480 of the height along an outline; clouds are softer
Mask = NDArray[np.bool_]


def find_sky(image: NDArray[np.uint8]) -> Mask:
    """Sky mask (H, W) of a photo, uint8 (H, W, 3); all False when unsure."""
    height, width = image.shape[:2]
    colour = opponent(image)
    factor = max(1, round(height / _ROWS))
    small = shrink(colour, factor)
    texture = ndimage.gaussian_filter(gradient_strength(small, 0.7), 1.5)
    rows = np.linspace(0, 1, small.shape[0], dtype=np.float32)[:, None]
    prior = _prior(small, texture) - 5.0 * np.maximum(rows - 0.35, 0)
    sky = _from_top(prior > 0, rows)
    if not _believable(sky, small, texture):
        return np.zeros((height, width), bool)
    score = prior
    for _ in range(_ROUNDS):
        score = _colour_score(small, sky) + 0.5 * prior
        score = guided_filter(small[..., 0], np.clip(score, -4, 4), 4, 1e-3)
        sky = _from_top(score > 0, rows)
        if not sky.any():
            return np.zeros((height, width), bool)
    if not _believable(sky, small, texture):
        return np.zeros((height, width), bool)
    score = np.where(sky, np.maximum(score, 0.3), np.minimum(score, -0.3))
    fine = guided_filter(colour[..., 0], grow(score, height, width, factor), 3, 2e-4)
    mask = opened(fine > 0, 2)
    return without_specks(mask, height * width // 4000)


def find_thin(image: NDArray[np.uint8], sky: Mask) -> Mask:
    """Thin dark things inside the sky, bool (H, W): masts, ropes, twigs, tips of towers, which networks overlook.

    They are darker than what is on both sides of them and have clear outlines, unlike gaps between clouds.
    """
    height, width = sky.shape
    if not sky.any():
        return sky
    side = max(3, height // _THIN)
    bottom = int(np.flatnonzero(sky.any(1))[-1]) + side
    light = opponent(image[:bottom])[..., 0]
    darker = ndimage.grey_closing(light, size=(side, side)) - light
    labels, count = ndimage.label(sky[:bottom] & (darker > _DARKER), np.ones((3, 3)))
    rim = (labels > 0) & ~ndimage.binary_erosion(labels > 0)
    blur = max(1.0, height / 480)  # large photos are no sharper for it
    change = ndimage.maximum_filter(blur * ndimage.gaussian_gradient_magnitude(light, blur), 2 * round(blur) + 1)
    edges = np.bincount(labels[rim], minlength=count + 1)
    clear = np.bincount(labels[rim], change[rim], minlength=count + 1) > _CLEAR * edges
    keep = clear & (np.bincount(labels.ravel(), minlength=count + 1) >= height * width // 20000)
    keep[0] = False
    thin = np.zeros_like(sky)
    thin[:bottom] = keep[labels]
    return thin


def find_haze(image: NDArray[np.uint8], sky: Mask, horizon: float, lowest: float = 0.25) -> Mask:
    """Far hills and water (H, W): pale, bluish and smooth, joined to the sky, around the row of the horizon.

    `lowest` is how far below the horizon it may reach, in image heights.
    """
    height, width = image.shape[:2]
    if not sky.any():
        return sky
    colour = opponent(image)
    factor = max(1, round(height / _ROWS))
    small = shrink(colour, factor)
    texture = ndimage.gaussian_filter(gradient_strength(small, 0.7), 1.5)
    light, _, blue = np.moveaxis(small, -1, 0)
    score = (
        np.clip((blue - 0.03) * 25, -3, 2) + np.clip((light - 0.4) * 8, -4, 1) - np.clip((texture - 0.03) * 60, -1, 4)
    )
    rows = (np.arange(small.shape[0], dtype=np.float32)[:, None] + 0.5) / small.shape[0]
    below = rows - horizon / height
    band = (below > -0.25) & (below < lowest)
    score = np.where(band, guided_filter(light, score.astype(np.float32), 4, 1e-3), -1.0)
    open_to = shrink(sky.astype(np.float32), factor) > 0.5
    joined = parts_with((score > 0) | open_to, open_to)
    haze = without_specks(joined & ~open_to, joined.size // 300)
    signed = np.where(haze | open_to, 1.0, -1.0).astype(np.float32)
    fine = guided_filter(colour[..., 0], grow(signed, height, width, factor), 3, 2e-4)
    return without_specks((fine > 0) & ~sky, height * width // 1000)


def _prior(colour: NDArray[np.float32], texture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-odds of sky by colour and smoothness alone, (h, w)."""
    light, _, blue = np.moveaxis(colour, -1, 0)
    reference = np.percentile(light, 75)
    blueness = np.clip(blue * 14, -2.5, 3)
    brightness = np.clip((light - max(0.55, 0.9 * reference)) * 10, -4, 2.5)
    return (blueness + brightness - np.clip((texture - 0.02) * 60, -0.5, 4)).astype(np.float32)


def _colour_score(colour: NDArray[np.float32], sky: Mask) -> NDArray[np.float32]:
    """Log-likelihood ratio of each pixel's colour, sky against the rest, from smoothed histograms."""
    scaled = np.stack([colour[..., 0], colour[..., 1] * 0.8 + 0.5, colour[..., 2] * 0.8 + 0.5], axis=-1)
    index = np.clip(scaled * _BINS, 0, _BINS - 1).astype(np.int32)
    flat = (index[..., 0] * _BINS + index[..., 1]) * _BINS + index[..., 2]
    counts = []
    for mask in (sky, ~sky):
        histogram = np.bincount(flat[mask], minlength=_BINS**3).astype(np.float64).reshape((_BINS,) * 3)
        histogram = ndimage.gaussian_filter(histogram, 0.6, mode="nearest")
        counts.append(histogram / max(histogram.sum(), 1) + 1e-5)
    ratio = np.log(counts[0] / counts[1])
    return np.clip(ratio, -4, 4).astype(np.float32).reshape(-1)[flat]


def _from_top(candidate: Mask, rows: NDArray[np.float32]) -> Mask:
    """Parts of a candidate mask that reach the upper edge of the photo, small holes and specks removed."""
    calm = opened(candidate, 3)
    top = np.zeros_like(calm)
    top[: max(2, len(top) // 60)] = True
    kept = parts_with(calm, top)
    # Sky seen through an arch or between masts: not connected, but no lower than the connected sky reaches.
    if kept.any():
        lowest = float(np.percentile(np.nonzero(kept)[0], 99)) / len(kept)
        kept = kept | (calm & (rows < min(lowest, 0.6)))
    kept = without_specks(kept, kept.size // 2000)
    return ~without_specks(~kept, kept.size // 1500)


def parts_with(mask: Mask, seeds: Mask) -> Mask:
    """The connected parts of `mask` that hold a pixel of `seeds`; all bool (H, W)."""
    labels, count = ndimage.label(mask)
    keep = np.zeros(count + 1, bool)
    keep[labels[seeds & mask]] = True
    return keep[labels]


def without_specks(mask: Mask, smallest: int) -> Mask:
    """Drop connected parts of fewer than `smallest` pixels."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    keep = sizes >= smallest
    keep[0] = False
    return keep[labels]


def _believable(sky: Mask, colour: NDArray[np.float32], texture: NDArray[np.float32]) -> bool:
    """Whether a found region is sky rather than a white ceiling or a painted wall."""
    share = sky.mean()
    if share < 0.004 or share > 0.9:
        return False
    light, blue = colour[..., 0], colour[..., 2]
    inside, outside = float(np.median(light[sky])), float(np.median(light[~sky]))
    is_blue = float(np.median(blue[sky])) > 0.04
    contrast = inside - outside
    smooth = float(np.median(texture[sky])) < 0.6 * float(np.median(texture[~sky])) + 0.002
    # White walls run down to the floor and fade into their own shade; a white sky ends high up, at an outline.
    low = float(sky[int(0.62 * sky.shape[0]) :].mean())
    rim = sky & ~ndimage.binary_erosion(sky, np.ones((3, 3)), border_value=1)
    outlined = float(np.median(texture[rim])) > 0.022
    white = inside > 0.62 and contrast > 0.22 and low < 0.01 and outlined
    return smooth and ((is_blue and contrast > 0.03) or white)
