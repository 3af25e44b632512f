"""``openlyra reconstruct``: frames to a compact scene."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from openlyra.cli.console import Progress, Verbosity, print_json, say
from openlyra.cli.evaluate import reconstruction_table
from openlyra.gaussians.optimise import OptimiseProgress
from openlyra.reconstruction import ReconstructSettings, reconstruct


@dataclass(frozen=True)
class ReconstructCommand:
    """Fit a 3D Gaussian scene to the frames of a run or to photos with cameras, and measure it.

    Example: openlyra reconstruct my-world -o compact.ply --held-out 0
    Example: openlyra reconstruct photos/transforms.json -o room.ply --size 270x480
    """

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|PHOTOS")]
    """Finished run folder, transforms.json, or a folder of photos that holds one."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Scene file to write; its suffix says the format, a report goes beside it."""
    settings: tyro.conf.OmitArgPrefixes[ReconstructSettings]
    overwrite: bool = False
    """Replace the file if it exists."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        how = self.verbosity
        progress = Progress(how)

        def report(at: OptimiseProgress) -> None:
            progress("fit", at.step, at.steps)
            if progress.plain and (at.step % max(1, at.steps // 10) == 0):
                say(f"step {at.step} of {at.steps}: {at.psnr:.2f} dB, {at.gaussians:,} Gaussians", how)

        try:
            done = reconstruct(self.source, self.output, settings=self.settings, overwrite=self.overwrite,
                               advance=progress, report=report)  # fmt: skip
        except KeyboardInterrupt:
            progress.close()
            print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
            return 130
        finally:
            progress.close()
        if how.json:
            print_json({"scene": str(self.output), **done.record})
        else:
            say(reconstruction_table(done.report), how)
            say(f"wrote {self.output}", how)
        return 0
