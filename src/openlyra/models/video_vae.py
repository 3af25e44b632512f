"""The video auto-encoder of Wan 2.1: causal, 8 times smaller in space, 4 times in time, streamed with explicit state.

The network is diffusers' AutoencoderKLWan; here are what a walk needs around it: a state that can be kept and continued
(also from a file), normalised latents, and spatial tiles, each with its own state. Structure after arXiv 2503.20314.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from openlyra.errors import InputError, MissingExtraError

SPATIAL, TEMPORAL = 8, 4
"""Pixels a latent cell along a side; frames a latent (the first latent of a clip holds one frame)."""
LATENT_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)  # fmt: skip
LATENT_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
)  # fmt: skip
NO_PAST = "Rep"
"""How diffusers marks a temporal up-sampling that has passed its first latent and has no frames to remember yet."""


@dataclass(frozen=True)
class VideoVaeConfig:
    """Size of the auto-encoder; the defaults are the released one (126,892,531 parameters)."""

    base_width: int = 96
    """Channels at full resolution."""
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    """Channels of each stage in base widths."""
    residual_blocks: int = 2
    """Residual blocks a stage in the encoder; the decoder has one more."""
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    """Whether a change of stage also halves the frames."""
    latent_mean: tuple[float, ...] = LATENT_MEAN
    """Mean of each latent channel; its length is the number of latent channels."""
    latent_std: tuple[float, ...] = LATENT_STD
    """Standard deviation of each latent channel."""

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return len(self.latent_mean)


@dataclass(frozen=True)
class Tiling:
    """Spatial tiles in latent cells. Tiles bound memory; the attention in the middle then sees one tile only."""

    size: int = 32
    """Side of a tile."""
    overlap: int = 8
    """Cells shared by neighbours; the shares of the two cross-fade there."""

    def __post_init__(self) -> None:
        if not 0 < self.overlap < self.size:
            raise InputError(f"tiles of {self.size} latent cells cannot overlap by {self.overlap}")


Cache = Tensor | str | None


@dataclass(frozen=True)
class StreamState:
    """What the causal convolutions remember between two calls. Never changed in place: keep it, branch from it."""

    tiles: tuple[tuple[Cache, ...], ...]
    """Remembered frames of each convolution, for each tile."""
    size: tuple[int, int]
    """(rows, columns) of the latents of this stream."""

    def to(self, device: torch.device | str) -> StreamState:
        """The same state on another device."""
        return StreamState(
            tuple(tuple(c.to(device) if isinstance(c, Tensor) else c for c in tile) for tile in self.tiles), self.size
        )

    def tensors(self) -> dict[str, Tensor]:
        """The state as named tensors, for a safetensors file."""
        named = {"size": torch.tensor(self.size)}
        for t, tile in enumerate(self.tiles):
            for i, cache in enumerate(tile):
                if cache is not None:
                    named[f"{t}.{i}"] = cache.contiguous() if isinstance(cache, Tensor) else torch.empty(0)
        return named

    @classmethod
    def from_tensors(cls, named: Mapping[str, Tensor]) -> StreamState:
        """Inverse of `tensors`. Raises InputError when a name is not one of its names."""
        found: dict[int, dict[int, Cache]] = {}
        for name, value in named.items():
            if name == "size":
                continue
            tile, _, index = name.partition(".")
            if not (tile.isdigit() and index.isdigit()):
                raise InputError(f"stream state of the auto-encoder: unknown tensor '{name}'")
            found.setdefault(int(tile), {})[int(index)] = value if value.numel() else NO_PAST
        if "size" not in named or not found:
            raise InputError("stream state of the auto-encoder: incomplete")
        rows, columns = (int(v) for v in named["size"])
        tiles = tuple(tuple(found[t].get(i) for i in range(max(found[t]) + 1)) for t in sorted(found))
        return cls(tiles, (rows, columns))


class VideoVae:
    """Encoder and decoder with normalised latents. Pixels are (B, 3, F, H, W) in [-1, 1]; decoding does not clamp."""

    def __init__(
        self, network: nn.Module, config: VideoVaeConfig | None = None, tiling: Tiling | None = None,
        states_on: torch.device | str | None = None,
    ) -> None:  # fmt: skip
        """See `build_network` for ``network``. ``tiling`` None takes the frame whole; ``states_on`` is where stream
        states wait between two calls (the weights' device if None)."""
        self.config, self.tiling, self.states_on = config or VideoVaeConfig(), tiling, states_on
        self.network: Any = network.eval().requires_grad_(False)
        shape = (1, -1, 1, 1, 1)
        self._mean = torch.tensor(self.config.latent_mean).view(shape)
        self._std = torch.tensor(self.config.latent_std).view(shape)

    @classmethod
    def random(cls, config: VideoVaeConfig | None = None, seed: int = 0, tiling: Tiling | None = None) -> VideoVae:
        """Small random weights from a seed (for tests and the toy model)."""
        config = config or VideoVaeConfig()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(build_network(config), config, tiling)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> VideoVae:
        """Move or cast the weights; returns itself."""
        nn.Module.to(self.network, device=device, dtype=dtype)  # the plain one: diffusers' own warns for nothing
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def encode(self, video: Tensor) -> Tensor:
        """Latents of a clip on its own: (B, 3, 4n+1, H, W) to float32 (B, C, n+1, H/8, W/8)."""
        return self.encode_more(video, None)[0]

    @torch.no_grad()
    def encode_more(self, video: Tensor, state: StreamState | None) -> tuple[Tensor, StreamState]:
        """Latents of the next frames of a stream and the state after them.

        Args:
            video: (B, 3, F, H, W); F is 4n+1 when ``state`` is None (a stream begins), else 4n.

        Raises:
            InputError: for other frame counts, or sizes that are not multiples of 8 or not those of the stream.
        """
        frames, height, width = video.shape[2:]
        if height % SPATIAL or width % SPATIAL:
            raise InputError(f"video of {height}x{width} pixels: the auto-encoder needs multiples of {SPATIAL}")
        if frames < 1 or (frames - (state is None)) % TEMPORAL:
            need = "4n" if state is not None else "4n+1"
            raise InputError(f"video of {frames} frames: the auto-encoder needs {need} frames here")
        first = [1] if state is None else []
        groups = first + [TEMPORAL] * ((frames - len(first)) // TEMPORAL)
        mean, std = self._mean.to(video.device), self._std.to(video.device)

        def step(pixels: Tensor, caches: list[Any]) -> Tensor:
            features = self.network.encoder(pixels, feat_cache=caches, feat_idx=[0])
            mu = self.network.quant_conv(features)[:, : self.config.latent_channels]
            return mu.float().to(video.device)

        mu, state = self._stream(video, groups, state, SPATIAL, 1, step, "_enc_feat_map")
        return (mu - mean) / std, state

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels of a clip on its own: (B, C, n+1, h, w) to float32 (B, 3, 4n+1, 8h, 8w)."""
        return self.decode_more(latents, None)[0]

    @torch.no_grad()
    def decode_more(self, latents: Tensor, state: StreamState | None) -> tuple[Tensor, StreamState]:
        """Pixels of the next latents of a stream and the state after them; a new stream's first latent is one frame.

        Args:
            latents: (B, C, n, h, w) normalised. Result (B, 3, 4n or 4n-3, 8h, 8w) float32.
        """
        mean, std = self._mean.to(latents.device), self._std.to(latents.device)

        def step(z: Tensor, caches: list[Any]) -> Tensor:
            pixels = self.network.decoder(self.network.post_quant_conv(z), feat_cache=caches, feat_idx=[0])
            return pixels.float().to(latents.device)

        groups = [1] * latents.shape[2]
        return self._stream(latents.float() * std + mean, groups, state, 1, SPATIAL, step, "_feat_map")

    def _stream(
        self, values: Tensor, groups: list[int], state: StreamState | None, shrink: int, grow: int, step: Any, slot: str
    ) -> tuple[Tensor, StreamState]:
        """Run ``step`` over tiles and groups of frames and put the tiles together."""
        size = (values.shape[3] // shrink, values.shape[4] // shrink)
        if state is not None and state.size != size:
            raise InputError(f"the stream has latents of {state.size[0]}x{state.size[1]}, not {size[0]}x{size[1]}")
        tiles = list(tile_spans(size, self.tiling))
        if state is not None and len(state.tiles) != len(tiles):
            raise InputError(f"the stream was made with {len(state.tiles)} tiles, not {len(tiles)}")
        weight = next(self.network.parameters())
        count = self._cache_count(slot)
        results, after = [], []
        for number, (rows, columns) in enumerate(tiles):
            caches: list[Any] = list(state.tiles[number]) if state is not None else []
            caches = [c.to(weight) if isinstance(c, Tensor) else c for c in caches]
            caches += [None] * (count - len(caches))
            part = values[..., _times(rows, shrink), _times(columns, shrink)]
            pieces = part.split(groups, dim=2)
            results.append(torch.cat([step(piece.to(weight), caches) for piece in pieces], dim=2))
            after.append(_trimmed(caches))
        whole = results[0] if len(tiles) == 1 else _blend(results, tiles, size, grow)
        following = StreamState(tuple(after), size)
        return whole, following if self.states_on is None else following.to(self.states_on)

    def _cache_count(self, slot: str) -> int:
        self.network.clear_cache()
        return len(getattr(self.network, slot))


def build_network(config: VideoVaeConfig) -> nn.Module:
    """The network of that size with fresh weights (on the current default device). Raises MissingExtraError."""
    try:
        from diffusers import AutoencoderKLWan
    except ImportError:
        raise MissingExtraError("diffusers", "lyra") from None
    network: Any = AutoencoderKLWan(
        base_dim=config.base_width, z_dim=config.latent_channels, dim_mult=list(config.multipliers),
        num_res_blocks=config.residual_blocks, attn_scales=[], temperal_downsample=list(config.temporal_downsample),
        latents_mean=list(config.latent_mean), latents_std=list(config.latent_std),
    )  # fmt: skip
    return network


def tile_spans(size: tuple[int, int], tiling: Tiling | None) -> Iterator[tuple[slice, slice]]:
    """(rows, columns) of every tile in latent cells, covering ``size``; one tile when ``tiling`` is None."""
    rows, columns = (_spans(length, tiling) for length in size)
    return ((row, column) for row in rows for column in columns)


def _spans(length: int, tiling: Tiling | None) -> list[slice]:
    if tiling is None or length <= tiling.size:
        return [slice(0, length)]
    stride = tiling.size - tiling.overlap
    starts = [*range(0, length - tiling.size, stride), length - tiling.size]
    return [slice(start, start + tiling.size) for start in starts]


def _times(span: slice, factor: int) -> slice:
    return slice(span.start * factor, span.stop * factor)


def _trimmed(caches: list[Cache]) -> tuple[Cache, ...]:
    """Without the unused places at the end (convolutions of one tap remember nothing)."""
    used = max((i + 1 for i, cache in enumerate(caches) if cache is not None), default=0)
    return tuple(caches[:used])


def _blend(parts: list[Tensor], tiles: list[tuple[slice, slice]], size: tuple[int, int], grow: int) -> Tensor:
    """Tiles put together; where they overlap, weights fall linearly towards each tile's inner borders."""
    height, width = size[0] * grow, size[1] * grow
    total = parts[0].new_zeros((*parts[0].shape[:3], height, width))
    weights = parts[0].new_zeros((height, width))
    for part, (rows, columns) in zip(parts, tiles):
        share = _ramp(rows, size[0], grow, part)[:, None] * _ramp(columns, size[1], grow, part)
        at = (_times(rows, grow), _times(columns, grow))
        total[..., at[0], at[1]] += part * share
        weights[at] += share
    return total / weights


def _ramp(span: slice, length: int, grow: int, like: Tensor) -> Tensor:
    """Distance to the nearer inner border of the tile, in samples; flat towards the frame's own borders."""
    count = (span.stop - span.start) * grow
    at = torch.arange(count, device=like.device, dtype=like.dtype)
    left = at + 0.5 if span.start > 0 else torch.full_like(at, float(count))
    right = count - at - 0.5 if span.stop < length else torch.full_like(at, float(count))
    return torch.minimum(left, right)


def original_key(key: str) -> str:
    """Name in the original `vae.pth` of a tensor that has the name ``key`` in the Diffusers release."""
    whole = {"quant_conv": "conv1", "post_quant_conv": "conv2"}
    head, _, rest = key.partition(".")
    if head in whole:
        return f"{whole[head]}.{rest}"
    parts = rest.split(".")
    place, inner = _original_place(head, parts)
    renamed = {"norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6"}
    renamed |= {"conv_shortcut": "shortcut"}
    if inner and place.split(".")[0] in ("downsamples", "upsamples", "middle"):
        inner = [renamed.get(inner[0], inner[0]), *inner[1:]]
    return ".".join([head, place, *inner])


def _original_place(half: str, parts: list[str]) -> tuple[str, list[str]]:
    """(module in the original numbering, rest of the name) of a module in the encoder or decoder."""
    kind = parts[0]
    if kind in ("conv_in", "norm_out", "conv_out"):
        return {"conv_in": "conv1", "norm_out": "head.0", "conv_out": "head.2"}[kind], parts[1:]
    if kind == "mid_block":
        return ("middle.1" if parts[1] == "attentions" else f"middle.{2 * int(parts[2])}"), parts[3:]
    if kind == "down_blocks":
        return f"downsamples.{parts[1]}", parts[2:]
    # Each decoder stage is three residual blocks and an up-sampling, numbered through in the original.
    index = 4 * int(parts[1]) + (3 if parts[2] == "upsamplers" else int(parts[3]))
    return f"upsamples.{index}", parts[4:]
