"""One training example: what the network is given, and how wrong it is. Inputs are made by the code of generation.

Every random choice of an example comes from a generator of its own, made from (seed, step, place in the batch), so that
neither the order of work, nor an interruption, nor the number of ranks changes what is drawn.
Source: training specification, sections 3 to 7.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from openlyra.generation.conditioning import ChunkContext, ChunkInputs, Ready, build_inputs
from openlyra.generation.history import chunk_start
from openlyra.memory.frame import MemoryFrame
from openlyra.memory.retrieval import RetrievalConfig, owner_scores, sample_owners
from openlyra.memory.spatial_memory import SpatialMemory
from openlyra.models.codec import Codec
from openlyra.models.frame_packing import Layout
from openlyra.models.lyra_dit import ChunkConstants, LyraDiT
from openlyra.models.small_dit import no_image
from openlyra.sampling.flow import TABLE, FlowTable, noised, velocity_target
from openlyra.training.world_cache import CachedClip, conditioning
from openlyra.training.world_settings import ObjectiveSettings, WorldTraining


@dataclass(frozen=True)
class Changes:
    """A history that the model has re-made: what is no longer as in the clip."""

    latents: Tensor
    """(1, C, P + g * chunk, h, w) all latents before the chunk to learn."""
    pixels: Mapping[int, Tensor]
    """(3, H, W) in [-1, 1] of the frames that are different now."""


@dataclass(frozen=True)
class Example:
    """Inputs and target of one example, or of a batch. T = history + new latents, g new ones."""

    history: Tensor
    """(B, C, T - g, h, w)."""
    conditions: Tensor
    """(B, 4 + C, T, h, w)."""
    rays: Tensor
    """(B, 384, T, h, w)."""
    buffer: Tensor | None
    """(B, 256 * slots, T, h, w)."""
    text: Tensor
    """(B, rows, width)."""
    target: Tensor
    """(B, C, g, h, w) clean new latents."""
    noise: Tensor
    """(B, C, g, h, w) standard normals."""
    place: Tensor
    """(B,) places in the table of noise levels."""
    retrieved: tuple[tuple[int, ...], ...] = field(default=())
    """Frames in the memory slots of every example, best last."""

    @staticmethod
    def batch(examples: Sequence[Example]) -> Example:
        """Examples of one layout together."""
        buffers = [example.buffer for example in examples if example.buffer is not None]

        def joined(name: str) -> Tensor:
            return torch.cat([getattr(example, name) for example in examples])

        return Example(
            joined("history"), joined("conditions"), joined("rays"), torch.cat(buffers) if buffers else None,
            joined("text"), joined("target"), joined("noise"), joined("place"),
            tuple(frames for example in examples for frames in example.retrieved),
        )  # fmt: skip

    def repeated(self, times: int) -> Example:
        """The examples of a batch one after the other, so many times."""
        return Example.batch([self] * times)


def generator(seed: int, step: int, place: int = -1) -> Generator:
    """The random numbers of one example; place -1: what all examples of the step share."""
    return np.random.default_rng([seed, step, place + 1])


def draw_clip(count: int, random: Generator) -> int:
    """Which clip an example comes from."""
    return int(random.integers(count))


def draw_place(table: FlowTable, random: Generator) -> Tensor:
    """(1,) place in the table: logit-normal."""
    return table.place(torch.sigmoid(torch.tensor([random.standard_normal()])))


def candidates(clip: CachedClip, chunk: int, settings: ObjectiveSettings, photo: bool) -> list[int]:
    """Frames that may be remembered for a chunk: only the photo, or all that are due and far enough, later ones too."""
    if photo:
        return [0]
    first = chunk_start(chunk, clip.layout)
    last, gap = first + clip.layout.new_pixel_frames, settings.memory_gap
    return [
        index
        for index in clip.frames
        if index % settings.memory_every == 0
        and index not in (0, first)
        and (index < first + 1 - gap or index > last + gap)
    ]


def draw_retrieved(
    clip: CachedClip, chunk: int, settings: ObjectiveSettings, photo: bool, random: Generator
) -> list[int]:
    """Frames for the memory slots, best last: by how much of the chunk's last view each one owns; some dropped."""
    slots = clip.layout.spatial_frames
    indices = candidates(clip, chunk, settings, photo)
    if not slots or not indices:
        return []
    config = RetrievalConfig(slots, stride=settings.retrieval_stride)
    points = [clip.points(index, config.stride) for index in indices]
    target = clip.cameras[chunk_start(chunk + 1, clip.layout)]
    drawn = sample_owners(indices, owner_scores(indices, points, target, config), slots, random)
    if drawn and random.random() < settings.memory_drop:
        gone = random.permutation(len(drawn))[: int(random.integers(1, len(drawn) + 1))]
        drawn = [index for i, index in enumerate(drawn) if i not in gone]
    return drawn


