"""``openlyra worlds``: procedural scenes with exact truth, as a data set of walks or as one picture."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from openlyra.cli.console import Progress, Verbosity, print_json, say
from openlyra.errors import InputError, OutputExistsError
from openlyra.media.image import write_image
from openlyra.world import CreateSettings
from openlyra.worlds.dataset import DatasetSettings, make_dataset
from openlyra.worlds.sample import kind_names, sample_view
from openlyra.worlds.sheet import contact_sheet

REPORT_SECONDS = 15.0
"""How often a line is printed where there is no terminal."""


@dataclass(frozen=True)
class WorldsMakeCommand:
    """Write videos of walks through random worlds, with poses, intrinsics and depth, in the layout of training.

    Example: openlyra worlds make -o walks --kind rooms --videos 100 --frames 240
    """

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder to write."""
    kind: str | None = None
    """Kind or group of worlds; any if not given."""
    videos: int = 8
    """Number of videos."""
    frames: int = 240
    """Frames a video, 16 a second."""
    size: str = "192x336"
    """Height x width in pixels."""
    seed: int = 0
    """Seed of the first video; the next has the next seed."""
    depth: Literal["half", "single"] = "half"
    """Precision of the stored depth."""
    speed: float = 0.06
    """Metres walked a frame."""
    processes: int | None = None
    """Videos made at the same time; one a processor if not given."""
    resume: bool = False
    """Continue the data set in the folder, or make it longer."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        height, width = CreateSettings(size=self.size).shape()
        settings = DatasetSettings(self.kind, self.frames, height, width, self.seed, self.depth, self.speed)
        processes = os.cpu_count() or 1 if self.processes is None else self.processes
        progress = Progress(self.verbosity)
        lines = _Lines(self.verbosity)

        def advance(done: int, total: int) -> None:
            progress("drawing worlds", done, total)
            if progress.plain:
                lines(done, total)

        try:
            ids = make_dataset(
                self.output, settings, self.videos, processes=processes, resume=self.resume, advance=advance
            )
        finally:
            progress.close()
        if self.verbosity.json:
            print_json({"folder": str(self.output), "videos": ids, "frames": self.frames})
        else:
            say(f"wrote {self.output}: {len(ids)} videos of {self.frames} frames", self.verbosity)
        return 0


@dataclass(frozen=True)
class WorldsShowCommand:
    """Draw random worlds in one picture, colour above and depth below.

    Example: openlyra worlds show -o sheet.png --kind streets --count 12
    """

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Picture to write, .png or .jpg."""
    kind: str | None = None
    """Kind or group of worlds; any if not given."""
    count: int = 12
    """Number of views."""
    columns: int = 4
    """Views side by side."""
    size: str = "192x336"
    """Height x width of one view in pixels."""
    seed: int = 0
    """Seed of the first view."""
    overwrite: bool = False
    """Replace the picture if it exists."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        height, width = CreateSettings(size=self.size).shape()
        if not 1 <= self.count <= 400 or not 1 <= self.columns <= self.count:
            raise InputError(
                f"--count {self.count} --columns {self.columns}: count is 1 to 400 and columns 1 to that count"
            )
        if self.output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise InputError(f"{self.output}: pictures are written as .png or .jpg")
        if self.output.exists() and not self.overwrite:
            raise OutputExistsError(f"{self.output}: exists; replace it with --overwrite")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: must not be negative")
        kind_names(self.kind)
        progress = Progress(self.verbosity)
        views = []
        try:
            for index in range(self.count):
                views.append(sample_view(self.seed + index, self.kind, height=height, width=width))
                progress("drawing worlds", index + 1, self.count)
        finally:
            progress.close()
        write_image(self.output, contact_sheet(views, self.columns))
        if self.verbosity.json:
            print_json({"picture": str(self.output), "kinds": [view.kind for view in views]})
        else:
            say(f"wrote {self.output}: {', '.join(view.kind for view in views)}", self.verbosity)
        return 0


class _Lines:
    """A line with the time left, now and then, for logs."""

    def __init__(self, how: Verbosity) -> None:
        self.how, self.begin, self.told, self.first = how, time.monotonic(), time.monotonic(), -1

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.first < 0:
            self.first = done
        if now - self.told < REPORT_SECONDS or done <= self.first:
            return
        self.told = now
        left = (now - self.begin) * (total - done) / (done - self.first)
        say(f"{done} of {total} frames, {left / 60:.0f} minutes left", self.how)
