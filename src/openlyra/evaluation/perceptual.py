"""Perceptual distance of two images: differences of normalised features, whatever computes the features.

As in LPIPS (Zhang et al. 2018), the features of each layer are scaled to length 1 at every pixel, squared differences
are averaged over the image and then over the layers. 'pyramid' has no weights and works offline: steerable first and
second Gaussian derivatives (Freeman & Adelson 1991) of lightness and two opponent colours on four scales. A network's
features take part by an entry in FEATURES; figures of different entries cannot be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from openlyra.errors import InputError
from openlyra.evaluation.metrics import as_unit

Features = Callable[[np.ndarray], Sequence[np.ndarray]]
"""From an image (H, W, 3) in [0, 1] to layers (h, w, C)."""

SCALES = 4
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


FEATURES: dict[str, Features] = {"pyramid": pyramid}


def perceptual_distance(image: np.ndarray, reference: np.ndarray, features: str = "pyramid") -> float:
    """0 for equal images, about 0.5 for unrelated ones. Images (H, W, 3), uint8 or in [0, 1]. InputError for a name."""
    if features not in FEATURES:
        raise InputError(f"perceptual features '{features}' do not exist; choose one of: {', '.join(FEATURES)}")
    layers = zip(FEATURES[features](as_unit(image)), FEATURES[features](as_unit(reference)))
    return float(np.mean([((_unit(a) - _unit(b)) ** 2).sum(-1).mean() for a, b in layers]))


def _unit(layer: np.ndarray) -> np.ndarray:
    return layer / np.sqrt((layer**2).sum(-1, keepdims=True) + _FLOOR**2)
