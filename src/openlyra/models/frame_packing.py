"""Frame packing: a long history in few tokens. Older latents are packed with larger patches.

A layout string names the history segments in order, then the number of new latents: `f<count><kind><kernel>` ...
`_g<new>`. Kind `k` packs kernel x kernel x kernel base patches (time, height, width), kind `s` 1 x kernel x kernel.
Whatever a token carries beside its latents (position, camera, correspondences) is averaged over the base patches it
packs.

Source: network specification, section 5. Tensors are (B, C, T, H, W) at latent resolution; tokens (B, L, C).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from openlyra.errors import InputError
from openlyra.geometry.rays import space_to_channel

PATCH = (1, 2, 2)
"""Base patch in time, height, width; generated latents use it as it is."""
FRAMES_PER_LATENT = 4

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Segment:
    """A run of history latents that are packed alike."""

    frames: int
    """Latents in the segment."""
    kind: str
    """`k`: packed in time, height and width. `s`: retrieved frames, packed in height and width."""
    kernel: int
    """Base patches per token along each packed axis."""

    @property
    def spatial(self) -> bool:
        """Whether the segment holds retrieved frames."""
        return self.kind == "s"

    @property
    def pooling(self) -> Triple:
        """Base tokens that one token replaces, in time, height, width."""
        return (1 if self.spatial else self.kernel, self.kernel, self.kernel)

    @property
    def patch(self) -> Triple:
        """Latents that one token covers, in time, height, width."""
        t, h, w = self.pooling
        return (t * PATCH[0], h * PATCH[1], w * PATCH[2])


@dataclass(frozen=True)
class Layout:
    """The segments of the history, oldest first, and the latents to generate."""

    segments: tuple[Segment, ...]
    """History segments in the order of the packed sequence."""
    new_frames: int
    """Latents generated at a time."""

    @staticmethod
    @lru_cache(maxsize=64)
    def parse(text: str) -> Layout:
        """Read a layout string such as `f1k1f4s2f1s1f16k4f2k2f1k1_g20`. Raises InputError."""
        if not re.fullmatch(r"(?:f\d{1,4}[ks]\d{1,4})+_g\d{1,4}", text):
            raise InputError(f"layout {text!r} is not understood; f<count><k or s><kernel> ... _g<new> is needed")
        history, _, new = text.partition("_g")
        found = re.findall(r"f(\d+)([ks])(\d+)", history)
        segments = tuple(Segment(int(frames), kind, int(kernel)) for frames, kind, kernel in found)
        if not int(new) or not all(segment.frames and segment.kernel for segment in segments):
            raise InputError(f"layout {text!r} has a count or a kernel of 0; at least 1 is needed")
        return Layout(segments, int(new))

    def __str__(self) -> str:
        return "".join(f"f{s.frames}{s.kind}{s.kernel}" for s in self.segments) + f"_g{self.new_frames}"

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """First and last-plus-one latent of every segment, then of the new latents."""
        counts = [*(segment.frames for segment in self.segments), self.new_frames]
        stops = [sum(counts[: i + 1]) for i in range(len(counts))]
        return tuple((stop - count, stop) for count, stop in zip(counts, stops))

    @property
    def history_frames(self) -> int:
        """Latents of the history, retrieved ones included."""
        return sum(segment.frames for segment in self.segments)

    @property
    def spatial_frames(self) -> int:
        """Latents of retrieved frames: the spatial slots."""
        return sum(segment.frames for segment in self.segments if segment.spatial)

    @property
    def temporal_frames(self) -> int:
        """Latents of the history in time."""
        return self.history_frames - self.spatial_frames

    @property
    def total_frames(self) -> int:
        """All latents of the packed sequence."""
        return self.history_frames + self.new_frames

    @property
    def new_pixel_frames(self) -> int:
        """Video frames generated at a time."""
        return FRAMES_PER_LATENT * self.new_frames

    def indices(self, spatial: bool) -> list[int]:
        """Places in the packed sequence of the retrieved (or else of the temporal) history latents, in order."""
        places: list[int] = []
        for segment, (start, stop) in zip(self.segments, self.spans):
            places += range(start, stop) if segment.spatial == spatial else []
        return places

    def token_counts(self, height: int, width: int) -> list[int]:
        """Tokens of every segment and of the new latents, for latents of `height` x `width`."""
        patches = [*((segment.frames, segment.patch) for segment in self.segments), (self.new_frames, PATCH)]
        return [-(-frames // t) * -(-height // h) * -(-width // w) for frames, (t, h, w) in patches]


def replicate_to_multiple(values: Tensor, multiples: Triple) -> Tensor:
    """(..., T, H, W) with its last slices repeated until each of the three axes is divisible by `multiples`."""
    for axis, multiple in zip((-3, -2, -1), multiples):
        missing = -values.shape[axis] % multiple
        if missing:
            last = values.narrow(axis, values.shape[axis] - 1, 1)
            values = torch.cat([values, last.repeat_interleave(missing, axis)], axis)
    return values


def patches(values: Tensor, patch: Triple) -> Tensor:
    """(B, C, T, H, W) -> (B, tokens, C*P_t*P_h*P_w): channel slowest in a token, tokens in (t, h, w) order."""
    values = replicate_to_multiple(values, patch)
    batch, channels, *sizes = values.shape
    grid = [size // p for size, p in zip(sizes, patch)]
    cells = values.reshape(batch, channels, grid[0], patch[0], grid[1], patch[1], grid[2], patch[2])
    return cells.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(batch, grid[0] * grid[1] * grid[2], -1)


def unpatch(tokens: Tensor, grid: Triple, channels: int) -> Tensor:
    """(B, tokens, P_t*P_h*P_w*C), channel fastest -> (B, C, T, H, W) for a token grid of base patches."""
    cells = tokens.reshape(tokens.shape[0], *grid, *PATCH, channels).permute(0, 7, 1, 4, 2, 5, 3, 6)
    return cells.reshape(tokens.shape[0], channels, *(n * p for n, p in zip(grid, PATCH)))


def mean_pool(values: Tensor, pooling: Triple) -> Tensor:
    """(B, C, T, H, W): mean over cells of `pooling`, after repeating the last slices to a multiple; float32 inside."""
    if pooling == (1, 1, 1):
        return values
    return F.avg_pool3d(replicate_to_multiple(values, pooling).float(), pooling).to(values.dtype)


def mean_positions(count: int, start: int, pooling: int) -> Tensor:
    """Positions start, start + 1, ... of `count` base tokens on one axis, averaged like the tokens, float64."""
    positions = torch.arange(start, start + count, dtype=torch.float64)
    missing = -count % pooling
    return torch.cat([positions, positions[-1:].expand(missing)]).reshape(-1, pooling).mean(-1)


def token_positions(layout: Layout | None, frames: int, height: int, width: int) -> Tensor:
    """(L, 3) float64: mean time, row and column of every token, on the base token grid of a latent sequence.

    Time is the index in the packed sequence, whatever the age of the frame. Without a layout: all tokens of `frames`.
    """
    parts = []
    for start, stop, (t, h, w) in _pooled_spans(layout, frames):
        axes = (
            mean_positions(stop - start, start, t),
            mean_positions(height // PATCH[1], 0, h),
            mean_positions(width // PATCH[2], 0, w),
        )
        parts.append(torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3))
    return torch.cat(parts)


def camera_tokens(layout: Layout, rays: Tensor) -> Tensor:
    """Camera rays (B, C, T, H, W) -> tokens (B, L, 4*C) float32, packed tokens with the mean of what they replace."""
    base = space_to_channel(rays.float(), 2, channel_axis=-4)
    pooled = [mean_pool(base[:, :, start:stop], q) for start, stop, q in _pooled_spans(layout, rays.shape[2])]
    return torch.cat([part.flatten(2).transpose(1, 2) for part in pooled], 1)


def buffer_tokens(layout: Layout, buffer: Tensor) -> tuple[Tensor, Tensor]:
    """Correspondences (B, C, T, H, W) -> tokens (B, L, 4*C) and validity (B, L, 1), both of the buffer's type.

    Retrieved segments are averaged before the 2x2 rearrangement; temporal history has no correspondences (-1, validity
    0). A buffer of only the new latents leaves the retrieved segments without any (0, validity 0).
    """
    batch, channels, frames, height, width = buffer.shape
    only_new = frames == layout.new_frames
    counts = layout.token_counts(height, width)
    tokens, validity = [], []
    for segment, (start, stop), count in zip(layout.segments, layout.spans, counts):
        if segment.spatial and not only_new:
            pooled = replicate_to_multiple(mean_pool(buffer[:, :, start:stop], segment.pooling), PATCH)
            tokens.append(space_to_channel(pooled, 2, channel_axis=-4).flatten(2).transpose(1, 2))
        else:
            tokens.append(buffer.new_full((batch, count, 4 * channels), 0.0 if segment.spatial else -1.0))
        validity.append(buffer.new_full((batch, count, 1), float(segment.spatial and not only_new)))
    tokens.append(space_to_channel(buffer[:, :, -layout.new_frames :], 2, channel_axis=-4).flatten(2).transpose(1, 2))
    validity.append(buffer.new_ones((batch, counts[-1], 1)))
    return torch.cat(tokens, 1), torch.cat(validity, 1)


def _pooled_spans(layout: Layout | None, frames: int) -> Iterator[tuple[int, int, Triple]]:
    """First and last-plus-one latent and pooling of every segment, the new latents last."""
    if layout is None:
        yield 0, frames, (1, 1, 1)
        return
    for segment, (start, stop) in zip(layout.segments, layout.spans):
        yield start, stop, segment.pooling
    start, stop = layout.spans[-1]
    yield start, stop, (1, 1, 1)
