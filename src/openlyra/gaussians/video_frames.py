"""Frames of a video with a known camera path: where the camera has moved on, and of those the sharpest."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import laplace

from openlyra.errors import InputError
from openlyra.gaussians.photo_folder import MAX_VIEW_PIXELS, camera_of, common_size, fitted
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.geometry.camera import Camera
from openlyra.geometry.lens import Lens
from openlyra.geometry.trajectory_files import RawPath
from openlyra.geometry.trajectory_io import read_raw_path
from openlyra.media.video import probe_video, read_video

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
SHARPNESS_SIDE = 320
"""Longer side in pixels of the pictures whose sharpness is measured: what is finer is noise."""
TURN_WEIGHT = 0.5
"""A turn of a radian counts as much as this part of the whole way the camera goes."""

Advance = Callable[[str, int, int], None]


def is_video(source: Path) -> bool:
    """Whether a path is a video file by its name."""
    return source.suffix.lower() in VIDEOS and source.is_file()


def read_video_frames(
    video: str | os.PathLike[str],
    cameras: str | os.PathLike[str],
    most: int,
    wanted: tuple[int, int] | None = None,
    advance: Advance | None = None,
) -> PosedFrames:
    """Chosen frames of a video with a camera path of one camera a frame, at a working size, free of lens distortion.

    The video is decoded twice and never held whole: first to see how sharp each frame is, then to keep the chosen.

    Args:
        cameras: any file or folder that `read_trajectory` takes; its lens may be bent.
        most: largest number of frames; at most every other frame is taken.
        wanted: (height, width) to work at; by default the video's with its longer side at most 480.

    Raises:
        InputError: no readable video or path, or they differ in their number of frames or their shape.
    """
    source, path = Path(video), Path(cameras)
    advance = advance or (lambda stage, done, total: None)
    info, raw = probe_video(source), read_raw_path(path)
    height, width = common_size([(info.height, info.width)], wanted)
    sharp = []
    for index, image in enumerate(read_video(source)):
        advance("look", index, info.frames)
        sharp.append(sharpness(image))
    if len(sharp) != len(raw.world_from_camera):
        raise InputError(
            f"{path}: holds {len(raw.world_from_camera)} cameras, but {source} has {len(sharp)} frames; one camera a "
            "frame is needed"
        )
    every = [camera_of(_one(raw, index), info.height, info.width, source) for index in range(len(sharp))]
    poses = np.stack([camera.world_from_camera for camera in every])
    chosen = choose_frames(travel(poses), np.array(sharp), min(most, (len(sharp) + 1) // 2))
    return _chosen(source, raw, chosen, (height, width), advance)


def read_steady_frames(
    video: str | os.PathLike[str],
    cameras: str | os.PathLike[str],
    stride: int,
    most: int,
    wanted: tuple[int, int] | None = None,
    advance: Advance | None = None,
) -> PosedFrames:
    """Every `stride`-th frame of a video from its beginning, at most so many: what `read_video_frames` does not choose.

    Raises InputError as it does."""
    source, path = Path(video), Path(cameras)
    info, raw = probe_video(source), read_raw_path(path)
    if info.frames != len(raw.world_from_camera):
        raise InputError(
            f"{path}: holds {len(raw.world_from_camera)} cameras, but {source} has {info.frames} frames; one camera a "
            "frame is needed"
        )
    size = common_size([(info.height, info.width)], wanted)
    chosen = np.arange(0, info.frames, stride)[:most]
    return _chosen(source, raw, chosen, size, advance or (lambda stage, done, total: None))


def _chosen(
    source: Path, raw: RawPath, chosen: NDArray[np.int_], size: tuple[int, int], advance: Advance
) -> PosedFrames:
    """These frames of a video, in rising order, straightened and at a size (height, width)."""
    height, width = size
    if len(chosen) * height * width > MAX_VIEW_PIXELS:
        raise InputError(f"{source}: {len(chosen)} frames at {height}x{width} are too many; use fewer --max-frames")
    images = np.empty((len(chosen), height, width, 3), np.uint8)
    poses, intrinsics = np.empty((len(chosen), 4, 4)), np.empty((len(chosen), 3, 3))
    place = {int(index): number for number, index in enumerate(chosen)}
    for index, image in enumerate(read_video(source)):
        number = place.get(index)
        if number is None:
            continue
        advance("read", number, len(chosen))
        camera = camera_of(_one(raw, index), image.shape[0], image.shape[1], source)
        lens = raw.lenses[index] if raw.lenses else Lens()
        images[number], camera = fitted(image, camera, lens, height, width)
        poses[number], intrinsics[number] = camera.world_from_camera, camera.intrinsics
    return PosedFrames(images, Camera(poses, intrinsics, width, height))


def sharpness(image: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of a small grey copy of a picture (H, W, 3), as a part of the variance of its grey:
    so a plain wall does not count as blurred. 0 for a picture of one colour."""
    scale = min(1.0, SHARPNESS_SIDE / max(image.shape[:2]))
    size = max(3, round(image.shape[1] * scale)), max(3, round(image.shape[0] * scale))
    grey = np.asarray(Image.fromarray(image).convert("L").resize(size, Image.Resampling.BOX), np.float64)
    spread = float(grey.var())
    return float(laplace(grey).var()) / spread if spread > 1e-6 else 0.0


def travel(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F,) how far the camera of poses (F, 4, 4) has come at each frame, from 0 on: the way as a part of the whole
    way, plus TURN_WEIGHT times the turns in radians."""
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=-1)
    cosine = (np.einsum("fij,fij->f", poses[1:, :3, :3], poses[:-1, :3, :3]) - 1) / 2
    turns = np.arccos(np.clip(cosine, -1, 1))
    total = float(steps.sum())
    way = steps / total if total > 0 else steps
    return np.concatenate([[0.0], np.cumsum(way + TURN_WEIGHT * turns)])


def choose_frames(travelled: NDArray[np.float64], sharp: NDArray[np.float64], most: int) -> NDArray[np.int_]:
    """At most `most` places in rising order: of each of so many equal parts of the way the sharpest frame.

    Where the camera rests, many frames share a part; where it rushes, parts without a frame stay empty.

    Args:
        travelled: (F,) not falling.
        sharp: (F,) larger is sharper.
    """
    if travelled[-1] <= 0:
        raise InputError("video: the camera does not move, so nothing tells near from far")
    part = np.minimum((travelled / travelled[-1] * most).astype(int), most - 1)
    order = np.lexsort((-sharp, part))
    first = np.r_[True, np.diff(part[order]) > 0]
    return np.sort(order[first])


def _one(raw: RawPath, index: int) -> RawPath:
    return replace(
        raw, world_from_camera=raw.world_from_camera[index : index + 1],
        intrinsics=raw.intrinsics[index : index + 1], lenses=None,
    )  # fmt: skip
