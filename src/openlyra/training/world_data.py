"""Posed videos with depth on disk: reading, checking and writing the layout that `openlyra worlds make` writes.

    all_filter.lst            one video id a line; what follows a dot is ignored
    rgb/<id>.mp4              video
    pose/<id>.npz             inds (T,) sorted frame numbers, data (T, 4, 4) world_from_camera
    intrinsics/<id>.npz       inds (T,), data (T, 4) fx fy cx cy in pixels of the video
    depth/<id>.npz            inds (K,), data (K, H, W) z-depth; only frames that are asked for need to be there
    captions/<id>.safetensors optional: text embeddings (rows, width), named by the frame at which they begin

Source: training specification, section 2.2. Captions replace its pickled ones. OpenEXR depth is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from openlyra.errors import InputError, OutputExistsError
from openlyra.generation.lyra import resized
from openlyra.geometry.camera import Camera
from openlyra.geometry.trajectory_files import npz_bytes, pinhole, read_npz
from openlyra.media.atomic import write_bytes_atomic
from openlyra.media.video import VideoWriter, probe_video, read_video
from openlyra.memory.frame import MemoryFrame
from openlyra.models.tensors import read_tensors
from openlyra.runs import RunFolder
from openlyra.worlds.dataset import DepthWriter

LIST = "all_filter.lst"
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_-]*")
MAX_LIST_BYTES = 1 << 26


@dataclass(frozen=True)
class PosedVideo:
    """One video of a data set; pictures and depth are read when asked for."""

    folder: Path
    """The data set."""
    name: str
    """Id of the video."""

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
        inds, data = self._indexed("depth", None)
        place = {int(index): i for i, index in enumerate(inds)}
        if missing := [index for index in frames if index not in place]:
            raise InputError(f"{self.path('depth')}: has no frame {missing[0]}, which is needed")
        chosen = data[[place[index] for index in frames]].astype(np.float32)
        return np.where(np.isfinite(chosen) & (chosen > 0), chosen, np.float32(0))

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
            frame = resized(MemoryFrame(index, image, depth, depth > 0, sky, cameras[index]), height, width)
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


def open_dataset(folder: Path) -> list[PosedVideo]:
    """The videos of a data set in the order of its list. Raises InputError when there is none."""
    path = folder / LIST
    if not path.is_file():
        raise InputError(f"{folder}: holds no {LIST}; give a data set such as `openlyra worlds make` writes")
    if path.stat().st_size > MAX_LIST_BYTES:
        raise InputError(f"{path}: is larger than {MAX_LIST_BYTES} bytes")
    names = [line.strip().partition(".")[0] for line in path.read_text(errors="replace").splitlines() if line.strip()]
    if bad := [name for name in names if not NAME.fullmatch(name)]:
        raise InputError(f"{path}: {bad[0]!r} is not a video id; letters, digits, '-' and '_' are allowed")
    if not names:
        raise InputError(f"{path}: names no video")
    return [PosedVideo(folder, name) for name in names]


def check_dataset(folder: Path) -> list[str]:
    """One line for every video that cannot be trained on; empty when all is well. Reads everything once."""
    problems = []
    for video in open_dataset(folder):
        try:
            cameras = video.cameras()
            inds, depth = video._indexed("depth", None)
            if depth.shape[1:] != (cameras.height, cameras.width):
                raise InputError(
                    f"{video.path('depth')}: {depth.shape[1:]} for {cameras.height}x{cameras.width} pixels"
                )
            if inds[-1] >= len(cameras):
                raise InputError(f"{video.path('depth')}: frame {inds[-1]} has no pose")
            if (known := float((np.isfinite(depth) & (depth > 0)).mean())) < 0.01:
                raise InputError(f"{video.path('depth')}: only {100 * known:.1f} % of the pixels have a depth")
            for _ in video.images(len(cameras)):
                pass
            video.captions()
        except InputError as error:
            problems.append(f"{video.name}: {error}")
    return problems


def write_video(
    folder: Path,
    name: str,
    images: Sequence[np.ndarray],
    cameras: Camera,
    depth: dict[int, np.ndarray],
    fps: float = 16.0,
) -> PosedVideo:
    """Add a video to a data set: images uint8 (H, W, 3), cameras (T,), depth (H, W) of some frames.

    Raises InputError for values that do not belong together, OutputExistsError when the id is taken."""
    if not NAME.fullmatch(name):
        raise InputError(f"video id {name!r}: letters, digits, '-' and '_' are allowed")
    video = PosedVideo(folder, name)
    if video.path("pose").exists():
        raise OutputExistsError(f"{video.path('pose')}: exists; give another id")
    if len(images) != len(cameras) or not depth or not set(depth) <= set(range(len(images))):
        raise InputError(f"{name}: {len(images)} images, {len(cameras)} cameras, depth of frames {sorted(depth)[-3:]}")
    for part in ("rgb", "pose", "intrinsics", "depth"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    inds, size = np.array(sorted(depth), np.int64), (cameras.height, cameras.width)
    with (
        VideoWriter(video.path("rgb", ".mp4"), fps, size) as film,
        DepthWriter(video.path("depth"), inds, (len(inds), *size), np.float32) as store,
    ):
        for image in images:
            film.write(image)
        for index in inds:
            store.write(depth[int(index)])
    every, k = np.arange(len(images), dtype=np.int64), cameras.intrinsics
    lens = np.stack([k[:, 0, 0], k[:, 1, 1], k[:, 0, 2], k[:, 1, 2]], -1)
    write_bytes_atomic(video.path("intrinsics"), npz_bytes({"inds": every, "data": np.asarray(lens)}))
    write_bytes_atomic(video.path("pose"), npz_bytes({"inds": every, "data": np.asarray(cameras.world_from_camera)}))
    names = [other.name for other in open_dataset(folder)] if (folder / LIST).is_file() else []
    write_bytes_atomic(folder / LIST, "".join(f"{other}\n" for other in [*names, name]).encode())
    return video


def import_run(run: Path, folder: Path, name: str) -> PosedVideo:
    """Add a finished run of `openlyra create` to a data set: its frames, path, and the depth of remembered frames.

    Raises InputError when the folder is no run or lacks frames."""
    from openlyra.geometry.trajectory_io import read_trajectory

    source = RunFolder.open(run)
    cameras = read_trajectory(run / "cameras.npz").cameras.numpy()
    if missing := [index for index in range(len(cameras)) if not source.has_frame(index)]:
        raise InputError(f"{run}: frame {missing[0]} is missing; finish the run with --resume first")
    images = [source.read_frame(index) for index in range(len(cameras))]
    depth = {}
    for frame in [source.load_photo(), *source.remembered()]:
        index = max(frame.index, 0)
        if index < len(images) and frame.image.shape == images[0].shape and index not in depth:
            depth[index] = np.where(frame.valid, frame.depth, np.float32(0))
    return write_video(folder, name, images, cameras, depth)
