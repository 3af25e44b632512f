"""Posed videos with depth on disk: reading, checking and writing the layout that `openlyra worlds make` writes.

    all_filter.lst            one video id a line; what follows a dot is ignored
    rgb/<id>.mp4              video
    pose/<id>.npz             inds (T,) sorted frame numbers, data (T, 4, 4) world_from_camera
    intrinsics/<id>.npz       inds (T,), data (T, 4) fx fy cx cy in pixels of the video
    depth/<id>.npz            inds (K,), data (K, H, W) z-depth; only frames that are asked for need to be there
    captions/<id>.safetensors optional: text embeddings (rows, width), named by the frame at which they begin

or shards of them (`world_shards`). Source: training specification, section 2.2; `world_released` reads what the release
reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from openlyra.errors import InputError, OutputExistsError
from openlyra.geometry.camera import Camera
from openlyra.geometry.trajectory_files import npz_bytes
from openlyra.media.atomic import write_bytes_atomic
from openlyra.media.video import VideoWriter
from openlyra.runs import RunFolder
from openlyra.training.world_shards import is_sharded, shard_problems, sharded_videos
from openlyra.training.world_video import NAME, PosedVideo
from openlyra.worlds.dataset import DepthWriter

LIST = "all_filter.lst"
MAX_LIST_BYTES = 1 << 26


def open_dataset(folder: Path) -> list[PosedVideo]:
    """The videos of a data set, or of its shards, in the order of its list. Raises InputError when there is none."""
    if is_sharded(folder):
        return sharded_videos(folder)
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
    problems = shard_problems(folder) if is_sharded(folder) else []
    for video in open_dataset(folder):
        try:
            with video.opened() as plain:
                check_video(plain)
        except InputError as error:
            problems.append(f"{video.name}: {error}")
    return problems


def check_video(video: PosedVideo) -> None:
    """Read all of a video. Raises InputError for what would stop a training."""
    cameras = video.cameras()
    inds, depth = video.all_depth()
    if depth.shape[1:] != (cameras.height, cameras.width):
        raise InputError(f"{video.path('depth')}: {depth.shape[1:]} for {cameras.height}x{cameras.width} pixels")
    if inds[-1] >= len(cameras):
        raise InputError(f"{video.path('depth')}: frame {inds[-1]} has no pose")
    if (known := float((np.isfinite(depth) & (depth > 0)).mean())) < 0.01:
        raise InputError(f"{video.path('depth')}: only {100 * known:.1f} % of the pixels have a depth")
    for _ in video.images(len(cameras)):
        pass
    video.captions()


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
