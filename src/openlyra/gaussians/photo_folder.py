"""Photos with known cameras: a folder with transforms.json (nerfstudio, instant-ngp) or a COLMAP text model."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from openlyra.errors import InputError
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.geometry.camera import Camera
from openlyra.geometry.trajectory_files import MAX_FRAMES, RawPath, finish, read_json
from openlyra.geometry.trajectory_nerfstudio import read_transforms
from openlyra.media.image import read_image

SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".webp", ".JPG", ".PNG", ".JPEG")
"""instant-ngp names images without a suffix."""
ASPECT_TOLERANCE = 0.01
"""Largest relative difference between the shapes of a photo and of the image its camera is for."""
MAX_VIEW_PIXELS = 400_000_000
"""Pixels of all photos together at their working size."""

Advance = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class PhotoList:
    """Which photos there are and where they were taken; nothing is decoded yet."""

    files: list[Path]
    raw: list[RawPath]
    """One camera each, for the image size it states or, if it states none, for the photo's."""
    source: Path
    """The file with the cameras."""

    def __len__(self) -> int:
        return len(self.files)

    def select(self, indices: NDArray[np.int_]) -> PhotoList:
        """The photos at these places."""
        return PhotoList([self.files[i] for i in indices], [self.raw[i] for i in indices], self.source)


def is_photo_folder(source: Path) -> bool:
    """Whether a path is a transforms.json or a folder that holds one."""
    return source.suffix.lower() == ".json" or (source / "transforms.json").is_file()


def list_photos(source: str | os.PathLike[str]) -> PhotoList:
    """The photos that a transforms.json (or the folder it lies in) names, ordered by name.

    Raises InputError when the file or one of the photos is missing, a lens is distorted, or a pose is no pose.
    """
    given = Path(source)
    path = given / "transforms.json" if given.is_dir() else given
    if not path.is_file():
        raise InputError(
            f"{given}: no such file or folder" if not given.exists() else f"{given}: holds no transforms.json"
        )
    content: Any = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list):
        raise InputError(f"{path}: 'frames' must be a list of photos with a file_path and a transform_matrix")
    if len(content["frames"]) > MAX_FRAMES:
        raise InputError(f"{path}: names {len(content['frames'])} photos; at most {MAX_FRAMES} are read")
    found: list[tuple[str, Path, RawPath]] = []
    for index, frame in enumerate(content["frames"]):
        name = frame.get("file_path") if isinstance(frame, dict) else None
        if not isinstance(name, str) or not name:
            raise InputError(f"{path}: frame {index}: file_path is missing")
        file = _photo(path.parent, name, f"{path}: frame {index}")
        found.append((name, file, read_transforms({**content, "frames": [frame]}, path)))
    if len(found) < 2:
        raise InputError(f"{path}: names {len(found)} photo; at least 2 are needed")
    found.sort(key=lambda entry: entry[0])
    return PhotoList([entry[1] for entry in found], [entry[2] for entry in found], path)


def read_photos(photos: PhotoList, height: int, width: int, advance: Advance | None = None) -> PosedFrames:
    """Read photos at a working size, upright, each with its own intrinsics.

    The camera may be for the photo at another scale; a photo of another shape than stated, or than asked for, is an
    InputError where the shapes differ by more than 1 %, or cut to the shape asked for, about its centre.
    """
    if len(photos) * height * width > MAX_VIEW_PIXELS:
        raise InputError(
            f"{photos.source}: {len(photos)} photos at {height}x{width} are more than {MAX_VIEW_PIXELS:,} pixels; "
            "use a smaller --size or fewer --max-frames"
        )
    images = np.empty((len(photos), height, width, 3), np.uint8)
    poses, intrinsics = np.empty((len(photos), 4, 4)), np.empty((len(photos), 3, 3))
    for index, (file, raw) in enumerate(zip(photos.files, photos.raw)):
        if advance is not None:
            advance("read", index, len(photos))
        image = read_image(file)
        camera = _camera_of(raw, image.shape[0], image.shape[1], file)
        images[index], camera = _fitted(image, camera, height, width)
        poses[index], intrinsics[index] = camera.world_from_camera, camera.intrinsics
    return PosedFrames(images, Camera(poses, intrinsics, width, height))


def working_size(photos: PhotoList, wanted: tuple[int, int] | None, longest: int = 480) -> tuple[int, int]:
    """(height, width) to work at: as asked for, turned for upright photos, or the first photo's with its longer side
    brought down to `longest`."""
    rows, columns = read_image(photos.files[0]).shape[:2]
    if wanted is not None:
        low, high = sorted(wanted)
        return (high, low) if rows > columns else (low, high)
    scale = min(1.0, longest / max(rows, columns))
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def _photo(folder: Path, name: str, what: str) -> Path:
    """The file of a photo: as named, with a usual suffix, never outside what the file's own words say."""
    base = folder / name
    for suffix in SUFFIXES:
        file = base.with_name(base.name + suffix) if suffix else base
        if file.is_file():
            return file
    raise InputError(f"{what}: the photo {base} does not exist")


def _camera_of(raw: RawPath, rows: int, columns: int, file: Path) -> Camera:
    """The camera for the photo's own size."""
    if raw.size is None:
        return finish(raw, file, rows, columns).cameras[0]
    stated = finish(raw, file, *raw.size).cameras[0]
    if abs(rows / columns * stated.width / stated.height - 1) > ASPECT_TOLERANCE:
        turned = " (turned by its EXIF orientation?)" if (rows > columns) != (stated.height > stated.width) else ""
        raise InputError(
            f"{file}: is {columns}x{rows}, but its camera is for {stated.width}x{stated.height}{turned}; give the "
            "cameras of these photos"
        )
    return stated.resized(rows, columns)


def _fitted(image: NDArray[np.uint8], camera: Camera, height: int, width: int) -> tuple[NDArray[np.uint8], Camera]:
    """Image and camera scaled to (height, width), the excess of the longer side cut evenly."""
    rows, columns = image.shape[:2]
    scale = max(height / rows, width / columns)
    if abs(rows / columns * width / height - 1) <= ASPECT_TOLERANCE:
        top, left, inner_rows, inner_columns = 0.0, 0.0, float(rows), float(columns)
    else:
        inner_rows, inner_columns = min(height / scale, rows), min(width / scale, columns)
        top, left = (rows - inner_rows) / 2, (columns - inner_columns) / 2
    box = (left, top, left + inner_columns, top + inner_rows)
    small = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS, box=box))
    scale_x, scale_y = width / inner_columns, height / inner_rows
    shift = np.array([[0, 0, left], [0, 0, top], [0, 0, 0]])
    intrinsics = np.array([scale_x, scale_y, 1.0])[:, None] * (camera.intrinsics - shift)
    return small, Camera(camera.world_from_camera, intrinsics, width, height)
