"""What the network is given for one chunk: history, retrieved frames, warped last frame, rays, correspondences.

Source: spec conditioning.md 4. Only the warps that are used are computed: of the correspondences one frame a latent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from openlyra.errors import InputError
from openlyra.generation.history import chunk_start, latent_frame, recent_latents, retrieval_offsets
from openlyra.generation.membrane import membranes
from openlyra.geometry.camera import Camera
from openlyra.geometry.rays import camera_condition
from openlyra.geometry.warp_types import WarpConfig
from openlyra.memory.correspondence import CorrespondenceConfig, generated_buffer, history_buffer, slot_frames
from openlyra.memory.frame import MemoryFrame
from openlyra.memory.spatial_memory import SpatialMemory
from openlyra.models.frame_packing import FRAMES_PER_LATENT, Layout
from openlyra.models.small_folder import SmallModel
from openlyra.models.video_vae import SPATIAL

MASK_CHANNELS = 4
"""Channels that tell the plain image-to-video network which frames are given; here all are marked as given."""

FILL_STEPS = 6
"""Relaxation steps a level when holes are filled; what is there is repainted by the network anyway."""
SAME_SURFACE = 1.05
"""Up to this factor on the depth, two frames show the same surface."""
Warped = Literal["last", "memory"]
Encode = Callable[[Tensor], Tensor]
"""A clip of its own, (1, 3, 4n+1, H, W) in [-1, 1], to latents (1, 16, n+1, H/8, W/8)."""
Pixels = Callable[[int], Tensor]
"""A frame by index (negative: external views) as (3, H, W) in about [-1, 1]."""


@dataclass(frozen=True)
class ConditioningSettings:
    """How the inputs of a chunk are made; retrieval itself is set in the memory."""

    retrieval_views: int = 1
    """New frames for which remembered ones are retrieved: 1 is the chunk's last."""
    warp: WarpConfig = field(default_factory=WarpConfig)
    """Of the last frame and of the correspondences."""
    warped: Warped = "last"
    """What is warped into the chunk: the `last` frame (released), or all that is retrieved as well (`memory`); then
    the mask says where something landed, and holes are filled smoothly."""

    @staticmethod
    def reference(retrieval_views: int = 1, group: int = 16) -> ConditioningSettings:
        """The released behaviour: integer pixel centres, targets share a normaliser in groups."""
        return ConditioningSettings(retrieval_views, WarpConfig(reference_compat=True, group=group))


def small_conditioning(model: SmallModel, retrieval_views: int = 1) -> ConditioningSettings:
    """How inputs are made for a network that was trained here."""
    warped: Warped = "memory" if model.warped == "memory" else "last"
    return ConditioningSettings(retrieval_views, WarpConfig(model.edge_threshold), warped)


@dataclass(frozen=True)
class ChunkContext:
    """Everything that exists when a chunk begins."""

    chunk: int
    """0-based."""
    latents: Tensor
    """(1, 16, L, h, w) all temporal latents so far, oldest first."""
    last: MemoryFrame
    """Depth and camera of the last frame so far."""
    cameras: Camera
    """(F,) cameras of all frames up to the end of this chunk at least."""
    memory: SpatialMemory
    """The frames to retrieve from."""
    pixels: Pixels
    """Colours of remembered frames and of the last one."""


@dataclass(frozen=True)
class Ready:
    """What was encoded before and need not be encoded again: training keeps it on disk."""

    alone: Mapping[int, Tensor] = field(default_factory=dict)
    """(1, 16, 1, h, w) latents of remembered frames on their own, by frame index."""
    tail: Tensor | None = None
    """(1, 16, new, h, w) latents of the warped last frame."""


@dataclass(frozen=True)
class ChunkInputs:
    """Inputs of the network that stay the same for all steps of a chunk. T = history + new latents."""

    history: Tensor
    """(1, 16, history, h, w) clean latents of the packed history."""
    condition: Tensor
    """(1, 16, T, h, w) conditioning latents: the history again, then the warped last frame."""
    rays: Tensor
    """(1, 384, T, h, w) camera rays relative to the last frame."""
    buffer: Tensor | None
    """(1, 256 * slots, T, h, w) correspondences; None for a layout without spatial slots."""
    retrieved: tuple[int, ...]
    """Indices of the retrieved frames, best last."""
    warped: np.ndarray
    """(new frames, 3, H, W) the last frame warped along the path, -1 in holes; (0, 3, H, W) if it was not needed."""
    shares: Tensor | None = None
    """(1, 4, new, h, w) part of every new latent's cell, frame by frame, that was warped to; None: all count as given,
    as released."""

    @property
    def mask(self) -> Tensor:
        """(1, 4, T, h, w) ones, and the shares where there are any."""
        mask = torch.ones_like(self.condition[:, :MASK_CHANNELS])
        if self.shares is not None:
            mask[:, :, -self.shares.shape[2] :] = self.shares
        return mask


