"""`.spz`, Niantic's compressed scenes: about 9 bytes a Gaussian. Versions 1 to 3 are one gzip stream, version 4 is a
plain header and a Zstandard stream for each attribute. Stored axes are RUB: y up, the view looks along -z."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from openlyra.errors import InputError, MissingExtraError
from openlyra.formats.axes import turned_back
from openlyra.formats.packing import from_smallest_three, smallest_three
from openlyra.formats.scene_checks import file_bytes, for_writing, from_file
from openlyra.gaussians.types import Gaussians
from openlyra.media.atomic import write_bytes_atomic

VERSIONS = (3, 4)
"""Versions that can be written; 1 and 2 are read as well."""
MAX_EXPANSION = 16
"""A file may promise this many times its own size in unpacked data (real scenes: under 4) ..."""
FREE_EXPANSION = 1 << 26
"""... and always this many bytes (a million Gaussians with all harmonics)."""
FRACTIONAL_BITS = 12
"""Positions are whole multiples of 2**-12 unless the scene is too large or very small for that."""
_MAGIC = 0x5053474E
_HEADER = struct.Struct("<IIIBBBB")
_STREAMS = struct.Struct("<IIIBBBBI12x")
_FIELD_LIMIT = (1 << 23) - 1
_COLOR_SCALE = 0.15
_HARMONICS_BITS = (5, 4)  # degree 1, higher degrees


@dataclass(frozen=True)
class _Header:
    version: int
    count: int
    degree: int
    fractional_bits: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes a Gaussian of positions, opacities, colours, scales, rotations and harmonics."""
        positions, rotations = (6 if self.version == 1 else 9), (4 if self.version >= 3 else 3)
        return positions, 1, 3, 3, rotations, 3 * ((self.degree + 1) ** 2 - 1)


def write_spz(gaussians: Gaussians, path: str | os.PathLike[str], *, up: str = "y-up", version: int = 3) -> None:
    """Write N Gaussians, whole or not at all, with the same bytes every time.

    Positions become multiples of 2**-12 (other powers for very large or small scenes), log scales of 1/16, colours
    and opacities 8 bits, rotations 10 bits a component, harmonics 5 bits of [-1, 1) (degree 1) and 4 bits (above).
    `up`: the format means "y-up"; other axes are for programs that do not turn. `version`: 3 is what viewers read
    most widely, 4 needs the extra `formats`. Raises InputError for an empty scene and values that are not finite.
    """
    what = os.fspath(path)
    if version not in VERSIONS:
        raise InputError(f"version is {version}; .spz can be written in versions {' and '.join(map(str, VERSIONS))}")
    scene = for_writing(gaussians, up, what)
    bits = _fractional_bits(float(np.abs(scene.means).max()))
    arrays = _encode(scene, bits)
    head = (_MAGIC, version, scene.count, scene.sh_degree, bits, 0)
    if version == 3:
        raw = _HEADER.pack(*head, 0) + b"".join(arrays)
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)  # a gzip stream without a time stamp
        write_bytes_atomic(path, packer.compress(raw) + packer.flush())
        return
    compress = _zstandard().ZstdCompressor(level=9).compress
    streams = [(compress(array), len(array)) for array in arrays if array]
    table = b"".join(struct.pack("<QQ", len(packed), size) for packed, size in streams)
    start = _STREAMS.pack(*head, len(streams), _STREAMS.size)
    write_bytes_atomic(path, start + table + b"".join(packed for packed, _ in streams))


def _fractional_bits(largest: float) -> int:
    """12 when |coordinates| fill 16 to 23 bits with it; fewer for larger scenes, more for smaller ones."""
    bits = FRACTIONAL_BITS
    while bits > 0 and largest * 2.0**bits > _FIELD_LIMIT:
        bits -= 1
    while bits < 20 and largest * 2.0**bits < 1 << 15:
        bits += 1
    return bits


def _encode(scene: Gaussians, bits: int) -> list[bytes]:
    fixed = np.clip(np.rint(scene.means.astype(np.float64) * 2.0**bits), -_FIELD_LIMIT, _FIELD_LIMIT).astype("<i4")
    opacities = _byte(scene.opacities * 255.0)
    colors = _byte(scene.sh[:, 0] * (_COLOR_SCALE * 255.0) + 127.5)
    scales = _byte((np.log(scene.scales) + 10.0) * 16.0)
    positions = fixed.view(np.uint8).reshape(-1, 3, 4)[..., :3]
    parts = [positions, opacities, colors, scales, _pack_rotations(scene.quaternions), _pack_harmonics(scene.sh)]
    return [np.ascontiguousarray(part).tobytes() for part in parts]


