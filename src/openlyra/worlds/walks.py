"""Smooth walks through a world that come back to where they have been."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.worlds.cameras import CLEARANCE, floor_under, fov_camera, free_around, inside_something, on_land, pose
from openlyra.worlds.render import Scene
from openlyra.worlds.types import Place

FPS = 16.0
TURN = math.radians(2.2)
"""Fastest turn of the head, radians a frame."""
LOOK_AHEAD = 1.2
"""Metres ahead on the route that the walker looks at."""
TRIES = 12


@dataclass(frozen=True)
class WalkSettings:
    """How someone walks with a camera."""

    frames: int
    height: int
    """Pixels."""
    width: int
    """Pixels."""
    speed: float = 0.06
    """Metres a frame along the route."""


def walk(scene: Scene, rng: np.random.Generator, settings: WalkSettings) -> Trajectory:
    """A walk along linked places that visits some of them twice; without links, a look around that returns.

    Raises InputError if no free way to stand is found in the world.
    """
    if settings.frames < 1:
        raise InputError(f"a walk of {settings.frames} frames is not possible; at least 1 is needed")
    best: tuple[float, Trajectory] | None = None
    for _ in range(TRIES):
        path = _attempt(scene, rng, settings)
        clear = _clear_share(scene, path)
        if clear >= 1.0:
            return path
        if best is None or clear > best[0]:
            best = clear, path
    assert best is not None
    if best[0] < 0.6:
        raise InputError(f"world '{scene.world.kind}' {scene.world.seed} leaves no room to walk")
    return best[1]


def route(links: tuple[tuple[int, int], ...], start: int, steps: int, rng: np.random.Generator) -> list[int]:
    """Places of a random walk over the links: new ones first, and the way back when there is nothing new."""
    ways: dict[int, list[int]] = {}
    for a, b in links:
        ways.setdefault(a, []).append(b)
        ways.setdefault(b, []).append(a)
    visits, path = {start: 1}, [start]
    while len(path) < steps and ways.get(path[-1]):
        choices = ways[path[-1]]
        # Rarely visited places attract; going straight back is the last choice but one always remains.
        weight = np.array([
            1.0 / (1 + visits.get(c, 0)) ** 2 * (0.15 if len(path) > 1 and c == path[-2] else 1.0) for c in choices
        ])  # fmt: skip
        nxt = int(rng.choice(choices, p=weight / weight.sum()))
        path.append(nxt)
        visits[nxt] = visits.get(nxt, 0) + 1
    return path


def _attempt(scene: Scene, rng: np.random.Generator, settings: WalkSettings) -> Trajectory:
    world = scene.world
    ranges = world.cameras
    linked = sorted({i for pair in world.links for i in pair})
    start = int(rng.choice(linked)) if linked else int(rng.integers(len(world.places)))
    floor, yaw = _stroll(scene, rng, settings, start) if linked else _look_around(scene, rng, settings, start)
    frames = np.arange(settings.frames)
    above = float(rng.uniform(*ranges.height))
    bob = 0.012 * min(1.0, above) * np.sin(frames * 2 * math.pi / 11.0) if linked else np.zeros(settings.frames)
    eye = floor - np.stack([0 * bob, above + bob, 0 * bob], -1)
    pitch = math.radians(rng.normal(*ranges.pitch)) + math.radians(4.0) * _wander(rng, settings.frames, 90)
    roll = math.radians(0.4 * ranges.roll) * _wander(rng, settings.frames, 60)
    fov = math.radians(rng.uniform(*ranges.fov))
    poses = np.stack([
        pose(eye[i], float(yaw[i]), float(np.clip(pitch[i], -1.0, 1.2)), float(roll[i])) for i in frames
    ])  # fmt: skip
    first = fov_camera(settings.height, settings.width, fov, poses[0])
    return Trajectory(Camera(poses, first.intrinsics, settings.width, settings.height), FPS, f"walk-{world.kind}")


def _stroll(
    scene: Scene, rng: np.random.Generator, settings: WalkSettings, start: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points on the floor (F, 3) and yaws (F,) of a walker who follows a route and stands still to turn round."""
    world = scene.world
    spot = np.array([place.position for place in world.places])
    length = settings.speed * settings.frames + 2 * LOOK_AHEAD
    places = route(world.links, start, 400, rng)
    corners, travelled = [spot[places[0]]], 0.0
    for index in places[1:]:
        travelled += float(np.linalg.norm(spot[index] - corners[-1]))
        corners.append(spot[index])
        if travelled > length:
            break
    line, at = _resampled(np.array(corners), 0.05)
    heading = np.zeros(settings.frames)
    floor = np.zeros((settings.frames, 3))
    glance = math.radians(25.0) * _wander(rng, settings.frames, 70)
    position, yaw, spin = 0.0, _bearing(line, at, 0.0), 0.0
    for i in range(settings.frames):
        aim = _bearing(line, at, position) + glance[i]
        error = math.remainder(aim - yaw, 2 * math.pi)
        spin += float(np.clip(0.12 * error - spin, -0.25 * TURN, 0.25 * TURN))
        spin = float(np.clip(spin, -TURN, TURN))
        yaw += spin
        # Nobody walks forwards while looking back.
        away = math.remainder(_bearing(line, at, position) - yaw, 2 * math.pi)
        position = min(position + settings.speed * max(0.0, math.cos(0.9 * min(abs(away), math.pi / 2))), at[-1])
        floor[i] = [np.interp(position, at, line[:, axis]) for axis in range(3)]
        heading[i] = yaw
    near = world.places[start]
    if on_land(scene, near):
        floor[:, 1] = [floor_under(scene, near, float(x), float(z)) for x, _, z in floor]
    return floor, heading


