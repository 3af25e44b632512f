"""Named camera moves that start at the photo's camera.

All moves are made in the photo camera's own axes (right is the photo's right), with distances in units of the scene's
centre depth (the 25th percentile of its depth), speed eased in and out, and the full strength reached exactly in the
last frame. The reference's own table of paths, with its peculiarities, is in `reference_paths`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.poses import look_at, rigid, so3_exp

MAX_FRAMES = 100_000
"""More frames than any run can make; larger requests are slips of the keyboard."""
ZOOM_RISE = 0.15
"""How far zoom-out rises for each unit it moves back, as in the reference's zoom script."""


@dataclass(frozen=True)
class Move:
    """What a preset computes, relative to the photo's camera."""

    poses: np.ndarray
    """(F, 4, 4) photo_from_camera."""
    focal: np.ndarray | None = None
    """(F,) factors on both focal lengths; None leaves them alone."""


Build = Callable[[np.ndarray, float, float], Move]
"""(time (F,) from 0 to 1 at even steps, centre depth, strength) -> the move."""


@dataclass(frozen=True)
class PresetInfo:
    """One entry of `PRESETS`."""

    summary: str
    """One line for the help text."""
    default_strength: float
    """Used when no strength is given; in `unit`."""
    unit: str
    """What strength counts: "depths" (times the centre depth), "degrees" or "" (unused)."""
    build: Build
    """Computes the move."""
    limit: float = math.inf
    """Strengths at or above this make no sense for the move."""


def preset(name: str, frames: int, camera: Camera, center_depth: float, strength: float | None = None) -> Trajectory:
    """A named camera path of `frames` cameras whose first one is exactly `camera`.

    `center_depth` (scene units) is the 25th percentile of the photo's depth, see `measure_center_depth`. `strength`
    is in the preset's unit (multiples of the centre depth, or degrees). Raises InputError for a name that does not
    exist.
    """
    name = resolve_name(name)
    info = PRESETS[name]
    amount = info.default_strength if strength is None else float(strength)
    if not 1 <= frames <= MAX_FRAMES:
        raise InputError(f"preset '{name}': frames is {frames}; it must be 1 to {MAX_FRAMES}")
    if camera.batch_shape:
        raise InputError(f"preset '{name}': needs one camera to start from, not a batch of shape {camera.batch_shape}")
    if not (math.isfinite(center_depth) and center_depth > 0):
        raise InputError(f"preset '{name}': center_depth is {center_depth}; it must be a positive number")
    if not 0 <= amount < info.limit:
        upper = "" if math.isinf(info.limit) else f" and below {info.limit:g}"
        raise InputError(
            f"preset '{name}': strength is {amount:g}; it must be at least 0{upper} ({info.unit or 'unused'})"
        )
    time = np.linspace(0.0, 1.0, frames) if frames > 1 else np.zeros(1)
    move = info.build(time, float(center_depth), amount)
    start = camera.numpy()
    intrinsics = np.tile(start.intrinsics, (frames, 1, 1))
    if move.focal is not None:
        intrinsics[:, 0, 0] *= move.focal
        intrinsics[:, 1, 1] *= move.focal
    poses = start.world_from_camera @ move.poses
    poses[0] = start.world_from_camera
    return Trajectory(Camera(poses, intrinsics, start.width, start.height), name=name)


def resolve_name(name: str) -> str:
    """The canonical name of a preset or alias; capitals, blanks and underscores do not matter."""
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    wanted = ALIASES.get(wanted, wanted)
    if wanted not in PRESETS:
        close = difflib.get_close_matches(wanted, [*PRESETS, *ALIASES], n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise InputError(f"unknown camera path '{name}'; {hint}available: {', '.join(sorted(PRESETS))}")
    return wanted


def measure_center_depth(depth: np.ndarray, valid: np.ndarray | None = None) -> float:
    """The 25th percentile of the valid depths of a map (H, W): the unit of length of every preset."""
    values = np.asarray(depth, dtype=np.float64)
    usable = np.isfinite(values) & (values > 0)
    if valid is not None:
        usable &= np.asarray(valid, dtype=bool)
    if not usable.any():
        raise InputError("the depth map has no valid pixel, so it has no centre depth")
    return float(np.quantile(values[usable], 0.25))


def ease(time: np.ndarray) -> np.ndarray:
    """Smooth progress from 0 to 1 whose speed is zero at both ends."""
    return time * time * (3.0 - 2.0 * time)


def _points(x: np.ndarray | float, y: np.ndarray | float, z: np.ndarray | float) -> np.ndarray:
    return np.stack(np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float), np.asarray(z, float)), -1)


def _shift(positions: np.ndarray) -> Move:
    return Move(rigid(np.eye(3), positions))


