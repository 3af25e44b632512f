"""How good a depth map is against a measured one, up to the scale and shift nobody can see in one photo."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from openlyra.errors import InputError

FARTHEST = 20.0
"""Aligned depth is cut here, in metres: beyond it, the sensors behind such files know nothing."""
MAX_PIXELS = 64_000_000
FEWEST = 100
"""Pixels with known depth that an alignment needs."""

Map = NDArray[np.float32]


@dataclass(frozen=True)
class RgbdPhoto:
    """A photo with measured depth."""

    name: str
    """File name without its ending."""
    rgb: NDArray[np.uint8]
    """uint8 (H, W, 3)."""
    depth: Map
    """float32 (H, W), metres; 0 where unknown."""


@dataclass(frozen=True)
class DepthScore:
    """Figures of one depth map."""

    delta1: float
    """Part of the pixels whose depth is right within a factor of 1.25."""
    absrel: float
    """Mean of |depth - truth| / truth."""
    rmse_log: float
    """Root mean square of the difference of natural logarithms."""


def read_rgbd(path: str | os.PathLike[str]) -> RgbdPhoto:
    """Read an .npz with `rgb`, uint8 (H, W, 3), and `depth`, float16/32/64 (H, W) in metres, 0 or not finite = unknown.

    Raises InputError when the file is no such thing; shapes are checked in the headers before anything is decoded.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            rgb, depth = _member(archive, "rgb", path), _member(archive, "depth", path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{path}: not a readable .npz file ({error})") from None
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise InputError(f"{path}: rgb is {rgb.dtype} {rgb.shape}; must be uint8 (height, width, 3)")
    if depth.dtype.kind != "f" or depth.shape != rgb.shape[:2]:
        raise InputError(f"{path}: depth is {depth.dtype} {depth.shape}; must be floating point {rgb.shape[:2]}")
    known = np.isfinite(depth) & (depth > 0)
    depth = np.where(known, depth, 0).astype(np.float32)
    if known.sum() < FEWEST:
        raise InputError(f"{path}: {known.sum()} pixels have a depth; at least {FEWEST} are needed")
    return RgbdPhoto(path.stem, rgb, depth)


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """One array of an .npz, its size checked first; never unpickles."""
    if f"{name}.npy" not in archive.namelist():
        raise InputError(f"{path}: holds no array '{name}'")
    with archive.open(f"{name}.npy") as file:
        version = npy.read_magic(file)
        reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = reader(file)
    if dtype.hasobject or len(shape) not in (2, 3) or min(shape) < 1 or shape[0] * shape[1] > MAX_PIXELS:
        raise InputError(f"{path}: array '{name}' is {dtype} {shape}; not a picture of at most 64 megapixels")
    with archive.open(f"{name}.npy") as file:
        return np.asarray(npy.read_array(file, allow_pickle=False))


def align_inverse(inverse: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Depth (H, W) that a map of inverse depth, free of scale and shift, says, given the truth.

    Scale a and shift b are the least-squares fit of a * inverse + b to 1 / depth over all pixels with depth > 0; the
    result is 1 / max(a * inverse + b, 1 / 20 m).
    """
    known = depth > 0
    columns = np.stack([inverse[known].astype(np.float64), np.ones(int(known.sum()))], axis=1)
    (scale, shift), *_ = np.linalg.lstsq(columns, 1.0 / depth[known].astype(np.float64), rcond=None)
    return 1.0 / np.maximum(scale * inverse.astype(np.float64) + shift, 1.0 / FARTHEST)


def score_depth(estimate: np.ndarray, depth: np.ndarray) -> DepthScore:
    """Figures of an estimate (H, W), positive, over all pixels where depth (H, W) is known (> 0)."""
    known = depth > 0
    said, true = estimate[known].astype(np.float64), depth[known].astype(np.float64)
    ratio = np.maximum(said / true, true / said)
    return DepthScore(
        delta1=float((ratio < 1.25).mean()),
        absrel=float((np.abs(said - true) / true).mean()),
        rmse_log=float(np.sqrt((np.log(said / true) ** 2).mean())),
    )


def score_aligned(inverse: np.ndarray, depth: np.ndarray) -> DepthScore:
    """Align a map of inverse depth (H, W), then score it."""
    return score_depth(align_inverse(inverse, depth), depth)


def vertical_ramp(height: int, width: int) -> Map:
    """The baseline that looks at nothing: inverse depth grows downwards."""
    return np.repeat(np.linspace(0, 1, height, dtype=np.float32)[:, None], width, axis=1)


def mean_score(scores: list[DepthScore]) -> DepthScore:
    """Mean of each figure."""
    return DepthScore(*(float(np.mean([getattr(s, key) for s in scores])) for key in ("delta1", "absrel", "rmse_log")))
