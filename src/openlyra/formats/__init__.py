"""Scene files: one module a format, found by file name suffix through one table."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openlyra.errors import InputError
from openlyra.formats.axes import AXES, UP
from openlyra.formats.compressed_ply import write_compressed_ply
from openlyra.formats.glb import write_glb
from openlyra.formats.glb_read import read_glb
from openlyra.formats.ply import read_ply, write_ply
from openlyra.formats.sog import write_sog
from openlyra.formats.sog_read import read_sog
from openlyra.formats.splat import read_splat, write_splat
from openlyra.formats.spz import read_spz, write_spz
from openlyra.formats.usd import write_usd
from openlyra.gaussians.types import Gaussians

__all__ = ["AXES", "FORMATS", "UP", "Format", "find_format", "read_gaussians", "write_gaussians"]


@dataclass(frozen=True)
class Format:
    """How one kind of scene file is read and written."""

    read: Callable[..., Gaussians] | None
    """None for formats that are written only."""
    write: Callable[..., None]
    summary: str


_USD = "OpenUSD particle field for simulators, lossless; written only"
FORMATS: dict[str, Format] = {
    ".compressed.ply": Format(read_ply, write_compressed_ply, "PLY of PlayCanvas and SuperSplat, 16 bytes a Gaussian"),
    ".ply": Format(read_ply, write_ply, "3D Gaussian Splatting PLY, lossless"),
    ".splat": Format(read_splat, write_splat, "32 bytes a Gaussian for web viewers, base colour only"),
    ".spz": Format(read_spz, write_spz, "Niantic's compressed scenes, about 9 bytes a Gaussian"),
    ".sog": Format(read_sog, write_sog, "PlayCanvas' compressed scenes, the smallest"),
    ".glb": Format(read_glb, write_glb, "binary glTF with KHR_gaussian_splatting, lossless"),
    ".usdc": Format(None, write_usd, _USD),
    ".usda": Format(None, write_usd, _USD),
    ".usdz": Format(None, write_usd, _USD),
    ".usd": Format(None, write_usd, _USD),
}
"""Longer suffixes come before those they end in."""


def find_format(path: str | os.PathLike[str]) -> Format | None:
    """The format that a file name stands for, or None."""
    name = Path(path).name.lower()
    return next((known for suffix, known in FORMATS.items() if name.endswith(suffix) and name != suffix), None)


def _format(path: str | os.PathLike[str]) -> Format:
    known = find_format(path)
    if known is None:
        suffixes = list(FORMATS)
        raise InputError(
            f"{os.fspath(path)}: scene files end in {', '.join(suffixes[:-1])} or {suffixes[-1]}, "
            f"not '{Path(path).suffix.lower()}'"
        )
    return known


def read_gaussians(path: str | os.PathLike[str], *, up: str | None = None) -> Gaussians:
    """Read a scene file by its suffix, in the scene's own axes (x right, y down, z forward).

    `up` (a name in UP) says which axes the file is in; by default what it states itself, else what its format means.
    InputError for unknown suffixes and damaged files.
    """
    read = _format(path).read
    if read is None:
        raise InputError(f"{os.fspath(path)}: files of this kind are written, not read")
    return read(path, up=up)


def write_gaussians(gaussians: Gaussians, path: str | os.PathLike[str], **options: Any) -> None:
    """Write a scene file by its suffix, whole or not at all. `options` are those of the format's own writer, such as
    up="y-up"; an option the format does not have is an InputError."""
    write = _format(path).write
    known = [name for name, p in inspect.signature(write).parameters.items() if p.kind is p.KEYWORD_ONLY]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InputError(f"{os.fspath(path)}: has no option '{unknown[0]}'; there are {', '.join(known)}")
    write(gaussians, path, **options)
