"""``openlyra train``: networks made anew, on this machine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from openlyra.cli.console import Progress, Verbosity, say
from openlyra.errors import InputError, OutputExistsError
from openlyra.training.depth_settings import TrainDepthSettings

if TYPE_CHECKING:
    from openlyra.training.depth import DepthTrainer, Watch

FIRST_SHARDS = 4
"""Shards that must be there before the first step."""


@dataclass(frozen=True)
class TrainDepthCommand:
    """Train the depth network on procedural worlds, which are drawn beside it. Interrupt at will, go on with --resume.

    Example: openlyra train depth -o depth-training --shards 400

    On more cores: torchrun --nproc-per-node 2 -m -- openlyra train depth ... shares the views of each step.
    """

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for checkpoint.safetensors, depth_nano.safetensors (the result) and log.jsonl."""
    settings: tyro.conf.OmitArgPrefixes[TrainDepthSettings]
    shards: int = 400
    """Shards of 16 views to draw in all; 0 draws nothing and takes what the data folder holds."""
    data: Path | None = None
    """Folder of the shards; <output>/data if not given."""
    start: Path | None = None
    """Weights to start from; an ImageNet encoder (extra `train`) and a random decoder if not given."""
    resume: bool = False
    """Continue an interrupted training."""
    watch: tuple[Path, ...] = ()
    """.npz files with measured depth to try the network on now and then; never trained on."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        from openlyra.training.ranks import joined_ranks

        checkpoint = self.output / "checkpoint.safetensors"
        if checkpoint.exists() and not self.resume:
            raise OutputExistsError(f"{self.output}: holds a training; continue it with --resume or give a new folder")
        if self.resume and not checkpoint.exists():
            raise InputError(f"{self.output}: holds no checkpoint to resume from")
        with joined_ranks() as rank:
            return self._train(checkpoint, rank)

    def _train(self, checkpoint: Path, rank: int) -> int:
        from openlyra.training.depth import DepthTrainer, train_depth
        from openlyra.training.ranks import wait_for_ranks

        trainer = DepthTrainer(self.settings, self.start)
        if self.resume:
            trainer.resume(checkpoint)
        data = self.data or self.output / "data"
        watch = watcher(self.watch) if self.watch and rank == 0 else None
        with drawing(data, self.shards) if rank == 0 else nullcontext():
            wait_for_ranks()
            try:
                if self.settings.mine:
                    self._judge(trainer, data, rank)
                if rank == 0:
                    say(f"training from step {trainer.step}; figures go to {self.output}/log.jsonl", self.verbosity)
                train_depth(trainer, data, self.output, watch=watch)
            except KeyboardInterrupt:
                return interrupted(checkpoint.exists(), self.verbosity)
        if rank == 0:
            say(f"done: {self.output}/depth_nano.safetensors", self.verbosity)
        return 0

    def _judge(self, trainer: DepthTrainer, data: Path, rank: int) -> None:
        from openlyra.training.ranks import wait_for_ranks

        progress = Progress(replace(self.verbosity, quiet=self.verbosity.quiet or rank > 0))
        try:
            trainer.judge(data, self.output, progress)
        finally:
            progress.close()
        wait_for_ranks()


@dataclass(frozen=True)
class TrainWorldCommand:
    """Train the video generator on posed videos: auto-encoder, cached latents, video transformer. Interrupt at will.

    Example: openlyra train world examples/training/one-world.toml -o training
    """

    config: tyro.conf.Positional[Path]
    """Configuration in TOML; docs/training.md describes it."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for vae/, transformer/ (the results), checkpoints, cache/, log.jsonl and videos of walks."""
    resume: bool = False
    """Continue an interrupted training."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        from openlyra.training.world_settings import read_settings
        from openlyra.training.world_trainer import train_world

        settings = read_settings(self.config)

        def train(tell: Callable[[str], None]) -> None:
            train_world(settings, self.output, tell)

        return run_training(self.output, self.resume, self.verbosity, train)


@dataclass(frozen=True)
class TrainDistilCommand:
    """Teach a trained video generator to make a chunk in few network calls. Interrupt at will, go on with --resume.

    The student starts as a copy of the teacher and learns where the teacher's sampling ends, from the noise levels at
    which it will be asked. The result is a folder like the teacher's, which walks with the few-step sampler.

    Example: openlyra train distil training -o training-4 --steps 500
    """

    teacher: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """Folder that `openlyra train world` wrote; its data set and cache must still be there."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for vae/, transformer/ (the results), checkpoints and log.jsonl."""
    steps: int = 500
    """Training steps."""
    calls: int = 4
    """Network calls a chunk of the student, a divisor of 1000."""
    rate: float = 1e-4
    """Highest learning rate."""
    batch: int = 1
    """Examples a step; of each one the student learns all its calls."""
    threads: int = 0
    """Threads of the networks; 0 leaves it to PyTorch."""
    resume: bool = False
    """Continue an interrupted distillation."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        from openlyra.training.world_distil import distil_settings, distil_world

        if self.steps < 1 or self.batch < 1 or not 0 < self.rate < 1:
            raise InputError(
                f"--steps {self.steps} --batch {self.batch} --rate {self.rate}: at least one step, one example and a "
                "rate between 0 and 1 are needed"
            )
        settings = distil_settings(self.teacher, self.steps, self.calls, self.rate, self.batch)
        settings = replace(settings, run=replace(settings.run, threads=self.threads))

        def train(tell: Callable[[str], None]) -> None:
            distil_world(settings, self.output, tell)

        return run_training(self.output, self.resume, self.verbosity, train)


def interrupted(resumable: bool, how: Verbosity) -> int:
    """Say how a training that was interrupted goes on; returns the exit status."""
    say("interrupted; " + ("continue with --resume" if resumable else "nothing to resume yet: run it again"), how)
    return 130


def run_training(output: Path, resume: bool, how: Verbosity, train: Callable[[Callable[[str], None]], None]) -> int:
    """Train on all ranks, in a folder that is new or resumed; returns the exit status."""
    from openlyra.training.ranks import joined_ranks
    from openlyra.training.world_trainer import LOG

    begun = (output / LOG).is_file()
    if begun and not resume:
        raise OutputExistsError(f"{output}: holds a training; continue it with --resume or give a new folder")
    if resume and not begun:
        raise InputError(f"{output}: holds no training to resume")
    with joined_ranks() as rank:
        try:
            train(lambda line: say(line, how) if rank == 0 else None)
        except KeyboardInterrupt:
            return interrupted((output / LOG).is_file(), how)
    if rank == 0:
        say(f"done: {output}/transformer", how)
    return 0


@dataclass(frozen=True)
class TrainPackCommand:
    """Copy what a walk needs of a trained video generator, at half the size: matrices in bfloat16.

    Example: openlyra train pack training -o my-model
    """

    folder: tyro.conf.Positional[Path]
    """Folder of a training."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder to write; `openlyra create --generator lyra --model` takes it."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        from openlyra.models.small_folder import pack

        digest = pack(self.folder, self.output)
        say(f"wrote {self.output}; SHA-256 of the network {digest}", self.verbosity)
        return 0


