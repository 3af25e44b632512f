"""Reading `.sog` version 2 with suspicion: members by their exact names, sizes checked before anything is unpacked."""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
import zlib
from typing import Any

import numpy as np
from PIL import Image

from openlyra.errors import InputError
from openlyra.formats.axes import stated_up, turned_back
from openlyra.formats.packing import from_smallest_three
from openlyra.formats.scene_checks import from_file
from openlyra.formats.sog import MAX_PALETTE, PALETTE_COLUMNS
from openlyra.gaussians.types import Gaussians

MAX_META_BYTES = 1 << 20
"""A longer meta.json is refused; real ones take about 20 kilobytes."""
FREE_COUNT = 1 << 20
"""This many Gaussians may be promised by any file ..."""
COUNT_PER_BYTE = 1.0
"""... and this many for every byte of a larger one (real scenes: 0.1 to 0.3)."""
SPARE_PIXELS = 1 << 16
"""An image may have this many pixels more than twice what is needed."""


def read_sog(path: str | os.PathLike[str], *, up: str | None = None) -> Gaussians:
    """Read a `.sog` file of version 2.

    `up` says which axes the file is in; by default those its meta.json states, else y-down. The result is y-down.
    Raises InputError for anything that is not such a file, and for promises out of proportion to its size.
    """
    what = os.fspath(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _Archive(archive, os.stat(path).st_size, what).scene(up)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError) as error:
        raise InputError(f"{what}: is not a readable .sog file ({_short(error)})") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{what}: its meta.json is damaged ({_short(error)})") from None
    except OSError as error:
        raise InputError(f"{what}: cannot be read ({error.strerror or _short(error)})") from error


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:100]


class _Archive:
    def __init__(self, archive: zipfile.ZipFile, size: int, what: str) -> None:
        self.archive, self.size, self.what = archive, size, what
        self.count = 0

    def scene(self, up: str | None) -> Gaussians:
        meta = json.loads(self._member("meta.json", MAX_META_BYTES))
        if meta.get("version") != 2:
            raise InputError(f"{self.what}: is .sog version {str(meta.get('version', 1))[:20]}; version 2 can be read")
        self.count = _whole(meta["count"])
        if not 0 < self.count <= max(FREE_COUNT, self.size * COUNT_PER_BYTE):
            raise InputError(f"{self.what}: promises {self.count} Gaussians in {self.size} bytes; that is not a scene")
        means = self._means(meta["means"])
        tags = self._pixels(meta["quats"]["files"][0])
        three = (tags[:, :3].astype(np.float32) / 255.0 - 0.5) * np.float32(np.sqrt(2.0))
        quaternions = from_smallest_three(np.maximum(tags[:, 3], 252).astype(np.int64) - 252, three)
        log_scales = _codebook(meta["scales"])[self._pixels(meta["scales"]["files"][0])[:, :3]]
        base = self._pixels(meta["sh0"]["files"][0])
        sh = _codebook(meta["sh0"])[base[:, :3]][:, None]
        if meta.get("shN"):
            sh = np.concatenate([sh, self._harmonics(meta["shN"])], 1)
        scene = from_file(self.what, means, quaternions, log_scales, base[:, 3].astype(np.float32) / 255.0, sh)
        asset = meta.get("asset")
        stated = stated_up(asset.get("axes")) if isinstance(asset, dict) else None
        return turned_back(scene, up or stated or "y-down")

    def _member(self, name: Any, limit: int) -> bytes:
        if not isinstance(name, str):
            raise TypeError("a file name is not a string")
        try:
            entry = self.archive.getinfo(name)
        except KeyError:
            raise InputError(f"{self.what}: holds no '{name[:60]}', so it is not a whole .sog file") from None
        if entry.file_size > limit:
            raise InputError(f"{self.what}: '{name[:60]}' unpacks to {entry.file_size} bytes; at most {limit} are read")
        with self.archive.open(entry) as file:
            return file.read(limit)

    def _image(self, name: Any, needed: int) -> np.ndarray:
        """(height, width, 4) uint8 of at least `needed` pixels."""
        data = self._member(name, self.size + MAX_META_BYTES)
        try:
            with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                pixels = image.width * image.height
                if pixels < needed or pixels > 2 * needed + SPARE_PIXELS:
                    raise InputError(f"{self.what}: '{name[:60]}' has {pixels} pixels for {needed} values")
                return np.asarray(image.convert("RGBA"))
        except InputError:
            raise
        # Pillow raises many kinds of errors on damaged images, all of them meaning the same.
        except Exception as error:
            raise InputError(f"{self.what}: '{name[:60]}' is not a readable WebP image ({_short(error)})") from None

    def _pixels(self, name: Any) -> np.ndarray:
        """(N, 4) uint8, a row a Gaussian."""
        return self._image(name, self.count).reshape(-1, 4)[: self.count]

    def _means(self, meta: dict[str, Any]) -> np.ndarray:
        low, high = (np.array([float(value) for value in meta[key]]) for key in ("mins", "maxs"))
        if low.shape != (3,) or high.shape != (3,):
            raise ValueError("the range of the means is not three numbers")
        lower, upper = (self._pixels(name)[:, :3].astype(np.float64) for name in meta["files"])
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is dropped
            values = low + (high - low) * ((upper * 256.0 + lower) / 65535.0)
            return (np.sign(values) * np.expm1(np.abs(values))).astype(np.float32)

    def _harmonics(self, meta: dict[str, Any]) -> np.ndarray:
        """(N, 3, 8 or 15, 3)."""
        bands, rows = _whole(meta["bands"]), _whole(meta["count"])
        if not 1 <= bands <= 3 or not 1 <= rows <= MAX_PALETTE:
            raise ValueError(f"{bands} bands and a palette of {rows} rows")
        higher = (bands + 1) ** 2 - 1
        lines = -(-rows // PALETTE_COLUMNS)
        image = self._image(meta["files"][0], PALETTE_COLUMNS * higher * lines)
        if image.shape[1] != PALETTE_COLUMNS * higher:
            raise ValueError(f"the palette is {image.shape[1]} pixels wide, not {PALETTE_COLUMNS * higher}")
        palette = _codebook(meta)[image[:lines, :, :3].reshape(-1, higher, 3)]
        pixels = self._pixels(meta["files"][1]).astype(np.int64)
        labels = pixels[:, 0] + 256 * pixels[:, 1]
        if labels.max() >= rows:
            raise ValueError(f"a Gaussian uses row {labels.max()} of a palette of {rows}")
        return palette[labels]


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"'{str(value)[:40]}' is not a whole number")
    return value


def _codebook(meta: dict[str, Any]) -> np.ndarray:
    """(256,) float32; shorter ones are filled up with their last value."""
    values = [float(value) for value in meta["codebook"]]
    if not 1 <= len(values) <= 256:
        raise ValueError(f"a codebook of {len(values)} values")
    with np.errstate(over="ignore"):
        return np.array(values + values[-1:] * (256 - len(values)), np.float32)
