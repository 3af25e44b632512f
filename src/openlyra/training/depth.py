"""The loop that trains the depth network. A step's batch depends on the seed and the step alone (and on which shards
there are), so an interrupted training goes on where it stopped."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from openlyra.errors import InputError
from openlyra.models.depth_net import DepthNet
from openlyra.models.depth_weights import read_depth_net
from openlyra.models.tensors import read_tensors, write_tensors
from openlyra.models.threads import torch_threads
from openlyra.training.depth_data import Shards, batch_size, draw_batch
from openlyra.training.depth_losses import DepthTruth, depth_loss
from openlyra.training.depth_meshes import Meshes
from openlyra.training.depth_mining import Advance, judge_shards
from openlyra.training.depth_settings import TrainDepthSettings
from openlyra.training.depth_start import make_trainable, plain_weights, start_from_imagenet
from openlyra.training.depth_surfaces import Surfaces
from openlyra.training.muon import Muon
from openlyra.training.precision import quick_type
from openlyra.training.ranks import Ranks

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps of a weight."""
MATRIX_MOMENTS = ("momentum",)
"""What Muon keeps of one."""
ENDS = ("detail.", "carry.", "lateral.", "lens.", "fields.", "blend.")
"""Modules on the way from the photo and to the answer: not for Muon, which moves all directions of a matrix alike."""
VERDICTS = "wrong"
"""Folder in the output: for each shard the part of each view that the network of the start gets wrong."""
Watch = Callable[[DepthNet], dict[str, object]]


class _Batches(IterableDataset):  # type: ignore[type-arg]
    """This rank's places in the batches of all steps from one on, in order."""

    def __init__(self, folder: Path, output: Path, trainer: DepthTrainer) -> None:
        self.verdicts = output / VERDICTS if trainer.settings.mine else None
        self.folder, self.settings, self.first = folder, trainer.settings, trainer.step
        self.places = trainer.ranks.places(trainer.settings.batch)
        self.surfaces, self.meshes = trainer.surfaces, trainer.meshes

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        shards = Shards(self.folder, self.settings.window, self.surfaces, self.meshes, self.verdicts)
        for step in range(self.first, self.settings.steps):
            if step % 25 == 0:
                shards.refresh()
            random = np.random.default_rng([self.settings.seed, step])
            size = batch_size(step / self.settings.steps, random)
            photos, truth = draw_batch(shards, self.places, size, (self.settings.seed, step))
            yield photos, truth.inverse, truth.log_focal


