"""What the camera-path formats share: careful reading of files from outside, atomic and byte-deterministic writing."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.lens import Lens
from openlyra.media.atomic import write_bytes_atomic

MAX_FRAMES = 100_000
"""Longest path that is read."""
MAX_TEXT_BYTES = 256 * 2**20
"""Largest JSON or text file that is read."""
MAX_ARRAY_BYTES = 256 * 2**20
"""Largest array in an archive."""
OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
"""Camera axes of NeRF tools (y up, looking along -z) from ours; it is its own inverse."""
_ASSUMED_OFFSET, _STATED_OFFSET = 0.1, 0.3


@dataclass(frozen=True)
class RawPath:
    """A path as a file states it, in our axes, not yet checked."""

    world_from_camera: np.ndarray
    """(F, 4, 4)."""
    intrinsics: np.ndarray
    """(F, 3, 3) pixels of the stated size."""
    size: tuple[int, int] | None
    """(height, width) that the intrinsics refer to, if the file says so."""
    fps: float = 16.0
    name: str | None = None
    lenses: tuple[Lens, ...] | None = None
    """(F,) how each lens bends the picture; all pinholes if None."""

    def straight(self) -> RawPath:
        """The same with pinholes, for who straightens the pictures."""
        return replace(self, lenses=None)


def finish(raw: RawPath, path: Path, height: int | None, width: int | None, pose_scale: float = 1.0) -> Trajectory:
    """Check a path and bring it to (height, width) if these are given; see `trajectory_io.read_trajectory`."""
    if (height is None) != (width is None):
        raise InputError(f"{path}: give both height and width, or neither")
    wanted = None if height is None or width is None else (int(height), int(width))
    size = raw.size or wanted
    if size is None:
        raise InputError(f"{path}: does not say which image size its intrinsics are for; give height and width")
    if not (math.isfinite(pose_scale) and pose_scale > 0):
        raise InputError(f"{path}: pose_scale is {pose_scale}; it must be a positive number")
    if not (math.isfinite(raw.fps) and 0 < raw.fps <= 1000):
        raise InputError(f"{path}: fps is {raw.fps}; it must be a number above 0 and at most 1000")
    if not 1 <= len(raw.world_from_camera) <= MAX_FRAMES:
        raise InputError(f"{path}: holds {len(raw.world_from_camera)} cameras; 1 to {MAX_FRAMES} can be read")
    for index, lens in enumerate(raw.lenses or ()):
        if lens.bent:
            raise InputError(f"{path}: frame {index}: {lens.describe()} is not supported; undistort the images first")
    cameras = Camera(raw.world_from_camera, raw.intrinsics, size[1], size[0])
    cameras.validate(str(path))
    _check_principal_point(cameras, path, stated=raw.size is not None)
    poses = _orthonormalised(cameras.world_from_camera)
    poses[:, :3, 3] *= pose_scale
    cameras = Camera(poses, cameras.intrinsics, cameras.width, cameras.height)
    if wanted is not None and wanted != size:
        cameras = cameras.resized(*wanted)
    return Trajectory(cameras, fps=float(raw.fps), name=raw.name or path.stem)


def _check_principal_point(cameras: Camera, path: Path, stated: bool) -> None:
    """Intrinsics of one image size used with another show in a principal point that is far from the middle."""
    sides = np.array([cameras.width, cameras.height], dtype=float)
    offset = np.abs(cameras.intrinsics[:, :2, 2] / sides - 0.5).max(-1)
    limit = _STATED_OFFSET if stated else _ASSUMED_OFFSET
    if offset.max() > limit:
        frame = int(offset.argmax())
        x, y = cameras.intrinsics[frame, :2, 2]
        raise InputError(
            f"{path}: frame {frame}: the principal point ({x:g}, {y:g}) is far from the middle of a "
            f"{cameras.width}x{cameras.height} image; the intrinsics seem to be for another size"
        )


def _orthonormalised(poses: np.ndarray) -> np.ndarray:
    """The nearest exact rotations, so that rounding in a file does not spread."""
    result = np.array(poses, dtype=np.float64)
    u, _, vt = np.linalg.svd(result[:, :3, :3])
    result[:, :3, :3] = u @ vt
    result[:, 3] = [0.0, 0.0, 0.0, 1.0]
    return result


def read_json(path: Path) -> Any:
    """The content of a JSON file; InputError if it is too large or not JSON."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file ({_first_line(error)})") from None


def read_text(path: Path) -> str:
    """The text of a UTF-8 file of at most MAX_TEXT_BYTES."""
    try:
        size = path.stat().st_size
        if size > MAX_TEXT_BYTES:
            raise InputError(f"{path}: {size} bytes; camera files of more than {MAX_TEXT_BYTES} bytes are not read")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All numeric arrays of an .npz archive. Declared sizes are compared with the file before any memory is taken."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
            return {entry.filename[:-4]: _read_member(archive, entry, path) for entry in members[:64]}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"{path}: not a readable .npz archive ({_first_line(error)})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def _read_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> np.ndarray:
    if entry.file_size > MAX_ARRAY_BYTES:
        raise InputError(
            f"{path}: array '{entry.filename[:-4]}' has {entry.file_size} bytes; at most {MAX_ARRAY_BYTES} are read"
        )
    with archive.open(entry) as file:
        stream = BytesIO(file.read(entry.file_size))
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    if dtype.kind not in "fiu":
        raise InputError(f"{path}: array '{entry.filename[:-4]}' holds {dtype}; numbers are needed")
    declared, present = math.prod(shape) * dtype.itemsize, entry.file_size - stream.tell()
    if declared != present:
        raise InputError(f"{path}: array '{entry.filename[:-4]}' declares {declared} bytes but holds {present}")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An uncompressed .npz archive whose bytes depend on the arrays alone."""
    result = BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            content = BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array) if array.ndim else array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content.getvalue())
    return result.getvalue()


def write_json(path: Path, content: Any) -> None:
    """Indented JSON with matrices kept readable: one innermost list a line."""
    write_bytes_atomic(path, (_dump(content) + "\n").encode())


def _dump(value: Any, indent: str = "") -> str:
    inner = indent + "  "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(key)}: {_dump(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, list | dict) for item in value):
        return "[\n" + ",\n".join(inner + _dump(item, inner) for item in value) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False)


def as_number(value: Any, what: str) -> float:
    """A finite JSON number as float; InputError naming `what` otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{what} is {str(value)[:40]!r}; a number is needed")
    with suppress(OverflowError):
        if math.isfinite(value):
            return float(value)
    raise InputError(f"{what} is not a finite number")


def as_side(value: Any, what: str) -> int:
    """An image side in pixels; whole floats are accepted."""
    number = as_number(value, what)
    if number != int(number) or number < 1:
        raise InputError(f"{what} is {value}; a whole number of pixels is needed")
    return int(number)


def as_matrix(value: Any, shapes: tuple[tuple[int, ...], ...], what: str) -> np.ndarray:
    """A nested list of one of the given shapes as float64; InputError naming `what` otherwise."""
    try:
        matrix = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.zeros(0)
    if matrix.shape not in shapes:
        wanted = " or ".join("x".join(map(str, shape)) + (" flat" if len(shape) == 1 else "") for shape in shapes)
        raise InputError(f"{what} is not a {wanted} list of numbers")
    return matrix


def pinhole(fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    """(3, 3) intrinsics."""
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:120]
