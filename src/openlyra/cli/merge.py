"""``openlyra merge``: several scenes of one place become one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from openlyra.cli.console import Verbosity, print_json, say
from openlyra.gaussians.merge import MergeSettings
from openlyra.reconstruction.merging import merge_scenes

STEPS = {
    "all": "in all scenes together", "finite": "hold numbers that make sense", "opaque": "are not too faint",
    "owned": "are seen nearest by the scene they are from", "consistent": "are not looked through by other scenes",
    "budget": "within the budget, like pairs merged",
}  # fmt: skip


@dataclass(frozen=True)
class MergeCommand:
    """Make one scene of several that show one place: aligned, the sky on one far shell, each surface kept once.

    Sources are run folders, folders made by reconstruct, or scene files with NAME.cameras.json or cameras.json beside
    them. The result stands in the world of the first one.

    Parts of one capture that have cameras in one world already, such as two halves of one COLMAP project:

    Example: openlyra merge hall garden -o house

    Parts of a long walk, each reconstructed by itself, where the last 10 frames of each are the first 10 of the next:

    Example: openlyra merge part1 part2 part3 -o walk.ply --overlap 10

    The same on a round trip, whose last frames are the first ones again: add --loop.
    """

    sources: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN|FOLDER|SCENE ...")]
    """At least two, in the order of the walk."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Scene file, whose suffix says the format, with NAME.cameras.json and NAME.report.json beside it; or a folder, a
    name without a suffix, for scene.ply, cameras.json and report.json."""
    overlap: int = 0
    """How many frames neighbours share: the last of each are the first of the next. 0: all stand in one world."""
    loop: bool = False
    """The last source shares as many frames with the first, which closes a round."""
    settings: tyro.conf.OmitArgPrefixes[MergeSettings] = field(default_factory=MergeSettings)
    overwrite: bool = False
    """Replace the output if it exists."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        how = self.verbosity
        merged, record = merge_scenes(
            self.sources, self.output, overlap=self.overlap, loop=self.loop, settings=self.settings,
            overwrite=self.overwrite,
        )  # fmt: skip
        if how.json:
            print_json({"output": str(self.output), **record})
            return 0
        for step, count in merged.counts.items():
            say(f"{count:>12,}  {STEPS[step]}", how)
        for (first, second), residual in zip(record["alignment"]["pairs"], merged.alignment.residuals):
            say(f"{self.sources[first]} and {self.sources[second]} agree within {residual:.3g} scene units", how)
        say(f"wrote {self.output}: {merged.gaussians.count:,} Gaussians", how)
        return 0
