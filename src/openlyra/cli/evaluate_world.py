"""``openlyra evaluate world``: what memory, self-augmented training and few steps do, on worlds never trained on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from openlyra.cli.console import Verbosity, print_json, say
from openlyra.errors import InputError, OutputExistsError
from openlyra.media.atomic import write_bytes_atomic
from openlyra.media.image import write_image

if TYPE_CHECKING:
    from openlyra.evaluation.world_report import Shown, WorldReport
    from openlyra.evaluation.world_scores import Drift, Measured

REPORT = "report.json"


@dataclass(frozen=True)
class EvaluateWorldCommand:
    """Measure video generators that `openlyra train world` made, on procedural worlds drawn for it.

    Nothing is trained on these worlds. Every video begins at one true frame and follows true cameras; remembered frames
    get the depth of the world, so that the network alone is judged. Four questions:

    What is forgotten? A camera turns away and back; the last chunk of the loop is compared with the first visit and
    with the world, for loops of growing length. Of the first folder parts are taken away: the spatial slots (what is
    retrieved is only warped), the correspondences, the per-frame cache (one fused cloud instead), all memory.

    What drifts? Sharpness, colour and distance to the world chunk by chunk, while the camera sways over a small part of
    the world, and on long walks. Give folders trained with and without self-augmented histories to compare them.

    Does the camera obey? Its motion is estimated back from the pixels.

    What is imagined? Regions that the photo does not show are compared with the world, one by one (perceptual
    distance) and as a whole (Frechet distance of patches).

    The exemplar generator and "warp alone" (what the network is given, shown as it is) stand in the same tables.
    Figures are means over worlds, with their standard deviation over seeds.

    Example: openlyra evaluate world nano plain -o report
    """

    folders: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="OUT...")]
    """Trained folders, or nano for the network inside the package; parts are taken away from the first."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for report.json, drift.png, loops.png and sheets of frames."""
    videos: int = 2
    """Worlds for loops, and as many for walks. Two take about ten minutes on two cores."""
    loops: tuple[int, ...] = (3, 5, 8)
    """Lengths of the closed loops in chunks."""
    chunks: int = 10
    """Length of walks and swaying in chunks."""
    seeds: int = 2
    """Seeds of the noise."""
    threads: int = 0
    """Threads of the networks; 0 leaves it to PyTorch."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        from openlyra.evaluation.world_report import WorldProtocol, evaluate_world
        from openlyra.evaluation.world_walk import load_trained_networks
        from openlyra.models.threads import torch_threads

        if not self.folders:
            raise InputError("no folder to measure; give what `openlyra train world` wrote")
        if self.output.exists() and (not self.output.is_dir() or any(self.output.iterdir())):
            raise OutputExistsError(f"{self.output}: exists and is not empty; give a new folder")
        protocol = WorldProtocol(self.videos, self.loops, self.chunks, self.seeds)
        networks = load_trained_networks(self.folders)
        self.output.mkdir(parents=True, exist_ok=True)
        with torch_threads(self.threads):
            report, shown = evaluate_world(networks, protocol, lambda line: say(line, self.verbosity))
        values = _written(asdict(report))
        write_bytes_atomic(self.output / REPORT, (json.dumps(values, indent=1) + "\n").encode())
        write_pictures(report, shown, self.output)
        if self.verbosity.json:
            print_json(values)
        else:
            print(world_tables(report))
        return 0


def _written(value: Any) -> Any:
    """Values as JSON has them: nothing in the place of what is not a number."""
    if isinstance(value, dict):
        return {key: _written(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_written(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def world_tables(report: WorldReport) -> str:
    """The report for people."""
    lines = [f"worlds: {', '.join(report.worlds)}; seeds: {report.protocol.seeds}", ""]
    lines += [f"closed loops: last chunk against first visit / against the world (ablations are of {report.ablated})"]
    loops = report.protocol.loops
    lines += [_row("", [f"{loop} chunks: PSNR" for loop in loops] + [f"{loop}: SSIM" for loop in loops]
                   + [f"{loop}: perceptual" for loop in loops])]  # fmt: skip
    for name, by_length in report.loops.items():
        figures = [by_length[loop] for loop in loops]
        cells = [f"{m.mean.psnr_first:.1f} / {m.mean.psnr_truth:.1f} ±{m.spread.psnr_truth:.1f}" for m in figures]
        cells += [f"{m.mean.ssim_first:.2f} / {m.mean.ssim_truth:.2f}" for m in figures]
        cells += [f"{m.mean.perceptual_first:.2f} / {m.mean.perceptual_truth:.2f}" for m in figures]
        lines.append(_row(name, cells))
    for title, table in (("swaying over what was seen", report.sway), ("long walks", report.walk)):
        lines += ["", f"{title}: first chunk -> last chunk", _row("", ["PSNR", "perceptual", "colour", "sharpness"])]
        for name, m in table.items():
            lines.append(_row(name, [_ends(m, part) for part in ("psnr", "perceptual", "colour", "sharpness")]))
    lines += ["", "newly revealed regions, camera, time", _row("", [
        "perceptual", "Frechet", "rotation, deg", "move, % depth", "reprojection, px", "s a frame",
    ])]  # fmt: skip
    for name, camera in report.camera.items():
        cells = ["-", "-"]
        if name in report.revealed:
            seen = report.revealed[name]
            pairs = ((seen.mean.perceptual, seen.spread.perceptual), (seen.mean.frechet, seen.spread.frechet))
            cells = [f"{mean:.3f} ±{spread:.3f}" for mean, spread in pairs]
        cells += [f"{getattr(camera.mean, part):.2f}" for part in ("rotation", "translation", "reprojection")]
        lines.append(_row(name, [*cells, f"{report.seconds[name]:.2f}" if name in report.seconds else "-"]))
    return "\n".join(lines)


def _row(name: str, cells: list[str]) -> str:
    return f"{name:<20}" + "".join(f"{cell:>24}" for cell in cells)


def _ends(found: Measured[Drift], part: str) -> str:
    values, spread = getattr(found.mean, part), getattr(found.spread, part)
    digits = 1 if part in ("psnr", "colour") else 2
    return f"{values[0]:.{digits}f} -> {values[-1]:.{digits}f} ±{spread[-1]:.{digits}f}"


def write_pictures(report: WorldReport, shown: Shown, folder: Path) -> None:
    """drift.png, loops.png: plots. walk.png, loop.png: frames of one world."""
    from openlyra.evaluation.pictures import Plot, draw_plots, draw_sheet

    chunks = range(1, report.protocol.chunks + 1)

    def over_time(title: str, table: Mapping[str, Measured[Drift]], part: str) -> Plot:
        return Plot(title, chunks, "chunk", {name: getattr(found.mean, part) for name, found in table.items()})

    plots = [
        over_time("swaying: PSNR against the world, dB", report.sway, "psnr"),
        over_time("long walks: PSNR against the world, dB", report.walk, "psnr"),
        over_time("swaying: sharpness (1 is right)", report.sway, "sharpness"),
        over_time("long walks: sharpness (1 is right)", report.walk, "sharpness"),
        over_time("swaying: colour distance, of 255", report.sway, "colour"),
        over_time("long walks: colour distance, of 255", report.walk, "colour"),
    ]
    write_image(folder / "drift.png", draw_plots(plots))
    loops = sorted(report.protocol.loops)
    plots = [
        Plot(title, loops, "chunks", {
            name: [getattr(found[loop].mean, part) for loop in loops] for name, found in report.loops.items()
        })
        for title, part in (("loops: PSNR against the world, dB", "psnr_truth"),
                            ("loops: PSNR against the first visit, dB", "psnr_first"))
    ]  # fmt: skip
    write_image(folder / "loops.png", draw_plots(plots))
    walked = len(next(iter(shown.walk.values()))) - 1
    places = [int(place) for place in np.linspace(0, walked, 7)]
    write_image(folder / "walk.png", draw_sheet(shown.walk, places, [f"frame {place}" for place in places]))
    end = len(next(iter(shown.loop.values()))) - 1
    places = [0, 8, end // 4, end // 2, 3 * end // 4, end - 8, end]
    write_image(folder / "loop.png", draw_sheet(shown.loop, places, [f"frame {place}" for place in places]))
