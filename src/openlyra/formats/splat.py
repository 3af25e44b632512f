"""Gaussian scenes in the `.splat` layout of early web viewers: 32 bytes a Gaussian, no header, base colour only."""

from __future__ import annotations

import os
import warnings

import numpy as np

from openlyra.errors import InputError
from openlyra.formats.axes import turned, turned_back
from openlyra.formats.scene_checks import OPACITY_MARGIN
from openlyra.gaussians.spherical_harmonics import C0
from openlyra.gaussians.types import Gaussians
from openlyra.media.atomic import write_bytes_atomic

RECORD = np.dtype([("means", "<f4", 3), ("scales", "<f4", 3), ("rgba", "u1", 4), ("quaternion", "u1", 4)])
"""One Gaussian: position, linear standard deviations, colour and opacity, quaternion w x y z as 128 + 128 * value."""


def write_splat(gaussians: Gaussians, path: str | os.PathLike[str], *, up: str = "y-down") -> None:
    """Write N Gaussians, large and opaque ones first, so that a download cut short still shows the scene.

    Only the base colour is kept, in 8 bits a channel. `up`: see `openlyra.formats.axes.UP`.
    Raises InputError for an empty scene (the format cannot express it) and for values that are not finite.
    """
    if not gaussians.count:
        raise InputError(f"{os.fspath(path)}: a .splat file needs at least one Gaussian")
    write_bytes_atomic(path, encode(turned(gaussians, up), os.fspath(path)))


def encode(gaussians: Gaussians, what: str = "gaussians") -> bytes:
    """The N * 32 bytes of a `.splat` file."""
    records = np.zeros(gaussians.count, RECORD)
    records["means"], records["scales"] = gaussians.means, gaussians.scales
    colors = 0.5 + C0 * gaussians.sh[:, 0].astype(np.float64)
    values = np.concatenate([colors, gaussians.opacities[:, None]], 1) * 255.0
    quaternions = gaussians.quaternions.astype(np.float64)
    numbers = np.concatenate([records["means"], records["scales"], values, quaternions], 1)
    bad = int((~np.isfinite(numbers)).any(1).sum())
    if bad:
        raise InputError(f"{what}: {bad} Gaussians hold NaN or infinity; nothing was written")
    quaternions = quaternions / np.maximum(np.linalg.norm(quaternions, axis=1, keepdims=True), 1e-12)
    records["rgba"] = np.clip(np.rint(values), 0, 255)
    records["quaternion"] = np.clip(np.rint(quaternions * 128.0 + 128.0), 0, 255)
    importance = gaussians.scales.astype(np.float64).prod(1) * gaussians.opacities
    return records[np.argsort(-importance, kind="stable")].tobytes()


def read_splat(path: str | os.PathLike[str], *, up: str | None = None) -> Gaussians:
    """Read a `.splat` file. `up` says which axes it is in (y-down by default: the format cannot say); the result is
    y-down.

    Records with NaN, infinity, negative scales or a zero quaternion are dropped with one warning that counts them.
    Raises InputError when the size is not a positive multiple of 32 bytes or nothing usable is left.
    """
    what = os.fspath(path)
    try:
        size = os.stat(path).st_size
        if size == 0 or size % RECORD.itemsize:
            raise InputError(f"{what}: has {size} bytes; a .splat file holds 32 bytes for each of its Gaussians")
        records = np.fromfile(path, RECORD)
    except OSError as error:
        raise InputError(f"{what}: cannot be read ({error.strerror})") from error
    quaternions = records["quaternion"].astype(np.float32) / 128.0 - 1.0
    norms = np.linalg.norm(quaternions, axis=1)
    good = np.isfinite(records["means"]).all(1) & np.isfinite(records["scales"]).all(1)
    good &= (records["scales"] >= 0).all(1) & (norms > 1e-6)
    bad = len(records) - int(good.sum())
    if bad == len(records):
        raise InputError(f"{what}: every one of its {bad} records is damaged; is this really a .splat file?")
    if bad:
        warnings.warn(f"{what}: dropped {bad} of {len(records)} damaged Gaussians", stacklevel=2)
    records, quaternions = records[good], quaternions[good] / norms[good, None]
    rgba = records["rgba"].astype(np.float32) / 255.0
    scene = Gaussians(
        means=np.ascontiguousarray(records["means"]),
        quaternions=quaternions,
        scales=np.maximum(records["scales"], np.float32(np.exp(-20.0))),
        opacities=np.clip(rgba[:, 3], OPACITY_MARGIN, 1.0 - OPACITY_MARGIN),
        sh=((rgba[:, :3] - 0.5) / np.float32(C0))[:, None],
    )
    return turned_back(scene, up or "y-down")