def _turn(yaw: np.ndarray | float, pitch: np.ndarray | float = 0.0) -> np.ndarray:
    """Rotations (F, 3, 3): yaw to the right, then pitch upwards, in radians."""
    zero = np.zeros_like(np.asarray(yaw, float) + np.asarray(pitch, float))
    # y points down: a positive angle about it takes z towards x (right), one about x takes z towards -y (up).
    return so3_exp(_points(zero, yaw, zero)) @ so3_exp(_points(pitch, zero, zero))


def _watch(positions: np.ndarray, depth: float) -> Move:
    """Cameras at (F, 3) that keep the photo's centre point in the middle."""
    return Move(look_at(positions, [0.0, 0.0, depth]))


def _closed(move: Move) -> Move:
    """The same move, ending exactly where it began (sin(2 pi) is not exactly zero)."""
    move.poses[-1] = move.poses[0]
    return move


def _along(x: float, y: float, z: float) -> Build:
    def build(time: np.ndarray, depth: float, strength: float) -> Move:
        progress = strength * depth * ease(time)
        return _shift(_points(x * progress, y * progress, z * progress))

    return build


def _rotate(yaw: float, pitch: float) -> Build:
    def build(time: np.ndarray, depth: float, strength: float) -> Move:
        angle = math.radians(strength) * ease(time)
        return Move(rigid(_turn(yaw * angle, pitch * angle), np.zeros(3)))

    return build


def _orbit_pose(angle: np.ndarray, depth: float) -> Move:
    return _watch(_points(depth * np.sin(angle), 0.0, 2.0 * depth * np.sin(angle / 2.0) ** 2), depth)


def _orbit(sign: float) -> Build:
    def build(time: np.ndarray, depth: float, strength: float) -> Move:
        return _orbit_pose(sign * math.radians(strength) * ease(time), depth)

    return build


def _swing(time: np.ndarray, depth: float, strength: float) -> Move:
    return _closed(_orbit_pose(math.radians(strength) * np.sin(2.0 * math.pi * ease(time)), depth))


def _spiral(time: np.ndarray, depth: float, strength: float) -> Move:
    angle, radius = 4.0 * math.pi * ease(time), strength * depth * ease(time)
    return _watch(_points(radius * np.cos(angle), -0.67 * radius * np.sin(angle), 0.0), depth)


def _loop(time: np.ndarray, depth: float, strength: float) -> Move:
    angle, radius = 2.0 * math.pi * ease(time), strength * depth / 2.0
    return _closed(_watch(_points(radius * (1.0 - np.cos(angle)), -0.67 * radius * np.sin(angle), 0.0), depth))


def _look_around(time: np.ndarray, depth: float, strength: float) -> Move:
    angle, phase = math.radians(strength), 2.0 * math.pi * ease(time)
    return _closed(Move(rigid(_turn(angle * np.sin(phase), 0.15 * angle * np.sin(2.0 * phase)), np.zeros(3))))


def _there_and_back(time: np.ndarray, depth: float, strength: float) -> Move:
    return _closed(_shift(_points(0.0, 0.0, strength * depth * np.sin(math.pi * ease(time)) ** 2)))


def _walk(time: np.ndarray, depth: float, strength: float) -> Move:
    """A step is 0.15 depths long (0.6 m in a scene 4 m deep); the head moves 3 cm up and 1.5 cm aside."""
    progress = ease(time)
    steps, size = max(1, round(strength / 0.15)), min(1.0, strength / 0.15) * depth
    stride = math.pi * steps * progress
    positions = _points(0.004 * size * np.sin(stride), -0.008 * size * np.sin(stride) ** 2, strength * depth * progress)
    positions[-1] = [0.0, 0.0, strength * depth * progress[-1]]
    gaze = math.radians(3.0) * min(1.0, strength / 0.15) * np.sin(2.0 * math.pi * progress)
    rotations = _turn(gaze)
    rotations[-1] = np.eye(3)
    return Move(rigid(rotations, positions))


def _rising(z: np.ndarray, depth: float) -> Move:
    """Forward positions z (F,) in depths; where they lie behind the photo, the camera is raised."""
    return _shift(_points(0.0, ZOOM_RISE * np.minimum(z, 0.0) * depth, z * depth))


def _zoom_out(time: np.ndarray, depth: float, strength: float) -> Move:
    return _rising(-strength * ease(time), depth)


def _zoom_in_out(time: np.ndarray, depth: float, strength: float) -> Move:
    """Back by the strength, then through the photo to a third of it in front; time is shared like the lengths."""
    turn = 3.0 / 7.0
    back = ease(np.clip(time / turn, 0.0, 1.0))
    forward = ease(np.clip((time - turn) / (1.0 - turn), 0.0, 1.0))
    return _rising(strength * (forward * (4.0 / 3.0) - back), depth)


def _dolly_zoom(sign: float) -> Build:
    def build(time: np.ndarray, depth: float, strength: float) -> Move:
        z = sign * strength * ease(time)
        return Move(_shift(_points(0.0, 0.0, z * depth)).poses, focal=1.0 - z)

    return build