def _byte(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _pack_rotations(quaternions: np.ndarray) -> np.ndarray:
    """Order x y z w; a sign and 9 bits for each of the three smaller components, the first in the highest bits."""
    largest, three = smallest_three(quaternions[:, [1, 2, 3, 0]].astype(np.float64))
    magnitude = np.minimum(np.rint(np.abs(three) * (np.sqrt(2.0) * 511.0)), 511).astype(np.uint32)
    word = largest.astype(np.uint32)
    for column in ((three < 0).astype(np.uint32) << np.uint32(9) | magnitude).T:
        word = (word << np.uint32(10)) | column
    return word.astype("<u4")


def _pack_harmonics(sh: np.ndarray) -> np.ndarray:
    """(N, K - 1, 3) bytes, rounded to the middle of buckets so that they compress."""
    values = np.rint(sh[:, 1:].astype(np.float64) * 128.0 + 128.0)
    bucket = np.full((1, sh.shape[1] - 1, 1), 1 << (8 - _HARMONICS_BITS[1]))
    bucket[:, :3] = 1 << (8 - _HARMONICS_BITS[0])
    return np.clip(np.floor((values + bucket / 2) / bucket) * bucket, 0, 255).astype(np.uint8)


def read_spz(path: str | os.PathLike[str], *, up: str | None = None) -> Gaussians:
    """Read versions 1 to 4 of `.spz`; version 4 needs the extra `formats`.

    What the header promises is compared with the size of the file before anything is unpacked, and no more than that
    is unpacked. Harmonics of degree 4 are left out with a warning. `up` says which axes the file is in (y-up by
    default); the result is y-down. Raises InputError for anything that is not a whole `.spz` file.
    """
    what = os.fspath(path)
    data = file_bytes(path)
    if data[:2] == b"\x1f\x8b":
        header, arrays = _unpack_gzip(data, what)
    elif data[:4] == struct.pack("<I", _MAGIC):
        header, arrays = _unpack_streams(data, what)
    else:
        raise InputError(f"{what}: is not an .spz file (it starts neither with gzip nor with NGSP)")
    return turned_back(_decode(header, arrays, what), up or "y-up")


def _checked_header(fields: tuple[int, ...], versions: tuple[int, ...], file_size: int, what: str) -> _Header:
    magic, version, count, degree, bits = fields[:5]
    if magic != _MAGIC:
        raise InputError(f"{what}: is not an .spz file (its header does not say NGSP)")
    if version not in versions:
        raise InputError(f"{what}: is .spz version {version} in this container; versions 1 to 4 can be read")
    if degree > 4 or bits > 30:
        raise InputError(f"{what}: the .spz header is damaged (harmonics of degree {degree}, {bits} fractional bits)")
    header = _Header(version, count, degree, bits)
    promised = count * sum(header.sizes)
    if count == 0 or promised > max(FREE_EXPANSION, MAX_EXPANSION * file_size):
        raise InputError(
            f"{what}: promises {count} Gaussians, {promised} bytes unpacked, in a file of {file_size} bytes; "
            "that is not a scene"
        )
    return header


def _unpack_gzip(data: bytes, what: str) -> tuple[_Header, list[bytes]]:
    try:
        first = zlib.decompressobj(31).decompress(data, _HEADER.size)
        if len(first) < _HEADER.size:
            raise InputError(f"{what}: the file ends inside its .spz header")
        header = _checked_header(_HEADER.unpack(first), (1, 2, 3), len(data), what)
        size = header.count * sum(header.sizes)
        # A little more than needed: at the end of the stream its check sum is verified.
        raw = zlib.decompressobj(31).decompress(data, _HEADER.size + size + 4096)
    except zlib.error as error:
        raise InputError(f"{what}: the compressed data is damaged ({error})") from None
    if len(raw) < _HEADER.size + size:
        raise InputError(f"{what}: promises {header.count} Gaussians but is cut short")
    return header, list(_cut(raw, _HEADER.size, header))


def _cut(raw: bytes, start: int, header: _Header) -> Iterator[bytes]:
    for size in header.sizes:
        stop = start + size * header.count
        yield raw[start:stop]
        start = stop


def _unpack_streams(data: bytes, what: str) -> tuple[_Header, list[bytes]]:
    if len(data) < _STREAMS.size:
        raise InputError(f"{what}: the file ends inside its .spz header")
    fields = _STREAMS.unpack_from(data)
    header = _checked_header(fields, (4,), len(data), what)
    streams, table = fields[6], fields[7]
    start = table + 16 * streams
    if table < _STREAMS.size or start > len(data):
        raise InputError(f"{what}: the table of its streams lies outside the file")
    entries = iter([struct.unpack_from("<QQ", data, table + 16 * index) for index in range(streams)])
    arrays = []
    for size in (size * header.count for size in header.sizes):
        packed, unpacked = next(entries, (0, 0)) if size else (0, 0)
        if unpacked != size or packed > len(data) - start:
            raise InputError(f"{what}: its streams do not hold {header.count} Gaussians; it is cut short or damaged")
        arrays.append(_unzstd(data[start : start + packed], size, what) if size else b"")
        start += packed
    return header, arrays


def _unzstd(packed: bytes, size: int, what: str) -> bytes:
    zstandard = _zstandard()
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(io.BytesIO(packed)) as reader:
            raw = reader.read(size)
    except zstandard.ZstdError as error:
        raise InputError(f"{what}: the compressed data is damaged ({error})") from None
    if len(raw) != size:
        raise InputError(f"{what}: a stream holds {len(raw)} bytes instead of {size}; it is cut short")
    return raw


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError:
        raise MissingExtraError("zstandard (for .spz version 4)", "formats") from None
    return zstandard


def _decode(header: _Header, arrays: list[bytes], what: str) -> Gaussians:
    octets = [np.frombuffer(array, np.uint8).reshape(header.count, -1) for array in arrays]
    positions, opacities, colors, scales, rotations, rest = octets
    higher = (header.degree + 1) ** 2 - 1
    if header.degree > 3:
        warnings.warn(f"{what}: has harmonics of degree {header.degree}; those above 3 are left out", stacklevel=3)
    kept = min(higher, 15)
    sh = np.empty((header.count, kept + 1, 3), np.float32)
    sh[:, 0] = (colors.astype(np.float32) - 127.5) / (_COLOR_SCALE * 255.0)
    sh[:, 1:] = (rest.reshape(header.count, higher, 3)[:, :kept].astype(np.float32) - 128.0) / 128.0
    return from_file(
        what,
        _positions(positions, header),
        _rotations(rotations, header),
        scales.astype(np.float32) / 16.0 - 10.0,
        opacities[:, 0].astype(np.float32) / 255.0,
        sh,
    )


def _positions(octets: np.ndarray, header: _Header) -> np.ndarray:
    if header.version == 1:
        return np.ascontiguousarray(octets).view("<f2").astype(np.float32)
    fixed = np.zeros((header.count, 3, 4), np.uint8)
    fixed[..., 1:] = octets.reshape(header.count, 3, 3)
    return ((fixed.view("<i4")[..., 0] >> 8) / 2.0**header.fractional_bits).astype(np.float32)


def _rotations(octets: np.ndarray, header: _Header) -> np.ndarray:
    """(N, 4) w x y z."""
    if header.version < 3:
        xyz = octets.astype(np.float32) / 127.5 - 1.0
        w = np.sqrt(np.maximum(0.0, 1.0 - (xyz**2).sum(1, keepdims=True)))
        return np.concatenate([w, xyz], 1)
    word = np.ascontiguousarray(octets).view("<u4")[:, 0]
    fields = np.stack([(word >> np.uint32(shift)) & np.uint32(1023) for shift in (20, 10, 0)], 1)
    three = (fields & 511).astype(np.float32) * np.float32(np.sqrt(0.5) / 511.0)
    three *= np.where(fields & 512, np.float32(-1), np.float32(1))
    xyzw = from_smallest_three((word >> np.uint32(30)).astype(np.int64), three)
    return xyzw[:, [3, 0, 1, 2]]
