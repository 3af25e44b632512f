"""COLMAP's sparse model, text or binary: cameras, images and points3D in one folder.

Counts that a file states are compared with its size before anything is made room for.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openlyra.errors import InputError
from openlyra.geometry.lens import Lens
from openlyra.geometry.poses import invert, matrix_from_quaternion, rigid
from openlyra.geometry.trajectory_files import MAX_FRAMES, pinhole, read_text

MODELS = (
    ("SIMPLE_PINHOLE", "f cx cy"),
    ("PINHOLE", "fx fy cx cy"),
    ("SIMPLE_RADIAL", "f cx cy k"),
    ("RADIAL", "f cx cy k1 k2"),
    ("OPENCV", "fx fy cx cy k1 k2 p1 p2"),
    ("OPENCV_FISHEYE", "fx fy cx cy k1 k2 k3 k4"),
    ("FULL_OPENCV", "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6"),
    ("FOV", ""),
    ("SIMPLE_RADIAL_FISHEYE", "f cx cy k"),
    ("RADIAL_FISHEYE", "f cx cy k1 k2"),
    ("THIN_PRISM_FISHEYE", ""),
    ("RAD_TAN_THIN_PRISM_FISHEYE", ""),
)
"""Names and parameters of the camera models, in the order of COLMAP's numbers; those without are not read."""
PARAMETERS = {name: tuple(words.split()) for name, words in MODELS}
MAX_BYTES = 2**30
"""Largest binary file that is read."""


@dataclass(frozen=True, eq=False)
class ColmapCamera:
    """A lens and a sensor."""

    intrinsics: NDArray[np.float64]
    """(3, 3) pixels."""
    lens: Lens
    size: tuple[int, int]
    """(height, width)."""


@dataclass(frozen=True, eq=False)
class ColmapImage:
    """A photo."""

    name: str
    """File name below the folder of images."""
    camera: int
    world_from_camera: NDArray[np.float64]
    """(4, 4)."""
    points: NDArray[np.int64]
    """(N,) ids of the points it shows."""