def _turn_and_go(sign: float) -> Build:
    def build(time: np.ndarray, depth: float, strength: float) -> Move:
        turned = math.radians(20.0) * sign
        angle = turned * ease(np.clip(2.0 * time, 0.0, 1.0))
        distance = strength * depth * ease(np.clip(2.0 * time - 1.0, 0.0, 1.0))
        return Move(rigid(_turn(angle), distance[:, None] * np.array([math.sin(turned), 0.0, math.cos(turned)])))

    return build


def _crane(time: np.ndarray, depth: float, strength: float) -> Move:
    return _watch(_points(0.0, -strength * depth * ease(time), 0.0), depth)


PRESETS: dict[str, PresetInfo] = {
    "static": PresetInfo("the camera does not move", 0.0, "", lambda t, d, s: _shift(_points(0.0 * t, 0.0, 0.0))),
    "dolly-in": PresetInfo("straight forward", 0.35, "depths", _along(0, 0, 1)),
    "dolly-out": PresetInfo("straight backward", 0.35, "depths", _along(0, 0, -1)),
    "pan-left": PresetInfo("turns left on the spot", 20.0, "degrees", _rotate(-1, 0)),
    "pan-right": PresetInfo("turns right on the spot", 20.0, "degrees", _rotate(1, 0)),
    "tilt-up": PresetInfo("turns up on the spot", 12.0, "degrees", _rotate(0, 1), limit=90.0),
    "tilt-down": PresetInfo("turns down on the spot", 12.0, "degrees", _rotate(0, -1), limit=90.0),
    "truck-left": PresetInfo("slides left without turning", 0.25, "depths", _along(-1, 0, 0)),
    "truck-right": PresetInfo("slides right without turning", 0.25, "depths", _along(1, 0, 0)),
    "pedestal-up": PresetInfo("rises without turning", 0.15, "depths", _along(0, -1, 0)),
    "pedestal-down": PresetInfo("sinks without turning", 0.15, "depths", _along(0, 1, 0)),
    "orbit-left": PresetInfo("circles to the left around the scene's centre", 15.0, "degrees", _orbit(-1)),
    "orbit-right": PresetInfo("circles to the right around the scene's centre", 15.0, "degrees", _orbit(1)),
    "swing": PresetInfo("orbits right, then left, and back to the start", 12.0, "degrees", _swing, limit=180.0),
    "spiral": PresetInfo("two widening turns in the image plane, looking at the centre", 0.15, "depths", _spiral),
    "loop": PresetInfo("one round in the image plane, back to the start", 0.2, "depths", _loop),
    "look-around": PresetInfo(
        "looks right, then left, and back to the start", 20.0, "degrees", _look_around, limit=180.0
    ),
    "there-and-back": PresetInfo("forward, then backward to the start", 0.35, "depths", _there_and_back),
    "walk": PresetInfo("walks forward with a slight human sway", 0.35, "depths", _walk),
    "zoom-in": PresetInfo("the reference's forward move, eased", 0.5, "depths", _along(0, 0, 1)),
    "zoom-out": PresetInfo(
        "the reference's backward and rising move (its strength is 1.5), eased", 0.6, "depths", _zoom_out
    ),
    "zoom-in-out": PresetInfo(
        "zooms out, then in through the photo to a third in front (reference: 1.5)", 0.6, "depths", _zoom_in_out
    ),
    "dolly-zoom-in": PresetInfo(
        "forward while the lens widens: the centre keeps its size", 0.35, "depths", _dolly_zoom(1), 1.0
    ),
    "dolly-zoom-out": PresetInfo(
        "backward while the lens narrows: the centre keeps its size", 0.5, "depths", _dolly_zoom(-1)
    ),
    "turn-and-go-left": PresetInfo("turns left by 20 degrees, then goes that way", 0.35, "depths", _turn_and_go(-1)),
    "turn-and-go-right": PresetInfo("turns right by 20 degrees, then goes that way", 0.35, "depths", _turn_and_go(1)),
    "crane-up": PresetInfo("rises while looking at the scene's centre", 0.2, "depths", _crane),
}
"""Every preset by name. Angles are in degrees; all other strengths are multiples of the centre depth."""

ALIASES: dict[str, str] = {
    "none": "static",
    "still": "static",
    "dolly": "dolly-in",
    "forward": "dolly-in",
    "push-in": "dolly-in",
    "backward": "dolly-out",
    "pull-out": "dolly-out",
    "pan": "pan-right",
    "tilt": "tilt-up",
    "truck": "truck-right",
    "left": "truck-left",
    "right": "truck-right",
    "pedestal": "pedestal-up",
    "up": "pedestal-up",
    "down": "pedestal-down",
    "orbit": "orbit-right",
    "arc": "orbit-right",
    "zoom": "zoom-in",
    "dolly-zoom": "dolly-zoom-out",
    "vertigo": "dolly-zoom-out",
    "turn-and-go": "turn-and-go-right",
    "rotate-zoom-in": "turn-and-go-right",
    "crane": "crane-up",
}
"""Other words for a preset; a move without a direction goes right, up or in."""
