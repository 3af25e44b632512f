"""Perceptual distance of two images: differences of normalised features, whatever computes the features.

As in LPIPS (Zhang et al. 2018), the features of each layer are scaled to length 1 at every pixel, squared differences
are averaged over the image and then over the layers; unlike there, no layer weights are learnt from people's answers.
'encoder' is the EfficientNet-Lite0 in the depth network that the package ships (five layers, strides 2 to 32), so it
needs no download and no extra. 'pyramid' has no weights: steerable first and second Gaussian derivatives (Freeman &
Adelson 1991) of lightness and two opponent colours on four scales. Figures of different features cannot be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from openlyra.errors import InputError
from openlyra.evaluation.metrics import as_unit

Features = Callable[[np.ndarray], Sequence[np.ndarray]]
"""From an image (H, W, 3) in [0, 1] to layers (h, w, C)."""

SCALES = 4
PATCH_LAYER = 2
"""Layer of the encoder whose cells are patches of 8 pixels."""
_FLOOR = 0.02
"""Feature length below which a pixel counts as flat, so that noise in flat areas is not blown up."""
_OPPONENTS = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
"""Rows: lightness, blue against yellow, red against green (BT.601)."""


def pyramid(image: np.ndarray) -> list[np.ndarray]:
    """Eleven features a pixel on each of at most four scales: five derivatives of lightness, three of each colour."""
    planes = np.moveaxis(image @ _OPPONENTS.T, -1, 0)
    layers = []
    for _ in range(SCALES):
        orders = [((0, 1), (1, 0), (0, 2), (1, 1), (2, 0)), ((0, 0), (0, 1), (1, 0)), ((0, 0), (0, 1), (1, 0))]
        features = [
            ndimage.gaussian_filter(plane, 1.0, order=order)
            for plane, wanted in zip(planes, orders)
            for order in wanted
        ]
        layers.append(np.stack(features, -1))
        if min(planes.shape[1:]) < 16:
            break
        planes = np.stack([ndimage.gaussian_filter(plane, 1.0)[::2, ::2] for plane in planes])
    return layers


def encoder(image: np.ndarray) -> list[np.ndarray]:
    """Features of the shipped depth network at strides 2, 4, 8, 16 and 32; the image is padded by its border."""
    import torch
    import torch.nn.functional as F

    from openlyra.models.depth_net import STRIDE
    from openlyra.models.depth_weights import load_depth_net

    net = load_depth_net()
    x = torch.from_numpy(np.moveaxis(image, -1, 0)[None].astype(np.float32))
    height, width = x.shape[-2:]
    x = F.pad(x, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
    with torch.inference_mode():
        taps = net.encoder((x - net.mean) / net.deviation)
    return [tap[0].permute(1, 2, 0).double().numpy() for tap in taps]


FEATURES: dict[str, Features] = {"encoder": encoder, "pyramid": pyramid}
DEFAULT_FEATURES = "encoder"


def perceptual_distance(
    image: np.ndarray, reference: np.ndarray, features: str = DEFAULT_FEATURES, mask: np.ndarray | None = None
) -> float:
    """0 for equal images, at most 4. Images (H, W, 3), uint8 or in [0, 1]. InputError for a name.

    With `mask` (H, W) bool each cell of a layer counts by the share of its pixels that are in it; nan when none is."""
    if features not in FEATURES:
        raise InputError(f"perceptual features '{features}' do not exist; choose one of: {', '.join(FEATURES)}")
    layers = zip(FEATURES[features](as_unit(image)), FEATURES[features](as_unit(reference)))
    squares = [((_unit(a) - _unit(b)) ** 2).sum(-1) for a, b in layers]
    if mask is None:
        return float(np.mean([square.mean() for square in squares]))
    if not mask.any():
        return math.nan
    return float(np.mean([np.average(square, weights=cell_shares(mask, square.shape)) for square in squares]))


def cell_shares(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Share of the pixels of a mask (H, W) in each cell of a layer (h, w); the side of a cell is a power of two."""
    side = 2 ** round(math.log2(mask.shape[0] / shape[0]))
    padded = np.zeros((shape[0] * side, shape[1] * side))
    padded[: mask.shape[0], : mask.shape[1]] = mask
    return np.asarray(padded.reshape(shape[0], side, shape[1], side).mean((1, 3)))


def patch_features(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(N, C) features of the encoder at stride 8 of an image's cells that lie at least by half in a mask (H, W)."""
    layer = encoder(as_unit(image))[PATCH_LAYER]
    return layer[cell_shares(mask, layer.shape[:2]) >= 0.5]


def frechet_distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """Distance of the normal distributions that fit two sets of features (N, C) and (M, C) (Dowson & Landau 1982).

    As in the Frechet Inception Distance (Heusel et al. 2017), with other features, so figures cannot be compared."""
    mean, covariance = found.mean(0) - wanted.mean(0), [np.cov(part, rowvar=False) for part in (found, wanted)]
    values, vectors = np.linalg.eigh(covariance[0])
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariance[1] @ root), 0)).sum()
    return max(0.0, float(mean @ mean + np.trace(covariance[0]) + np.trace(covariance[1]) - 2 * shared))


def _unit(layer: np.ndarray) -> np.ndarray:
    return layer / np.sqrt((layer**2).sum(-1, keepdims=True) + _FLOOR**2)