def build_inputs(
    context: ChunkContext, layout: Layout, encode: Encode, settings: ConditioningSettings | None = None,
    retrieved: Sequence[int] | None = None, ready: Ready | None = None,
) -> ChunkInputs:  # fmt: skip
    """The inputs of one chunk. Raises InputError when the cameras do not reach to its end.

    `retrieved` are remembered frames that were picked in another way (training draws them), best last."""
    settings, ready = settings or ConditioningSettings(), ready or Ready()
    first, new = chunk_start(context.chunk, layout), layout.new_pixel_frames
    if len(context.cameras) <= first + new:
        raise InputError(f"chunk {context.chunk} ends at frame {first + new}; there are {len(context.cameras)} cameras")
    targets = context.cameras[first + 1 : first + new + 1]
    if retrieved is None:
        retrieved = retrieve_for(context.memory, targets, layout, settings)
    slots = slot_frames(retrieved, layout.spatial_frames)
    history = history_latents(context, layout, slots, encode, ready.alone)
    warped, tail, share = np.empty((0, 3, targets.height, targets.width), np.float32), ready.tail, None
    if settings.warped == "memory":
        seen = [context.last, *(context.memory.frame(index) for index in retrieved if index != context.last.index)]
        warped, landed = warped_memory(seen, context.pixels, targets, settings.warp)
        tail, share = encode_tail(warped, encode), cell_shares(landed)
    elif tail is None:
        warped = warped_frames(context.last, context.pixels(context.last.index), targets, settings.warp)
        tail = encode_tail(warped, encode)
    cameras = latent_cameras(context, layout, slots)
    return ChunkInputs(
        history,
        torch.cat([history, tail], 2),
        ray_latents(cameras, context.last.camera),
        correspondences([context.memory.frame(index) for index in retrieved], targets, layout, settings.warp),
        tuple(retrieved),
        warped,
        share,
    )


def retrieve_for(memory: SpatialMemory, targets: Camera, layout: Layout, settings: ConditioningSettings) -> list[int]:
    """Indices of the remembered frames that help with these new frames, best last."""
    if not layout.spatial_frames or not len(memory):
        return []
    views = retrieval_offsets(settings.retrieval_views, len(targets))
    return memory.retrieve(targets[views], layout.spatial_frames)


def history_latents(
    context: ChunkContext,
    layout: Layout,
    slots: Sequence[int],
    encode: Encode,
    ready: Mapping[int, Tensor] | None = None,
) -> Tensor:
    """(1, 16, history, h, w): recent latents, and remembered frames encoded alone in the spatial slots.

    `ready` are latents of such frames that were made before."""
    total = context.latents.shape[2]
    recent = context.latents[:, :, recent_latents(total, layout.temporal_frames)]
    result = recent.new_empty((*recent.shape[:2], layout.history_frames, *recent.shape[3:]))
    result[:, :, layout.indices(spatial=False)] = recent
    alone = dict(ready or {})
    for index in sorted(set(slots) - alone.keys()):
        alone[index] = encode(context.pixels(index)[None, :, None])
    for place, index in zip(layout.indices(spatial=True), slots):
        result[:, :, place] = alone[index][:, :, 0].to(result)
    return result


def warped_frames(last: MemoryFrame, pixels: Tensor, targets: Camera, config: WarpConfig) -> np.ndarray:
    """(F, 3, H, W) the last frame's colours (3, H, W) seen from the target cameras (F,), -1 where nothing lands."""
    from openlyra.geometry.warp_numba import forward_warp

    source = Camera(
        last.camera.world_from_camera[None], last.camera.intrinsics[None], last.camera.width, last.camera.height
    )
    color = pixels.detach().cpu().float().numpy()[None]
    return np.asarray(forward_warp(color, last.depth[None], last.valid[None], source, targets, config).values)


