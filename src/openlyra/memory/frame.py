"""One remembered frame: picture, geometry, camera; and its file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.media.atomic import write_bytes_atomic
from openlyra.media.image import scaled

MAX_PIXELS = 64_000_000
"""Largest frame that is read from a file."""


@dataclass(frozen=True, eq=False)
class MemoryFrame:
    """A frame of the walk (index >= 0) or an external view (index < 0) with z-depth in scene units."""

    index: int
    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    depth: NDArray[np.float32]
    """(H, W) z-depth; finite and positive where `valid`."""
    valid: NDArray[np.bool_]
    """(H, W) where the depth was measured."""
    sky: NDArray[np.bool_]
    """(H, W) where the finite depth stands for infinity."""
    camera: Camera
    """A single camera of H x W pixels."""

    def __post_init__(self) -> None:
        what = f"memory frame {self.index}"
        _expect(what, "image", self.image, np.uint8, 3)
        height, width = self.image.shape[:2]
        if self.image.shape[2] != 3 or height * width == 0:
            raise InputError(f"{what}: image has shape {self.image.shape}; (height, width, 3) is needed")
        for name, dtype in (("depth", np.float32), ("valid", np.bool_), ("sky", np.bool_)):
            array = getattr(self, name)
            _expect(what, name, array, dtype, 2)
            if array.shape != (height, width):
                raise InputError(f"{what}: {name} has shape {array.shape}; the image's {(height, width)} is needed")
        measured = self.depth[self.valid]
        if not (np.isfinite(measured).all() and (measured > 0).all()):
            raise InputError(f"{what}: depth holds values that are not finite and positive; mark them as not valid")
        if self.camera.batch_shape or (self.camera.height, self.camera.width) != (height, width):
            raise InputError(
                f"{what}: the camera has batch {self.camera.batch_shape} and {self.camera.width}x{self.camera.height} "
                f"pixels; a single camera of {width}x{height} is needed"
            )
        self.camera.validate(what)

    @property
    def height(self) -> int:
        """Pixels."""
        return self.image.shape[0]

    @property
    def width(self) -> int:
        """Pixels."""
        return self.image.shape[1]

    def resized(self, height: int, width: int) -> MemoryFrame:
        """The frame at another size. Depth and masks are picked, not mixed: a mean across an edge is nowhere."""
        if (self.height, self.width) == (height, width):
            return self
        rows = ((np.arange(height) + 0.5) * self.height / height).astype(int)
        columns = ((np.arange(width) + 0.5) * self.width / width).astype(int)
        depth, valid, sky = (part[rows[:, None], columns] for part in (self.depth, self.valid, self.sky))
        image = scaled(self.image, height, width)
        return MemoryFrame(self.index, image, depth, valid, sky, self.camera.resized(height, width))

    def colors(self) -> NDArray[np.float32]:
        """(3, H, W) in [-1, 1], as the networks want it."""
        return np.ascontiguousarray((self.image.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1))

    def point_map(self, stride: int = 4, *, reference_compat: bool = False) -> NDArray[np.floating[Any]]:
        """World points of every `stride`-th pixel.

        By default (N, 3) points of the valid pixels at the middle of each stride x stride cell. The reference instead
        takes the first pixel of each cell, counts pixels from integer centres and keeps unusable pixels as the world
        origin: (h, w, 3)."""
        if stride < 1:
            raise InputError(f"stride is {stride}; at least 1 pixel is needed")
        if reference_compat:
            depth = np.where(self.valid, self.depth, np.float32(0))[::stride, ::stride]
            return reference_point_map(depth, self.camera, stride)
        pick = (
            slice(min(stride // 2, self.height - 1), None, stride),
            slice(min(stride // 2, self.width - 1), None, stride),
        )
        rows, columns = np.mgrid[pick[0].start : self.height : stride, pick[1].start : self.width : stride] + 0.5
        valid = self.valid[pick]
        return _lift(columns[valid], rows[valid], self.depth[pick][valid].astype(np.float64), self.camera.numpy())


def reference_point_map(depth: NDArray[np.float32], camera: Camera, stride: int) -> NDArray[np.float64]:
    """(h, w, 3) world points of depth (h, w) of pixels 0, stride, ...; depth <= 0 gives the world origin."""
    rows, columns = np.mgrid[: depth.shape[0], : depth.shape[1]] * float(stride)
    points = _lift(columns, rows, depth.astype(np.float64), camera.numpy())
    points[~(depth > 0)] = 0
    return points


def _lift(
    columns: NDArray[np.float64], rows: NDArray[np.float64], depth: NDArray[np.float64], camera: Camera
) -> NDArray[np.float64]:
    k, pose = camera.intrinsics, camera.world_from_camera
    local = np.stack([(columns - k[0, 2]) / k[0, 0] * depth, (rows - k[1, 2]) / k[1, 1] * depth, depth], -1)
    return local @ pose[:3, :3].T + pose[:3, 3]


def _expect(what: str, name: str, array: Any, dtype: type, axes: int) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != axes:
        found = f"{array.dtype} with {array.ndim} axes" if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(f"{what}: {name} is {found}; a NumPy {np.dtype(dtype).name} array with {axes} axes is needed")


_FIELDS: dict[str, tuple[str, int]] = {
    "image": ("U8", 3),
    "depth": ("F32", 2),
    "valid": ("U8", 2),
    "sky": ("U8", 2),
    "world_from_camera": ("F64", 2),
    "intrinsics": ("F64", 2),
    "index": ("I64", 0),
    "position": ("I64", 0),
}
"""Tensors of a frame's file: safetensors type and number of axes."""


