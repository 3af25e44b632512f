"""Walks of a trained network with true depth, whole or with parts of its memory taken away.

What is tried is the network: the depth of remembered frames is that of the world, the colours are its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from openlyra.errors import InputError
from openlyra.evaluation.true_walk import TrueWalk
from openlyra.generation.conditioning import (
    FILL_STEPS,
    ChunkContext,
    ChunkInputs,
    ConditioningSettings,
    Encode,
    build_inputs,
    cell_shares,
    encode_tail,
)
from openlyra.generation.denoise import SeededNoise
from openlyra.generation.history import chunk_start
from openlyra.generation.latent_walk import LatentWalk, LyraModels, WalkSettings, WalkState, as_image
from openlyra.generation.lyra import as_pixels
from openlyra.generation.lyra_load import small_memory, small_models, small_walk
from openlyra.generation.lyra_models import NANO, NANO_NAME
from openlyra.generation.membrane import membranes
from openlyra.geometry.camera import Camera
from openlyra.geometry.warp_numba import forward_warp_fused
from openlyra.memory.frame import MemoryFrame
from openlyra.models.codec import Codec
from openlyra.models.frame_packing import Layout
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.small_folder import SmallModel, load_small


@dataclass(frozen=True)
class TrueDepth:
    """The depth of the world for frames that were generated."""

    frame: Callable[[int], MemoryFrame]
    """A true frame by index."""

    def measure(
        self, frames: Sequence[int], pixels: dict[int, Tensor], cameras: Camera, state: WalkState
    ) -> list[MemoryFrame]:
        """See `latent_walk.DepthSource`."""
        return [replace(self.frame(index), image=as_image(pixels[index])) for index in frames]


def begun(
    models: LyraModels, settings: WalkSettings, stride: int, cameras: Camera, frame: Callable[[int], MemoryFrame],
    seed: int,
) -> tuple[LatentWalk, WalkState]:  # fmt: skip
    """A walk along the cameras that has only its photo, true frame 0. `stride`: `SmallModel.retrieval_stride`."""
    chunks = (len(cameras) - 1) // models.layout.new_pixel_frames
    walk = LatentWalk(models, settings, cameras, [""] * chunks, TrueDepth(frame), SeededNoise(seed))
    memory = small_memory(models.layout, stride)
    photo = frame(0)
    memory.add(photo)
    return walk, walk.begin(photo, as_pixels(photo.image), memory)


Inputs = Callable[[ChunkContext, Layout, Encode, ConditioningSettings], ChunkInputs]
"""How the inputs of a chunk are made."""


def without_memory(
    context: ChunkContext, layout: Layout, encode: Encode, settings: ConditioningSettings
) -> ChunkInputs:
    """Nothing is retrieved: only the last frame is warped; the slots hold the photo, as in a first chunk."""
    return build_inputs(context, layout, encode, settings, [])


def without_slots(context: ChunkContext, layout: Layout, encode: Encode, settings: ConditioningSettings) -> ChunkInputs:
    """Retrieved frames are warped, but are not in the context and have no correspondences."""
    bare = without_memory(context, layout, encode, settings)
    return _warped_from(bare, build_inputs(context, layout, encode, settings))


def without_correspondences(
    context: ChunkContext, layout: Layout, encode: Encode, settings: ConditioningSettings
) -> ChunkInputs:
    """Retrieved frames are warped and in the context, but nothing says where their pixels belong."""
    bare = without_memory(context, layout, encode, settings)
    return replace(build_inputs(context, layout, encode, settings), buffer=bare.buffer)


def fused_cloud(context: ChunkContext, layout: Layout, encode: Encode, settings: ConditioningSettings) -> ChunkInputs:
    """All remembered frames are one cloud of coloured points, which is seen from the path; no frames are retrieved."""
    first = chunk_start(context.chunk, layout)
    targets = context.cameras[first + 1 : first + layout.new_pixel_frames + 1]
    frames = [context.last, *(frame for frame in context.memory if frame.index != context.last.index)]
    colors = np.stack([context.pixels(frame.index).numpy() for frame in frames])
    source = Camera.stacked([frame.camera for frame in frames])
    depth, valid = np.stack([frame.depth for frame in frames]), np.stack([frame.valid for frame in frames])
    seen = forward_warp_fused(colors, depth, valid, source, targets, settings.warp)
    landed, warped = np.asarray(seen.mask), np.asarray(seen.values)
    bare = without_memory(context, layout, encode, settings)
    if settings.warped == "last":
        return replace(bare, condition=torch.cat([bare.history, encode_tail(warped, encode)], 2))
    filled = membranes(warped.transpose(0, 2, 3, 1), ~landed, FILL_STEPS)
    tail = encode_tail(filled.transpose(0, 3, 1, 2), encode)
    return replace(bare, condition=torch.cat([bare.history, tail], 2), shares=cell_shares(landed))


def _warped_from(inputs: ChunkInputs, other: ChunkInputs) -> ChunkInputs:
    new = other.condition.shape[2] - other.history.shape[2]
    condition = torch.cat([inputs.history, other.condition[:, :, -new:]], 2)
    return replace(inputs, condition=condition, warped=other.warped, shares=other.shares)


FULL, WARP, NO_MEMORY = "full system", "warp alone", "no memory"
ABLATIONS: dict[str, Inputs] = {
    "no spatial slots": without_slots, "no correspondences": without_correspondences, "one fused cloud": fused_cloud,
    NO_MEMORY: without_memory,
}  # fmt: skip
"""What can be taken away from a network when it walks."""


@dataclass(frozen=True)
class Trained:
    """A trained network, ready to walk."""

    name: str
    """Of its folder."""
    network: LyraDiT
    codec: Codec
    model: SmallModel

    @property
    def layout(self) -> Layout:
        """Its frame packing."""
        return small_models(self.network, self.codec).layout


def load_trained_networks(folders: Sequence[Path]) -> list[Trained]:
    """Networks by folder; `nano` is the one inside the package, unless there is such a folder.

    Raises InputError for what cannot be read or compared."""
    shipped = {Path(NANO_NAME): NANO} if not Path(NANO_NAME).exists() else {}
    found = [Trained(folder.name or str(folder), *load_small(shipped.get(folder, folder))) for folder in folders]
    for other in found[1:]:
        sizes = [(t.model.height, t.model.width, t.layout.new_pixel_frames) for t in (found[0], other)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"{other.name}: height, width and frames a chunk are {sizes[1]}; {found[0].name} has {sizes[0]}"
            )
    if len({trained.name for trained in found}) < len(found):
        found = [replace(trained, name=str(folder)) for trained, folder in zip(found, folders)]
    return found


@torch.no_grad()
def generate(trained: Trained, truth: TrueWalk, variant: str, seed: int) -> np.ndarray:
    """(F, H, W, 3) uint8: the true photo, then all frames made from it. F = 1 + whole chunks.

    `variant`: FULL, one of ABLATIONS, or WARP, which shows what the network is given as if it were its answer."""
    models = small_models(trained.network, trained.codec)
    how, stride = small_walk(trained.model), trained.model.retrieval_stride
    walk, state = begun(models, how, stride, truth.cameras, truth.frame, seed)
    make = ABLATIONS.get(variant, build_inputs)

    def answer(state: WalkState) -> Tensor:
        inputs = make(walk.context(state), walk.layout, models.vae.encode, how.conditioning)
        given = inputs.condition[:, :, -walk.layout.new_frames :]
        return given if variant == WARP else walk.sample(state, inputs)

    return np.concatenate([truth.images[:1], *chunks_of(walk, state, answer)])


def chunks_of(
    walk: LatentWalk, state: WalkState, answer: Callable[[WalkState], Tensor] | None = None
) -> Iterator[np.ndarray]:
    """The frames (new, H, W, 3) uint8 of every chunk of a walk, as they are made; `answer` gives a chunk's latents."""
    answer = answer or (lambda state: walk.sample(state, walk.inputs(state)))
    for _ in range(walk.chunks):
        state, new = walk.finish(state, answer(state))
        yield np.stack([as_image(frame) for frame in new])
