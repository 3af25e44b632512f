"""``openlyra create``: a photo to a world."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from openlyra.cli.console import Progress, Verbosity, print_json, say
from openlyra.cli.warm_up import warm_up
from openlyra.errors import InputError
from openlyra.generation import load_generator
from openlyra.world import CreateSettings, create


@dataclass(frozen=True)
class CreateCommand:
    """Make a world from one photo: a video along a camera path, a 3D Gaussian scene and a page to look around in.

    Example: openlyra create photo.jpg -o my-world --path orbit --frames 81
    """

    photo: tyro.conf.Positional[Path]
    """PNG, JPEG or WebP, up to 64 megapixels."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the run; must not exist yet (see --resume and --overwrite)."""
    settings: tyro.conf.OmitArgPrefixes[CreateSettings]
    resume: bool = False
    """Continue an interrupted run; it ends with the same bytes as an uninterrupted one."""
    overwrite: bool = False
    """Replace the run that is in the folder."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        if self.resume and self.overwrite:
            raise InputError("--resume and --overwrite exclude each other; give one of them")
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            return self._run_in_group()
        return self._run()

    def _run_in_group(self) -> int:
        """One of several processes that torchrun started: the first makes the world, the others help its network."""
        from openlyra.generation.lyra import LyraGenerator
        from openlyra.generation.ranks import follow, joined, rank

        self.settings.check()
        generator = load_generator(self.settings.generator, **self.settings.generator_options())
        if not isinstance(generator, LyraGenerator):
            raise InputError("several processes can only share --generator lyra; start one process")
        with joined():
            if rank() == 0:
                return self._run()
            follow(generator.load_network())
            return 0

    def _run(self) -> int:
        how = self.verbosity
        warm_up("create", how)
        progress = Progress(how)
        try:
            world = create(self.photo, self.output, settings=self.settings, resume=self.resume,
                           overwrite=self.overwrite, advance=progress)  # fmt: skip
        except KeyboardInterrupt:
            progress.close()
            print(f"interrupted; continue with: {_again()}", file=sys.stderr)
            return 130
        finally:
            progress.close()
        if how.json:
            print_json(world.run.summary())
        else:
            seconds = sum(stage["seconds"] for stage in world.run.manifest.stages.values())
            say(f"done in {seconds:.0f} s: {self.output}/video.mp4, scene.ply, contact_sheet.jpg", how)
            say(f"look around: open {self.output}/viewer.html in a browser", how)
        return 0


def _again() -> str:
    words = [word for word in sys.argv[1:] if word not in ("--resume", "--overwrite")]
    return shlex.join(["openlyra", *words, "--resume"])
