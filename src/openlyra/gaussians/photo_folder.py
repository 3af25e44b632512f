"""Photos with known cameras: transforms.json (nerfstudio, instant-ngp) or a COLMAP model beside the images."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from openlyra.errors import InputError
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.geometry.camera import Camera
from openlyra.geometry.colmap_model import natural_order, read_model, read_points
from openlyra.geometry.lens import Lens, straighten
from openlyra.geometry.trajectory_files import MAX_FRAMES, RawPath, finish, read_json
from openlyra.geometry.trajectory_io import colmap_folder
from openlyra.geometry.trajectory_nerfstudio import read_transforms
from openlyra.media.image import read_image, stored_size

SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".webp", ".JPG", ".PNG", ".JPEG")
"""instant-ngp names images without a suffix."""
SMALLER = ("images_2", "images_4", "images_8")
"""Folders with smaller copies of the photos in `images`, as nerfstudio makes them."""
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
    """The file or folder with the cameras."""
    points: list[NDArray[np.float64]] | None = None
    """(N, 3) points of the world that each photo is known to show, if there are such."""
    cloud: Path | None = None
    """Point cloud (.ply) of the same world, if one is named; which photo shows which point is not known."""

    def __len__(self) -> int:
        return len(self.files)

    def select(self, indices: NDArray[np.int_]) -> PhotoList:
        """The photos at these places."""
        points = None if self.points is None else [self.points[i] for i in indices]
        files, raw = [self.files[i] for i in indices], [self.raw[i] for i in indices]
        return replace(self, files=files, raw=raw, points=points)


def is_photo_folder(source: Path) -> bool:
    """Whether a path is a transforms.json, or a folder that holds one or a COLMAP model."""
    if source.suffix.lower() == ".json" or (source / "transforms.json").is_file():
        return True
    return source.is_dir() and colmap_folder(source) is not None


def list_photos(source: str | os.PathLike[str]) -> PhotoList:
    """The photos that a transforms.json (or the folder it lies in) or a COLMAP model names, ordered by name.

    Photos that do not exist are left out with one warning that counts them.

    Raises InputError when the file is missing or fewer than two photos exist, a lens is of an unknown kind, or a pose
    is no pose.
    """
    given = Path(source)
    path = given / "transforms.json" if given.is_dir() else given
    if not path.is_file():
        model = colmap_folder(given) if given.is_dir() else None
        if model is not None:
            return _colmap_photos(given, model)
        raise InputError(
            f"{given}: no such file or folder" if not given.exists()
            else f"{given}: holds no transforms.json and no COLMAP model"
        )  # fmt: skip
    content: Any = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list):
        raise InputError(f"{path}: 'frames' must be a list of photos with a file_path and a transform_matrix")
    if len(content["frames"]) > MAX_FRAMES:
        raise InputError(f"{path}: names {len(content['frames'])} photos; at most {MAX_FRAMES} are read")
    named: list[tuple[str, Path | None, dict[str, Any]]] = []
    for index, frame in enumerate(content["frames"]):
        name = frame.get("file_path") if isinstance(frame, dict) else None
        if not isinstance(name, str) or not name:
            raise InputError(f"{path}: frame {index}: file_path is missing")
        named.append((name, _photo(path.parent, name), frame))
    _warn_of_missing([(path.parent / name, file) for name, file, _ in named], path)
    found = [(name, file, frame) for name, file, frame in named if file is not None]
    found.sort(key=lambda entry: natural_order(entry[0]))
    raw = [read_transforms({**_sized(content, frame, file), "frames": [frame]}, path) for _, file, frame in found]
    return PhotoList([file for _, file, _ in found], raw, path, cloud=_cloud(content, path))


def _cloud(content: dict[str, Any], path: Path) -> Path | None:
    """The point cloud that nerfstudio's `ply_file_path` names."""
    name = content.get("ply_file_path")
    if not isinstance(name, str) or not name:
        return None
    if (path.parent / name).is_file():
        return path.parent / name
    warnings.warn(f"{path}: the point cloud {path.parent / name} does not exist and is left out", stacklevel=3)
    return None


