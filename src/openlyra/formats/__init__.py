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
from openlyra.formats.ply import read_ply, write_ply
from openlyra.formats.splat import read_splat, write_splat
from openlyra.gaussians.types import Gaussians

__all__ = ["AXES", "FORMATS", "UP", "Format", "read_gaussians", "write_gaussians"]


@dataclass(frozen=True)
class Format:
    """How one kind of scene file is read and written."""

    read: Callable[..., Gaussians]
    write: Callable[..., None]
    summary: str


FORMATS: dict[str, Format] = {
    ".ply": Format(read_ply, write_ply, "3D Gaussian Splatting PLY, lossless"),
    ".splat": Format(read_splat, write_splat, "32 bytes a Gaussian for web viewers, base colour only"),
}


def _format(path: str | os.PathLike[str]) -> Format:
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"{os.fspath(path)}: scene files end in {' or '.join(FORMATS)}, not '{suffix}'")
    return FORMATS[suffix]


def read_gaussians(path: str | os.PathLike[str]) -> Gaussians:
    """Read a scene file by its suffix; InputError for unknown suffixes and damaged files."""
    return _format(path).read(path)


def write_gaussians(gaussians: Gaussians, path: str | os.PathLike[str], **options: Any) -> None:
    """Write a scene file by its suffix, whole or not at all. `options` are those of the format's own writer, such as
    up="y-up"; an option the format does not have is an InputError."""
    write = _format(path).write
    known = [name for name, p in inspect.signature(write).parameters.items() if p.kind is p.KEYWORD_ONLY]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InputError(f"{os.fspath(path)}: has no option '{unknown[0]}'; there are {', '.join(known)}")
    write(gaussians, path, **options)
