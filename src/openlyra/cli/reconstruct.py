"""``openlyra reconstruct``: frames to a compact scene."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from openlyra.cli.console import Progress, Verbosity, print_json, say
from openlyra.cli.evaluate import reconstruction_table
from openlyra.cli.warm_up import warm_up
from openlyra.gaussians.optimise import OptimiseProgress
from openlyra.reconstruction import ReconstructSettings, reconstruct


@dataclass(frozen=True)
class ReconstructCommand:
    """Fit a 3D Gaussian scene to the frames of a run, to photos or to a video with known cameras, and measure it.

    Example: openlyra reconstruct my-world -o compact.ply --held-out 0
    Example: openlyra reconstruct photos/transforms.json -o room.ply --size 270x480
    Example: openlyra reconstruct colmap-project -o room      (a folder with videos and cameras as well)
    Example: openlyra reconstruct walk.mp4 --cameras walk.json -o walk.ply
    """

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|PHOTOS|VIDEO")]
    """Finished run folder, transforms.json or a folder that holds one, a folder with images and a COLMAP model in
    sparse/0, or a video."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Scene file to write, whose suffix says the format (a report goes beside it), or a folder, a name without a
    suffix: scene.ply, cameras.json and .npz, flythrough.mp4, novel_path.mp4, contact_sheet.jpg, report.json."""
    cameras: Path | None = None
    """Camera path of a video, one camera a frame: .npz, cameras.json, nerfstudio, transforms.json or COLMAP."""
    settings: tyro.conf.OmitArgPrefixes[ReconstructSettings] = field(default_factory=ReconstructSettings)
    overwrite: bool = False
    """Replace the file or folder if it exists; begin anew instead of going on from a checkpoint of other settings."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        how = self.verbosity
        if self.source.exists():
            warm_up("reconstruct", how)
        progress = Progress(how)

        def report(at: OptimiseProgress) -> None:
            progress("fit", at.step, at.steps)
            if progress.plain and (at.step % max(1, at.steps // 10) == 0):
                say(f"step {at.step} of {at.steps}: {at.psnr:.2f} dB, {at.gaussians:,} Gaussians", how)

        try:
            done = reconstruct(
                self.source, self.output, cameras=self.cameras, settings=self.settings, overwrite=self.overwrite,
                advance=progress, report=report,
            )  # fmt: skip
        except KeyboardInterrupt:
            progress.close()
            print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
            return 130
        finally:
            progress.close()
        if how.json:
            print_json({"output": str(self.output), **done.record})
        else:
            say(reconstruction_table(done.report), how)
            for name, licence in done.record["licences"].items():
                say(f"weights {name}: {licence}", how)
            say(f"wrote {self.output}", how)
        return 0
