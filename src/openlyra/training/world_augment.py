"""Self-augmented histories: the model re-makes the chunk before the one it learns, so that it meets its own errors.

The previous chunk is noised to a drawn level, denoised in one step, decoded, and encoded again as history; what is
learned stays clean. Source: training specification, sections 5 and 6 (arXiv 2604.13036).
"""

from __future__ import annotations

from typing import Literal

import torch
from numpy.random import Generator
from torch import Tensor

from openlyra.generation.history import chunk_start, padding_frames
from openlyra.models.codec import Codec
from openlyra.models.lyra_dit import LyraDiT
from openlyra.sampling.flow import FlowTable, noised, self_augmentation_place
from openlyra.training.world_cache import CachedClip
from openlyra.training.world_objective import Changes, draw_example, draw_place, predict
from openlyra.training.world_settings import ObjectiveSettings, WorldTraining

Mode = Literal["plain", "photo", "augmented"]


def draw_mode(step: int, settings: ObjectiveSettings, random: Generator) -> Mode:
    """What kind of step this is, the same for all examples and ranks. Steps count from 0; the first is plain."""
    if not settings.augment_every or (step + 1) % settings.augment_every:
        return "plain"
    return "photo" if random.random() <= settings.photo_share else "augmented"


def draw_chunk(chunks: int, mode: Mode, random: Generator) -> int:
    """The chunk that is learned; an augmented one has a chunk before it."""
    if mode == "photo":
        return 0
    return int(random.integers(1 if mode == "augmented" else 0, chunks))


def draw_level(table: FlowTable, settings: ObjectiveSettings, random: Generator) -> Tensor:
    """(1,) noise level from which a chunk is re-made."""
    if settings.augment_times == "uniform":
        time = torch.tensor([random.random() * settings.augment_longest])
        return table.sigmas[table.nearest(time)]
    timestep = table.timesteps[draw_place(table, random)]
    return table.sigmas[self_augmentation_place(table, timestep, settings.augment_longest)]


@torch.no_grad()
def remade_history(
    clip: CachedClip, chunk: int, settings: WorldTraining, network: LyraDiT, vae: Codec, table: FlowTable,
    random: Generator,
) -> Changes:  # fmt: skip
    """The history before chunk + 1 after the network has re-made `chunk` from a noised state, in one step.

    Latents before the chunk stay those of the clip; the encoder and the decoder go on from their states there."""
    example = draw_example(clip, chunk, settings, vae, table, random, photo=chunk == 0, keep_text=True)
    sigma = draw_level(table, settings.objective, random)
    velocity = predict(network, example, sigma, settings.network().image_width)
    level = sigma.view(-1, 1, 1, 1, 1)
    made = noised(example.target, example.noise, level) - level * velocity
    return history_with(clip, chunk, made, vae, settings.objective.copy_history)


@torch.no_grad()
def history_with(clip: CachedClip, chunk: int, made: Tensor, vae: Codec, copy_history: bool) -> Changes:
    """The history in which `chunk` was made by these latents (1, C, g, h, w), seen through pixels."""
    shown = vae.decode_more(made, clip.state("decoder", chunk))[0].clamp(-1, 1)
    again, _ = vae.encode_more(shown, clip.state("encoder", chunk))
    first = chunk_start(chunk, clip.layout)
    pixels = {first + 1 + i: frame for i, frame in enumerate(shown[0].transpose(0, 1))}
    if copy_history:
        pixels |= {i: clip.again(i) for i in range(max(0, first - padding_frames(clip.layout) + 1), first + 1)}
    return Changes(torch.cat([clip.until(chunk), again], 2), pixels)
