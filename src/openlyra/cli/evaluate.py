"""``openlyra evaluate``: figures instead of impressions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

from openlyra.cli.console import print_json
from openlyra.evaluation.run import RunReport, evaluate_run
from openlyra.runs import RunFolder

GOALS = {"photo_psnr": 30.0, "path_psnr": 28.0, "opaque_share": 0.995, "loop_psnr": 30.0}


@dataclass(frozen=True)
class EvaluateRunCommand:
    """Measure a run: its scene against the photo and the video, holes, closed loops. Writes report.json, prints a
    table."""

    run_folder: tyro.conf.Positional[Path]
    """Finished run folder."""
    every: int = 1
    """Compare every how many frames."""
    json: bool = False
    """Print the report as JSON."""

    def run(self) -> int:
        """Run it; returns the exit status."""
        run = RunFolder.open(self.run_folder)
        report = evaluate_run(run, max(1, self.every))
        if self.json:
            print_json(asdict(report))
        else:
            print(table(report, run))
        return 0


def table(report: RunReport, run: RunFolder) -> str:
    """The report for people, with the goals of the project beside the figures."""
    lines = [f"{'figure':<18}{'value':>12}   goal"]
    for name, value in asdict(report).items():
        goal = f">= {GOALS[name]:g}" if name in GOALS else ""
        lines.append(f"{name:<18}{'-' if value is None else value:>12}   {goal}".rstrip())
    for name, stage in run.manifest.stages.items():
        lines.append(f"{'stage ' + name:<18}{stage['seconds']:>10.1f} s   peak {stage['peak_memory_mb']:.0f} MB")
    return "\n".join(lines)