@dataclass(frozen=True, eq=False)
class ColmapPoints:
    """Points that were matched between photos."""

    ids: NDArray[np.int64]
    """(N,) in rising order."""
    positions: NDArray[np.float64]
    """(N, 3)."""

    def of(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """(M, 3) positions of those of the ids that are known and finite."""
        if not len(self.ids) or not len(ids):
            return np.zeros((0, 3))
        place = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        found = self.positions[place[self.ids[place] == ids]]
        return found[np.isfinite(found).all(-1)]


@dataclass(frozen=True, eq=False)
class ColmapModel:
    """Cameras by id and the images in the order of their names."""

    cameras: dict[int, ColmapCamera]
    images: list[ColmapImage]


def has_model(folder: Path) -> bool:
    """Whether a folder holds a model."""
    return any((folder / f"images{suffix}").is_file() for suffix in (".bin", ".txt"))


def read_model(folder: Path) -> ColmapModel:
    """Cameras and images of a model, binary files before text. InputError if a file is missing, damaged or lies."""
    if (folder / "images.bin").is_file():
        cameras, images = _binary_cameras(folder / "cameras.bin"), _binary_images(folder / "images.bin")
        file = folder / "images.bin"
    else:
        cameras, images = _text_cameras(folder / "cameras.txt"), _text_images(folder / "images.txt")
        file = folder / "images.txt"
    if not images:
        raise InputError(f"{file}: holds no image")
    for image in images:
        if image.camera not in cameras:
            raise InputError(f"{file}: camera {image.camera} is not in cameras{file.suffix}")
    return ColmapModel(cameras, sorted(images, key=lambda image: natural_order(image.name)))


def read_points(folder: Path) -> ColmapPoints:
    """The points of a model; none if it has no such file."""
    if (folder / "points3D.bin").is_file():
        found = _binary_points(folder / "points3D.bin")
    elif (folder / "points3D.txt").is_file():
        found = _text_points(folder / "points3D.txt")
    else:
        found = []
    found.sort(key=lambda point: point[0])
    ids = np.array([point[0] for point in found], np.int64)
    return ColmapPoints(ids, np.array([point[1:] for point in found], np.float64).reshape(-1, 3))


def natural_order(name: str) -> list[tuple[int, str]]:
    """A sorting key that compares numbers in names as numbers: frame_9 comes before frame_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _camera(model: str, values: list[float], width: int, height: int, what: str) -> ColmapCamera:
    names = PARAMETERS.get(model)
    if not names:
        known = ", ".join(name for name, words in PARAMETERS.items() if words)
        raise InputError(f"{what}: camera model {model} is not supported ({known} are); undistort to PINHOLE first")
    if len(values) != len(names):
        raise InputError(f"{what}: {model} has {len(names)} parameters ({' '.join(names)}), not {len(values)}")
    if not np.isfinite(values).all():
        raise InputError(f"{what}: the parameters of {model} are not finite")
    named = dict(zip(names, values, strict=True))
    fx, fy = (named["f"], named["f"]) if "f" in named else (named["fx"], named["fy"])
    k = [named.get(f"k{i}", 0.0) for i in range(1, 7)]
    k[0] = named.get("k", k[0])
    rational = model == "FULL_OPENCV"
    lens = Lens(
        tuple(k[:3] if rational else k[:4]), (named.get("p1", 0.0), named.get("p2", 0.0)),
        tuple(k[3:]) if rational else (), model.endswith("FISHEYE"),
    )  # fmt: skip
    return ColmapCamera(pinhole(fx, fy, named["cx"], named["cy"]), lens, (height, width))


def _image(name: str, camera: int, values: NDArray[np.float64], points: NDArray[np.int64], what: str) -> ColmapImage:
    """From a quaternion w x y z and a translation, camera from world."""
    if not np.isfinite(values).all() or abs(np.linalg.norm(values[:4]) - 1.0) > 1e-2:
        raise InputError(f"{what}: the pose of {name[:80]} is not a unit quaternion and a finite translation")
    pose = invert(rigid(matrix_from_quaternion(values[:4]), values[4:]))
    return ColmapImage(name, camera, np.asarray(pose), points[points >= 0])


# --- binary ---------------------------------------------------------------------------------------------------------


class _Bytes:
    """A binary file that is read from front to back and never past its end."""

    def __init__(self, path: Path) -> None:
        self.path, self.at = path, 0
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise InputError(f"{path}: {size} bytes; at most {MAX_BYTES} are read")
            self.data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None

    def take(self, layout: str) -> tuple:
        """The next values."""
        size = struct.calcsize(layout)
        self._needs(size)
        self.at += size
        return struct.unpack_from(layout, self.data, self.at - size)

    def count(self, smallest: int) -> int:
        """A number of records of at least so many bytes; InputError if the file is too short for them."""
        (count,) = self.take("<Q")
        if count * smallest > len(self.data) - self.at:
            raise InputError(f"{self.path}: states {count} records, more than its {len(self.data)} bytes can hold")
        return int(count)

    def skip(self, size: int) -> int:
        """Pass over bytes; returns where they begin."""
        self._needs(size)
        self.at += size
        return self.at - size

    def word(self) -> str:
        """A name that ends with a zero byte."""
        end = self.data.find(b"\0", self.at)
        if end < 0 or end - self.at > 4096:
            raise InputError(f"{self.path}: an image name has no end; the file is damaged")
        name = self.data[self.at : end].decode("utf-8", "replace")
        self.at = end + 1
        return name

    def _needs(self, size: int) -> None:
        if size > len(self.data) - self.at:
            raise InputError(f"{self.path}: ends after {len(self.data)} bytes, in the middle of a record")


def _binary_cameras(path: Path) -> dict[int, ColmapCamera]:
    file, result = _Bytes(path), {}
    for index in range(file.count(24 + 3 * 8)):
        number, model, width, height = file.take("<iiQQ")
        what = f"{path}: camera {index}"
        if not 0 <= model < len(MODELS):
            raise InputError(f"{what}: camera model number {model} is not known")
        name, words = MODELS[model]
        values = list(file.take(f"<{len(words.split())}d"))
        result[number] = _camera(name, values, width, height, what)
    if not result:
        raise InputError(f"{path}: holds no camera")
    return result


def _binary_images(path: Path) -> list[ColmapImage]:
    file, result = _Bytes(path), []
    count = file.count(4 + 56 + 4 + 1 + 8)
    if count > MAX_FRAMES:
        raise InputError(f"{path}: more than {MAX_FRAMES} images")
    for index in range(count):
        _, *values, camera = file.take("<I7dI")
        name, points = file.word(), file.count(24)
        begin = file.skip(24 * points)
        ids = np.frombuffer(file.data, np.dtype("<i8"), 3 * points, begin)[2::3] if points else np.zeros(0, np.int64)
        result.append(_image(name, camera, np.array(values), ids.astype(np.int64), f"{path}: image {index}"))
    return result


def _binary_points(path: Path) -> list[tuple[float, ...]]:
    file, result = _Bytes(path), list[tuple[float, ...]]()
    for _ in range(file.count(8 + 24 + 3 + 8 + 8)):
        number, x, y, z, *_ = file.take("<q3d3Bd")
        file.skip(8 * file.count(8))
        result.append((number, x, y, z))
    return result


# --- text -----------------------------------------------------------------------------------------------------------


def _text_lines(path: Path) -> list[tuple[str, str]]:
    """(what to call it, line) of all lines that are no comment."""
    lines = enumerate(read_text(path).splitlines(), 1)
    return [(f"{path}: line {number}", line) for number, line in lines if not line.lstrip().startswith("#")]


def _text_cameras(path: Path) -> dict[int, ColmapCamera]:
    result = {}
    for what, line in _text_lines(path):
        words = line.split()
        if not words:
            continue
        if len(words) < 4:
            raise InputError(f"{what}: CAMERA_ID, MODEL, WIDTH, HEIGHT and parameters are needed")
        width, height = _whole(words[2], what), _whole(words[3], what)
        values = [_real(word, what) for word in words[4:]]
        result[_whole(words[0], what)] = _camera(words[1], values, width, height, what)
    if not result:
        raise InputError(f"{path}: holds no camera")
    return result


def _text_images(path: Path) -> list[ColmapImage]:
    result: list[ColmapImage] = []
    lines = iter(_text_lines(path))
    for what, line in lines:
        if not line.strip():
            continue
        words = line.split(maxsplit=9)
        if len(words) < 10:
            raise InputError(f"{what}: IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID and NAME are needed")
        values = np.array([_real(word, what) for word in words[1:8]])
        # The second line of an image lists its points, x y id each; it may well be empty.
        where, seen = next(lines, (what, ""))
        points = np.array([_index(word, where) for word in seen.split()[2::3]], np.int64)
        result.append(_image(words[9].strip(), _whole(words[8], what), values, points, what))
        if len(result) > MAX_FRAMES:
            raise InputError(f"{path}: more than {MAX_FRAMES} images")
    return result


def _text_points(path: Path) -> list[tuple[float, ...]]:
    result = []
    for what, line in _text_lines(path):
        words = line.split(maxsplit=4)
        if not words:
            continue
        if len(words) < 4:
            raise InputError(f"{what}: POINT3D_ID, X, Y and Z are needed")
        result.append((_whole(words[0], what), *(_real(word, what) for word in words[1:4])))
    return result


def _real(word: str, what: str) -> float:
    return float(_parsed(float, word, what, "number"))


def _index(word: str, what: str) -> int:
    return int(_parsed(int, word, what, "whole number"))


def _whole(word: str, what: str) -> int:
    return int(_parsed(int, word if word.isdecimal() and len(word) <= 18 else "", what, "whole number", word))


def _parsed(kind: Callable[[str], float], word: str, what: str, name: str, shown: str | None = None) -> float:
    try:
        return kind(word[:40])
    except ValueError:
        raise InputError(f"{what}: '{(shown or word)[:40]}' is not a {name}") from None
