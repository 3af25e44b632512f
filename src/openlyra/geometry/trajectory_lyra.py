"""Lyra 2.0's `trajectory.npz`: w2c (F, 4, 4), intrinsics (F, 3, 3), image_height, image_width.

A run's cameras.npz has the same layout.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.camera import Trajectory
from openlyra.geometry.poses import invert
from openlyra.geometry.trajectory_files import MAX_FRAMES, RawPath, as_side, npz_bytes, read_npz
from openlyra.media.atomic import write_bytes_atomic


def read_lyra(path: Path) -> RawPath:
    """Read the archive; the size keys may be absent, everything else is checked."""
    arrays = read_npz(path)
    for key in ("w2c", "intrinsics"):
        if key not in arrays:
            held = ", ".join(sorted(arrays)) or "nothing"
            raise InputError(
                f"{path}: has no array '{key}' (it holds {held}); a Lyra trajectory has w2c and intrinsics"
            )
    w2c, intrinsics = arrays["w2c"], arrays["intrinsics"]
    if w2c.ndim != 3 or w2c.shape[1:] != (4, 4):
        raise InputError(f"{path}: w2c has shape {w2c.shape}; (frames, 4, 4) is needed")
    if intrinsics.ndim != 3 or intrinsics.shape[1:] != (3, 3):
        raise InputError(f"{path}: intrinsics has shape {intrinsics.shape}; (frames, 3, 3) is needed")
    if len(w2c) != len(intrinsics):
        raise InputError(f"{path}: has {len(w2c)} poses but {len(intrinsics)} intrinsics")
    if not 1 <= len(w2c) <= MAX_FRAMES:
        raise InputError(f"{path}: holds {len(w2c)} cameras; 1 to {MAX_FRAMES} can be read")
    bad = ~np.isfinite(w2c).all((1, 2))
    if bad.any():
        raise InputError(
            f"{path}: frame {int(bad.argmax())}: the pose holds NaN or infinity; 4x4 finite numbers are needed"
        )
    fps = float(arrays["fps"]) if "fps" in arrays and arrays["fps"].size == 1 else 16.0
    return RawPath(invert(w2c.astype(np.float64)), intrinsics.astype(np.float64), _size(arrays, path), fps)


def _size(arrays: dict[str, np.ndarray], path: Path) -> tuple[int, int] | None:
    present = [key for key in ("image_height", "image_width") if key in arrays]
    if not present:
        return None
    if len(present) == 1:
        raise InputError(f"{path}: has {present[0]} only; both image_height and image_width are needed, or neither")
    for key in present:
        if arrays[key].size != 1:
            raise InputError(f"{path}: {key} has shape {arrays[key].shape}; one number is needed")
    height, width = (as_side(arrays[key].reshape(()).item(), f"{path}: {key}") for key in present)
    return height, width


def write_lyra(trajectory: Trajectory, path: Path) -> None:
    """Double precision, fixed time stamps: equal paths give equal bytes. `fps` is an extra array that Lyra ignores."""
    cameras = trajectory.cameras.numpy()
    content = {
        "w2c": np.ascontiguousarray(cameras.camera_from_world),
        "intrinsics": np.ascontiguousarray(cameras.intrinsics),
        "image_height": np.array(cameras.height, dtype=np.int64),
        "image_width": np.array(cameras.width, dtype=np.int64),
        "fps": np.array(trajectory.fps, dtype=np.float64),
    }
    write_bytes_atomic(path, npz_bytes(content))
