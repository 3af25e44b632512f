"""Which latents and frames the context of a chunk is made of (spec conditioning.md 4, generation.md 4)."""

from __future__ import annotations

from openlyra.errors import InputError
from openlyra.models.frame_packing import FRAMES_PER_LATENT, Layout


def recent_latents(total: int, count: int) -> list[int]:
    """Places among `total` latents so far of the `count` in the temporal slots: the first one and the last ones."""
    if not 1 <= count <= total:
        raise InputError(f"{count} history latents out of {total}; from 1 to {total} can be picked")
    return [0, *range(total - count + 1, total)]


def padding_frames(layout: Layout) -> int:
    """How often the input image is repeated before itself so that the first history is full."""
    return FRAMES_PER_LATENT * (layout.history_frames - 1)


def latent_frame(latent: int, layout: Layout) -> int:
    """The frame that stands for a latent of the run: the last of its group, the input image for the padding."""
    return max(0, FRAMES_PER_LATENT * latent - padding_frames(layout))


def chunk_start(chunk: int, layout: Layout) -> int:
    """The frame from which a chunk goes on: its new frames are the ones after it."""
    return chunk * layout.new_pixel_frames


def retrieval_offsets(views: int, frames: int) -> list[int]:
    """New frames (0-based) that stand for a chunk when remembered frames are retrieved: the last, or `views` spread."""
    if not 1 <= views <= frames:
        raise InputError(f"{views} retrieval views of {frames} frames; from 1 to {frames} are possible")
    return [(frames - 1) * view // views for view in range(1, views + 1)]


def window_frames(layout: Layout, length: int, start: int, segment: int) -> list[int]:
    """Clip frames of a training window that ends with chunk `segment`: padding with frame `start`, then one by one.

    Frames after the end of the clip (`length`) repeat its last."""
    new = layout.new_pixel_frames * (segment + 1)
    walked = [min(start + offset, length - 1) for offset in range(1, new + 1)]
    return [min(start, length - 1)] * (padding_frames(layout) + 1) + walked


def mirrored_frames(length: int, wanted: int) -> list[int]:
    """Frames of a clip of `length` played back and forth until there are `wanted` of them."""
    there_and_back = [*range(length), *range(length - 2, 0, -1)]
    return [there_and_back[place % len(there_and_back)] for place in range(wanted)]


def repeated_frames(length: int, wanted: int) -> list[int]:
    """Frames of a clip of `length` with its last one repeated until there are `wanted` of them."""
    return [min(place, length - 1) for place in range(wanted)]
