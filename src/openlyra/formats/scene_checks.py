"""What the readers and writers of all scene formats share: values that make sense, whatever the file holds."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace

import numpy as np

from openlyra.errors import InputError
from openlyra.formats.axes import turned
from openlyra.gaussians.types import Gaussians

OPACITY_MARGIN = 1e-6
"""Opacities are kept this far from 0 and 1, so that their logits are finite."""
MAX_LOG_SCALE = 20.0
"""Natural logarithms of scales are clamped to +- this."""


def for_writing(gaussians: Gaussians, up: str, what: str) -> Gaussians:
    """The scene in the file's axes with unit quaternions, opacities and scales inside the margins above.

    Raises InputError for an empty scene and for values that are not finite; `what` names the file.
    """
    if not gaussians.count:
        raise InputError(f"{what}: there is no Gaussian to write")
    rows = (gaussians.means, gaussians.quaternions, gaussians.scales, gaussians.opacities[:, None])
    good = np.isfinite(gaussians.sh).all((1, 2))
    for values in rows:
        good &= np.isfinite(values).all(1)
    if not good.all():
        raise InputError(f"{what}: {int((~good).sum())} Gaussians hold NaN or infinity; nothing was written")
    scene = turned(gaussians, up)
    norms = np.linalg.norm(scene.quaternions.astype(np.float64), axis=1, keepdims=True)
    return replace(
        scene,
        quaternions=np.where(norms > 1e-12, scene.quaternions / np.maximum(norms, 1e-12), [1.0, 0.0, 0.0, 0.0]),
        scales=np.clip(scene.scales, np.exp(-MAX_LOG_SCALE), np.exp(MAX_LOG_SCALE)),
        opacities=np.clip(scene.opacities, OPACITY_MARGIN, 1.0 - OPACITY_MARGIN),
    )


def from_file(
    what: str,
    means: np.ndarray,
    quaternions: np.ndarray,
    log_scales: np.ndarray,
    opacities: np.ndarray,
    sh: np.ndarray,
) -> Gaussians:
    """Gaussians from the decoded columns of a file, in the file's axes.

    means (N, 3), quaternions (N, 4) w x y z of any length, log_scales (N, 3) natural logarithms, opacities (N,)
    linear, sh (N, K, 3). Rows with NaN, infinity or a zero quaternion are dropped with one warning that counts them;
    saturated opacities and vanished scales (minus infinity) are legal and clamped. InputError if no row is left.
    """
    count = len(means)
    norms = np.sqrt(np.einsum("ij,ij->i", quaternions, quaternions, dtype=np.float64))
    good = np.isfinite(means).all(1) & np.isfinite(sh).all((1, 2)) & np.isfinite(norms) & (norms > 1e-12)
    good &= ~np.isnan(opacities) & (log_scales < np.inf).all(1)
    bad = count - int(good.sum())
    if bad and bad == count:
        raise InputError(f"{what}: every one of its {bad} Gaussians holds NaN, infinity or a zero quaternion")
    if bad:
        warnings.warn(
            f"{what}: dropped {bad} of {count} Gaussians with NaN, infinity or a zero quaternion", stacklevel=4
        )
        means, quaternions, log_scales = means[good], quaternions[good], log_scales[good]
        opacities, sh, norms = opacities[good], sh[good], norms[good]
    return Gaussians(
        means=means,
        quaternions=quaternions / norms[:, None],
        scales=np.exp(np.clip(log_scales, -MAX_LOG_SCALE, MAX_LOG_SCALE)),
        opacities=np.clip(opacities, OPACITY_MARGIN, 1.0 - OPACITY_MARGIN),
        sh=sh,
    )


def file_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a file; InputError when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: cannot be read ({error.strerror})") from error