@dataclass(frozen=True)
class TrainImportCommand:
    """Add videos to a data set for `openlyra train world`: runs, photos or videos with known cameras, released sets.

    Example: openlyra train import my-world capture/transforms.json colmap-project -o dataset --size 192x336
    """

    sources: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="SOURCE...")]
    """Finished run folders, transforms.json or folders that hold one, folders with images and a COLMAP model, a video,
    or a data set in the layout of the Lyra 2.0 release (OpenEXR depth needs the extra `exr`)."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Data set to write or to add to."""
    cameras: Path | None = None
    """Camera path of a video, one camera a frame: .npz, cameras.json, nerfstudio, transforms.json or COLMAP."""
    name: str | None = None
    """Id of the video; by default from the name of the source."""
    size: str | None = None
    """Height x width in pixels to store, even; by default the source's, at most 480 on the longer side."""
    every: int = 1
    """Every so many frames one is taken."""
    max_frames: int = 1000
    """Largest number of frames, from the first on."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        from openlyra.training.world_import import ImportSettings, import_source
        from openlyra.world import CreateSettings

        if len(self.sources) > 1 and (self.cameras is not None or self.name is not None):
            raise InputError("--cameras and --name: are for one source; import the others on their own")
        size = None if self.size is None else CreateSettings(size=self.size).shape()
        settings = ImportSettings(self.cameras, size, self.every, self.max_frames)
        progress = Progress(self.verbosity)
        try:
            for source in self.sources:
                made = import_source(source, self.output, settings, self.name, progress)
                say(f"{source}: {', '.join(video.name for video in made) or 'nothing new'}", self.verbosity)
        finally:
            progress.close()
        return 0


@dataclass(frozen=True)
class TrainShardCommand:
    """Pack a data set into tar shards (WebDataset naming), for sets that are too many files. Training reads both.

    Example: openlyra train shard dataset -o shards --megabytes 1000
    """

    dataset: tyro.conf.Positional[Path]
    """Data set to pack; it stays as it is."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """New folder for 000000.tar, ... and shards.json."""
    megabytes: int = 1000
    """Size of a shard; a larger video has one of its own."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        from openlyra.training.world_data import open_dataset
        from openlyra.training.world_shards import is_sharded, write_shards

        if self.megabytes < 1:
            raise InputError(f"--megabytes {self.megabytes}: at least 1 is needed")
        if is_sharded(self.dataset):
            raise InputError(f"{self.dataset}: holds shards already")
        shards = write_shards(open_dataset(self.dataset), self.output, self.megabytes * 10**6)
        count = sum(len(shard.videos) for shard in shards)
        say(f"wrote {self.output}: {count} videos in {len(shards)} shards", self.verbosity)
        return 0


