"""Where a reconstruction goes: one scene file with its report, or a folder with videos and cameras too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openlyra.errors import InputError, OutputExistsError
from openlyra.formats import FORMATS, find_format

FILES = (
    "scene.ply", "cameras.json", "cameras.npz", "flythrough.mp4", "novel_path.mp4", "contact_sheet.jpg", "report.json",
)  # fmt: skip
"""What a folder consists of, the report last; nothing else in it is ever touched."""


@dataclass(frozen=True)
class Output:
    """The files of one reconstruction."""

    scene: Path
    report: Path
    folder: Path | None
    """None for a scene file by itself."""

    @property
    def checkpoint(self) -> Path:
        """Where an interrupted fit goes on from."""
        return self.scene.with_name(f".{self.scene.name}.checkpoint.safetensors")


def output_at(path: Path, overwrite: bool) -> Output:
    """A scene file by its suffix, or a folder if there is none.

    Raises:
        InputError: the suffix is no scene format.
        OutputExistsError: something is there and `overwrite` is not set, or a folder holds other files.
    """
    if find_format(path) is not None and not path.is_dir():
        if path.exists() and not overwrite:
            raise OutputExistsError(f"{path}: exists; replace it with --overwrite or give another name")
        return Output(path, path.with_name(path.name.split(".")[0] + ".report.json"), None)
    if path.suffix and not path.is_dir():
        raise InputError(f"{path}: scene files end in {' or '.join(FORMATS)}; a name without a suffix makes a folder")
    if path.is_file():
        raise OutputExistsError(f"{path}: is a file; give a folder, or a scene file by its suffix")
    output = Output(path / "scene.ply", path / "report.json", path)
    there = sorted(part.name for part in path.iterdir()) if path.is_dir() else []
    foreign = [name for name in there if name not in FILES and not name.startswith(".")]
    if foreign:
        raise OutputExistsError(f"{path}: holds '{foreign[0]}', not part of a reconstruction; give a new folder")
    # A checkpoint without a report: killed while the files were being written, so they are its own.
    begun = output.checkpoint.exists() and not output.report.exists()
    if any(name in FILES for name in there) and not overwrite and not begun:
        raise OutputExistsError(f"{path}: holds a reconstruction; replace it with --overwrite or give a new folder")
    return output
