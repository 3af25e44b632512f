"""Keeping a camera path out of the surfaces its photo shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.poses import transform_points

CORRIDOR = 0.08
"""Default radius of the corridor the camera needs, in multiples of the 25th percentile of the depth."""
_BLOCKS = 96
"""The depth map is reduced to at most this many blocks along its longer side; the nearest pixel of a block counts."""
_MIN_BLOCKS = 3
"""So many blocks must be in the way; a single wrong pixel does not stop a camera."""
_MAX_SAMPLES = 4096
_ROUNDS = 5
_HALVINGS = 12


def limit_forward_motion(
    traj: Trajectory,
    depth: np.ndarray,
    valid: np.ndarray | None,
    camera: Camera,
    margin: float = 0.35,
    corridor: float | None = None,
) -> Trajectory:
    """The path, scaled down smoothly where it would come too close to a surface that lies ahead of its motion.

    `depth` (H, W) is the z-depth of the photo taken by `camera`, `valid` (H, W) says where it can be believed (None:
    everywhere it is finite and positive). Only pixels whose points lie in the camera's corridor count - a tube of
    radius `corridor` (scene units) in the direction of motion - so objects beside the path and floors below it do not
    limit it. A surface keeps a clearance of `margin` times its distance from the photo, or times the 25th percentile
    of the depth if that is less: a picture of a wall at depth 4 is approached to 1.4 with margin 0.35.

    Orientations, intrinsics and frame count stay; a path that returns to its start still does. Motion away from an
    obstacle (for example back from the photo before going forward) is left as it is. Paths that collide with nothing
    are returned unchanged.
    """
    if not 0.0 < margin < 1.0:
        raise InputError(f"margin is {margin}; it must lie between 0 and 1")
    if camera.batch_shape:
        raise InputError(f"the photo's camera must be a single one, not a batch of shape {camera.batch_shape}")
    photo = camera.numpy()
    points, spacing, unit = _obstacles(np.asarray(depth, dtype=np.float64), valid, photo)
    if len(points) < _MIN_BLOCKS:
        return traj
    clearance = margin * np.minimum(np.linalg.norm(points, axis=-1), unit)
    guard = _Guard(points, clearance, (CORRIDOR * unit if corridor is None else float(corridor)) + spacing)
    centers = transform_points(photo.camera_from_world, traj.cameras.numpy().center)
    limited = centers
    for round_number in range(_ROUNDS):
        stop = guard.first_stop(limited)
        if stop is None:
            break
        limited = _shrink(limited, stop - limited[0], give=1.0 if round_number == 0 else 0.98)
    else:
        limited = _scaled_until_free(centers, guard)
    if limited is centers:
        return traj
    moved = traj.cameras.numpy()
    poses = moved.world_from_camera.copy()
    poses[1:, :3, 3] = transform_points(photo.world_from_camera, limited)[1:]
    return replace(traj, cameras=replace(moved, world_from_camera=poses))


def _obstacles(depth: np.ndarray, valid: np.ndarray | None, photo: Camera) -> tuple[np.ndarray, np.ndarray, float]:
    """The nearest point (N, 3) of each block in the photo camera's axes, how far apart they are, the centre depth."""
    if depth.shape != (photo.height, photo.width):
        raise InputError(f"depth is {depth.shape}, the photo's camera is for {(photo.height, photo.width)}")
    usable = np.isfinite(depth) & (depth > 0)
    if valid is not None:
        usable &= np.asarray(valid, dtype=bool)
    if not usable.any():
        return np.zeros((0, 3)), np.zeros(0), 1.0
    size = max(1, -(-max(depth.shape) // _BLOCKS))
    rows, columns = (-(-side // size) for side in depth.shape)
    padded = np.full((rows * size, columns * size), np.inf)
    padded[: depth.shape[0], : depth.shape[1]] = np.where(usable, depth, np.inf)
    blocks = padded.reshape(rows, size, columns, size).swapaxes(1, 2).reshape(rows, columns, -1)
    nearest = blocks.argmin(-1)
    z = np.take_along_axis(blocks, nearest[..., None], -1)[..., 0]
    # Each block's nearest pixel keeps its own image position, so points stay on their rays.
    v = np.arange(rows)[:, None] * size + nearest // size + 0.5
    u = np.arange(columns)[None, :] * size + nearest % size + 0.5
    k = photo.intrinsics
    found = np.isfinite(z)
    z, u, v = z[found], u[found], v[found]
    points = np.stack([z * (u - k[0, 2]) / k[0, 0], z * (v - k[1, 2]) / k[1, 1], z], -1)
    # A thin tube must not slip through between the points of a distant surface.
    spacing = 1.2 * z * size / min(k[0, 0], k[1, 1])
    return points, spacing, float(np.quantile(depth[usable], 0.25))


class _Guard:
    """Answers where a path first comes too close to the points ahead of it."""

    def __init__(self, points: np.ndarray, clearance: np.ndarray, corridor: np.ndarray) -> None:
        self.points, self.clearance, self.corridor = points, clearance, corridor
        self.step = max(0.5 * float(np.sort(clearance)[_MIN_BLOCKS - 1]), 1e-9)

    def first_stop(self, centers: np.ndarray) -> np.ndarray | None:
        """The last allowed position (3,) on the path (F, 3) before its first collision; None if there is none."""
        moves = np.diff(centers, axis=0)
        lengths = np.linalg.norm(moves, axis=-1)
        # Samples must be closer together than the clearance, or the camera could jump through a thin surface.
        step = max(self.step, float(lengths.sum()) / _MAX_SAMPLES)
        for start, move, length in zip(centers[:-1], moves, lengths, strict=True):
            if length == 0.0:
                continue
            direction, parts = move / length, max(1, int(np.ceil(length / step)))
            near = self._in_tube(start, direction)
            for part in range(1, parts + 1):
                if self._blocked(near, length * part / parts):
                    return start + direction * self._last_free(near, length * (part - 1) / parts, length * part / parts)
        return None

    def _in_tube(self, start: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For the points ahead and around the line of motion: distance along it, and the clearance they ask for."""
        offset = self.points - start
        along = offset @ direction
        aside = np.linalg.norm(offset - along[:, None] * direction, axis=-1)
        inside = (aside < self.corridor) & (along > 0.0)
        return along[inside], self.clearance[inside]

    @staticmethod
    def _blocked(near: tuple[np.ndarray, np.ndarray], travelled: float, slack: float = 1e-6) -> bool:
        """`slack` is the share of the clearance that may be missing, so that a path just put right counts as free."""
        along, clearance = near
        return int(np.count_nonzero(along - travelled < clearance * (1.0 - slack))) >= _MIN_BLOCKS

    def _last_free(self, near: tuple[np.ndarray, np.ndarray], low: float, high: float) -> float:
        if self._blocked(near, low, slack=0.0):
            return low
        for _ in range(40):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if self._blocked(near, middle, slack=0.0) else (middle, high)
        return low


def _shrink(centers: np.ndarray, stop: np.ndarray, give: float) -> np.ndarray:
    """Displacements (F, 3) from the start scaled down so that the farthest one towards `stop` ends at give * |stop|.

    A path that stays on the obstacle's side of its start is scaled as a whole, which keeps its easing. Otherwise only
    the part on that side is, by a factor that falls off without a kink: h(m) = m / sqrt(1 + (m / L)^2).
    """
    displacement = centers - centers[0]
    reach = float(np.linalg.norm(stop))
    if reach <= 1e-12:
        return centers[0] + 0.0 * displacement
    towards = displacement @ (stop / reach)
    farthest, allowed = float(towards.max()), give * reach
    if farthest <= allowed or towards.min() >= -0.02 * farthest:
        return centers[0] + displacement * min(give, allowed / farthest)
    inverse_square = 1.0 / allowed**2 - 1.0 / farthest**2
    factor = 1.0 / np.sqrt(1.0 + np.maximum(towards, 0.0) ** 2 * inverse_square)
    return centers[0] + displacement * factor[:, None]


def _scaled_until_free(centers: np.ndarray, guard: _Guard) -> np.ndarray:
    """The whole path at the largest scale found to be free, for paths that wind too much for `_shrink`."""
    displacement, low, high = centers - centers[0], 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if guard.first_stop(centers[0] + middle * displacement) is None else (low, middle)
    return centers[0] + low * displacement
