"""Gaussian scenes in the usual 3D Gaussian Splatting `.ply` layout: log scales, logit opacity, quaternions w x y z."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

import numpy as np

from openlyra.errors import InputError
from openlyra.formats import compressed_ply
from openlyra.formats.axes import AXES, stated_up, turned, turned_back
from openlyra.formats.ply_header import Header, read_element, read_header
from openlyra.formats.scene_checks import MAX_LOG_SCALE, OPACITY_MARGIN, from_file
from openlyra.gaussians.spherical_harmonics import C0
from openlyra.gaussians.types import Gaussians
from openlyra.media.atomic import atomic_path

FLAT_LOG_SCALE = float(np.log(1e-6))
"""Thickness given to files with two scales (flat discs)."""
LAYOUTS = ("compact", "compatible")
_BLOCK = 1 << 18
_REST_DEGREE = {0: 0, 9: 1, 24: 2, 45: 3}


def write_ply(
    gaussians: Gaussians,
    path: str | os.PathLike[str],
    *,
    layout: str = "compact",
    up: str = "y-down",
    generator: str = "OpenLyra",
    units: str = "unknown",
    comments: Sequence[str] = (),
) -> None:
    """Write N Gaussians to a binary little-endian PLY file, whole or not at all, with the same bytes every time.

    `layout`: "compact" leaves normals out and writes only the spherical harmonics there are (56 bytes a Gaussian at
    degree 0); "compatible" adds zero normals and always 45 `f_rest` columns, for loaders that insist (248 bytes).
    `up`: see `openlyra.formats.axes.UP`. `units` is what one unit of length is, such as metre.
    Raises InputError on unknown options and on values that are not finite.
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout is '{layout}'; it must be one of {', '.join(LAYOUTS)}")
    turned_scene = turned(gaussians, up)
    notes = [f"generator {generator}", f"axes {AXES[up]}", f"units {units}", "antialiased 0"]
    notes += [f"sh_degree {gaussians.sh_degree}", *comments]
    names = _column_names(turned_scene.sh.shape[1], layout)
    header = ["ply", "format binary_little_endian 1.0"]
    header += [f"comment {' '.join(note.split())}" for note in notes]
    header += [f"element vertex {turned_scene.count}", *(f"property float {name}" for name in names), "end_header", ""]
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write("\n".join(header).encode("utf-8"))
        for block in _rows(turned_scene, names, layout, os.fspath(path)):
            file.write(block.data)


def _column_names(coefficients: int, layout: str) -> list[str]:
    rest = 45 if layout == "compatible" else 3 * (coefficients - 1)
    normals = ["nx", "ny", "nz"] if layout == "compatible" else []
    names = ["x", "y", "z", *normals, *(f"f_dc_{i}" for i in range(3)), *(f"f_rest_{i}" for i in range(rest))]
    return [*names, "opacity", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]


def _rows(gaussians: Gaussians, names: Sequence[str], layout: str, what: str) -> Iterator[np.ndarray]:
    """Blocks of float32 rows (at most _BLOCK, len(names)), so that memory stays small for any scene."""
    column = {name: index for index, name in enumerate(names)}
    higher = gaussians.sh.shape[1] - 1
    rest_stride = 15 if layout == "compatible" else higher
    for start in range(0, gaussians.count, _BLOCK):
        part = slice(start, start + _BLOCK)
        means = gaussians.means[part]
        rows = np.zeros((len(means), len(names)), dtype="<f4")
        rows[:, :3] = means
        rows[:, column["f_dc_0"] : column["f_dc_2"] + 1] = gaussians.sh[part, 0]
        for channel in range(3 if higher else 0):
            first = column["f_rest_0"] + channel * rest_stride
            rows[:, first : first + higher] = gaussians.sh[part, 1:, channel]
        rows[:, column["opacity"]] = _logit(gaussians.opacities[part])
        rows[:, column["scale_0"] : column["scale_2"] + 1] = _log_scale(gaussians.scales[part])
        rows[:, column["rot_0"] :] = gaussians.quaternions[part]
        bad = int((~np.isfinite(rows)).any(1).sum())
        if bad:
            raise InputError(f"{what}: {bad} Gaussians from row {start} on hold NaN or infinity; nothing was written")
        yield rows


def _logit(opacities: np.ndarray) -> np.ndarray:
    clamped = np.clip(opacities.astype(np.float64), OPACITY_MARGIN, 1.0 - OPACITY_MARGIN)
    return np.log(clamped) - np.log1p(-clamped)


def _log_scale(scales: np.ndarray) -> np.ndarray:
    return np.log(np.clip(scales.astype(np.float64), np.exp(-MAX_LOG_SCALE), np.exp(MAX_LOG_SCALE)))