class DepthTrainer:
    """Network, optimiser, running mean and step count of one training, kept in one file."""

    def __init__(self, settings: TrainDepthSettings, start: Path | None = None) -> None:
        settings.check()
        self.settings = settings
        # Read here, so that a bad folder is told before anything is drawn.
        self.surfaces = Surfaces(settings.surfaces) if settings.surfaces else None
        self.meshes = Meshes(settings.meshes) if settings.meshes else None
        self.ranks = Ranks.now(settings.batch, 1)
        self.net = DepthNet()
        torch.manual_seed(settings.seed)
        if start is None:
            start_from_imagenet(self.net)
        else:
            self.net.load_state_dict(read_depth_net(start).state_dict())
        make_trainable(self.net).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for part in (self.net.encoder.stem, *self.net.encoder.stages[: settings.frozen]):
            part.requires_grad_(False)
        self.learnt = {name: value for name, value in self.net.named_parameters() if value.requires_grad}
        self.rates = (settings.encoder_rate, settings.rate)
        matrices, others = self._groups(True), self._groups(False)
        self.optimisers = (
            Muon(matrices, settings.weight_decay, self.ranks.rank, self.ranks.count),
            torch.optim.AdamW([{"params": part} for part in others], weight_decay=settings.weight_decay, fused=True),
        )
        self.mean = {name: value.detach().clone() for name, value in self.net.named_parameters()}
        self.step = 0

    def _groups(self, matrices: bool) -> tuple[list[Tensor], list[Tensor]]:
        """Encoder and decoder: weights that are matrices, or the others."""
        found: tuple[list[Tensor], list[Tensor]] = ([], [])
        for name, value in self.learnt.items():
            if _is_matrix(name, value) == matrices:
                found[0 if name.startswith("encoder.") else 1].append(value)
        return found

    def learn(self, photos: Tensor, truth: DepthTruth) -> dict[str, float]:
        """One step on photos (B, 3, H, W) in [0, 1]. Returns the loss and its terms."""
        settings = self.settings
        fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, self.step / settings.steps)))
        for optimiser in self.optimisers:
            for group, rate in zip(optimiser.param_groups, self.rates):
                group["lr"] = rate * min(1.0, (self.step + 1) / settings.warm_up) * fall
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=quick_type() == torch.bfloat16):
            said = self.net(photos.contiguous(memory_format=torch.channels_last))
        loss, terms = depth_loss(said, truth)
        self.net.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._share_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.learnt.values(), 1.0)
        if bool(torch.isfinite(norm)):
            for optimiser in self.optimisers:
                optimiser.step()
        self.step += 1
        decay = min(settings.average, self.step / (self.step + 10))
        with torch.no_grad():
            for name, parameter in self.net.named_parameters():
                self.mean[name].lerp_(parameter, 1 - decay)
        values = {"loss": loss, "norm": norm} | terms
        return {name: round(float(value.detach()), 4) for name, value in values.items()}

    def _share_gradients(self) -> None:
        """Give all ranks the mean of their gradients."""
        if self.ranks.count == 1:
            return
        gradients = [value.grad for value in self.learnt.values() if value.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.ranks.count
        for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(part.view_as(gradient))

    def judge(self, data: Path, output: Path, advance: Advance | None = None) -> None:
        """Find out which views of `data` the network gets wrong and write it to `output`, as far as it is not there
        yet; each rank some."""
        own = Shards(data).names[self.ranks.rank :: self.ranks.count]
        with torch_threads(self.settings.threads):
            judge_shards(self.averaged(), data, own, output / VERDICTS, advance)

    def averaged(self) -> DepthNet:
        """A plain network with the running mean of the weights."""
        own = {name: value.detach().clone() for name, value in self.net.named_parameters()}
        with torch.no_grad():
            for name, parameter in self.net.named_parameters():
                parameter.copy_(self.mean[name])
            weights = plain_weights(self.net)
            for name, parameter in self.net.named_parameters():
                parameter.copy_(own[name])
        net = DepthNet()
        net.load_state_dict(weights)
        return net.eval()

    def save(self, path: Path) -> None:
        """Write everything a continuation needs, in one go."""
        state = {"step": torch.tensor(self.step)}
        for name, value in self.net.named_parameters():
            state[f"weight.{name}"], state[f"mean.{name}"] = value.detach(), self.mean[name]
            for optimiser in self.optimisers:
                for key, moment in optimiser.state.get(value, {}).items():
                    state[f"{key}.{name}"] = moment
        for name, buffer in self.net.named_buffers():
            if name.endswith("scale"):
                state[f"scale.{name}"] = buffer
        write_tensors(path, state)

    def resume(self, path: Path) -> None:
        """Read what `save` wrote. Raises InputError for another file."""
        state = read_tensors(path)
        if odd := sorted(self._names() ^ state.keys()):
            raise InputError(f"{path}: is not a checkpoint of this training ({odd[0]})")
        self.step = int(state["step"])
        with torch.no_grad():
            for name, value in self.net.named_buffers():
                if name.endswith("scale"):
                    value.copy_(state[f"scale.{name}"])
            for name, parameter in self.net.named_parameters():
                parameter.copy_(state[f"weight.{name}"])
                self.mean[name].copy_(state[f"mean.{name}"])
                if name not in self.learnt:
                    continue
                optimiser = self.optimisers[0 if _is_matrix(name, parameter) else 1]
                moments = {key: state[f"{key}.{name}"] for key in _moments(name, parameter)}
                optimiser.state[parameter] = {
                    key: moment if moment.ndim == 0 else torch.empty_like(parameter).copy_(moment)
                    for key, moment in moments.items()
                }

    def _names(self) -> set[str]:
        """Of all tensors in a checkpoint."""
        scales = {f"scale.{name}" for name, _ in self.net.named_buffers() if name.endswith("scale")}
        moments = {f"{part}.{name}" for name, value in self.learnt.items() for part in _moments(name, value)}
        return {"step"} | scales | moments | {f"{part}.{name}" for name in self.mean for part in ("weight", "mean")}

    def export(self, path: Path) -> None:
        """Write the averaged weights in half precision, as the package ships them."""
        write_tensors(path, {name: value.half() for name, value in self.averaged().state_dict().items()})


def _is_matrix(name: str, value: Tensor) -> bool:
    """Whether Muon takes a weight: filters over many channels inside the network."""
    return value.ndim == 4 and min(value.shape[:2]) > 8 and not name.startswith(ENDS)


def _moments(name: str, value: Tensor) -> tuple[str, ...]:
    return MATRIX_MOMENTS if _is_matrix(name, value) else MOMENTS


def train_depth(
    trainer: DepthTrainer, data: Path, output: Path, *, workers: int = 1, watch: Watch | None = None,
    log_every: int = 50, save_every: int = 250,
) -> None:  # fmt: skip
    """Train on the shards of a folder; writes checkpoint, weights and log.jsonl into `output`.

    Args:
        workers: processes that make batches; 0 makes them in this one.
        watch: called with the averaged network after each checkpoint; what it returns goes to the log.
    """
    output.mkdir(parents=True, exist_ok=True)
    batches = _Batches(data, output, trainer)
    loader: DataLoader[tuple[Tensor, Tensor, Tensor]] = DataLoader(
        batches, batch_size=None, num_workers=min(workers, 1), prefetch_factor=4 if workers else None
    )
    started, before = time.monotonic(), trainer.step
    first = trainer.ranks.rank == 0
    name = output / "log.jsonl" if first else os.devnull
    with torch_threads(trainer.settings.threads), open(name, "a") as log:

        def note(values: dict[str, object]) -> None:
            seconds = round(time.monotonic() - started, 1)
            log.write(json.dumps({"step": trainer.step, "seconds": seconds} | values, default=str) + "\n")
            log.flush()

        note({"settings": asdict(trainer.settings)})
        recent: list[dict[str, float]] = []
        for photos, inverse, log_focal in loader:
            recent.append(trainer.learn(photos, DepthTruth(inverse, inverse == 0, log_focal)))
            if trainer.step % log_every == 0:
                speed = (trainer.step - before) * trainer.settings.batch / (time.monotonic() - started)
                means = {name: round(fmean(values[name] for values in recent), 4) for name in recent[0]}
                note({**means, "views_per_second": round(speed, 2)})
                recent.clear()
            if first and (trainer.step % save_every == 0 or trainer.step == trainer.settings.steps):
                trainer.save(output / "checkpoint.safetensors")
                trainer.export(output / "depth_nano.safetensors")
                if watch is not None:
                    note(watch(trainer.averaged()))