def read_photos(photos: PhotoList, height: int, width: int, advance: Advance | None = None) -> PosedFrames:
    """Read photos at a working size, one by one, each with its own intrinsics and free of lens distortion.

    The camera may be for the photo at another scale; a photo of another shape than stated, by more than 1 %, is an
    InputError; one of another shape than asked for is cut about its centre. Where EXIF turns a photo and its camera
    would fit both ways, the stored pixels count, as in COLMAP and nerfstudio.
    """
    images = _room(len(photos), height, width, photos.source)
    poses, intrinsics = np.empty((len(photos), 4, 4)), np.empty((len(photos), 3, 3))
    for index, (file, raw) in enumerate(zip(photos.files, photos.raw)):
        if advance is not None:
            advance("read", index, len(photos))
        image = read_image(file, _upright(file, raw))
        camera = camera_of(raw, image.shape[0], image.shape[1], file)
        lens = raw.lenses[0] if raw.lenses else Lens()
        try:
            images[index], camera = fitted(image, camera, lens, height, width)
        except InputError as error:
            raise InputError(f"{file}: {error}") from None
        poses[index], intrinsics[index] = camera.world_from_camera, camera.intrinsics
    return PosedFrames(images, Camera(poses, intrinsics, width, height))


def working_size(photos: PhotoList, wanted: tuple[int, int] | None, longest: int = 480) -> tuple[int, int]:
    """(height, width) to work at: as asked for, turned if most photos are upright, or the size of the first photo of
    the commoner orientation with its longer side brought down to `longest`."""
    sizes = []
    for file, raw in zip(photos.files, photos.raw):
        (rows, columns), orientation = stored_size(file)
        sizes.append((columns, rows) if orientation >= 5 and _upright(file, raw) else (rows, columns))
    return common_size(sizes, wanted, longest)


def common_size(sizes: list[tuple[int, int]], wanted: tuple[int, int] | None, longest: int = 480) -> tuple[int, int]:
    """(height, width) to work at for pictures of these (height, width); see `working_size`."""
    tall = 2 * sum(rows > columns for rows, columns in sizes) > len(sizes)
    if wanted is not None:
        low, high = sorted(wanted)
        return (high, low) if tall else (low, high)
    rows, columns = next((size for size in sizes if (size[0] > size[1]) == tall), sizes[0])
    scale = min(1.0, longest / max(rows, columns))
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def camera_of(raw: RawPath, rows: int, columns: int, file: Path) -> Camera:
    """The pinhole camera for a photo's own size, its lens left aside. InputError if it is for another shape."""
    if raw.size is None:
        return finish(raw.straight(), file, rows, columns).cameras[0]
    stated = finish(raw.straight(), file, *raw.size).cameras[0]
    if not _alike((rows, columns), raw.size):
        turned = " (turned by its EXIF orientation?)" if (rows > columns) != (stated.height > stated.width) else ""
        raise InputError(
            f"{file}: is {columns}x{rows}, but its camera is for {stated.width}x{stated.height}{turned}; give the "
            "cameras of these photos"
        )
    return stated.resized(rows, columns)


def fitted(
    image: NDArray[np.uint8], camera: Camera, lens: Lens, height: int, width: int
) -> tuple[NDArray[np.uint8], Camera]:
    """Image and camera straightened, scaled to (height, width), the excess of the longer side cut evenly."""
    if lens.bent:
        # Straightened at twice the working size, so that the second scaling takes away what interpolation blurred.
        fine = 2 * max(height / image.shape[0], width / image.shape[1])
        if fine < 1:
            rows, columns = round(image.shape[0] * fine), round(image.shape[1] * fine)
            image = np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.LANCZOS))
            camera = camera.resized(rows, columns)
        image, camera = straighten(image, camera, lens)
    rows, columns = image.shape[:2]
    scale = max(height / rows, width / columns)
    if _alike((rows, columns), (height, width)):
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


