"""The text part of a PLY file: elements and their properties, read with suspicion and checked against the file size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from openlyra.errors import InputError

MAX_HEADER_BYTES = 64 * 1024
"""A longer header is refused; real ones take a few kilobytes."""

_CODES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4",
    "float64": "f8", "double": "f8",
}  # fmt: skip
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}


@dataclass(frozen=True)
class Property:
    """One column of an element."""

    name: str
    code: str
    """NumPy type code without byte order, such as f4; empty for a list."""


@dataclass(frozen=True)
class Element:
    """One table of a PLY file."""

    name: str
    count: int
    properties: tuple[Property, ...]

    @property
    def has_list(self) -> bool:
        """Rows of varying length: the place of anything behind them is unknown without reading them."""
        return any(not prop.code for prop in self.properties)

    def dtype(self, order: str) -> np.dtype:
        """Packed row type."""
        return np.dtype([(prop.name, order + prop.code) for prop in self.properties])


@dataclass(frozen=True)
class Header:
    """A whole PLY header."""

    encoding: str
    """ascii, binary_little_endian or binary_big_endian."""
    elements: tuple[Element, ...]
    comments: tuple[str, ...]
    size: int
    """Bytes up to and with the line break behind end_header."""

    @property
    def order(self) -> str:
        """NumPy byte order mark."""
        return _ORDERS[self.encoding]

    def find(self, name: str) -> int | None:
        """Index of the element with this name."""
        return next((index for index, element in enumerate(self.elements) if element.name == name), None)


def read_header(file: BinaryIO, what: str) -> Header:
    """Read the header from the start of a binary file; `what` names the file in errors (InputError)."""
    head = file.read(MAX_HEADER_BYTES)
    if head[:3] != b"ply" or head[3:4] not in (b"\n", b"\r"):
        raise InputError(f"{what}: is not a PLY file (it does not start with 'ply')")
    end = head.find(b"\nend_header")
    if end < 0:
        raise InputError(
            f"{what}: no end_header within the first {MAX_HEADER_BYTES // 1024} KiB; the PLY header is damaged"
        )
    stop = head.find(b"\n", end + 1)
    if stop < 0:
        raise InputError(f"{what}: the file ends inside its PLY header")
    try:
        lines = head[:end].decode("utf-8", errors="replace").splitlines()[1:]
        return _parse(lines, stop + 1, what)
    except (ValueError, IndexError) as error:
        raise InputError(f"{what}: the PLY header is damaged ({error})") from error


def _parse(lines: Sequence[str], size: int, what: str) -> Header:
    encoding = ""
    comments: list[str] = []
    elements: list[tuple[str, int, list[Property]]] = []
    for line in lines:
        words = line.split()
        if not words or words[0] == "obj_info":
            continue
        if words[0] == "comment":
            comments.append(line.strip()[len("comment") :].strip())
        elif words[0] == "format":
            encoding = words[1]
        elif words[0] == "element":
            elements.append((words[1], int(words[2]), []))
        elif words[0] == "property":
            if not elements:
                raise ValueError("a property before the first element")
            elements[-1][2].append(_property(words))
        else:
            raise ValueError(f"unknown line '{line[:60]}'")
    if encoding not in _ORDERS:
        raise InputError(f"{what}: PLY format '{encoding}' is unknown; it must be one of {', '.join(_ORDERS)}")
    for name, count, properties in elements:
        names = [prop.name for prop in properties]
        if count < 0 or len(set(names)) != len(names):
            raise ValueError(f"element {name}: a negative count or a repeated property")
    return Header(encoding, tuple(Element(n, c, tuple(p)) for n, c, p in elements), tuple(comments), size)


def _property(words: Sequence[str]) -> Property:
    if words[1] == "list":
        return Property(words[4], "")
    if words[1] not in _CODES:
        raise ValueError(f"unknown type '{words[1]}'")
    return Property(words[2], _CODES[words[1]])


def read_element(file: BinaryIO, file_size: int, header: Header, index: int, what: str) -> dict[str, np.ndarray]:
    """All columns of one element as {name: (N,) array}, in the file's own types (float64 from ASCII files).

    The promised rows are compared with the size of the file before anything is allocated.
    """
    element = header.elements[index]
    listed = next((e.name for e in header.elements[: index + 1] if e.has_list), None)
    if listed is not None:
        raise InputError(
            f"{what}: element '{listed}' holds lists, so this is a mesh or an unknown dialect, not Gaussians"
        )
    if header.encoding == "ascii":
        return _read_ascii(file, file_size, header, index, what)
    row = element.dtype(header.order)
    start = header.size + sum(e.count * e.dtype(header.order).itemsize for e in header.elements[:index])
    _check_size(start + element.count * row.itemsize, file_size, element, what)
    file.seek(start)
    codes = {prop.code for prop in element.properties}
    if len(codes) == 1:
        flat = np.fromfile(file, dtype=header.order + codes.pop(), count=element.count * len(element.properties))
        columns = flat.reshape(element.count, len(element.properties))
        return {prop.name: columns[:, i] for i, prop in enumerate(element.properties)}
    rows = np.fromfile(file, dtype=row, count=element.count)
    return {prop.name: rows[prop.name] for prop in element.properties}


def _check_size(needed: int, file_size: int, element: Element, what: str) -> None:
    if needed > file_size:
        raise InputError(
            f"{what}: promises {element.count} rows of '{element.name}', which takes at least {needed} bytes, "
            f"but the file has {file_size}; it is cut short or damaged"
        )


def _read_ascii(file: BinaryIO, file_size: int, header: Header, index: int, what: str) -> dict[str, np.ndarray]:
    element = header.elements[index]
    # The shortest possible value is one digit and a separator.
    minimum = sum(e.count * 2 * len(e.properties) for e in header.elements[: index + 1])
    _check_size(header.size + minimum - 1, file_size, element, what)
    file.seek(header.size)
    lines = file.read().splitlines()
    first = sum(e.count for e in header.elements[:index])
    try:
        words = b" ".join(lines[first : first + element.count]).split()
        table = np.fromiter(map(float, words), np.float64, len(words)).reshape(element.count, len(element.properties))
    except ValueError as error:
        raise InputError(
            f"{what}: the rows of '{element.name}' are not {element.count} lines of numbers ({error})"
        ) from error
    return {prop.name: table[:, i] for i, prop in enumerate(element.properties)}
