"""Converters into the data layout of training: runs, photos or videos with known cameras, and the release's layout.

    import_source(Path("capture/transforms.json"), Path("set"), ImportSettings(size=(192, 336)))

What has no depth gets it by comparing its frames with one another (`depth.multi_view`). Units stay those of the source.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from openlyra.depth.multi_view import multi_view_depth
from openlyra.errors import InputError, OutputExistsError
from openlyra.gaussians.photo_folder import common_size, is_photo_folder, list_photos, read_photos, working_size
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.video_frames import is_video, read_steady_frames
from openlyra.geometry.trajectory_files import MAX_ARRAY_BYTES
from openlyra.media.video import probe_video
from openlyra.runs.folder import MANIFEST
from openlyra.training.world_data import LIST, import_run, write_video
from openlyra.training.world_released import read_released, released_names
from openlyra.training.world_video import PosedVideo

DEPTH_EVERY = 4
"""Depth is kept of frames whose place is a multiple of this: chunks end at such frames."""
Advance = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ImportSettings:
    """What is taken of a source. Runs are taken as they are."""

    cameras: Path | None = None
    """Camera path of a video, one camera a frame."""
    size: tuple[int, int] | None = None
    """(height, width) to store; by default the source's, at most 480 on the longer side."""
    every: int = 1
    """Every so many frames one is taken."""
    max_frames: int = 1000
    """Largest number of frames, from the first on."""

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        if self.every < 1 or self.max_frames < 2:
            raise InputError(f"--every {self.every} --max-frames {self.max_frames}: at least 1 and 2 are needed")
        if self.size is not None and any(side % 2 or not 16 <= side <= 4096 for side in self.size):
            raise InputError(f"--size {self.size[0]}x{self.size[1]}: even numbers from 16 to 4096 are needed")


def import_source(
    source: Path, folder: Path, settings: ImportSettings, name: str | None = None, advance: Advance | None = None
) -> list[PosedVideo]:
    """Add a source to a data set and return its videos; those of a released set that are there already are left out.

    Raises InputError for what cannot be read, OutputExistsError when the id is taken."""
    settings.check()
    advance = advance or (lambda stage, done, total: None)
    if (source / LIST).is_file():
        return _import_released(source, folder, settings, advance)
    name = name or _id(source)
    if PosedVideo(folder, name).path("pose").exists():
        raise OutputExistsError(f"{source}: {folder} holds a video '{name}' already; give another --name")
    if (source / MANIFEST).is_file():
        return [import_run(source, folder, name)]
    frames = _read(source, settings, advance)
    return [_store(folder, name, frames, source)]


def _read(source: Path, settings: ImportSettings, advance: Advance) -> PosedFrames:
    """Frames in their order, with depth where other frames agree."""
    points = None
    if is_video(source):
        if settings.cameras is None:
            raise InputError(f"{source}: a video needs its camera path; give it with --cameras FILE")
        info = probe_video(source)
        size = even(common_size([(info.height, info.width)], settings.size))
        frames = read_steady_frames(source, settings.cameras, settings.every, settings.max_frames, size, advance)
    elif is_photo_folder(source):
        photos = list_photos(source)
        photos = photos.select(np.arange(0, len(photos), settings.every)[: settings.max_frames])
        points = photos.points
        frames = read_photos(photos, *even(working_size(photos, settings.size)), advance)
    else:
        raise InputError(
            f"{source}: is no run, no video, no transforms.json, holds no COLMAP model beside images and no {LIST}"
        )
    found = multi_view_depth(frames.images, frames.cameras, points=points, advance=advance)
    depth = np.where(found.valid | found.far, found.depth, np.float32(0))
    return PosedFrames(frames.images, frames.cameras, np.maximum(depth, 1e-6), depth > 0)


def _import_released(source: Path, folder: Path, settings: ImportSettings, advance: Advance) -> list[PosedVideo]:
    made = []
    for name in released_names(source):
        if not PosedVideo(folder, name).path("pose").exists():
            taken = settings.every, settings.max_frames, DEPTH_EVERY
            frames = read_released(source, name, settings.size, *taken, advance)
            made.append(_store(folder, name, frames, source))
    return made


def _store(folder: Path, name: str, frames: PosedFrames, source: Path) -> PosedVideo:
    assert frames.depth is not None and frames.valid is not None
    kept = range(0, len(frames), DEPTH_EVERY)
    height, width = frames.size
    if len(kept) * height * width * 4 > MAX_ARRAY_BYTES:
        raise InputError(
            f"{source}: depth of {len(kept)} frames of {height}x{width} is more than {MAX_ARRAY_BYTES} bytes; use a "
            "smaller --size or fewer --max-frames"
        )
    depth = {index: np.where(frames.valid[index], frames.depth[index], np.float32(0)) for index in kept}
    return write_video(folder, name, list(frames.images), frames.cameras, depth)


def even(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width as H.264 stores them: even."""
    return size[0] - size[0] % 2, size[1] - size[1] % 2


def _id(source: Path) -> str:
    """A video id from a file's or folder's name."""
    place = source.absolute()
    stem = place.parent.name if place.name == "transforms.json" else place.stem if place.is_file() else place.name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "video"
