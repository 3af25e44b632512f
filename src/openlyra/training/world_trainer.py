"""The training of the video generator: auto-encoder, cached latents, then one plain loop for the video transformer.

    train_world(read_settings(path), folder)

What a step learns from depends on the seed and the step alone, so an interrupted training goes on with the same bits.
With `torchrun` every rank takes its share of the batch, or of the tokens; gradients are added up, and rank 0 writes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from numpy.random import Generator
from torch import Tensor

from openlyra.errors import InputError
from openlyra.models.codec import Codec, load_codec, save_codec
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.threads import torch_threads
from openlyra.models.work import transformer_work
from openlyra.sampling.flow import FlowTable
from openlyra.training.precision import computing_type
from openlyra.training.ranks import Ranks
from openlyra.training.world_augment import draw_chunk, draw_mode, remade_history
from openlyra.training.world_cache import CachedClip, ClipCache
from openlyra.training.world_data import open_dataset
from openlyra.training.world_learner import Learner
from openlyra.training.world_network import new_network, save_network
from openlyra.training.world_objective import (
    Example,
    InputStore,
    draw_clip,
    draw_example,
    example_losses,
    generator,
    predict,
)
from openlyra.training.world_rollout import roll_out, write_comparison
from openlyra.training.world_settings import SETTINGS, WorldTraining, check_resumable, write_settings
from openlyra.training.world_sharding import shard_network
from openlyra.training.world_stream import streamed_clip
from openlyra.training.world_vae import codec_psnr, train_vae

CHECKPOINT, VAE_CHECKPOINT, LOG = "checkpoint.safetensors", "vae_checkpoint.safetensors", "log.jsonl"
BACKWARD = 2
"""Operations of the backward pass in forward passes."""


class WorldTrainer:
    """The video transformer with everything that a step needs."""

    def __init__(
        self, settings: WorldTraining, clip: Callable[[int], CachedClip], clips: int, vae: Codec,
        shards: tuple[int, ...] | None = None,
    ) -> None:  # fmt: skip
        """`clip(i)` gives one of `clips` cached clips; `shards` are their shards if they come in such."""
        self.settings, self.clip, self.vae = settings, clip, vae
        self.clips = learned(settings, clips)
        """Clips that are learned from: the first ones."""
        self.tried = 0 if self.clips == clips else self.clips
        """The clip along which walks are tried."""
        self.shards = None if shards is None else shards[: self.clips]
        self.ranks = Ranks.now(settings.run.batch, settings.run.context_ranks)
        self.store = InputStore(settings.run.kept_megabytes)
        self.config, self.table = settings.network(), FlowTable.shifted(settings.objective.shift)
        self.network = new_network(self.config, settings)
        self.network.gradient_checkpointing = settings.run.gradient_checkpointing
        self.network.context_parallel = self.ranks.context
        self.sharded = settings.run.shard and self.ranks.count > 1
        if self.sharded:
            shard_network(self.network)
        self.learner = Learner(self.network, settings.optimiser, settings.run.steps)
        self.network.to(computing_type(settings.run.precision))
        self.remaker: LyraDiT = self.network
        """Re-makes chunks of self-augmented histories."""

    @property
    def step(self) -> int:
        """Steps done."""
        return self.learner.step

    @property
    def together(self) -> bool:
        """Whether all ranks must take part when the network is used or stored, not only the first."""
        return self.sharded or self.ranks.context is not None

    def clip_for(self, step: int, place: int, random: Generator) -> int:
        """The clip an example comes from: any, or with shards the next in this place's lane."""
        if self.shards is None:
            return draw_clip(self.clips, random)
        run = self.settings.run
        return streamed_clip(self.shards, run.batch, run.seed, step // run.visits, place)

    def draw(self, step: int) -> Example:
        """This rank's examples of a step."""
        run = self.settings.run
        mode = draw_mode(step, self.settings.objective, generator(run.seed, step))
        examples = []
        for place in self.ranks.places(run.batch):
            random = generator(run.seed, step, place)
            clip = self.clip(self.clip_for(step, place, random))
            own = "plain" if mode == "augmented" and clip.chunks < 2 else mode
            chunk, changes = draw_chunk(clip.chunks, own, random), None
            if own == "augmented":
                changes = remade_history(
                    clip, chunk - 1, self.settings, self.remaker, self.vae, self.table, random
                )  # fmt: skip
            example = draw_example(
                clip, chunk, self.settings, self.vae, self.table, random, own == "photo", changes, store=self.store
            )
            if self.sharded and own != mode:
                # Weights are gathered for the ranks that re-make a history now; all have to take part.
                with torch.no_grad():
                    predict(self.network, example, self.table.sigmas[example.place], self.config.image_width)
            examples.append(example)
        return Example.batch(examples)

    def learn(self) -> dict[str, float]:
        """One step; returns the loss over the whole batch, the same without weights, and the gradient's norm."""
        losses, plain = self.losses(self.draw(self.step))
        share = losses.sum() / self.settings.run.batch
        rate = self.learner.rate
        norm = self.learner.learn(share)
        figures = torch.stack([share.detach(), plain.sum() / self.settings.run.batch])
        if self.ranks.count > 1:
            dist.all_reduce(figures)
            figures /= self.ranks.count // self.ranks.groups
        return {"loss": float(figures[0]), "error": float(figures[1]), "norm": norm, "rate": rate}

    def losses(self, example: Example) -> tuple[Tensor, Tensor]:
        """Of every example of a batch; see `example_losses`."""
        return example_losses(
            self.network, example, self.table, self.settings.objective.weighting, self.config.image_width
        )  # fmt: skip

    def evaluate(self, folder: Path) -> dict[str, object]:
        """Walk along a clip with the averaged weights; keeps a video and returns figures. See `together`."""
        clip = self.clip(self.tried)
        self.learner.use_average(True)
        result = roll_out(self.network, self.vae, clip, self.settings, self.settings.run.evaluate_chunks)
        self.learner.use_average(False)
        if self.ranks.rank == 0:
            write_comparison(result, clip, folder / f"walk_{self.step:07d}.mp4")
        by_chunk = [round(value, 2) for value in result.psnr]
        return {"walk_psnr": round(result.whole, 2), "by_chunk": by_chunk, "walk_seconds": round(result.seconds, 1)}

    def operations(self) -> float:
        """Floating-point operations of one example, forward and backward, without re-made histories."""
        return (1 + BACKWARD) * transformer_work(
            self.config, self.settings.data.height, self.settings.data.width
        ).forward_operations


class Log:
    """`log.jsonl`, and TensorBoard beside it when the package is there. Only rank 0 writes."""

    def __init__(self, folder: Path, on: bool) -> None:
        self.began = time.monotonic()
        self.file = open(folder / LOG, "a") if on else None
        self.board: Any = None
        if on:
            with suppress(ImportError):
                from torch.utils.tensorboard import SummaryWriter

                self.board = SummaryWriter(str(folder / "tensorboard"))  # type: ignore[no-untyped-call]

    def note(self, values: dict[str, object]) -> None:
        """Add a line."""
        if self.file is None:
            return
        self.file.write(json.dumps({"seconds": round(time.monotonic() - self.began, 1)} | values) + "\n")
        self.file.flush()
        if self.board is not None:
            step = values.get("step", values.get("vae_step", 0))
            for name, value in values.items():
                if isinstance(value, float):
                    self.board.add_scalar(name, value, step)
            self.board.flush()

    def close(self) -> None:
        """Close the files."""
        if self.file is not None:
            self.file.close()
        if self.board is not None:
            self.board.close()


def train_world(
    settings: WorldTraining, output: Path, say: Callable[[str], None] = lambda line: None,
    make: Callable[..., WorldTrainer] = WorldTrainer, clips: Path | None = None,
) -> None:  # fmt: skip
    """Train, or go on with what is in the folder. `make` is the class that trains; `clips` a folder of cached clips,
    `output`/cache if not given. Writes into `output`:

    settings.json, vae/ and transformer/ (config.json, model.safetensors: the running mean), cache/, log.jsonl, walks,
    checkpoints. Raises InputError when the folder holds a training with other settings.
    """
    first = not dist.is_initialized() or dist.get_rank() == 0
    if (output / SETTINGS).is_file():
        check_resumable(settings, output)
    output.mkdir(parents=True, exist_ok=True)
    clips = clips or output / "cache"
    with torch_threads(settings.run.threads), closing(Log(output, first)) as log:
        log.note({"settings": asdict(settings)})
        if first:
            write_settings(settings, output)
            vae = prepare_codec(settings, output, log.note, say)
            cache = open_cache(settings, vae, clips)
            if cache.shards is None:
                say(f"latents of {cache.fill()} videos made, {len(cache)} in {clips}")
        if dist.is_initialized():
            dist.barrier()
        vae = load_codec(output / "vae")
        cache = open_cache(settings, vae, clips)
        trainer = make(settings, cache.clip, len(cache), vae, cache.shards)
        if (output / CHECKPOINT).is_file():
            trainer.learner.resume(output / CHECKPOINT)
        say(f"training from step {trainer.step}; figures go to {output}/{LOG}")
        _loop(trainer, output, log, first)


def prepare_codec(
    settings: WorldTraining, output: Path, note: Callable[[dict[str, object]], None], say: Callable[[str], None]
) -> Codec:
    """The auto-encoder in `output`/vae, trained when it is not there."""
    folder = output / "vae"
    if (folder / "config.json").is_file():
        return load_codec(folder)
    if settings.run.start:
        codec = load_codec(Path(settings.run.start) / "vae")
        save_codec(codec, folder)
        return codec
    say("training the auto-encoder")
    videos = small_videos(settings)
    codec = train_vae(settings, videos, output / VAE_CHECKPOINT, note)
    note({"vae_psnr": round(codec_psnr(codec, videos), 2)})
    save_codec(codec, folder)
    return codec


def small_videos(settings: WorldTraining) -> list[Tensor]:
    """Videos that the auto-encoder learns from, at the size of the networks, uint8 (T, 3, H, W)."""
    data, found = settings.data, []
    videos = open_dataset(Path(data.folder))
    count = learned(settings, len(videos))
    for video in videos[: min(count, settings.vae.videos or count)]:
        with video.opened() as plain:
            cameras = plain.cameras()
            found.append(plain.frames(cameras[: min(data.frames, len(cameras))], [], data.height, data.width)[0])
    return found


def learned(settings: WorldTraining, videos: int) -> int:
    """How many of so many videos are learned from. Raises InputError when none is left."""
    if settings.data.held_out >= videos:
        raise InputError(f"data.held_out is {settings.data.held_out} of {videos} videos; at least one must be learned")
    return videos - settings.data.held_out


def open_cache(settings: WorldTraining, vae: Codec, folder: Path) -> ClipCache:
    """The clips of the data set, kept in the folder."""
    return ClipCache(open_dataset(Path(settings.data.folder)), vae, settings, folder)


def _loop(trainer: WorldTrainer, output: Path, log: Log, first: bool) -> None:
    run = trainer.settings.run
    began, before = time.monotonic(), trainer.step
    while trainer.step < run.steps:
        values: dict[str, object] = {name: float(f"{value:.6g}") for name, value in trainer.learn().items()}
        step, last = trainer.step, trainer.step == run.steps
        if step % run.log_every == 0 or last:
            speed = (step - before) * run.batch / max(time.monotonic() - began, 1e-9)
            speeds = {"examples_per_second": round(speed, 3), "gflops": round(speed * trainer.operations() / 1e9, 2)}
            log.note({"step": step, **values, **speeds})
        if (first or trainer.sharded) and (step % run.save_every == 0 or last):
            trainer.learner.save(output / CHECKPOINT)
            averaged = trainer.learner.averaged()
            if first:
                save_network(averaged, trainer.settings, output)
        if (first or trainer.together) and (last or (run.evaluate_every and step % run.evaluate_every == 0)):
            log.note({"step": step, **trainer.evaluate(output)})
