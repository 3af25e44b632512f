"""A linear stand-in for the video auto-encoder: principal components of 4x8x8 pixel patches.

Fitted in seconds. It has the calls and the latent grid of `models.video_vae.VideoVae`, keeps no memory of the past, and
needs many channels for the same sharpness. For small trainings that shall not wait for an auto-encoder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from openlyra.errors import InputError
from openlyra.models.video_vae import SPATIAL, TEMPORAL, StreamState

PIXELS = 3 * TEMPORAL * SPATIAL * SPATIAL


@dataclass(frozen=True)
class PatchConfig:
    """Size of the codec."""

    channels: int
    """Components kept, at most 768."""


class PatchNetwork(nn.Module):
    """The fitted numbers."""

    mean: Tensor
    """(768,) of the pixels of a patch."""
    basis: Tensor
    """(channels, 768) orthonormal rows."""
    scale: Tensor
    """(channels,) by which components are divided."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(PIXELS))
        self.register_buffer("basis", torch.zeros(channels, PIXELS))
        self.register_buffer("scale", torch.ones(channels))


class PatchCodec:
    """Encoder and decoder of pixels (B, 3, F, H, W) in [-1, 1]; the first latent of a stream is one frame, repeated."""

    def __init__(self, network: PatchNetwork, config: PatchConfig) -> None:
        self.network, self.config = network, config

    @classmethod
    @torch.no_grad()
    def fit(cls, videos: Iterable[Tensor], channels: int) -> PatchCodec:
        """Principal components of the patches of videos (3, 4n+1, H, W). Raises InputError for a wrong count."""
        if not 1 <= channels <= PIXELS:
            raise InputError(f"vae.channels is {channels}; 1 to {PIXELS} is needed")
        count, total, square = 0, torch.zeros(PIXELS, dtype=torch.float64), torch.zeros(PIXELS, PIXELS).double()
        for video in videos:
            rows = torch.cat([_patches(_filled(video[None, :, :1])), _patches(video[None, :, 1:])], 2)
            flat = rows.movedim(1, -1).reshape(-1, PIXELS).double()
            count, total, square = count + len(flat), total + flat.sum(0), square + flat.T @ flat
        mean = total / count
        values, vectors = torch.linalg.eigh(square / count - mean[:, None] * mean)
        network = PatchNetwork(channels)
        network.mean.copy_(mean)
        network.basis.copy_(vectors.flip(1)[:, :channels].T)
        # Halfway between equal variances (noise in fine detail would weigh as much as brightness) and true ones.
        deviation = values.flip(0)[:channels].clamp_min(1e-8).sqrt()
        network.scale.copy_(deviation.sqrt())
        network.scale.mul_((deviation.square() / network.scale.double().square()).mean().sqrt())
        return cls(network, PatchConfig(channels))

    def encode(self, video: Tensor) -> Tensor:
        """(B, 3, 4n+1, H, W) to (B, C, n+1, H/8, W/8)."""
        return self.encode_more(video, None)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, n+1, h, w) to (B, 3, 4n+1, 8h, 8w)."""
        return self.decode_more(latents, None)[0]

    @torch.no_grad()
    def encode_more(self, video: Tensor, state: StreamState | None) -> tuple[Tensor, StreamState]:
        """Latents of the next frames: 4n+1 when a stream begins, else 4n. Raises InputError for other counts."""
        if video.shape[2] % TEMPORAL != (state is None) or video.shape[3] % SPATIAL or video.shape[4] % SPATIAL:
            raise InputError(f"video of {tuple(video.shape[2:])}: 4n frames (4n+1 at the start) of 8m x 8n are needed")
        filled = _filled(video) if state is None else video
        rows = _patches(filled) - self.network.mean.view(1, -1, 1, 1, 1)
        parts = torch.einsum("bptij,cp->bctij", rows, self.network.basis)
        return parts / self.network.scale.view(1, -1, 1, 1, 1), _state(*parts.shape[3:])

    @torch.no_grad()
    def decode_more(self, latents: Tensor, state: StreamState | None) -> tuple[Tensor, StreamState]:
        """Pixels of the next latents; the first latent of a stream gives one frame."""
        parts = latents.float() * self.network.scale.view(1, -1, 1, 1, 1)
        rows = torch.einsum("bctij,cp->bptij", parts, self.network.basis) + self.network.mean.view(1, -1, 1, 1, 1)
        batch, _, times, height, width = rows.shape
        cells = rows.reshape(batch, 3, TEMPORAL, SPATIAL, SPATIAL, times, height, width)
        ordered = cells.permute(0, 1, 5, 2, 6, 3, 7, 4)
        video = ordered.reshape(batch, 3, TEMPORAL * times, SPATIAL * height, SPATIAL * width)
        return (video[:, :, TEMPORAL - 1 :] if state is None else video), _state(height, width)


def _filled(video: Tensor) -> Tensor:
    """A beginning stream with its first frame four times."""
    return torch.cat([video[:, :, :1].expand(-1, -1, TEMPORAL - 1, -1, -1), video], 2)


def _patches(video: Tensor) -> Tensor:
    """(B, 3, 4t, 8h, 8w) -> (B, 768, t, h, w)."""
    batch, _, frames, height, width = video.shape
    times, rows, columns = frames // TEMPORAL, height // SPATIAL, width // SPATIAL
    cells = video.reshape(batch, 3, times, TEMPORAL, rows, SPATIAL, columns, SPATIAL)
    return cells.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(batch, PIXELS, times, rows, columns)


def _state(rows: int, columns: int) -> StreamState:
    """Nothing to remember but that the stream has begun."""
    return StreamState(((torch.zeros(1),),), (rows, columns))