@dataclass(frozen=True)
class TrainCheckCommand:
    """Read a data set from end to end; one line for every video that cannot be trained on.

    Example: openlyra train check dataset
    """

    dataset: tyro.conf.Positional[Path]
    """Data set, such as `openlyra worlds make` and `openlyra train import` write, or its shards."""

    def run(self) -> int:
        """Run it; returns the exit status: 1 when something is wrong."""
        from openlyra.training.world_data import check_dataset, open_dataset

        problems = check_dataset(self.dataset)
        for problem in problems:
            print(problem)
        print(f"{len(open_dataset(self.dataset))} videos, {len(problems)} that cannot be trained on")
        return 1 if problems else 0


@contextmanager
def drawing(data: Path, shards: int) -> Iterator[None]:
    """Draw shards in a process of its own, at low priority, for as long as the context lasts; waits for the first."""
    data.mkdir(parents=True, exist_ok=True)
    artist = None
    if shards > 0:
        artist = subprocess.Popen([sys.executable, "-m", "openlyra.training.depth_shards", str(data), str(shards)])
    try:
        while artist is not None and len(list(data.glob("*.safetensors"))) < min(FIRST_SHARDS, shards):
            if artist.poll() not in (None, 0):
                raise InputError(f"{data}: drawing views failed; see the message above")
            time.sleep(0.5)
        if not any(data.glob("*.safetensors")):
            raise InputError(f"{data}: holds no shards; give --shards to draw some")
        yield
    finally:
        if artist is not None:
            artist.terminate()
            artist.wait()


def watcher(files: tuple[Path, ...]) -> Watch:
    """A function that measures a network on photos with measured depth; the files are read at once."""
    from openlyra.depth.nano import NanoDepth
    from openlyra.evaluation.depth import read_rgbd, score_aligned
    from openlyra.models.depth_net import DepthNet

    photos = [read_rgbd(path) for path in files]

    def watch(net: DepthNet) -> dict[str, object]:
        backend = NanoDepth(net=net)
        figures = {photo.name: score_aligned(1.0 / backend.estimate(photo.rgb).depth, photo.depth) for photo in photos}
        return {name: [round(score.delta1, 4), round(score.absrel, 4)] for name, score in figures.items()}

    return watch
