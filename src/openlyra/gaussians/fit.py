"""Colours of pixel-aligned Gaussians corrected so that they render as the image they came from.

Neighbouring Gaussians overlap, which blurs the lifted image a little. A few steps of adding each pixel's residual back
to its own Gaussian (Jacobi iterations of the deconvolution) undo it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from openlyra.gaussians.render import contributions, recolorable
from openlyra.gaussians.spherical_harmonics import C0
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera

OVERSHOOT = 0.15


def fit_colors(
    scene: Gaussians,
    start: int,
    camera: Camera,
    image: np.ndarray,
    mask: np.ndarray,
    fixed: np.ndarray,
    iterations: int = 10,
) -> Gaussians:
    """Fit the base colours of the Gaussians from ``start`` on, which stand for the masked pixels in row-major order.

    Args:
        scene: all Gaussians, of one colour from all sides; those before ``start`` keep theirs but are rendered along.
        camera: the image's camera.
        image: (H, W, 3) uint8.
        mask: (H, W) bool with ``scene.count - start`` pixels set.
        fixed: (H, W) bool, pixels whose Gaussians keep the image's colour: at an outline front and back share the
            pixels, and each would be driven to an extreme to make up for the other.
        iterations: number of corrections.
    """
    target = image[mask].astype(np.float32) / 255.0
    # One that lies hidden behind others cannot mend the pixel and must not try; nor one at the border of the mask,
    # where others share the pixel.
    settled = ndimage.binary_erosion(mask & ~fixed, iterations=2, border_value=1)[mask][:, None]
    step = 0.8 * settled * np.clip(4 * contributions(scene, camera)[start:, None] - 0.4, 0, 1)
    colors = 0.5 + C0 * scene.sh[start:, 0]
    recolored = recolorable(scene, camera, start, mask)
    for _ in range(iterations):
        mended = colors + step * (target - recolored(colors).color[mask])
        colors = np.clip(mended, -OVERSHOOT, 1 + OVERSHOOT)
    sh = scene.sh.copy()
    sh[start:, 0] = (colors - 0.5) / C0
    return replace(scene, sh=sh)
