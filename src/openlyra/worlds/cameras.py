"""Where to look from: single views worth learning from, and walks that come back to where they have been."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import rigid
from openlyra.worlds.builder import rotation
from openlyra.worlds.packed import DETAIL, HALF, SHAPE
from openlyra.worlds.render import Scene, Truth
from openlyra.worlds.shapes import CAPSULE, DISC, ELLIPSOID, FRUSTUM, QUAD, ROOM
from openlyra.worlds.terrain import terrain_height
from openlyra.worlds.types import Place

TRIES = 24
PROBE_WIDTH = 64
"""Pixels along the longer side of the small picture that views are judged by."""
CLEARANCE = 0.18
"""Metres that the eye stays away from surfaces, or half the radius of its place where that is less."""
_AROUND = np.array(
    [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) != (0, 0, 0)], np.float64
)


@dataclass(frozen=True, eq=False)
class ChosenView:
    """A camera and how high it is above what it stands on."""

    camera: Camera
    height: float
    """Metres."""


def pose(eye: np.ndarray, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(4, 4) world_from_camera; radians, positive pitch looks down, positive roll turns the camera clockwise."""
    return np.asarray(rigid(rotation(yaw, pitch, roll), np.asarray(eye, np.float64)))


def fov_camera(height: int, width: int, long_fov: float, world_from_camera: np.ndarray) -> Camera:
    """A camera whose longer image side spans `long_fov` radians."""
    vertical = 2.0 * math.atan(math.tan(long_fov / 2.0) * height / max(height, width))
    return Camera.from_fov(height, width, vertical, world_from_camera)


def inside_something(scene: Scene, point: np.ndarray) -> bool:
    """Whether a point lies in a solid (cylinders count as the boxes around them) or below the ground."""
    rows = scene.packed.primitives
    if len(rows):
        local = np.abs(rows[:, :12].reshape(-1, 3, 4) @ np.append(point, 1.0))
        shape = rows[:, SHAPE].astype(int)
        hull = (local <= _reach(rows, shape)).all(1) & ~np.isin(shape, (ROOM, QUAD, DISC, ELLIPSOID))
        round_ = (shape == ELLIPSOID) & ((local**2).sum(1) <= 1.0) & (rows[:, HALF] < 400)
        if (hull | round_).any():
            return True
    world = scene.world
    if world.ground is not None and point[1] > world.ground.level:
        return True
    if world.water is not None and point[1] > world.water.level:
        return True
    return world.terrain is not None and point[1] > -terrain_height(world.terrain, float(point[0]), float(point[2]))


def _reach(rows: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """(N, 3) how far shapes extend in their unit frames: wide tops and round ends go beyond 1."""
    reach = np.ones((len(rows), 3))
    wide = np.where(shape == FRUSTUM, np.maximum(rows[:, DETAIL], 1.0), 1.0)
    reach[:, 0] = reach[:, 2] = wide
    reach[:, 1] += np.where(shape == CAPSULE, rows[:, DETAIL], 0.0)
    return reach


def free_around(scene: Scene, eye: np.ndarray, distance: float) -> bool:
    """Whether nothing is nearer than `distance` metres in any of 26 directions, and the point is in the open."""
    if inside_something(scene, eye):
        return False
    return bool((scene.cast(eye, _AROUND)[0] > distance).all())


def on_land(scene: Scene, place: Place) -> bool:
    """Whether a place lies on the land. If there is land but far below, the place is on a bridge or a rock."""
    x, y, z = place.position
    return scene.world.terrain is not None and y > -terrain_height(scene.world.terrain, x, z) - 0.3


def floor_under(scene: Scene, place: Place, x: float, z: float) -> float:
    """y of what one stands on at (x, z) near a place: the land, or the level of the place."""
    terrain = scene.world.terrain
    return place.position[1] if terrain is None or not on_land(scene, place) else -terrain_height(terrain, x, z)


def choose_view(scene: Scene, rng: np.random.Generator, height: int, width: int) -> ChosenView:
    """A view with depth to it: not inside or against things, not empty. The best of a few tries if none is good."""
    best: tuple[float, ChosenView] | None = None
    for _ in range(TRIES):
        view, place = _random_view(scene, rng, height, width)
        eye = view.camera.center
        if not free_around(scene, eye, min(CLEARANCE, 0.5 * place.radius)):
            continue
        score = judge(scene.truth(_probe(view.camera)), place.radius)
        if score >= 1.0:
            return view
        if best is None or score > best[0]:
            best = score, view
    return best[1] if best else _random_view(scene, rng, height, width)[0]


def judge(truth: Truth, near: float) -> float:
    """1 or more for a view worth having. `near` is the free room, metres, that the place promises."""
    depth = truth.depth
    solid = ~truth.sky
    if solid.mean() < 0.2:
        return 0.1
    inverse = 1.0 / np.clip(depth[solid], 0.1, 1e4)
    spread = np.percentile(inverse, 98) / max(float(np.percentile(inverse, 2)), 1e-6)
    log = np.log(np.clip(depth, 0.1, 500))
    steps = np.maximum(np.abs(np.diff(log, axis=0))[:, :-1], np.abs(np.diff(log, axis=1))[:-1])
    score = min(1.0, spread / 1.6) * min(1.0, float((steps > 0.12).mean()) / 0.025)
    if (depth < 0.8 * near).mean() > 0.15 or np.median(depth) < 2.0 * near:
        score *= 0.4
    # One flat face that fills most of the picture teaches nothing.
    planes = truth.plane[truth.plane > 0]
    if planes.size and np.bincount(planes - planes.min()).max() > 0.7 * truth.plane.size:
        score *= 0.5
    return float(score)


def _probe(camera: Camera) -> Camera:
    scale = PROBE_WIDTH / max(camera.height, camera.width)
    return camera.resized(max(8, round(camera.height * scale)), max(8, round(camera.width * scale)))


def _random_view(scene: Scene, rng: np.random.Generator, height: int, width: int) -> tuple[ChosenView, Place]:
    world, ranges = scene.world, scene.world.cameras
    place = world.places[int(rng.integers(len(world.places)))]
    angle, away = rng.uniform(0, 2 * math.pi), 0.8 * place.radius * math.sqrt(rng.random())
    x, z = place.position[0] + away * math.cos(angle), place.position[2] + away * math.sin(angle)
    above = float(rng.uniform(*ranges.height))
    eye = np.array([x, floor_under(scene, place, x, z) - above, z])
    yaw = rng.uniform(-math.pi, math.pi) if place.facing is None else place.facing + rng.normal(0, 0.35)
    pitch = math.radians(rng.normal(*ranges.pitch))
    roll = math.radians(rng.normal(0, ranges.roll))
    fov = math.radians(rng.uniform(*ranges.fov))
    camera = fov_camera(height, width, fov, pose(eye, yaw, float(np.clip(pitch, -1.0, 1.2)), roll))
    return ChosenView(camera, above), place