def save_frame(frame: MemoryFrame, path: str | os.PathLike[str], position: int = 0) -> None:
    """Write one safetensors file in one step; equal frames give equal bytes. `position` is the place in the memory."""
    from safetensors.numpy import save

    camera = frame.camera.numpy()
    tensors = {
        "image": frame.image,
        "depth": frame.depth,
        "valid": frame.valid.astype(np.uint8),
        "sky": frame.sky.astype(np.uint8),
        "world_from_camera": camera.world_from_camera.astype(np.float64),
        "intrinsics": camera.intrinsics.astype(np.float64),
        "index": np.array(frame.index, np.int64),
        "position": np.array(position, np.int64),
    }
    write_bytes_atomic(
        path, save({name: np.ascontiguousarray(tensor).reshape(tensor.shape) for name, tensor in tensors.items()})
    )


def load_frame(path: str | os.PathLike[str]) -> MemoryFrame:
    """Read a frame; InputError for anything that is not such a file."""
    return load_frame_and_position(path)[0]


def load_frame_and_position(path: str | os.PathLike[str]) -> tuple[MemoryFrame, int]:
    """Read a frame and its place in the memory; InputError for anything that is not such a file."""
    tensors = _read_tensors(Path(path))
    height, width = tensors["image"].shape[:2]
    shapes = {"world_from_camera": (4, 4), "intrinsics": (3, 3)}
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise InputError(f"{path}: {name} has shape {tensors[name].shape}; {shape} is needed")
    camera = Camera(tensors["world_from_camera"], tensors["intrinsics"], width, height)
    masks = {name: tensors[name] != 0 for name in ("valid", "sky")}
    try:
        frame = MemoryFrame(int(tensors["index"]), tensors["image"], tensors["depth"], **masks, camera=camera)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return frame, int(tensors["position"])


def _read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a frame's file after checking names, types and sizes."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            names = set(file.keys())
            if names != set(_FIELDS):
                odd = sorted(names ^ set(_FIELDS))
                raise InputError(f"{path}: not a memory frame; unexpected or missing tensors: {', '.join(odd)}")
            for name, (dtype, axes) in _FIELDS.items():
                part = file.get_slice(name)
                shape = part.get_shape()
                if part.get_dtype() != dtype or len(shape) != axes:
                    raise InputError(
                        f"{path}: {name} is {part.get_dtype()} {shape}; {dtype} with {axes} axes is needed"
                    )
                if int(np.prod(shape[:2], dtype=object)) > MAX_PIXELS:
                    raise InputError(f"{path}: {name} is {shape}; at most {MAX_PIXELS} pixels are read")
            return {name: file.get_tensor(name) for name in _FIELDS}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable memory frame ({error})".replace("\n", " ")) from None
