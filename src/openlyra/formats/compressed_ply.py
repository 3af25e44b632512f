"""Compressed PLY, as PlayCanvas and SuperSplat read it: chunks of 256 neighbours, 16 bytes a Gaussian.

Element `chunk` holds the ranges of position, log scale and colour of 256 Gaussians; `vertex` packs each Gaussian into
four 32-bit words inside those ranges; `sh` holds the higher spherical harmonics in a byte each. Axes as in plain PLY.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from openlyra.errors import InputError
from openlyra.formats.axes import AXES
from openlyra.formats.packing import from_smallest_three, morton_order, smallest_three
from openlyra.formats.ply_header import Header, read_element
from openlyra.formats.scene_checks import for_writing, from_file
from openlyra.gaussians.spherical_harmonics import C0
from openlyra.gaussians.types import Gaussians
from openlyra.media.atomic import atomic_path

CHUNK = 256
"""Gaussians that share one row of ranges."""
SH_RANGE = 4.0
"""Higher coefficients are clamped to +- this; a byte is a step of 1/32."""
_WORDS = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
_RANGES = ("", "scale_")
_POSITION_BITS = ((21, 11), (11, 10), (0, 11))
_COLOR_BITS = ((24, 8), (16, 8), (8, 8))


def write_compressed_ply(
    gaussians: Gaussians,
    path: str | os.PathLike[str],
    *,
    up: str = "y-down",
    generator: str = "OpenLyra",
    comments: Sequence[str] = (),
) -> None:
    """Write N Gaussians in chunks of 256 along a space-filling curve, whole or not at all.

    Positions, log scales and colours keep 10 or 11, 10 or 11 and 8 bits of their chunk's range, rotations 10 bits a
    component, opacities 8, harmonics 8 bits of [-4, 4). `up`: see `openlyra.formats.axes.UP`. Raises InputError for
    an empty scene and values that are not finite.
    """
    what = os.fspath(path)
    scene = for_writing(gaussians, up, what)
    scene = scene.select(morton_order(scene.means))
    values = {
        "": (scene.means, _POSITION_BITS),
        "scale_": (np.log(scene.scales), _POSITION_BITS),
        "color": (scene.colors, _COLOR_BITS),
    }
    ranges, words = [], {}
    for name, (columns, bits) in values.items():
        low, high, words[name] = _pack(columns, bits)
        ranges += [low, high]
    opacity = np.rint(scene.opacities * 255.0).astype(np.uint32)
    packed = np.stack([words[""], _pack_rotation(scene.quaternions), words["scale_"], words["color"] | opacity], 1)
    harmonics = _harmonics_bytes(scene.sh)
    notes = [f"generator {generator}", f"axes {AXES[up]}", *comments]
    chunks = np.concatenate(ranges, 1)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(_header(notes, len(chunks), scene.count, harmonics.shape[1]).encode())
        for block in (chunks.astype("<f4"), packed.astype("<u4"), harmonics):
            file.write(np.ascontiguousarray(block).data)


def _header(notes: Sequence[str], chunks: int, count: int, rest: int) -> str:
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {' '.join(note.split())}" for note in notes)]
    lines += [f"element chunk {chunks}", *(f"property float {name}" for name in _range_names(colors=True))]
    lines += [f"element vertex {count}", *(f"property uint {name}" for name in _WORDS)]
    if rest:
        lines += [f"element sh {count}", *(f"property uchar f_rest_{i}" for i in range(rest))]
    return "\n".join([*lines, "end_header", ""])


def _range_names(colors: bool) -> list[str]:
    names = [f"{end}_{what}{axis}" for what in _RANGES for end in ("min", "max") for axis in "xyz"]
    return names + ([f"{end}_{channel}" for end in ("min", "max") for channel in "rgb"] if colors else [])


def _pack(values: np.ndarray, bits: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chunk minima and maxima (M, 3) of values (N, 3), and each row as one word inside its chunk's range."""
    starts = np.arange(0, len(values), CHUNK)
    low = np.minimum.reduceat(values, starts, axis=0).astype(np.float32)
    high = np.maximum.reduceat(values, starts, axis=0).astype(np.float32)
    chunk = np.arange(len(values)) // CHUNK
    extent = np.maximum(high.astype(np.float64) - low, 1e-30)
    share = (values - low[chunk].astype(np.float64)) / extent[chunk]
    word = np.zeros(len(values), np.uint32)
    for column, (shift, width) in enumerate(bits):
        top = (1 << width) - 1
        word |= np.clip(np.rint(share[:, column] * top), 0, top).astype(np.uint32) << np.uint32(shift)
    return low, high, word


def _pack_rotation(quaternions: np.ndarray) -> np.ndarray:
    largest, three = smallest_three(quaternions.astype(np.float64))
    fields = np.clip(np.rint((three * np.sqrt(0.5) + 0.5) * 1023.0), 0, 1023).astype(np.uint32)
    word = largest.astype(np.uint32)
    for column in fields.T:
        word = (word << np.uint32(10)) | column
    return word


def _harmonics_bytes(sh: np.ndarray) -> np.ndarray:
    """(N, 3 (K - 1)) bytes, channel by channel."""
    rest = sh[:, 1:].swapaxes(1, 2).reshape(len(sh), -1)
    return np.clip(np.floor((rest / (2.0 * SH_RANGE) + 0.5) * 256.0), 0, 255).astype(np.uint8)


