"""Data sets of walks through worlds, in the layout that training reads (training specification, section 2.2).

    all_filter.lst            one video id a line
    rgb/<id>.mp4              H.264
    pose/<id>.npz             inds (T,), data (T, 4, 4) world_from_camera
    intrinsics/<id>.npz       inds (T,), data (T, 4) fx fy cx cy in pixels
    depth/<id>.npz            inds (T,), data (T, H, W) z-depth in metres
    world/<id>.json           the world itself
    dataset.json              the settings; the same settings make the same frames

A video counts as made when its poses are there: they are written last.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from openlyra.errors import InputError, OutputExistsError
from openlyra.geometry.camera import Trajectory
from openlyra.media.atomic import atomic_path, write_bytes_atomic
from openlyra.media.video import VideoWriter
from openlyra.worlds.photo_look import develop, metered, random_look
from openlyra.worlds.render import Scene, Truth
from openlyra.worlds.sample import kind_names, sample_world
from openlyra.worlds.serialise import world_to_json
from openlyra.worlds.walks import WalkSettings, walk

MANIFEST = "dataset.json"
FOLDERS = ("rgb", "pose", "intrinsics", "depth", "world")
MAX_FRAMES, MAX_VIDEOS, MIN_SIDE, MAX_SIDE = 100_000, 1_000_000, 32, 4096
RETRIES = 20
"""Worlds that are tried for one video when there is no room to walk."""
NEXT_TRY = 1_000_003
"""Added to a seed for the next of these worlds."""


@dataclass(frozen=True)
class DatasetSettings:
    """What a data set holds. The number of videos is not part of it, so that a set can grow."""

    kind: str | None = None
    """A kind of world or a group of kinds; any if None."""
    frames: int = 240
    """Frames a video."""
    height: int = 192
    """Pixels, even."""
    width: int = 336
    """Pixels, even."""
    seed: int = 0
    """Video i is made from seed + i."""
    depth: Literal["half", "single"] = "half"
    """Precision of the stored depth: half is within 0.05 %, single is exact."""
    speed: float = 0.06
    """Metres walked a frame."""

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        kind_names(self.kind)
        if not 1 <= self.frames <= MAX_FRAMES:
            raise InputError(f"--frames {self.frames}: must be from 1 to {MAX_FRAMES}")
        for side in (self.height, self.width):
            if not MIN_SIDE <= side <= MAX_SIDE or side % 2:
                raise InputError(
                    f"--size {self.height}x{self.width}: height and width must be even, {MIN_SIDE} to {MAX_SIDE}"
                )
        if not 0 <= self.seed <= 2**31:
            raise InputError(f"--seed {self.seed}: must be from 0 to {2**31}")
        if not (np.isfinite(self.speed) and 0 < self.speed <= 10):
            raise InputError(f"--speed {self.speed}: must be above 0 and at most 10 metres a frame")


def make_dataset(
    folder: Path, settings: DatasetSettings, videos: int, *, processes: int = 1, resume: bool = False,
    advance: Callable[[int, int], None] | None = None,
) -> list[str]:  # fmt: skip
    """Make the videos that are not there yet and return the ids of all.

    `advance` is called with (frames done, frames of the whole set). Raises InputError for settings that cannot work
    and OutputExistsError when the folder holds something and `resume` is not set.
    """
    settings.check()
    if not 1 <= videos <= MAX_VIDEOS:
        raise InputError(f"--videos {videos}: must be from 1 to {MAX_VIDEOS}")
    if not 1 <= processes <= 256:
        raise InputError(f"--processes {processes}: must be from 1 to 256")
    _open_folder(folder, settings, resume)
    ids = [video_id(settings, index) for index in range(videos)]
    missing = [index for index, name in enumerate(ids) if not (folder / "pose" / f"{name}.npz").is_file()]
    report = advance or (lambda done, total: None)
    ready = (videos - len(missing)) * settings.frames
    total = videos * settings.frames
    report(ready, total)
    for frames in _run(folder, settings, missing, processes):
        report(ready + frames, total)
    write_bytes_atomic(folder / "all_filter.lst", "".join(f"{name}\n" for name in _all_ids(folder)).encode())
    return ids


def video_id(settings: DatasetSettings, index: int) -> str:
    """The name of a video: kind and seed."""
    return f"{settings.kind or 'world'}-{settings.seed + index:06d}"


def make_video(folder: Path, settings: DatasetSettings, index: int, frame_done: Callable[[], None]) -> None:
    """Make one video with everything that belongs to it."""
    name = video_id(settings, index)
    scene, path, seed = scene_and_walk(settings, settings.seed + index)
    precision = np.float16 if settings.depth == "half" else np.float32
    inds = np.arange(len(path), dtype=np.int64)
    shape = (len(path), settings.height, settings.width)
    with (
        VideoWriter(folder / "rgb" / f"{name}.mp4", path.fps, (settings.height, settings.width)) as video,
        DepthWriter(folder / "depth" / f"{name}.npz", inds, shape, precision) as depth,
    ):
        for image, truth in film(scene, path, seed):
            video.write(image)
            depth.write(truth.depth)
            frame_done()
    k = path.cameras.intrinsics
    pinhole = np.stack([k[:, 0, 0], k[:, 1, 1], k[:, 0, 2], k[:, 1, 2]], -1)
    write_bytes_atomic(folder / "world" / f"{name}.json", world_to_json(scene.world).encode())
    _write_npz(folder / "intrinsics" / f"{name}.npz", inds=inds, data=pinhole)
    _write_npz(folder / "pose" / f"{name}.npz", inds=inds, data=path.cameras.world_from_camera)


def film(scene: Scene, path: Trajectory, seed: int) -> Iterator[tuple[np.ndarray, Truth]]:
    """Every frame along a path, uint8 (H, W, 3), with what is true about it; one camera's look and exposure for all."""
    look = random_look(np.random.default_rng([seed, 4]))
    # One exposure for the whole walk, as metered on a few frames.
    probes = [scene.draw(path[int(i)].resized(48, 84), samples=0)[0] for i in np.linspace(0, len(path) - 1, 5)]
    meter = float(np.exp(np.mean(np.log([metered(probe) for probe in probes]))))
    for frame in range(len(path)):
        light, truth = scene.draw(path[frame])
        yield develop(light, look, np.random.default_rng([seed, 5, frame]), meter), truth


