"""What the terminal shows: progress, messages, one JSON summary. Logs go to stderr, results to stdout."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import Any

WORDS = {
    "depth": "depth and path", "explore": "imagining what the photo hides", "frames": "drawing frames",
    "beside": "imagining what lies beside the path",
    "sample": "sampling the video", "scene": "Gaussian scene", "video": "video", "viewer": "page",
    "report": "measuring",
    "lift": "lifting what is remembered", "fit": "fitting the scene", "views": "measuring",
    "look": "drawing depth", "fuse": "fusing depth", "mesh": "making triangles",
}  # fmt: skip


@dataclass(frozen=True)
class Verbosity:
    """How much a command says."""

    json: bool = False
    """Print one machine-readable summary on stdout and nothing else there."""
    quiet: bool = False
    """Say nothing but errors."""
    verbose: bool = False
    """Say more, with tracebacks of errors."""


class Progress:
    """A live bar with stage, frames and time left on a terminal; a line a stage elsewhere."""

    def __init__(self, how: Verbosity) -> None:
        self.live = sys.stderr.isatty() and not how.quiet
        self.plain = not self.live and not how.quiet
        self.begin = time.perf_counter()
        self.stage = ""
        self._bar: Any = None
        if self.live:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True),
            )  # fmt: skip
            self._bar.start()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Progress of a stage; the signature the library calls."""
        if stage != self.stage:
            self.stage = stage
            self._new_stage(stage, total)
        if self.live:
            self._bar.update(self._task, completed=done, total=total)

    def _new_stage(self, stage: str, total: int) -> None:
        words = WORDS.get(stage, stage)
        if self.live:
            self._task = self._bar.add_task(words, total=total)
        elif self.plain:
            print(f"[{time.perf_counter() - self.begin:6.1f} s] {words}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Stop drawing."""
        if self._bar is not None:
            self._bar.stop()


def say(message: str, how: Verbosity) -> None:
    """A line for people, on stderr."""
    if not how.quiet:
        print(message, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """The machine-readable summary, on stdout."""
    print(json.dumps(value, indent=1, default=str))
