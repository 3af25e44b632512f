"""``openlyra evaluate``: figures instead of impressions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from openlyra.cli.console import print_json
from openlyra.depth import DepthEstimator, load_depth
from openlyra.errors import InputError
from openlyra.evaluation.depth import DepthScore, mean_score, read_rgbd, score_aligned, vertical_ramp
from openlyra.evaluation.perceptual import DEFAULT_FEATURES, FEATURES
from openlyra.formats import read_gaussians
from openlyra.runs import RunFolder

if TYPE_CHECKING:
    from openlyra.evaluation.reconstruction import ReconstructionReport
    from openlyra.evaluation.run import RunReport

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
        from openlyra.evaluation.run import evaluate_run

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


@dataclass(frozen=True)
class EvaluateReconstructionCommand:
    """Measure a scene against frames: those it was made from, those held out, and views beside the path."""

    scene: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|SCENE")]
    """Run folder (its scene.ply) or scene file."""
    views: Path | None = None
    """Run folder whose frames are the views; needed for a scene file, else the run itself."""
    off_path: Path | None = None
    """Run folder with true pictures from beside the path, as a procedural world can give."""
    held_out: int = 8
    """Every how many frames one counts as held out; give what the scene was made with."""
    off_path_distance: float | None = None
    """Step aside in scene units, without --off-path; by default a twentieth of the median depth."""
    features: str = DEFAULT_FEATURES
    """What the perceptual distance compares."""
    json: bool = False
    """Print the report as JSON."""

    def run(self) -> int:
        """Run it; returns the exit status."""
        from openlyra.evaluation.reconstruction import evaluate_reconstruction
        from openlyra.reconstruction import read_frames

        is_run = self.scene.is_dir()
        if not is_run and self.views is None:
            raise InputError(f"{self.scene}: is a scene file; say which frames to compare it with (--views RUN)")
        if self.features not in FEATURES:
            raise InputError(f"--features {self.features}: choose one of {', '.join(FEATURES)}")
        file = self.scene / "scene.ply" if is_run else self.scene
        scene, frames = read_gaussians(file), read_frames(self.views or self.scene)
        beside = None if self.off_path is None else read_frames(self.off_path)
        report = evaluate_reconstruction(
            scene, frames, frames.held_out(self.held_out)[1], off_path=beside, features=self.features,
            off_path_distance=self.off_path_distance, size_bytes=file.stat().st_size,
        )  # fmt: skip
        if self.json:
            print_json(asdict(report))
        else:
            print(reconstruction_table(report))
        return 0


def reconstruction_table(report: ReconstructionReport) -> str:
    """The report for people: one column a kind of view."""
    size = "" if report.bytes is None else f", {report.bytes / 1e6:.2f} MB"
    kinds = {"input": report.input, "held out": report.held_out, "off path": report.off_path}
    shown = {name: asdict(figures) for name, figures in kinds.items() if figures is not None}
    lines = [f"{report.gaussians:,} Gaussians{size}", f"{'figure':<14}" + "".join(f"{name:>12}" for name in shown)]
    for figure in next(iter(shown.values()), {}):
        cells = ("-" if values[figure] is None else f"{values[figure]:g}" for values in shown.values())
        lines.append(f"{figure:<14}" + "".join(f"{cell:>12}" for cell in cells))
    truth = "true pictures" if report.off_path_truth else "the nearest frame carried over by the scene's depth"
    return "\n".join([*lines, f"perceptual: {report.features}; off path: against {truth}"])


@dataclass(frozen=True)
class EvaluateDepthCommand:
    """Measure a depth backend on photos with measured depth, up to scale and shift of inverse depth; prints a table.

    Example: openlyra evaluate depth room.npz desk.npz --depth nano
    """

    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """.npz files with rgb, uint8 (H, W, 3), and depth in metres, (H, W), 0 where unknown."""
    depth: str = "nano"
    """Backend to measure."""
    weights: Path | None = None
    """Weights to use with nano instead of the package's."""
    worlds: int = 0
    """Measure on so many held-out views of procedural worlds too."""
    kind: str | None = None
    """Kind of worlds; all kinds if not given."""
    json: bool = False
    """Print the figures as JSON."""

    def run(self) -> int:
        """Run it; returns the exit status."""
        if not self.files and self.worlds < 1:
            raise InputError("nothing to measure; give .npz files or --worlds")
        options = {} if self.weights is None else {"weights": str(self.weights)}
        estimator = load_depth(self.depth, **options)
        figures: dict[str, Any] = {}
        if self.files:
            ours, ramps = measure_files(self.files, estimator)
            figures |= {self.depth: {name: asdict(s) for name, s in ours.items()},
                        "vertical ramp": {name: asdict(s) for name, s in ramps.items()}}  # fmt: skip
            if not self.json:
                print(depth_table(self.depth, ours, ramps))
        if self.worlds > 0:
            from openlyra.evaluation.depth_worlds import evaluate_on_worlds, summary

            scores = [score for _, score in evaluate_on_worlds(estimator, self.worlds, self.kind)]
            figures["worlds"] = asdict(summary(scores))
            if not self.json:
                print("\n".join(f"{name:<12}{value:9.4f}" for name, value in figures["worlds"].items()))
        if self.json:
            print_json(figures)
        return 0


def measure_files(
    files: tuple[Path, ...], estimator: DepthEstimator
) -> tuple[dict[str, DepthScore], dict[str, DepthScore]]:
    """Figures of a backend and of the vertical ramp by file name, with the mean last."""
    ours: dict[str, DepthScore] = {}
    ramps: dict[str, DepthScore] = {}
    for path in files:
        photo = read_rgbd(path)
        ours[photo.name] = score_aligned(1.0 / estimator.estimate(photo.rgb).depth, photo.depth)
        ramps[photo.name] = score_aligned(vertical_ramp(*photo.depth.shape), photo.depth)
    ours["mean"], ramps["mean"] = mean_score(list(ours.values())), mean_score(list(ramps.values()))
    return ours, ramps


def depth_table(backend: str, ours: dict[str, DepthScore], ramps: dict[str, DepthScore]) -> str:
    """Figures by file, with the baseline beside them."""
    width = max(12, *(len(name) for name in ours))
    columns = f"{'delta1':>8}{'AbsRel':>8}{'RMSElog':>9}"
    lines = [f"{'':<{width}}{backend:^25}   {'vertical ramp':^25}", f"{'file':<{width}}{columns}   {columns}"]
    for name, score in ours.items():
        pair = [f"{s.delta1:8.3f}{s.absrel:8.3f}{s.rmse_log:9.3f}" for s in (score, ramps[name])]
        lines.append(f"{name:<{width}}{pair[0]}   {pair[1]}")
    return "\n".join(lines)
