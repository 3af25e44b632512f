"""Smooth camera paths through keyframes, and even speed along them."""

from __future__ import annotations

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import (
    angle_between,
    matrix_from_quaternion,
    quaternion_from_matrix,
    rigid,
    skew,
    slerp,
    so3_exp,
    so3_log,
)

_OVERSAMPLING = 16
"""Cameras a frame between which `constant_speed_path` measures distances."""


def interpolate(keyframes: Camera, frames: int) -> Camera:
    """`frames` cameras on a smooth path through the keyframes (K,), from the first to the last inclusive.

    Centres follow a centripetal Catmull-Rom curve (no cusps, no loops within a segment); orientations follow a cubic
    in the rotations' logarithm, which for two keyframes is the spherical linear interpolation; intrinsics are linear
    in between. A keyframe gets a share of the time that grows with the square root of its distance to the next.
    """
    keys = _row(keyframes, frames)
    if len(keys) == 1:
        return keys[np.zeros(frames, dtype=int)]
    centers, rotations = keys.center, keys.world_from_camera[:, :3, :3]
    spans = _knot_spans(centers)
    knots = np.concatenate([[0.0], np.cumsum(spans)])
    time = np.linspace(0.0, knots[-1], frames)
    segment = np.clip(np.searchsorted(knots, time, side="right") - 1, 0, len(keys) - 2)
    fraction = np.clip((time - knots[segment]) / spans[segment], 0.0, 1.0)
    poses = rigid(
        _interpolate_rotations(rotations, spans, segment, fraction),
        _interpolate_centers(centers, spans, segment, fraction),
    )
    weight = fraction[:, None, None]
    intrinsics = (1.0 - weight) * keys.intrinsics[segment] + weight * keys.intrinsics[segment + 1]
    poses[0] = keys.world_from_camera[0]
    if frames > 1:
        poses[-1] = keys.world_from_camera[-1]
    return Camera(poses, intrinsics, keys.width, keys.height)


def retime_constant_speed(cameras: Camera, frames: int, turn_radius: float) -> Camera:
    """`frames` cameras at even steps along the path (F,), turning included.

    A step is measured as distance + `turn_radius` (scene units) times the angle turned, so turning on the spot takes
    time: by one radian as much as moving by `turn_radius`. A path that does not move at all is repeated as it is.
    """
    path = _row(cameras, frames)
    if not turn_radius >= 0.0:
        raise InputError(f"turn_radius is {turn_radius}; it must be at least 0")
    position = np.concatenate([[0.0], np.cumsum(path_steps(path, turn_radius))])
    wanted = np.linspace(0.0, position[-1], frames)
    if len(path) == 1 or position[-1] == 0.0:
        return path[np.linspace(0, len(path) - 1, frames).round().astype(int)]
    segment = np.clip(np.searchsorted(position, wanted, side="right") - 1, 0, len(path) - 2)
    length = position[segment + 1] - position[segment]
    fraction = np.clip(np.divide(wanted - position[segment], length, out=np.zeros(frames), where=length > 0), 0.0, 1.0)
    return _blend(path[segment], path[segment + 1], fraction)


def constant_speed_path(keyframes: Camera, frames: int, turn_radius: float) -> Camera:
    """`interpolate` finely, then `retime_constant_speed`: an even walk through the keyframes."""
    dense = max(_OVERSAMPLING * frames, _OVERSAMPLING * len(keyframes))
    return retime_constant_speed(interpolate(keyframes, dense), frames, turn_radius)


def path_steps(cameras: Camera, turn_radius: float) -> np.ndarray:
    """(F - 1,) distance + turn_radius times angle from each camera (F,) to the next."""
    path = cameras.numpy()
    distance = np.linalg.norm(np.diff(path.center, axis=0), axis=-1)
    rotations = path.world_from_camera[:, :3, :3]
    return distance + turn_radius * angle_between(rotations[:-1], rotations[1:])


def _row(cameras: Camera, frames: int) -> Camera:
    if len(cameras.batch_shape) != 1 or len(cameras) == 0:
        raise InputError(f"a path needs one row of at least one camera, not batch shape {cameras.batch_shape}")
    if frames < 1:
        raise InputError(f"frames is {frames}; it must be at least 1")
    return cameras.numpy()


