"""What the auto-encoder makes of a video, computed once and kept on disk: latents, stream states, warped last frames.

One safetensors file a video. A clip is cut to whole chunks: 1 + chunks * new frames. What depends on the random choice
of retrieved frames (correspondences, rays) is made at every step by the code of generation; it costs milliseconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from openlyra.errors import InputError
from openlyra.generation.conditioning import ConditioningSettings, encode_tail, small_conditioning, warped_frames
from openlyra.generation.history import chunk_start, padding_frames
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame
from openlyra.models.codec import Codec
from openlyra.models.frame_packing import Layout
from openlyra.models.tensors import read_tensors, write_tensors
from openlyra.models.video_vae import StreamState
from openlyra.training.world_network import walk_model
from openlyra.training.world_settings import WorldTraining
from openlyra.training.world_shards import ShardedVideo
from openlyra.training.world_video import PosedVideo


@dataclass(frozen=True, eq=False)
class CachedClip:
    """A video as training sees it. F = 1 + chunks * new frames, P = latents of the padded photo, g = new latents."""

    name: str
    """Id of the video."""
    tensors: dict[str, Tensor]
    """As in the file; see `cache_clip`."""
    layout: Layout
    """Frame packing."""

    @property
    def chunks(self) -> int:
        """Whole chunks of the clip."""
        return len(self.tensors["tail"])

    @cached_property
    def cameras(self) -> Camera:
        """(F,) cameras at the size of the networks."""
        height, width = self.tensors["rgb"].shape[2:]
        return Camera(self.tensors["pose"].numpy(), self.tensors["intrinsics"].numpy(), width, height)

    @cached_property
    def frames(self) -> dict[int, MemoryFrame]:
        """Frames with depth by index: those that can be retrieved and the last of every chunk."""
        found = {}
        for index, depth in zip(self.tensors["depth_inds"].tolist(), self.tensors["depth"].numpy()):
            image = np.ascontiguousarray(self.tensors["rgb"][index].numpy().transpose(1, 2, 0))
            sky = np.zeros(depth.shape, np.bool_)
            found[index] = MemoryFrame(index, image, depth, depth > 0, sky, self.cameras[index])
        return found

    @cached_property
    def alone(self) -> dict[int, Tensor]:
        """(1, C, 1, h, w) latents of single frames by index."""
        stacked = self.tensors["alone"]
        return {i: stacked[n][None, :, None] for n, i in enumerate(self.tensors["depth_inds"].tolist())}

    @cached_property
    def _points(self) -> dict[tuple[int, int], Any]:
        return {}

    def points(self, index: int, stride: int) -> Any:
        """(N, 3) world points of every stride-th pixel of a frame, computed once."""
        if (index, stride) not in self._points:
            self._points[index, stride] = self.frames[index].point_map(stride)
        return self._points[index, stride]

    @property
    def latents(self) -> Tensor:
        """(1, C, P + g * chunks, h, w) of the photo repeated, then the video, encoded as one stream."""
        return self.tensors["latents"][None]

    def until(self, chunk: int) -> Tensor:
        """(1, C, P + g * chunk, h, w) latents before a chunk."""
        return self.latents[:, :, : self.layout.history_frames + self.layout.new_frames * chunk]

    def target(self, chunk: int) -> Tensor:
        """(1, C, g, h, w) latents of a chunk."""
        first = self.layout.history_frames + self.layout.new_frames * chunk
        return self.latents[:, :, first : first + self.layout.new_frames]

    def pixels(self, index: int) -> Tensor:
        """(3, H, W) in [-1, 1]."""
        return self.tensors["rgb"][index].float() / 127.5 - 1

    def again(self, index: int) -> Tensor:
        """(3, H, W) in [-1, 1]: a frame after going through the auto-encoder."""
        return self.tensors["again"][index].float()

    def state(self, half: str, chunk: int) -> StreamState:
        """State of the `encoder` or `decoder` stream before a chunk."""
        prefix = f"{half}.{chunk}."
        return StreamState.from_tensors(
            {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}
        )

    def text(self, chunk: int) -> Tensor | None:
        """(rows, width) embedding of the caption at the first new frame of a chunk, None without captions."""
        starts = [int(name.removeprefix("text.")) for name in self.tensors if name.startswith("text.")]
        fitting = [start for start in starts if start <= chunk_start(chunk, self.layout) + 1]
        return self.tensors[f"text.{max(fitting)}"] if fitting else None


def conditioning(settings: WorldTraining) -> ConditioningSettings:
    """How inputs are made, in training as in the walks that try the network."""
    return small_conditioning(walk_model(settings))


def fingerprint(vae: Codec, settings: WorldTraining) -> str:
    """Changes with everything a cached clip depends on besides the video itself."""
    digest = hashlib.sha256()
    parts = [asdict(settings.data) | {"folder": ""}, settings.model.layout, settings.objective.memory_every]
    digest.update(json.dumps([*parts, settings.objective.edge_threshold, asdict(vae.config)]).encode())
    for name, value in sorted(vae.network.state_dict().items()):
        digest.update(name.encode() + value.detach().float().numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def cache_clip(video: PosedVideo, vae: Codec, settings: WorldTraining, path: Path, mark: str) -> None:
    """Encode one video and write its file. Raises InputError for a video of less than one chunk.

    Tensors: rgb (F, 3, H, W) uint8, again the same after the auto-encoder (float16), pose, intrinsics, depth_inds (K,),
    depth (K, H, W), alone (K, C, h, w), latents (C, P + g * chunks, h, w), tail (chunks, C, g, h, w), text.<frame>
    and the stream states encoder.<chunk>.* and decoder.<chunk>.*."""
    layout, data = settings.layout, settings.data
    cameras = video.cameras()
    chunks = (min(len(cameras), data.frames) - 1) // layout.new_pixel_frames
    if chunks < 1:
        raise InputError(
            f"{video.path('rgb', '.mp4')}: {len(cameras)} frames; a chunk has {layout.new_pixel_frames + 1}"
        )
    cameras = cameras[: 1 + chunks * layout.new_pixel_frames]
    ends = {chunk_start(chunk, layout) for chunk in range(chunks + 1)}
    wanted = sorted(ends | set(range(0, len(cameras), settings.objective.memory_every)))
    rgb, frames = video.frames(cameras, wanted, data.height, data.width)
    pixels = rgb.float() / 127.5 - 1
    tensors = {
        "rgb": rgb, "depth_inds": torch.tensor(wanted), "depth": torch.from_numpy(np.stack([f.depth for f in frames])),
        "pose": torch.from_numpy(np.stack([np.asarray(c.world_from_camera) for c in cameras])),
        "intrinsics": torch.from_numpy(np.asarray(cameras.resized(data.height, data.width).intrinsics)),
        "alone": torch.cat([vae.encode(pixels[index][None, :, None])[:, :, 0] for index in wanted]),
    }  # fmt: skip
    tensors |= {f"text.{start}": value for start, value in video.captions().items() if start < len(cameras)}
    tensors |= _streams(pixels, vae, layout, chunks)
    by_index = dict(zip(wanted, frames))
    small, warp = cameras.resized(data.height, data.width), conditioning(settings).warp
    tails = []
    for chunk in range(chunks):
        last = chunk_start(chunk, layout)
        targets = small[last + 1 : last + layout.new_pixel_frames + 1]
        tails.append(encode_tail(warped_frames(by_index[last], pixels[last], targets, warp), vae.encode))
    tensors["tail"] = torch.cat(tails)
    write_tensors(path, tensors, {"mark": mark})


def _streams(pixels: Tensor, vae: Codec, layout: Layout, chunks: int) -> dict[str, Tensor]:
    """Latents, frames after the auto-encoder, and the states before every chunk. pixels (F, 3, H, W)."""
    video = pixels.transpose(0, 1)[None]
    latents, encoder = vae.encode_more(video[:, :, :1].expand(-1, -1, padding_frames(layout) + 1, -1, -1), None)
    shown, decoder = vae.decode_more(latents, None)
    parts, again = [latents], [shown[:, :, -1:]]
    states: dict[str, Tensor] = {}
    for chunk in range(chunks):
        for half, state in (("encoder", encoder), ("decoder", decoder)):
            states |= {f"{half}.{chunk}.{name}": value for name, value in state.tensors().items()}
        first = 1 + chunk_start(chunk, layout)
        latents, encoder = vae.encode_more(video[:, :, first : first + layout.new_pixel_frames], encoder)
        shown, decoder = vae.decode_more(latents, decoder)
        parts.append(latents)
        again.append(shown)
    frames = torch.cat(again, 2)[0].transpose(0, 1).clamp(-1, 1).half()
    return {"latents": torch.cat(parts, 2)[0], "again": frames, **states}


class ClipCache:
    """The cached clips of a data set, made when they are missing or out of date."""

    def __init__(self, videos: Sequence[PosedVideo], vae: Codec, settings: WorldTraining, folder: Path) -> None:
        self.videos, self.layout, self.folder = list(videos), settings.layout, folder
        self.vae, self.settings, self.mark = vae, settings, fingerprint(vae, settings)
        self.clip = lru_cache(maxsize=32)(self._load)
        """Clip by its place in the list; the last 32 are kept in memory."""

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def shards(self) -> tuple[int, ...] | None:
        """Each clip's shard; None for plain files."""
        found = tuple(video.shard for video in self.videos if isinstance(video, ShardedVideo))
        return found or None

    def fill(self) -> int:
        """Make what is missing; returns how many were made."""
        return sum(self._made(video) for video in self.videos)

    def path(self, video: PosedVideo) -> Path:
        """File of a clip."""
        return self.folder / f"{video.name}.safetensors"

    def _made(self, video: PosedVideo) -> bool:
        path = self.path(video)
        if _mark(path) == self.mark:
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        with video.opened() as plain:
            cache_clip(plain, self.vae, self.settings, path, self.mark)
        return True

    def _load(self, place: int) -> CachedClip:
        video = self.videos[place]
        if self.shards is not None and self._made(video):
            self._forget(self.path(video))
        return CachedClip(video.name, read_tensors(self.path(video)), self.layout)

    def _forget(self, newest: Path) -> None:
        """Delete what was made longest ago until the rest fits."""
        room = int(self.settings.run.cache_gigabytes * 1e9)
        files = sorted(self.folder.glob("*.safetensors"), key=_age)
        sizes = {path: path.stat().st_size for path in files if path.is_file()}
        for path in files:
            if not room or sum(sizes.values()) <= room:
                return
            if path != newest:
                path.unlink(missing_ok=True)
                sizes.pop(path, None)


def _age(path: Path) -> float:
    """When a file was made; 0 for one that another process has deleted meanwhile."""
    return path.stat().st_mtime if path.is_file() else 0.0


def _mark(path: Path) -> str | None:
    """The fingerprint a file was made with, None when there is no such file."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("mark")
    except (SafetensorError, OSError):
        return None
