"""The reference's own table of camera paths, with its peculiarities, for comparison with published results.

Differences from `presets`, kept on purpose: several paths divide by n instead of n - 1 (so they never reach the full
strength), "right" turns left in rotate_spot, rotate_zoom moves 40 degrees off its heading, dolly_zoom walks past its
subject while it narrows the picture of it, spiral_center does not start at the photo, back returns 2n - 1 frames,
nothing is eased.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.poses import invert, look_at, rigid

DIRECTIONS = ("right", "left", "up", "down")
"""All but "right" and "up" mean the negative sense; the vertical paths know up, the others right."""


@dataclass(frozen=True)
class _Request:
    frames: int
    depth: float
    strength: float
    direction: str
    seed: int

    @property
    def sign(self) -> float:
        return 1.0 if self.direction == "right" else -1.0

    @property
    def index(self) -> np.ndarray:
        return np.arange(self.frames, dtype=np.float64)

    @property
    def open(self) -> np.ndarray:
        """(n,) i/n, which stops one step short of 1."""
        return self.index / self.frames

    @property
    def closed(self) -> np.ndarray:
        """(n,) i/(n - 1)."""
        return self.index / max(self.frames - 1, 1)

    @property
    def reach(self) -> float:
        return self.strength * self.depth


Steps = np.ndarray
"""(n, 4, 4) camera_from_photo, multiplied onto the photo's camera_from_world from the left."""


def _xyz(x: np.ndarray | float, y: np.ndarray | float, z: np.ndarray | float) -> np.ndarray:
    return np.stack(np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float), np.asarray(z, float)), -1)


def _watching(positions: np.ndarray, target: np.ndarray | float) -> Steps:
    """`target` is a depth on the optical axis or points (n, 3)."""
    point = np.array([0.0, 0.0, target]) if np.ndim(target) == 0 else target
    return invert(look_at(positions, point))


def _static(r: _Request) -> Steps:
    return np.tile(np.eye(4), (r.frames, 1, 1))


def _line(axis: int, noise: bool = False, bend: bool = False) -> Callable[[_Request], Steps]:
    def build(r: _Request) -> Steps:
        positions = np.zeros((r.frames, 3))
        positions[:, axis] = r.sign * r.reach * r.open
        if bend:
            positions[:, 1] += (0.04 if r.sign > 0 else -0.12) * r.reach * r.open
        if noise:
            others = [other for other in range(3) if other != axis]
            generator = np.random.default_rng(r.seed)
            positions[:, others] += generator.normal(0.0, 1e-4 * r.reach, (r.frames, 2))
        return _watching(positions, r.depth * (1.0 + r.strength) if axis == 2 else r.depth)

    return build


def _still(axis: int) -> Callable[[_Request], Steps]:
    def build(r: _Request) -> Steps:
        moving = r.frames // 2
        if moving == 0:
            return _static(r)
        steps = _line(axis)(_Request(moving, r.depth, r.strength, r.direction, r.seed))
        return np.concatenate([steps, np.repeat(steps[-1:], r.frames - moving, 0)])

    return build


def _outward(r: _Request) -> Steps:
    positions = _xyz(r.sign * r.reach * r.open, 0.0, 0.0)
    return _watching(positions, np.array([0.0, 0.0, r.depth]) + 2.0 * positions)


def _simple(axis: int) -> Callable[[_Request], Steps]:
    def build(r: _Request) -> Steps:
        translation = np.zeros((r.frames, 3))
        positive = r.direction == "up" if axis == 1 else r.direction != "right"
        translation[:, axis] = (1.0 if positive else -1.0) * r.reach * r.closed
        return rigid(np.eye(3), translation)

    return build


def _spiral(r: _Request) -> Steps:
    angle = 4.0 * math.pi * r.closed
    return _watching(_xyz(0.15 * r.reach * (np.cos(angle) - 1) * r.sign, 0.10 * r.reach * np.sin(angle), 0.0), r.depth)


def _spiral_center(r: _Request) -> Steps:
    angle = 2.0 * math.pi * r.closed
    return _watching(_xyz(0.03 * np.cos(angle), 0.02 * np.sin(angle), 0.0) * r.depth, r.depth)


def _spiral_outwards(r: _Request) -> Steps:
    """Stops with an error in the reference itself; this is what its formula says."""
    angle = 2.0 * math.pi * r.closed
    aim = _xyz(0.3 * r.reach * (np.cos(angle) - 1) * r.sign, 0.2 * r.reach * np.sin(angle), r.depth)
    return _watching(np.zeros((r.frames, 3)), aim)


