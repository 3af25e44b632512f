"""Data sets as Lyra 2.0 is trained on them (training specification, 2.2): read, never executed.

Like ours, but depth is a zip of OpenEXR pictures, one a frame, and `rgb` folders may lie anywhere below. Their captions
are pickles and are not read.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from openlyra.errors import InputError
from openlyra.gaussians.photo_folder import MAX_VIEW_PIXELS, common_size, fitted
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.geometry.camera import Camera
from openlyra.geometry.lens import Lens
from openlyra.media.video import MAX_FRAME_PIXELS, probe_video
from openlyra.training.world_data import open_dataset
from openlyra.training.world_video import PosedVideo

MAX_PICTURE_BYTES = 1 << 28
"""Largest OpenEXR picture that is read."""


def released_names(folder: Path) -> list[str]:
    """Ids of the videos. Raises InputError when there is no list."""
    return [video.name for video in open_dataset(folder)]


def read_released(
    folder: Path, name: str, wanted: tuple[int, int] | None, every: int, most: int, depth_every: int,
    advance: Callable[[str, int, int], None],
) -> PosedFrames:  # fmt: skip
    """Every `every`-th frame of a video from its first on, at a size (height, width) or at most 480 pixels wide.

    Depth is there of frames whose place among those taken is a multiple of `depth_every`; the others have none. Raises
    InputError."""
    video = _Released(_base(folder, name), name)
    cameras, info = video.cameras(), probe_video(video.path("rgb", ".mp4"))
    chosen = np.arange(0, min(len(cameras), info.frames), every)[:most]
    height, width = common_size([(info.height, info.width)], wanted)
    height, width = height - height % 2, width - width % 2
    if len(chosen) * height * width > MAX_VIEW_PIXELS:
        raise InputError(f"{folder}: {name}: {len(chosen)} frames at {height}x{width} are too many; --max-frames")
    shape = (len(chosen), height, width)
    images, depth, valid = np.empty((*shape, 3), np.uint8), np.ones(shape, np.float32), np.zeros(shape, bool)
    lenses = np.empty((len(chosen), 3, 3))
    place = {int(index): number for number, index in enumerate(chosen)}
    for index, image in enumerate(video.images(int(chosen[-1]) + 1)):
        number = place.get(index)
        if number is None:
            continue
        advance("read", number, len(chosen))
        images[number], camera = fitted(image, cameras[index], Lens(), height, width)
        lenses[number] = camera.intrinsics
        if number % depth_every == 0:
            found = _carried(video.depth([index])[0], cameras[index], camera)
            valid[number] = found > 0
            depth[number] = np.where(found > 0, found, 1)
    poses = np.asarray(cameras.world_from_camera)[chosen]
    return PosedFrames(images, Camera(poses, lenses, width, height), depth, valid)


class _Released(PosedVideo):
    """A video whose depth may be a zip of pictures."""

    def depth(self, frames: Sequence[int]) -> np.ndarray:
        """As `PosedVideo.depth`."""
        path = self.path("depth", ".zip")
        if not path.is_file():
            return super().depth(frames)
        try:
            with zipfile.ZipFile(path) as archive:
                return np.stack([_picture(archive, index, path) for index in frames])
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
            raise InputError(f"{path}: cannot be read ({error})".replace("\n", " ")) from None


def _picture(archive: zipfile.ZipFile, index: int, path: Path) -> np.ndarray:
    """(H, W) float32 z-depth of a frame, 0 where unknown."""
    try:
        entry = archive.getinfo(f"{index:05d}.exr")
    except KeyError:
        raise InputError(f"{path}: has no frame {index:05d}.exr, which is needed") from None
    if entry.file_size > MAX_PICTURE_BYTES:
        raise InputError(f"{path}: {entry.filename} has {entry.file_size} bytes; at most {MAX_PICTURE_BYTES} are read")
    depth = read_exr_depth(archive.read(entry), f"{path}: {entry.filename}")
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def read_exr_depth(content: bytes, what: str) -> np.ndarray:
    """(H, W) float32 channel Z of an OpenEXR picture. Raises InputError; the header's size is checked first."""
    try:
        import OpenEXR
    except ImportError:
        raise InputError(f"{what}: reading OpenEXR needs the extra: pip install 'openlyra[exr]'") from None
    try:
        header = OpenEXR.File(io.BytesIO(content), header_only=True).header()
        (left, top), (right, bottom) = header["dataWindow"]
        if not 1 <= (int(right) - int(left) + 1) * (int(bottom) - int(top) + 1) <= MAX_FRAME_PIXELS:
            raise InputError(f"{what}: a data window from {left},{top} to {right},{bottom} is not read")
        channels = OpenEXR.File(io.BytesIO(content), separate_channels=True, num_threads=0).channels()
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{what}: is not a readable OpenEXR picture ({error})".replace("\n", " ")) from None
    if "Z" not in channels:
        raise InputError(f"{what}: has no channel Z but {', '.join(sorted(channels)[:8])}")
    depth = np.asarray(channels["Z"].pixels)
    if depth.ndim != 2 or depth.dtype.kind not in "fu":
        raise InputError(f"{what}: channel Z has shape {depth.shape} and type {depth.dtype}")
    return depth.astype(np.float32)


def _carried(depth: np.ndarray, source: Camera, target: Camera) -> np.ndarray:
    """Depth of a picture for the same picture scaled and cut: the nearest pixel's. It may be of another size than the
    camera's picture."""
    scale = np.array([depth.shape[1] / source.width, depth.shape[0] / source.height])
    k, own = np.asarray(source.intrinsics), np.asarray(target.intrinsics)
    column = ((np.arange(target.width) + 0.5 - own[0, 2]) * k[0, 0] / own[0, 0] + k[0, 2]) * scale[0]
    row = ((np.arange(target.height) + 0.5 - own[1, 2]) * k[1, 1] / own[1, 1] + k[1, 2]) * scale[1]
    rows = np.clip(row.astype(int), 0, depth.shape[0] - 1)
    columns = np.clip(column.astype(int), 0, depth.shape[1] - 1)
    return np.asarray(depth[rows[:, None], columns], np.float32)


def _base(folder: Path, name: str) -> Path:
    """The folder whose `rgb` holds a video; `rgb` folders are looked for everywhere below."""
    if (folder / "rgb" / f"{name}.mp4").is_file():
        return folder
    found = sorted(path for path in folder.rglob(f"{name}.mp4") if path.parent.name == "rgb")
    if not found:
        raise InputError(f"{folder}: no rgb folder holds {name}.mp4")
    return found[0].parent.parent
