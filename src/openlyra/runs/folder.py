"""The folder of one run. Every file is written whole or not at all, so a run can be killed at any moment and
resumed."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from openlyra.errors import InputError, OutputExistsError
from openlyra.media.image import read_image, write_image
from openlyra.memory.frame import MemoryFrame
from openlyra.memory.spatial_memory import load_frame, save_frame
from openlyra.runs.manifest import Manifest, peak_memory_mb, sha256

MANIFEST = "run.json"
PHOTO = -1
"""Index of the photo among the remembered frames; frames of the walk have that of their place on the path."""
FOLDERS = ("frames", "memory", "walk")
FILES = (
    MANIFEST, "input.png", "cameras.json", "cameras.npz", "scene.ply", "contact_sheet.jpg", "video.mp4", "viewer.html",
    "report.json",
)  # fmt: skip
"""What a run consists of; nothing else is ever deleted."""


class RunFolder:
    """A run's files by name, its manifest, and the store that a generator writes to (`generation.base.WalkStore`)."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self.resumed = False
        """Whether the folder held an earlier part of this run."""

    @staticmethod
    def open(path: Path) -> RunFolder:
        """An existing run. Raises InputError when the folder is none."""
        if not (path / MANIFEST).is_file():
            raise InputError(f"{path}: is not a run folder (it has no {MANIFEST})")
        return RunFolder(path, Manifest.load(path / MANIFEST))

    @staticmethod
    def start(path: Path, wanted: Manifest, resume: bool = False, overwrite: bool = False) -> RunFolder:
        """A new run, or the rest of an interrupted one.

        Raises:
            OutputExistsError: the folder holds something and neither ``resume`` nor ``overwrite`` was given.
            InputError: the run to resume was started with other settings, another photo, or other package versions.
        """
        if path.exists() and not path.is_dir():
            raise OutputExistsError(f"{path}: is a file; give a folder for the run")
        is_run = (path / MANIFEST).is_file()
        occupied = path.is_dir() and any(not _is_leftover(p) for p in path.iterdir())
        if occupied and not is_run:
            raise OutputExistsError(f"{path}: holds other files than a run; give a new or empty folder")
        if occupied and resume:
            return RunFolder._resume(path, wanted)
        if occupied and not overwrite:
            raise OutputExistsError(
                f"{path}: already holds a run; continue it with --resume or replace it with --overwrite"
            )
        if occupied:
            RunFolder._clear(path)
        for folder in (path, path / "memory", path / "frames"):
            folder.mkdir(parents=True, exist_ok=True)
        run = RunFolder(path, wanted)
        run.save_manifest()
        return run

    @staticmethod
    def _clear(path: Path) -> None:
        """Delete a run, and nothing that is not part of one."""
        foreign = [p.name for p in path.iterdir() if p.name not in (*FILES, *FOLDERS) and not _is_temporary(p)]
        if foreign:
            raise OutputExistsError(
                f"{path}: holds '{min(foreign)}', which is not part of a run; move it away or give a new folder"
            )
        # Whoever is killed here must not find a finished run with half of its files.
        Manifest({}, {}).save(path / MANIFEST)
        for part in path.iterdir():
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part)
            elif part.name != MANIFEST:
                part.unlink()

    @staticmethod
    def _resume(path: Path, wanted: Manifest) -> RunFolder:
        run = RunFolder.open(path)
        have = run.manifest
        if not have.settings:
            raise InputError(f"{path}: cannot resume, the run in it was being replaced; start over with --overwrite")
        for what, old, new in (("setting", have.settings, wanted.settings), ("input", have.input, wanted.input)):
            for key in sorted({*old, *new}):
                if old.get(key) != new.get(key):
                    raise InputError(
                        f"{path}: cannot resume, {what} '{key}' was {old.get(key)!r} and is now {new.get(key)!r}; "
                        "use the same or start over with --overwrite"
                    )
        for key, old_version in have.versions.items():
            here = wanted.versions.get(key)
            if here != old_version:
                raise InputError(f"{path}: cannot resume, it was begun with {key} {old_version}, here is {here}")
        for leftover in path.rglob(".*.tmp"):
            leftover.unlink()
        for folder in (path / "memory", path / "frames"):
            folder.mkdir(exist_ok=True)
        run.resumed = True
        return run

    def save_manifest(self) -> None:
        """Write ``run.json``."""
        self.manifest.save(self.path / MANIFEST)

    def done(self, stage: str) -> bool:
        """Whether a stage was finished."""
        return stage in self.manifest.stages

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and mark it finished at its end. A resumed stage reports the time since the resume."""
        begin = time.perf_counter()
        yield
        self.manifest.stages[name] = {
            "seconds": round(time.perf_counter() - begin, 3),
            "peak_memory_mb": round(peak_memory_mb(), 1),
        }
        self.save_manifest()

    def finish(self) -> None:
        """Record the hash of every file made and mark the run finished."""
        files = sorted(p for p in self.path.rglob("*") if p.is_file() and p.name != MANIFEST and not _is_temporary(p))
        self.manifest.outputs = {str(p.relative_to(self.path)): sha256(p) for p in files}
        self.manifest.finished = True
        self.save_manifest()

    def record(self, name: str) -> None:
        """Record the hash of a file that was made anew after the run had finished."""
        if self.manifest.finished:
            self.manifest.outputs[name] = sha256(self.path / name)
            self.save_manifest()

    def summary(self) -> dict[str, Any]:
        """What a program wants to know of a finished run."""
        seconds = sum(stage["seconds"] for stage in self.manifest.stages.values())
        return {"run": str(self.path), "seconds": round(seconds, 1), **self.manifest.__dict__}

    # The store of a walk.

    def memory_indices(self) -> list[int]:
        """Remembered frames in the order in which they were remembered (file names carry the order)."""
        return [index for _, index, _ in self._memory_files()]

    def load_photo(self) -> MemoryFrame:
        """The photo as it was remembered: the first frame of all."""
        return load_frame(self._memory_files()[0][2])

    def work_folder(self) -> Path:
        """Where a walk keeps what it needs to go on; made when asked for."""
        folder = self.path / "walk"
        folder.mkdir(exist_ok=True)
        return folder

    def load_memory(self, index: int) -> MemoryFrame:
        """The first remembered frame with that index (the photo and the completion of its padding both have 0)."""
        return next(load_frame(path) for _, i, path in self._memory_files() if i == index)

    def remembered(self) -> list[MemoryFrame]:
        """All remembered frames, in order."""
        return list(self.each_remembered())

    def each_remembered(self) -> Iterator[MemoryFrame]:
        """The same one by one, so that a long run need not fit into memory."""
        return (load_frame(path) for _, _, path in self._memory_files())

    def remember(self, frame: MemoryFrame) -> None:
        """Add a frame to ``memory/``."""
        order = len(self._memory_files())
        save_frame(frame, self.path / "memory" / f"{order:04d}_frame_{frame.index:05d}.safetensors")

    def _memory_files(self) -> list[tuple[int, int, Path]]:
        found = []
        for path in (self.path / "memory").glob("*.safetensors"):
            match = re.fullmatch(r"(\d{4})_frame_(-?\d+)\.safetensors", path.name)
            if match:
                found.append((int(match[1]), int(match[2]), path))
        return sorted(found)

    def frame_path(self, index: int) -> Path:
        """File of a lossless video frame."""
        return self.path / "frames" / f"{index:05d}.png"

    def has_frame(self, index: int) -> bool:
        """Whether a video frame is there."""
        return self.frame_path(index).is_file()

    def write_frame(self, index: int, image: np.ndarray) -> None:
        """Keep a video frame losslessly."""
        write_image(self.frame_path(index), image)

    def read_frame(self, index: int) -> np.ndarray:
        """A video frame, uint8 (H, W, 3)."""
        return read_image(self.frame_path(index))


def _is_temporary(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".tmp")


def _is_leftover(path: Path) -> bool:
    """What a run that was killed before it wrote its manifest leaves behind."""
    return _is_temporary(path) or (path.name in FOLDERS and path.is_dir() and not any(path.iterdir()))
