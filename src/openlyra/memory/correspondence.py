"""Dense correspondences between remembered frames and the views to draw (Lyra 2.0): warped canonical coordinates.

Every spatial slot of the context has a canonical coordinate map. Warping it with the slot's geometry tells the network,
for each pixel to draw, which pixel of which remembered frame shows the same point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.geometry.rays import space_to_channel
from openlyra.geometry.warp_types import WarpConfig
from openlyra.memory.frame import MemoryFrame

Floats = NDArray[np.float32]

CELL = 8
"""Side in pixels of a latent cell; pixels of a cell become channels."""
FILLER = (-1.0, -1.0, -1.0, 1.0)
"""x, y, z, depth of an unused block: depth +1 tells 'no frame' from a hole, which reads -1."""


@dataclass(frozen=True)
class CorrespondenceConfig:
    """How the correspondence buffer is made."""

    slots: int = 5
    """Spatial slots of the context."""
    frames_per_latent: int = 4
    """Video frames a latent covers; the last one of each group gives its correspondences."""
    warp: WarpConfig = field(default_factory=WarpConfig)
    """With `reference_compat`, the unused frames are warped too: they take part in the depth range."""

    @staticmethod
    def reference(slots: int = 5) -> CorrespondenceConfig:
        """The released behaviour: targets share a soft z-buffer normaliser in groups of 16."""
        return CorrespondenceConfig(slots, 4, WarpConfig(reference_compat=True, group=16))


def canonical_maps(slots: int, height: int, width: int) -> Floats:
    """(slots, 3, H, W): x, y in [-1, 1] over columns and rows, z in [-1, 1] over the slots (0 for a single slot)."""
    if slots < 1 or height < 1 or width < 1:
        raise InputError(f"canonical maps of {slots} slots, {width}x{height} pixels; at least 1 of each is needed")
    z = np.linspace(-1, 1, slots) if slots > 1 else np.zeros(1)
    shape = (slots, height, width)
    x = np.broadcast_to(np.linspace(-1, 1, width, dtype=np.float32), shape)
    y = np.broadcast_to(np.linspace(-1, 1, height, dtype=np.float32)[:, None], shape)
    return np.stack([x, y, np.broadcast_to(z.astype(np.float32)[:, None, None], shape)], 1)


def slot_frames(retrieved: Sequence[int], slots: int, filler: int = 0) -> list[int]:
    """Frame index of every spatial slot: retrieved ones (best last) right-aligned, the rest `filler` (input image)."""
    if len(retrieved) > slots:
        raise InputError(f"{len(retrieved)} retrieved frames for {slots} slots; at most as many as slots are needed")
    return [filler] * (slots - len(retrieved)) + [int(index) for index in retrieved]


def generated_buffer(
    frames: Sequence[MemoryFrame], targets: Camera, config: CorrespondenceConfig | None = None
) -> Floats:
    """(slots*256, T, H/8, W/8) correspondences of T latents to draw.

    `frames` are the retrieved ones, best LAST; `targets` (F,) the cameras of all F = T*frames_per_latent new frames.
    Blocks of 256 channels are best first; blocks without a frame hold the filler.
    """
    config = config or CorrespondenceConfig()
    frames = _unique(frames)
    if len(frames) > config.slots:
        raise InputError(
            f"{len(frames)} retrieved frames for {config.slots} slots; at most as many as slots are needed"
        )
    if len(targets.batch_shape) != 1 or len(targets) == 0 or len(targets) % config.frames_per_latent:
        raise InputError(
            f"target cameras {targets.batch_shape}; one row of a multiple of {config.frames_per_latent} is needed"
        )
    latents, height, width = len(targets) // config.frames_per_latent, targets.height, targets.width
    if height % CELL or width % CELL:
        raise InputError(f"target views of {width}x{height} pixels; multiples of {CELL} are needed")
    maps = np.empty((config.slots, 4, latents, height, width), np.float32)
    maps[:] = np.array(FILLER, np.float32)[:, None, None, None]
    near, far = np.inf, -np.inf
    for block, frame in enumerate(reversed(frames)):
        canonical = canonical_maps(config.slots, frame.height, frame.width)[config.slots - 1 - block]
        low, high = _warp_slot(frame, canonical, targets, config, maps[block])
        near, far = min(near, low), max(far, high)
    if frames:
        depth = maps[: len(frames), 3]
        span = np.maximum(np.float32(far) - np.float32(near), np.float32(1e-6))
        depth[:] = 2 * (depth - np.float32(near)) / span - 1
    # One copy instead of space_to_channel's two: at full size the buffer has 640 MB.
    cells = maps.reshape(config.slots, 4, latents, height // CELL, CELL, width // CELL, CELL)
    return cells.transpose(0, 1, 4, 6, 2, 3, 5).reshape(-1, latents, height // CELL, width // CELL)


def _warp_slot(
    frame: MemoryFrame, canonical: Floats, targets: Camera, config: CorrespondenceConfig, out: Floats
) -> tuple[float, float]:
    """Warp one canonical map with its depth into `out` (4, T, H, W); return that depth's range, holes (0) included."""
    from openlyra.geometry.warp_numba import forward_warp

    every = config.frames_per_latent
    compat = config.warp.reference_compat
    group = config.warp.group or len(targets)
    # Only the last frame of each latent is used, so in our own mode nothing else is warped.
    wanted = np.arange(len(targets)) if compat else np.arange(every - 1, len(targets), every)
    low, high = np.inf, -np.inf
    source = Camera(frame.camera.world_from_camera[None], frame.camera.intrinsics[None], frame.width, frame.height)
    for start in range(0, len(wanted), group):
        chosen = wanted[start : start + group]
        warped = forward_warp(
            canonical[None], frame.depth[None], frame.valid[None], source, targets[chosen], config.warp
        )
        low, high = min(low, float(warped.depth.min())), max(high, float(warped.depth.max()))
        kept = chosen % every == every - 1
        times = chosen[kept] // every
        out[:3, times] = warped.values[kept].transpose(1, 0, 2, 3)
        out[3, times] = warped.depth[kept]
    return low, high


def history_buffer(spatial_slots: Sequence[int | None], slots: int, height: int, width: int) -> Floats:
    """(slots*256, L, H/8, W/8) correspondences of L history latents.

    `spatial_slots[i]` is the spatial slot that latent i fills, or None for a temporal latent (all 0; the network
    replaces it). A spatial slot holds its own canonical map in every block, with depth -1 in block 0 and +1 in the
    others."""
    maps = canonical_maps(slots, height, width)
    result = np.zeros((slots, 4 * CELL * CELL, len(spatial_slots), height // CELL, width // CELL), np.float32)
    for latent, slot in enumerate(spatial_slots):
        if slot is None:
            continue
        if not 0 <= slot < slots:
            raise InputError(f"latent {latent} fills spatial slot {slot}; 0 to {slots - 1} is needed")
        result[:, : 3 * CELL * CELL, latent] = space_to_channel(maps[slot])
        result[:, 3 * CELL * CELL :, latent] = 1
        result[0, 3 * CELL * CELL :, latent] = -1
    return result.reshape(-1, *result.shape[2:])


def _unique(frames: Sequence[MemoryFrame]) -> list[MemoryFrame]:
    """Without repetitions of a frame index; the first one stays."""
    first: dict[int, MemoryFrame] = {}
    for frame in frames:
        first.setdefault(frame.index, frame)
    return list(first.values())