def is_compressed(header: Header) -> bool:
    """Whether a PLY header announces packed Gaussians."""
    index = header.find("vertex")
    return index is not None and any(p.name == "packed_position" for p in header.elements[index].properties)


def read_packed(file: BinaryIO, file_size: int, header: Header, what: str) -> Gaussians:
    """The Gaussians of a compressed PLY file, in the file's axes; InputError when it is damaged."""
    words = _columns(file, file_size, header, "vertex", _WORDS, "u4i4", what)
    with np.errstate(invalid="ignore"):  # numbers in ASCII files may be anything
        packed = [words[name].astype(np.uint32) for name in _WORDS]
    count = len(packed[0])
    chunks, colors = _chunks(file, file_size, header, count, what)
    chunk = np.arange(count) // CHUNK
    means, log_scales = (
        _unpack(word, _POSITION_BITS, low[chunk], high[chunk])
        for word, (low, high) in zip((packed[0], packed[2]), chunks, strict=True)
    )
    rgb = _unpack(packed[3], _COLOR_BITS, colors[0][chunk], colors[1][chunk])
    sh = _harmonics(file, file_size, header, count, what)
    with np.errstate(over="ignore"):  # infinity is dropped below
        sh[:, 0] = (rgb - np.float32(0.5)) / np.float32(C0)
    opacities = (packed[3] & np.uint32(255)).astype(np.float32) / 255.0
    return from_file(what, means, _unpack_rotation(packed[1]), log_scales, opacities, sh)


def _columns(
    file: BinaryIO, file_size: int, header: Header, element: str, names: Sequence[str], codes: str, what: str
) -> dict[str, np.ndarray]:
    index = header.find(element)
    if index is None:
        raise InputError(f"{what}: has no element '{element}', which a compressed PLY needs")
    known = {prop.name: prop.code for prop in header.elements[index].properties}
    for name in names:
        if not known.get(name) or known[name] not in codes:
            raise InputError(f"{what}: the element '{element}' has no usable column '{name}'")
    return read_element(file, file_size, header, index, what)


def _chunks(
    file: BinaryIO, file_size: int, header: Header, count: int, what: str
) -> tuple[list[tuple[np.ndarray, np.ndarray]], tuple[np.ndarray, np.ndarray]]:
    """Ranges ((M, 3) low, (M, 3) high) of positions and log scales, and of colours (0 to 1 in older files)."""
    table = _columns(file, file_size, header, "chunk", _range_names(colors=False), "f4f8", what)
    rows = len(table["min_x"])
    if rows * CHUNK < count:
        raise InputError(f"{what}: has {rows} chunks for {count} Gaussians; {-(-count // CHUNK)} are needed")

    def block(end: str, names: Sequence[str]) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.stack([table[f"{end}_{name}"] for name in names], 1).astype(np.float32)

    ranges = []
    for prefix in _RANGES:
        names = [f"{prefix}{axis}" for axis in "xyz"]
        ranges.append((block("min", names), block("max", names)))
    if all(name in table for name in _range_names(colors=True)):
        return ranges, (block("min", "rgb"), block("max", "rgb"))
    return ranges, (np.zeros((rows, 3), np.float32), np.ones((rows, 3), np.float32))


def _unpack(word: np.ndarray, bits: Sequence[tuple[int, int]], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(N, 3) float32 values of packed words inside the ranges (N, 3)."""
    values = np.empty((len(word), 3), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # a damaged range gives NaN, and those rows are dropped
        for column, (shift, width) in enumerate(bits):
            top = (1 << width) - 1
            share = ((word >> np.uint32(shift)) & np.uint32(top)).astype(np.float32) / np.float32(top)
            values[:, column] = low[:, column] * (1 - share) + high[:, column] * share
    return values


def _unpack_rotation(word: np.ndarray) -> np.ndarray:
    fields = np.stack([(word >> np.uint32(shift)) & np.uint32(1023) for shift in (20, 10, 0)], 1)
    three = (fields.astype(np.float32) / 1023.0 - 0.5) * np.float32(np.sqrt(2.0))
    return from_smallest_three((word >> np.uint32(30)).astype(np.int64), three)


def _harmonics(file: BinaryIO, file_size: int, header: Header, count: int, what: str) -> np.ndarray:
    """(N, K, 3) with room for the base colour in front."""
    index = header.find("sh")
    if index is None:
        return np.zeros((count, 1, 3), np.float32)
    rest = sum(1 for prop in header.elements[index].properties if prop.name.startswith("f_rest_"))
    if rest not in (9, 24, 45) or header.elements[index].count != count:
        raise InputError(f"{what}: the element 'sh' has {rest} f_rest columns or not one row for each Gaussian")
    table = _columns(file, file_size, header, "sh", [f"f_rest_{i}" for i in range(rest)], "u1", what)
    # The ends of the byte's range stand for the ends of the value's range, everything else for the middle of its step.
    steps = np.concatenate([[0.0], np.arange(1, 255) + 0.5, [256.0]])
    values = ((steps / 256.0 - 0.5) * 2.0 * SH_RANGE).astype(np.float32)
    sh = np.zeros((count, rest // 3 + 1, 3), np.float32)
    for column in range(rest):
        with np.errstate(invalid="ignore"):
            octets = table[f"f_rest_{column}"].astype(np.uint8)
        sh[:, 1 + column % (rest // 3), column // (rest // 3)] = values[octets]
    return sh