def warped_memory(
    frames: Sequence[MemoryFrame], pixels: Pixels, targets: Camera, config: WarpConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Colours (F, 3, H, W) of all the frames together seen from the targets (F,), and where any landed (F, H, W) bool.

    Of frames that show the same surface the oldest is taken: newer ones were painted from it, and copies of copies
    blur. Holes are continued smoothly from around them, so that latents of cells with a small hole stay what they are.
    """
    from openlyra.geometry.warp_numba import forward_warp

    size = (len(targets), targets.height, targets.width)
    color, depth = np.zeros((size[0], 3, *size[1:]), np.float32), np.full(size, np.inf, np.float32)
    for frame in sorted(frames, key=lambda f: -f.index):
        source = Camera.stacked([frame.camera])
        shown = pixels(frame.index).detach().cpu().float().numpy()[None]
        seen = forward_warp(shown, frame.depth[None], frame.valid[None], source, targets, config)
        near = np.asarray(seen.depth)
        taken = np.asarray(seen.mask) & (near <= SAME_SURFACE * depth)
        color = np.where(taken[:, None], np.asarray(seen.values), color)
        depth = np.where(taken, near, depth)
    landed = np.isfinite(depth)
    filled = membranes(color.transpose(0, 2, 3, 1), ~landed, FILL_STEPS)
    return filled.transpose(0, 3, 1, 2), landed


def cell_shares(landed: np.ndarray) -> Tensor:
    """(F, H, W) bool to (1, 4, F/4, H/8, W/8): share of every latent's cell, a channel for each of its four frames."""
    frames, height, width = landed.shape
    cells = torch.from_numpy(landed).float().view(
        frames // FRAMES_PER_LATENT, FRAMES_PER_LATENT, height // SPATIAL, SPATIAL, width // SPATIAL, SPATIAL
    )  # fmt: skip
    return cells.mean((3, 5)).transpose(0, 1)[None]


def encode_tail(warped: np.ndarray, encode: Encode) -> Tensor:
    """(1, 16, F/4, h, w) latents of warped frames (F, 3, H, W).

    A copy of the first frame goes before them: the first latent of a clip holds one frame only and is dropped."""
    clip = torch.from_numpy(np.concatenate([warped[:1], warped])).transpose(0, 1)[None]
    return encode(clip)[:, :, 1:]


def latent_cameras(context: ChunkContext, layout: Layout, slots: Sequence[int]) -> Camera:
    """(T,) the camera of every latent of the packed sequence: the last frame of its group, or the retrieved frame's."""
    total = context.latents.shape[2]
    frames = [latent_frame(latent, layout) for latent in recent_latents(total, layout.temporal_frames)]
    places: list[Camera] = [context.cameras[0]] * layout.history_frames
    for place, frame in zip(layout.indices(spatial=False), frames):
        places[place] = context.cameras[frame]
    for place, index in zip(layout.indices(spatial=True), slots):
        places[place] = context.memory.frame(index).camera if index in context.memory else context.cameras[index]
    first = chunk_start(context.chunk, layout)
    for latent in range(1, layout.new_frames + 1):
        places.append(context.cameras[first + FRAMES_PER_LATENT * latent])
    return Camera.stacked(places)


def ray_latents(cameras: Camera, reference: Camera) -> Tensor:
    """(1, 384, T, h, w) float32 ray origins and directions of the cameras (T,), in the axes of `reference`."""
    # One camera at a time: all at once would take a gigabyte in double precision at full size.
    channels = [camera_condition(camera, reference).astype(np.float32) for camera in cameras]
    return torch.from_numpy(np.stack(channels, 1))[None]


def correspondences(frames: Sequence[MemoryFrame], targets: Camera, layout: Layout, warp: WarpConfig) -> Tensor | None:
    """(1, 256 * slots, T, h, w) of the retrieved frames, best last; None for a layout without spatial slots."""
    slots = layout.spatial_frames
    if not slots:
        return None
    places: list[int | None] = [None] * layout.history_frames
    for slot, place in enumerate(layout.indices(spatial=True)):
        places[place] = slot
    past = history_buffer(places, slots, targets.height, targets.width)
    new = generated_buffer(frames, targets, CorrespondenceConfig(slots, FRAMES_PER_LATENT, warp))
    return torch.cat([torch.from_numpy(past), torch.from_numpy(new)], 1)[None]
