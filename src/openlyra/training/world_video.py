"""One posed video with depth: reading its files and checking them against each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.geometry.trajectory_files import pinhole, read_npz
from openlyra.media.video import probe_video, read_video
from openlyra.memory.frame import MemoryFrame
from openlyra.models.tensors import read_tensors

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_-]*")
PARTS = {"rgb": ".mp4", "pose": ".npz", "intrinsics": ".npz", "depth": ".npz", "captions": ".safetensors"}
"""Kinds of files of a video, and how their names end; captions may be missing."""


@dataclass(frozen=True)
class PosedVideo:
    """One video of a data set; pictures and depth are read when asked for."""

    folder: Path
    """The data set."""
    name: str
    """Id of the video."""

    @contextmanager
    def opened(self) -> Iterator[PosedVideo]:
        """The same video as plain files, for as long as the context lasts."""
        yield self

    def path(self, part: str, suffix: str = ".npz") -> Path:
        """File of one modality."""
        return self.folder / part / f"{self.name}{suffix}"

    def cameras(self) -> Camera:
        """(T,) cameras of the frames 0, 1, ... . Raises InputError for gaps and for poses that are not rigid."""
        info = probe_video(self.path("rgb", ".mp4"))
        inds, poses = self._indexed("pose", (4, 4))
        other, lenses = self._indexed("intrinsics", (4,))
        if not np.array_equal(inds, np.arange(len(inds))) or not np.array_equal(inds, other):
            raise InputError(f"{self.path('pose')}: frames 0, 1, 2, ... are needed, the same as in intrinsics")
        if len(inds) > info.frames:
            raise InputError(f"{self.path('pose')}: {len(inds)} poses for {info.frames} frames of video")
        matrices = np.stack([pinhole(*(float(value) for value in lens)) for lens in lenses])
        cameras = Camera(poses.astype(np.float64), matrices, info.width, info.height)
        cameras.validate(str(self.path("pose")))
        return cameras

    def images(self, count: int) -> Iterator[np.ndarray]:
        """The first `count` frames, uint8 (H, W, 3). Raises InputError when the video is shorter."""
        seen = 0
        for image in read_video(self.path("rgb", ".mp4")):
            if seen == count:
                return
            seen += 1
            yield image
        if seen < count:
            raise InputError(f"{self.path('rgb', '.mp4')}: has {seen} frames; {count} are needed")

    def depth(self, frames: Sequence[int]) -> np.ndarray:
        """(K, H, W) float32 z-depth of these frames, 0 where unknown. Raises InputError for a frame without depth."""
        inds, data = self.all_depth()
        place = {int(index): i for i, index in enumerate(inds)}
        if missing := [index for index in frames if index not in place]:
            raise InputError(f"{self.path('depth')}: has no frame {missing[0]}, which is needed")
        chosen = data[[place[index] for index in frames]].astype(np.float32)
        return np.where(np.isfinite(chosen) & (chosen > 0), chosen, np.float32(0))

    def all_depth(self) -> tuple[np.ndarray, np.ndarray]:
        """(K,) frame numbers with depth and (K, H, W) their depth as stored."""
        return self._indexed("depth", None)

    def captions(self) -> dict[int, Tensor]:
        """Text embeddings (rows, width) by the frame at which they begin; empty when there are none."""
        path = self.path("captions", ".safetensors")
        if not path.is_file():
            return {}
        found = read_tensors(path)
        if bad := [key for key in found if not key.isdigit() or found[key].dim() != 2]:
            raise InputError(f"{path}: tensor '{bad[0]}' is not (rows, width) named by a frame number")
        return {int(key): value.float() for key, value in sorted(found.items(), key=lambda item: int(item[0]))}

    def frames(
        self, cameras: Camera, wanted: Sequence[int], height: int, width: int
    ) -> tuple[Tensor, list[MemoryFrame]]:
        """All colours, uint8 (T, 3, height, width), and the wanted frames with depth, at the size of the networks.

        Resizing is that of generation: `generation.lyra.resized`."""
        depths = dict(zip(wanted, self.depth(wanted)))
        colours, kept = [], []
        for index, image in enumerate(self.images(len(cameras))):
            depth = depths.get(index)
            if depth is not None and depth.shape != image.shape[:2]:
                raise InputError(f"{self.path('depth')}: {depth.shape} for a video of {image.shape[:2]} pixels")
            depth = np.zeros(image.shape[:2], np.float32) if depth is None else depth
            sky = np.zeros(depth.shape, np.bool_)
            frame = MemoryFrame(index, image, depth, depth > 0, sky, cameras[index]).resized(height, width)
            colours.append(torch.from_numpy(np.ascontiguousarray(frame.image.transpose(2, 0, 1))))
            if index in depths:
                kept.append(frame)
        return torch.stack(colours), kept

    def _indexed(self, part: str, shape: tuple[int, ...] | None) -> tuple[np.ndarray, np.ndarray]:
        """`inds` and `data` of one modality, checked against each other."""
        path = self.path(part)
        arrays = read_npz(path)
        if missing := sorted({"inds", "data"} - arrays.keys()):
            raise InputError(f"{path}: has no array '{missing[0]}'; inds and data are needed")
        inds, data = arrays["inds"], arrays["data"]
        axes = 3 if shape is None else 1 + len(shape)
        if inds.ndim != 1 or len(inds) == 0 or (np.diff(inds) <= 0).any() or inds.dtype.kind not in "iu":
            raise InputError(f"{path}: inds must be growing frame numbers")
        if data.ndim != axes or len(data) != len(inds) or (shape is not None and data.shape[1:] != shape):
            raise InputError(f"{path}: data has shape {data.shape} for {len(inds)} frames")
        return inds, data