def _room(count: int, height: int, width: int, source: Path) -> NDArray[np.uint8]:
    """(count, height, width, 3) not yet filled; InputError if that is too much."""
    if count * height * width > MAX_VIEW_PIXELS:
        raise InputError(
            f"{source}: {count} photos at {height}x{width} are more than {MAX_VIEW_PIXELS:,} pixels; "
            "use a smaller --size or fewer --max-frames"
        )
    return np.empty((count, height, width, 3), np.uint8)


def _colmap_photos(folder: Path, place: Path) -> PhotoList:
    """The photos of a COLMAP model, which lie in `images` of the folder, of one above, or in the folder itself."""
    model = read_model(place)
    points = read_points(place)
    around = [folder, *list(folder.absolute().parents)[:3]] if folder == place else [folder]
    roots = [root / name for root in around for name in ("images", *SMALLER, "input", ".")]
    names = [image.name for image in model.images]
    root = next((root for root in roots if any((root / name).is_file() for name in names)), folder / "images")
    found = [_photo(root, name) for name in names]
    _warn_of_missing([(root / name, file) for name, file in zip(names, found)], place)
    files, raw, images = [], [], []
    for file, image in zip(found, model.images):
        if file is None:
            continue
        camera = model.cameras[image.camera]
        files.append(file)
        images.append(image)
        raw.append(RawPath(image.world_from_camera[None], camera.intrinsics[None], camera.size, lenses=(camera.lens,)))
    shown = [points.of(image.points) for image in images]
    return PhotoList(files, raw, place, shown if any(map(len, shown)) else None)


def _sized(content: dict[str, Any], frame: dict[str, Any], file: Path) -> dict[str, Any]:
    """The shared fields, with the photo's own size where an opening angle needs one and none is stated."""
    fields = {**content, **frame}
    if ("w" in fields and "h" in fields) or "fl_x" in fields or "fl_y" in fields:
        return content
    rows, columns = stored_size(file)[0]
    return {**content, "w": columns, "h": rows}


def _photo(folder: Path, name: str) -> Path | None:
    """The file of a photo: as named, with a usual suffix, or a smaller copy of it. None if there is none."""
    for base in _places(folder, name):
        for suffix in SUFFIXES:
            file = base.with_name(base.name + suffix) if suffix else base
            if file.is_file():
                return file
    return None


def _warn_of_missing(photos: list[tuple[Path, Path | None]], source: Path) -> None:
    """Count those of (as named, as found) that were not found. InputError if fewer than two were."""
    if len(photos) < 2:
        raise InputError(f"{source}: names {len(photos)} photo; at least 2 are needed")
    missing = [named for named, found in photos if found is None]
    if not missing:
        return
    what = f"{source}: {len(missing)} of {len(photos)} photos do not exist, first {missing[0]}"
    if len(photos) - len(missing) < 2:
        raise InputError(f"{what}; at least 2 are needed")
    warnings.warn(f"{what}; left out", stacklevel=3)


def _places(folder: Path, name: str) -> Iterator[Path]:
    yield folder / name
    parts = Path(name).parts
    if "images" in parts:
        at = parts.index("images")
        for smaller in SMALLER:
            yield folder.joinpath(*parts[:at], smaller, *parts[at + 1 :])
    if folder.name == "images":
        for smaller in SMALLER:
            yield folder.with_name(smaller) / name


def _upright(file: Path, raw: RawPath) -> bool:
    """Whether the camera is for the photo as EXIF turns it; if in doubt, it is for the stored pixels."""
    stored, orientation = stored_size(file)
    if orientation < 5:
        return False
    turned = stored[::-1]
    if raw.size is not None:
        return _alike(turned, raw.size) and not _alike(stored, raw.size)
    middle = raw.intrinsics[0, :2, 2][::-1]
    stored_off, turned_off = (np.abs(middle / size - 0.5).max() for size in (stored, turned))
    return bool(turned_off < stored_off)


def _alike(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two (height, width) have the same shape."""
    return abs(size[0] / size[1] * other[1] / other[0] - 1) <= ASPECT_TOLERANCE