def _horizontal_spiral(r: _Request) -> Steps:
    angle = 4.0 * math.pi * r.closed
    x, y = 0.01875 * r.reach * (np.cos(angle) - 1) * r.sign, 0.0125 * r.reach * np.sin(angle)
    return _watching(_xyz(x, y, r.sign * r.reach * r.closed), r.depth * (1.0 + r.strength))


def _orbit(axis: int) -> Callable[[_Request], Steps]:
    def build(r: _Request) -> Steps:
        sense = (1.0 if r.direction == "up" else -1.0) if axis == 1 else -r.sign
        angle = math.pi + sense * r.strength * r.closed
        positions = np.zeros((r.frames, 3))
        positions[:, axis] = r.depth * np.sin(angle)
        positions[:, 2] = r.depth + r.depth * np.cos(angle)
        return _watching(positions, r.depth)

    return build


def _about_y(angle: np.ndarray) -> np.ndarray:
    """(n, 3, 3) camera_from_photo rotations; a positive angle turns the camera to the left."""
    c, s, zero = np.cos(angle), np.sin(angle), np.zeros_like(angle)
    return np.stack([_xyz(c, zero, s), _xyz(zero, zero + 1.0, zero), _xyz(-s, zero, c)], -2)


def _rotate_spot(r: _Request) -> Steps:
    return rigid(_about_y(r.sign * math.radians(r.strength) * r.closed), np.zeros(3))


def _rotate_spot_noise(r: _Request) -> Steps:
    """Carried round a tiny circle, so that aligning the camera centres is not degenerate."""
    angle = 2.0 * math.pi * 0.001 * r.index
    circle = _watching(1e-5 * r.depth * _xyz(np.cos(angle), np.sin(angle), 0.0), r.depth)
    return _rotate_spot(r) @ circle


def _rotate_zoom(sense: float) -> Callable[[_Request], Steps]:
    def build(r: _Request) -> Steps:
        turning = r.frames // 2
        angle = np.concatenate([np.linspace(0.0, 1.0, turning), np.ones(r.frames - turning)])
        rotation = _about_y(r.sign * math.radians(20.0) * angle)
        forward = rotation[:, 2]
        progress = np.concatenate([np.zeros(turning), np.linspace(0.0, 1.0, r.frames - turning)])
        intended = sense * r.reach * progress[:, None] * forward
        # The transposed rotation is the reference's slip: the motion ends up 40 degrees off the heading.
        translation = -(rotation.swapaxes(-1, -2) @ intended[..., None])[..., 0]
        return rigid(rotation, translation)

    return build


def _back(radii: tuple[float, float], keep_sign: bool) -> Callable[[_Request], Steps]:
    def build(r: _Request) -> Steps:
        angle = 2.0 * math.pi * np.linspace(0.0, 1.0, r.frames - 1)
        positions = _xyz(radii[0] * (np.cos(angle) - 1) * r.sign, radii[1] * np.sin(angle), 0.0)
        steps = _watching(positions, r.depth)
        if keep_sign:
            steps[:, :3, 3] = positions
        return np.concatenate([_static(r), steps])

    return build


def _dolly_zoom(r: _Request) -> Steps:
    """Turns round when it passes its subject."""
    return _watching(_xyz(0.0, 0.0, 3.0 * r.closed), 0.185 * r.depth)


PATHS: dict[str, Callable[[_Request], Steps]] = {
    "original": _static,
    "spiral": _spiral,
    "spiral_center": _spiral_center,
    "spiral_outwards": _spiral_outwards,
    "horizontal": _line(0),
    "horizontal_noise": _line(0, noise=True),
    "horizontal_lift": _line(1),
    "horizontal_lift_noise": _line(1, noise=True),
    "horizontal_zoom": _line(2),
    "horizontal_zoom_noise": _line(2, noise=True),
    "horizontal_zoom_bend": _line(2, bend=True),
    "horizontal_zoom_noise_bend": _line(2, noise=True, bend=True),
    "horizontal_still": _still(0),
    "horizontal_zoom_still": _still(2),
    "horizontal_simple": _simple(0),
    "vertical_simple": _simple(1),
    "horizontal_outward": _outward,
    "horizontal_spiral": _horizontal_spiral,
    "orbit_horizontal": _orbit(0),
    "orbit_vertical": _orbit(1),
    "rotate_spot": _rotate_spot,
    "rotate_spot_noise": _rotate_spot_noise,
    "rotate_zoom_in": _rotate_zoom(1.0),
    "rotate_zoom_out": _rotate_zoom(-1.0),
    "dolly_zoom": _dolly_zoom,
    "back": _back((0.3, 0.2), keep_sign=True),
    "back_simple": _back((0.15, 0.1), keep_sign=False),
}
"""Every path of the reference by its own name."""