class DepthWriter:
    """An npz with `inds` (T,) and `data` (T, H, W), written frame by frame so that memory stays small."""

    def __init__(self, path: Path, inds: np.ndarray, shape: tuple[int, int, int], precision: Any) -> None:
        self._files = atomic_path(path)
        self._inds, self._shape, self._precision = inds, shape, np.dtype(precision)

    def __enter__(self) -> DepthWriter:
        self._archive = zipfile.ZipFile(self._files.__enter__(), "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        with self._archive.open("inds.npy", "w") as file:
            np.lib.format.write_array(file, self._inds, allow_pickle=False)
        self._file: IO[bytes] = self._archive.open("data.npy", "w", force_zip64=True)
        header = {"descr": self._precision.str, "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self

    def write(self, depth: np.ndarray) -> None:
        """One frame (H, W)."""
        self._file.write(np.ascontiguousarray(depth.astype(self._precision)).tobytes())

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._file.close()
        self._archive.close()
        self._files.__exit__(kind, error, trace)


def scene_and_walk(settings: DatasetSettings, seed: int) -> tuple[Scene, Trajectory, int]:
    """The first world of a seed's row in which one can walk."""
    plan = WalkSettings(settings.frames, settings.height, settings.width, settings.speed)
    for attempt in range(RETRIES):
        own = seed + attempt * NEXT_TRY
        scene = Scene(sample_world(own, settings.kind))
        try:
            return scene, walk(scene, np.random.default_rng([own, 6]), plan), own
        except InputError:
            if attempt + 1 == RETRIES:
                raise
    raise AssertionError("unreachable")


def _open_folder(folder: Path, settings: DatasetSettings, resume: bool) -> None:
    manifest = folder / MANIFEST
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not resume:
            raise OutputExistsError(f"{folder}: exists; continue it with --resume or give a new folder")
        if not manifest.is_file():
            raise InputError(f"{folder}: holds no {MANIFEST}, so there is no data set to continue")
        try:
            before = json.loads(manifest.read_text())
        except ValueError:
            raise InputError(f"{manifest}: is damaged; give a new folder") from None
        for key, value in asdict(settings).items():
            old = before.get(key) if isinstance(before, dict) else None
            if old != value:
                raise InputError(f"{folder}: was made with {key} {old}, not {value}; give a new folder")
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_bytes_atomic(manifest, json.dumps(asdict(settings), indent=1).encode())


def _all_ids(folder: Path) -> list[str]:
    return sorted(file.stem for file in (folder / "pose").glob("*.npz"))


def _write_npz(path: Path, **arrays: np.ndarray) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


_frames_done: Any = None
"""In a worker: the counter it shares with the parent."""


def _start_worker(counter: Any) -> None:
    global _frames_done
    _frames_done = counter


def _count_frame() -> None:
    with _frames_done.get_lock():
        _frames_done.value += 1


def _work(folder: str, settings: DatasetSettings, index: int) -> None:
    make_video(Path(folder), settings, index, _count_frame)


def _run(folder: Path, settings: DatasetSettings, missing: list[int], processes: int) -> Iterator[int]:
    """Make the missing videos; yields the number of frames made so far: about once a second, or after each video."""
    if processes == 1 or len(missing) <= 1:
        yield from _run_here(folder, settings, missing)
        return
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    workers = min(processes, len(missing))
    with ProcessPoolExecutor(workers, context, _start_worker, (counter,)) as pool:
        waiting: set[Future[None]] = {pool.submit(_work, os.fspath(folder), settings, index) for index in missing}
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                yield counter.value
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_here(folder: Path, settings: DatasetSettings, missing: list[int]) -> Iterator[int]:
    for number, index in enumerate(missing):
        make_video(folder, settings, index, lambda: None)
        yield (number + 1) * settings.frames