def read_ply(path: str | os.PathLike[str], *, up: str | None = None) -> Gaussians:
    """Read a Gaussian PLY file of any dialect in use: columns are found by name.

    Accepts binary (either byte order) and ASCII files, any numeric types, extra properties and elements, missing
    normals, `red green blue` instead of `f_dc_*`, two scales instead of three (flat discs), and compressed PLY files.
    Rows with NaN, infinity or a zero quaternion are dropped with one warning that counts them.

    `up` says which axes the file is in; by default those of its comment `axes`, else y-down. The result is y-down.
    Raises InputError on anything else that is not a scene of Gaussians.
    """
    what = os.fspath(path)
    try:
        with open(path, "rb") as file:
            header = read_header(file, what)
            size = os.fstat(file.fileno()).st_size
            if compressed_ply.is_compressed(header):
                scene = compressed_ply.read_packed(file, size, header, what)
            else:
                scene = _gaussians(_vertex_columns(file, size, header, what), what)
    except OSError as error:
        raise InputError(f"{what}: cannot be read ({error.strerror})") from error
    return turned_back(scene, up or _axes_of(header))


def read_point_cloud(path: str | os.PathLike[str]) -> np.ndarray:
    """(N, 3) float64 positions of the vertices of any PLY file, in its own axes. InputError if it is none."""
    what = os.fspath(path)
    try:
        with open(path, "rb") as file:
            header = read_header(file, what)
            index = header.find("vertex")
            names = set() if index is None else {prop.name for prop in header.elements[index].properties}
            if index is None or not {"x", "y", "z"} <= names:
                raise InputError(f"{what}: has no vertices with x, y and z, so it is no point cloud")
            columns = read_element(file, os.fstat(file.fileno()).st_size, header, index, what)
    except OSError as error:
        raise InputError(f"{what}: cannot be read ({error.strerror})") from error
    return np.stack([np.asarray(columns[name], np.float64) for name in "xyz"], 1)


def _axes_of(header: Header) -> str:
    stated = [stated_up(note.removeprefix("axes ").strip()) for note in header.comments if note.startswith("axes ")]
    return next((up for up in stated if up), "y-down")


def _vertex_columns(file: BinaryIO, file_size: int, header: Header, what: str) -> dict[str, np.ndarray]:
    index = header.find("vertex")
    if index is None:
        raise InputError(f"{what}: has no element 'vertex', so it holds no Gaussians")
    names = {prop.name for prop in header.elements[index].properties}
    needed = ["x", "y", "z", "opacity", "scale_0", "scale_1", "rot_0", "rot_1", "rot_2", "rot_3"]
    missing = [name for name in needed if name not in names]
    if missing:
        raise InputError(
            f"{what}: the column '{missing[0]}' is missing, so this is a point cloud or mesh, not Gaussians"
        )
    return read_element(file, file_size, header, index, what)


def _stack(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """(N, len(names)) float32, filled column by column."""
    out = np.empty((len(columns["x"]), len(names)), np.float32)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity, which is dropped below
        for index, name in enumerate(names):
            out[:, index] = columns[name]
    return out


def _gaussians(columns: Mapping[str, np.ndarray], what: str) -> Gaussians:
    means = _stack(columns, ["x", "y", "z"])
    quaternions = _stack(columns, [f"rot_{i}" for i in range(4)])
    scale_names = [name for name in ("scale_0", "scale_1", "scale_2") if name in columns]
    log_scales = _stack(columns, scale_names)
    if len(scale_names) == 2:
        log_scales = np.concatenate([log_scales, np.full((len(means), 1), FLAT_LOG_SCALE, np.float32)], 1)
    logits = _stack(columns, ["opacity"])[:, 0]
    sh = _spherical_harmonics(columns, what)
    with np.errstate(over="ignore", invalid="ignore"):
        opacities = (1.0 / (1.0 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    return from_file(what, means, quaternions, log_scales, opacities, sh)


def _spherical_harmonics(columns: Mapping[str, np.ndarray], what: str) -> np.ndarray:
    """(N, K, 3); files hold the higher coefficients channel by channel."""
    if all(f"f_dc_{i}" in columns for i in range(3)):
        dc = _stack(columns, ["f_dc_0", "f_dc_1", "f_dc_2"])
    elif all(name in columns for name in ("red", "green", "blue")):
        rgb = _stack(columns, ["red", "green", "blue"])
        whole = columns["red"].dtype.kind in "iu" or bool(len(rgb) and np.nanmax(rgb) > 1.0)
        with np.errstate(over="ignore"):
            dc = (rgb / (255.0 if whole else 1.0) - 0.5) / np.float32(C0)
    else:
        raise InputError(f"{what}: has neither f_dc_0..2 nor red, green, blue, so the Gaussians have no colour")
    rest = sum(1 for name in columns if name.startswith("f_rest_"))
    names = [f"f_rest_{i}" for i in range(rest)]
    if rest not in _REST_DEGREE or any(name not in columns for name in names):
        raise InputError(f"{what}: has {rest} f_rest columns; degrees 0 to 3 have 0, 9, 24 or 45, numbered from 0")
    higher = rest // 3
    if not higher:
        return dc[:, None]
    sh = np.empty((len(dc), higher + 1, 3), np.float32)
    sh[:, 0] = dc
    sh[:, 1:] = _stack(columns, names).reshape(-1, 3, higher).swapaxes(1, 2)
    return sh