def _blend(start: Camera, end: Camera, fraction: np.ndarray) -> Camera:
    """Linear centres and intrinsics, spherical linear orientations."""
    weight = fraction[:, None]
    quaternions = [quaternion_from_matrix(camera.world_from_camera[:, :3, :3]) for camera in (start, end)]
    rotation = matrix_from_quaternion(slerp(quaternions[0], quaternions[1], fraction))
    pose = rigid(rotation, (1.0 - weight) * start.center + weight * end.center)
    pose[fraction == 0.0] = start.world_from_camera[fraction == 0.0]
    pose[fraction == 1.0] = end.world_from_camera[fraction == 1.0]
    matrix_weight = weight[..., None]
    intrinsics = (1.0 - matrix_weight) * start.intrinsics + matrix_weight * end.intrinsics
    return Camera(pose, intrinsics, start.width, start.height)


def _knot_spans(centers: np.ndarray) -> np.ndarray:
    """(K - 1,) square roots of the chords; a segment that stays on its spot gets the average, so that it can turn."""
    spans = np.sqrt(np.linalg.norm(np.diff(centers, axis=0), axis=-1))
    moving = spans > 1e-6 * spans.max(initial=0.0)
    return np.where(moving, spans, spans[moving].mean() if moving.any() else 1.0)


def _tangents(slopes: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """(K, 3) velocities at the keyframes from the slopes (K - 1, 3) of the segments.

    At a segment that does not change at all the velocity is zero on both sides: stopping must not swing over.
    """
    inner = (spans[1:, None] * slopes[:-1] + spans[:-1, None] * slopes[1:]) / (spans[1:] + spans[:-1])[:, None]
    result = np.concatenate([slopes[:1], inner, slopes[-1:]])
    speed = np.linalg.norm(slopes, axis=-1)
    still = np.flatnonzero(speed <= 1e-9 * max(speed.max(initial=0.0), 1e-300))
    result[still] = 0.0
    result[still + 1] = 0.0
    return result


def _hermite(fraction: np.ndarray, start_slope: np.ndarray, change: np.ndarray, end_slope: np.ndarray) -> np.ndarray:
    """Cubic from 0 to `change` with the given slopes at the two ends, all (F, 3)."""
    s = fraction[:, None]
    return s * (1 - s) ** 2 * start_slope + s * s * (3 - 2 * s) * change + s * s * (s - 1) * end_slope


def _interpolate_centers(
    centers: np.ndarray, spans: np.ndarray, segment: np.ndarray, fraction: np.ndarray
) -> np.ndarray:
    changes = np.diff(centers, axis=0)
    tangents = _tangents(changes / spans[:, None], spans)
    span = spans[segment, None]
    return centers[segment] + _hermite(
        fraction, tangents[segment] * span, changes[segment], tangents[segment + 1] * span
    )


def _interpolate_rotations(
    rotations: np.ndarray, spans: np.ndarray, segment: np.ndarray, fraction: np.ndarray
) -> np.ndarray:
    changes = so3_log(rotations[:-1].swapaxes(1, 2) @ rotations[1:])
    tangents = _tangents(changes / spans[:, None], spans)
    span, change = spans[segment, None], changes[segment]
    # Angular velocity is in the axes of its own keyframe; the logarithm's own rate differs at the far end.
    end_slope = (_inverse_right_jacobian(change) @ (tangents[segment + 1] * span)[..., None])[..., 0]
    return rotations[segment] @ so3_exp(_hermite(fraction, tangents[segment] * span, change, end_slope))


def _inverse_right_jacobian(vector: np.ndarray) -> np.ndarray:
    """(F, 3, 3): rate of a rotation vector (F, 3) for a unit angular velocity in the rotated axes."""
    angle = np.linalg.norm(vector, axis=-1)[:, None, None]
    small = angle < 1e-4
    half = np.where(small, 1.0, angle) / 2.0
    factor = np.where(small, 1.0 / 12.0, (1.0 - half * np.cos(half) / np.sin(half)) / (4.0 * half * half))
    k = skew(vector)
    return np.eye(3) + 0.5 * k + factor * (k @ k)