def _look_around(
    scene: Scene, rng: np.random.Generator, settings: WalkSettings, start: int
) -> tuple[np.ndarray, np.ndarray]:
    """A slow drift inside one place, with the head turning out and back, so that the end sees what the start saw."""
    place: Place = scene.world.places[start]
    phase = np.linspace(0, 2 * math.pi * max(1, settings.frames // 160), settings.frames)
    size = 0.6 * place.radius
    turn = rng.uniform(0, 2 * math.pi)
    x = place.position[0] + size * (np.cos(phase + turn) - math.cos(turn)) / 2
    z = place.position[2] + size * (np.sin(phase + turn) - math.sin(turn)) / 2
    y = np.array([floor_under(scene, place, float(a), float(b)) for a, b in zip(x, z)])
    middle = rng.uniform(-math.pi, math.pi) if place.facing is None else place.facing
    swing = math.radians(rng.uniform(8, 30 if place.facing is not None else 80)) * rng.choice([-1, 1])
    return np.stack([x, y, z], -1), middle + swing * np.sin(phase)


def _resampled(corners: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Points every `step` metres along a polyline with soft corners, and the distance of each from the start."""
    corners = corners[np.r_[True, np.linalg.norm(np.diff(corners, axis=0), axis=1) > 1e-6]]
    if len(corners) == 1:
        corners = np.repeat(corners, 2, 0) + np.array([[0, 0, 0], [0, 0, 1e-3]])
    along = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))]
    at = np.linspace(0, along[-1], max(2, round(along[-1] / step)))
    points = np.stack([np.interp(at, along, corners[:, axis]) for axis in range(3)], -1)
    for _ in range(12):
        points[1:-1] = 0.25 * points[:-2] + 0.5 * points[1:-1] + 0.25 * points[2:]
    return points, np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]


def _bearing(line: np.ndarray, at: np.ndarray, position: float) -> float:
    """Yaw towards the point LOOK_AHEAD further on the line."""
    here = [np.interp(position, at, line[:, axis]) for axis in (0, 2)]
    reach = min(position + LOOK_AHEAD, at[-1])
    there = [np.interp(reach, at, line[:, axis]) for axis in (0, 2)]
    if reach - position < 0.05:
        here = [line[-2, 0], line[-2, 2]]
    return math.atan2(there[0] - here[0], there[1] - here[1])


def _wander(rng: np.random.Generator, frames: int, period: int) -> np.ndarray:
    """(frames,) a smooth random curve within about -1 to 1."""
    knots = rng.normal(0, 0.5, frames // period + 4)
    t = np.arange(frames) / period
    i, f = t.astype(int), t - t.astype(int)
    p0, p1, p2, p3 = (knots[i + k] for k in range(4))
    # Cubic B-spline: twice differentiable, and never beyond its knots.
    inner = (3 * f**3 - 6 * f**2 + 4) * p1 + (-3 * f**3 + 3 * f**2 + 3 * f + 1) * p2
    return np.asarray(((1 - f) ** 3 * p0 + inner + f**3 * p3) / 6)


def _clear_share(scene: Scene, path: Trajectory) -> float:
    """Share of the walk (every fourth frame) that keeps clear of things; 0 if it ever goes through one."""
    eyes = path.cameras.center[::4]
    if any(inside_something(scene, eye) for eye in eyes):
        return 0.0
    return float(np.mean([free_around(scene, eye, 0.5 * CLEARANCE) for eye in eyes]))