def reference_path(
    name: str,
    frames: int,
    center_depth: float,
    strength: float = 0.2,
    direction: str = "right",
    initial: Camera | None = None,
    seed: int = 0,
) -> Trajectory:
    """A path of the reference's table, as the reference computes it.

    `strength` is a multiple of `center_depth`, radians for orbit_*, degrees for rotate_spot*. `seed` feeds the paths
    with noise, which follow the reference's distribution but not its random numbers. `initial` is the photo's camera;
    one at the world's origin that sees 60 degrees vertically if absent. The result has `frames` cameras (2 frames - 1
    for the two `back` paths).
    """
    if name not in PATHS:
        raise InputError(f"unknown reference path '{name}'; available: {', '.join(sorted(PATHS))}")
    if direction not in DIRECTIONS:
        raise InputError(
            f"reference path '{name}': direction is '{direction}'; it must be one of {', '.join(DIRECTIONS)}"
        )
    if frames < 2:
        raise InputError(f"reference path '{name}': frames is {frames}; it must be at least 2")
    if not (math.isfinite(center_depth) and center_depth > 0 and math.isfinite(strength)):
        raise InputError(
            f"reference path '{name}': center_depth {center_depth} and strength {strength} must be finite, depth > 0"
        )
    start = (initial or Camera.from_fov(480, 832, math.radians(60.0))).numpy()
    if start.batch_shape:
        raise InputError(f"reference path '{name}': needs one initial camera, not a batch of shape {start.batch_shape}")
    steps = PATHS[name](_Request(frames, float(center_depth), float(strength), direction, seed))
    intrinsics = np.tile(start.intrinsics, (len(steps), 1, 1))
    if name == "dolly_zoom":
        subject = 0.185 * center_depth
        intrinsics[:, [0, 1], [0, 1]] *= (subject / (subject + 3.0 * np.arange(frames) / (frames - 1)))[:, None]
    poses = invert(steps @ start.camera_from_world)
    return Trajectory(Camera(poses, intrinsics, start.width, start.height), name=name)


def reference_zoom(
    kind: str,
    frames: int,
    center_depth: float,
    initial: Camera,
    strength: float | None = None,
    upward_ratio: float | None = None,
    ground_normal: np.ndarray | None = None,
) -> Trajectory:
    """The paths of the reference's zoom script: `kind` "in" (strength 0.5) or "out" (strength 1.5, rising by 0.15).

    `ground_normal` (3,), pointing up, switches on its alignment of the motion with the ground plane.
    """
    if kind not in ("in", "out"):
        raise InputError(f"zoom kind is '{kind}'; it must be 'in' or 'out'")
    outward = kind == "out"
    amount = (1.5 if outward else 0.5) if strength is None else strength
    rise = (0.15 if outward else 0.0) if upward_ratio is None else upward_ratio
    path = reference_path("horizontal_zoom", frames, center_depth, amount, "left" if outward else "right", initial)
    poses = path.cameras.world_from_camera.copy()
    poses[:, 1, 3] -= rise * np.maximum(poses[0, 2, 3] - poses[:, 2, 3], 0.0)
    if ground_normal is not None:
        poses = invert(_along_ground(invert(poses), np.asarray(ground_normal, float), outward))
    cameras = path.cameras
    return Trajectory(Camera(poses, cameras.intrinsics, cameras.width, cameras.height), name=f"zoom-{kind}")


def _along_ground(camera_from_world: np.ndarray, normal: np.ndarray, outward: bool) -> np.ndarray:
    """Translation columns projected onto the plane, their displacements brought back to their length."""
    result = camera_from_world.copy()
    start = result[0, :3, 3].copy()
    displacement = result[:, :3, 3] - start
    flat = displacement - (displacement @ normal)[:, None] * normal
    length = np.linalg.norm(displacement, axis=-1, keepdims=True)
    flat_length = np.linalg.norm(flat, axis=-1, keepdims=True)
    result[:, :3, 3] = start + flat * np.divide(
        length, flat_length, out=np.zeros_like(length), where=flat_length > 1e-8
    )
    if outward:
        result[:, :3, 3] -= 0.05 * np.linspace(0.0, 1.0, len(result))[:, None] * normal
    return result
