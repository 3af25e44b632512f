"""The scene as the viewer page carries it: compact, compressed, the same bytes every time.

Without spherical harmonics above degree 0 the encoding is "planes": byte planes of N bytes each, most significant byte
first, in this order (viewer/src/payload.js reads the same):

* x, y, z: the upper three bytes of float32, rounded (relative error 2^-17);
* three scales: two bytes each, (ln sigma + 20) * 64;
* quaternion: four bytes of one word; two bits name the largest of w x y z (made positive), the other three follow in
  their order as 10 bits each, (value * sqrt(2) + 1) * 511;
* red, green, blue, opacity: one byte each.

With higher harmonics it is "ply": a whole PLY file whose f_rest values keep only their upper two bytes.
"""

from __future__ import annotations

import gzip
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from openlyra.formats.ply import write_ply
from openlyra.gaussians.spherical_harmonics import C0
from openlyra.gaussians.types import Gaussians

LOG_SCALE_MIN = -20.0
LOG_SCALE_STEPS = 64.0


@dataclass(frozen=True)
class Payload:
    """What goes into the page."""

    encoding: str
    """planes or ply."""
    data: bytes
    """Gzip stream."""


def encode(gaussians: Gaussians) -> Payload:
    """Pack N Gaussians; values must be finite."""
    planes = gaussians.sh.shape[1] == 1
    raw = _planes(gaussians) if planes else _ply(gaussians)
    # mtime 0: the same scene gives the same bytes. Level 6: higher ones take far longer for under one percent.
    return Payload("planes" if planes else "ply", gzip.compress(raw, compresslevel=6, mtime=0))


def _planes(gaussians: Gaussians) -> bytes:
    positions = _top_bytes(gaussians.means, keep=24)
    scales = np.log(np.maximum(gaussians.scales.astype(np.float64), np.exp(LOG_SCALE_MIN)))
    steps = np.clip(np.rint((scales - LOG_SCALE_MIN) * LOG_SCALE_STEPS), 0, 65535).astype(">u2")
    colors = np.concatenate([0.5 + C0 * gaussians.sh[:, 0], gaussians.opacities[:, None]], 1)
    parts = [
        _byte_planes(positions.astype(">u4"))[:, :3],
        _byte_planes(steps),
        _byte_planes(_smallest_three(gaussians.quaternions).astype(">u4")[:, None]),
        np.clip(np.rint(colors * 255.0), 0, 255).astype(np.uint8).T,
    ]
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


def _top_bytes(values: np.ndarray, keep: int) -> np.ndarray:
    """The bits of float32 `values`, rounded to the upper `keep` of them; uint32, same shape."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    half = np.uint32(1 << (31 - keep))
    mask = np.uint32(0xFFFFFFFF << (32 - keep) & 0xFFFFFFFF)
    return (bits + half) & mask


def _byte_planes(values: np.ndarray) -> np.ndarray:
    """(N, C) big-endian integers of b bytes -> (C, b, N)."""
    count, channels = values.shape
    octets = np.ascontiguousarray(values).view(np.uint8).reshape(count, channels, values.dtype.itemsize)
    return octets.transpose(1, 2, 0)


def _smallest_three(quaternions: np.ndarray) -> np.ndarray:
    """(N, 4) w x y z -> (N,) uint32."""
    unit = quaternions.astype(np.float64)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    largest = np.abs(unit).argmax(1)
    rows = np.arange(len(unit))
    unit = unit * np.where(unit[rows, largest] < 0, -1.0, 1.0)[:, None]
    others = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])[largest]
    fields = np.clip(np.rint((unit[rows[:, None], others] * np.sqrt(2.0) + 1.0) * 511.0), 0, 1022).astype(np.uint32)
    return (largest.astype(np.uint32) << 30) | (fields[:, 0] << 20) | (fields[:, 1] << 10) | fields[:, 2]


def _ply(gaussians: Gaussians) -> bytes:
    sh = np.array(gaussians.sh, dtype=np.float32)
    sh[:, 1:] = _top_bytes(sh[:, 1:], keep=16).view(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.ply"
        write_ply(replace(gaussians, sh=sh), path)
        return path.read_bytes()