def corrupted(inputs: ChunkInputs, layout: Layout, settings: ObjectiveSettings, random: Generator) -> ChunkInputs:
    """Noise of a random level on every retrieved latent, the same where it is state and where it is condition."""
    if settings.corruption_std < 0:
        return inputs
    history, condition = inputs.history.clone(), inputs.condition.clone()
    for place in layout.indices(spatial=True):
        sigma = float(np.exp(random.normal(settings.corruption_mean, settings.corruption_std)))
        history[:, :, place] += sigma * normals(history[:, :, place].shape, random)
        condition[:, :, place] = history[:, :, place]
    return replace(inputs, history=history, condition=condition)


def normals(shape: Sequence[int], random: Generator) -> Tensor:
    """Standard normals, float32."""
    return torch.from_numpy(random.standard_normal(tuple(shape), np.float32))


class InputStore:
    """Inputs of unchanged histories, by clip, chunk and retrieved frames: made once, the longest unused forgotten."""

    def __init__(self, megabytes: int) -> None:
        self.room = megabytes << 20
        self.kept: OrderedDict[tuple[object, ...], ChunkInputs] = OrderedDict()

    def get(self, key: tuple[object, ...], make: Callable[[], ChunkInputs]) -> ChunkInputs:
        """The inputs of that key; `make` is called when they are not there."""
        found = self.kept.pop(key, None)
        if found is None:
            found = make()
            self.room -= _bytes(found)
        self.kept[key] = found
        while self.room < 0 and len(self.kept) > 1:
            self.room += _bytes(self.kept.popitem(last=False)[1])
        return found


def _bytes(inputs: ChunkInputs) -> int:
    parts = [inputs.history, inputs.condition, inputs.rays]
    parts += [] if inputs.buffer is None else [inputs.buffer]
    return sum(part.numel() * part.element_size() for part in parts)


def draw_example(
    clip: CachedClip, chunk: int, settings: WorldTraining, vae: Codec, table: FlowTable, random: Generator,
    photo: bool = False, changes: Changes | None = None, keep_text: bool = False, store: InputStore | None = None,
) -> Example:  # fmt: skip
    """One example. `photo`: nothing but the photo is remembered. `changes`: a history that the model re-made."""
    layout, aim = clip.layout, settings.objective
    changed: Mapping[int, Tensor] = changes.pixels if changes else {}
    retrieved = draw_retrieved(clip, chunk, aim, photo, random)
    memory = SpatialMemory()
    for index in retrieved:
        memory.add(clip.frames[index])
    last: MemoryFrame = clip.frames[chunk_start(chunk, layout)]
    context = ChunkContext(
        chunk, changes.latents if changes else clip.until(chunk), last, clip.cameras, memory,
        lambda index: changed[index] if index in changed else clip.pixels(index),
    )  # fmt: skip
    ready = Ready(
        {index: latent for index, latent in clip.alone.items() if index not in changed},
        None if last.index in changed else clip.tensors["tail"][chunk : chunk + 1],
    )

    def make() -> ChunkInputs:
        return build_inputs(context, layout, vae.encode, conditioning(settings), retrieved, ready)

    if store is None or changes is not None:
        inputs = make()
    else:
        inputs = store.get((clip.name, chunk, *retrieved), make)
    inputs = corrupted(inputs, layout, aim, random)
    text = clip.text(chunk)
    if text is None or (not keep_text and random.random() < aim.text_drop):
        text = torch.zeros(settings.model.text_tokens, settings.model.text_width)
    target = clip.target(chunk)
    return Example(
        inputs.history, torch.cat([inputs.mask, inputs.condition], 1), inputs.rays, inputs.buffer, text[None], target,
        normals(target.shape, random), draw_place(table, random), (inputs.retrieved,),
    )  # fmt: skip


def predict(network: LyraDiT, example: Example, sigma: Tensor, image_width: int) -> Tensor:
    """Velocity (B, C, g, h, w) float32 at noise levels (B,) of this example."""
    state = torch.cat([example.history, noised(example.target, example.noise, sigma.view(-1, 1, 1, 1, 1))], 2)
    velocity: Tensor = network(state, sigma * TABLE, example_chunk(network, example, image_width))
    return velocity


def example_chunk(network: LyraDiT, example: Example, image_width: int) -> ChunkConstants:
    """What all noise levels of an example share."""
    return network.prepare_chunk(
        conditions=example.conditions, text=example.text, image=no_image(len(example.text), image_width),
        rays=example.rays, buffer=example.buffer,
    )  # fmt: skip


def example_losses(
    network: LyraDiT, example: Example, table: FlowTable, weighting: str, image_width: int
) -> tuple[Tensor, Tensor]:
    """(B,) weighted losses, and the same without weights: mean squared error of the velocity of the new latents."""
    velocity = predict(network, example, table.sigmas[example.place], image_width)
    wrong = (velocity - velocity_target(example.target, example.noise)).square().mean((1, 2, 3, 4))
    sigma = table.sigmas[example.place]
    weights = {"bell": table.weights[example.place], "data": sigma.square()}.get(weighting, torch.ones_like(wrong))
    return wrong * weights, wrong.detach()
