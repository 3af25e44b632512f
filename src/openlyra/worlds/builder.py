"""Build a world in words: upright things by their full sizes and their height above the floor, in nested frames.

    scene = SceneBuilder("room", seed)
    with scene.at(2.0, 1.0, yaw=0.5):                      # a table
        scene.box(1.2, 0.04, 0.7, wood, up=0.7)
        for x, z in corners(1.1, 0.6):
            scene.box(0.05, 0.7, 0.05, wood, x=x, z=z)
    world = scene.finish(places=[...], sky=..., light=...)

`x`, `up`, `z` give the middle of a thing's UNDERSIDE in the current frame, with `up` counted upwards from its floor.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openlyra.geometry.poses import matrix_from_quaternion, quaternion_from_matrix
from openlyra.worlds.types import Cutout, Lamp, Light, Material, Place, Primitive, Shape, Vector, World


@dataclass(frozen=True)
class Opening:
    """A door or window in a wall: metres along the wall from its start, and heights above its foot."""

    start: float
    width: float
    bottom: float
    top: float


def rotation(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """(3, 3): first roll about z, then pitch about x (positive tips +z downwards), then yaw about y (to the right)."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def corners(width: float, depth: float) -> list[tuple[float, float]]:
    """The four (x, z) corners of a rectangle around the origin."""
    return [(sx * width / 2, sz * depth / 2) for sx in (-1, 1) for sz in (-1, 1)]


class SceneBuilder:
    """Collects primitives and materials; equal materials are stored once."""

    def __init__(self, kind: str, seed: int) -> None:
        self.kind, self.seed = kind, seed
        self.primitives: list[Primitive] = []
        self.lamps: list[Lamp] = []
        self._materials: dict[Material, int] = {}
        self._rotation, self._origin = np.eye(3), np.zeros(3)

    def material(self, material: Material) -> int:
        """The index of a material, for Ground, Terrain and Primitive."""
        return self._materials.setdefault(material, len(self._materials))

    @contextlib.contextmanager
    def at(self, x: float = 0.0, z: float = 0.0, yaw: float = 0.0, up: float = 0.0) -> Iterator[SceneBuilder]:
        """Everything inside the block is placed in a frame at (x, z) on a floor `up` higher, turned by `yaw`."""
        before = self._rotation, self._origin
        self._origin = self._origin + self._rotation @ [x, -up, z]
        self._rotation = self._rotation @ rotation(yaw)
        try:
            yield self
        finally:
            self._rotation, self._origin = before

    def point(self, x: float = 0.0, up: float = 0.0, z: float = 0.0) -> Vector:
        """A point of the current frame in the world."""
        p = self._origin + self._rotation @ [x, -up, z]
        return float(p[0]), float(p[1]), float(p[2])

    def add(
        self, shape: Shape, center: Vector | Sequence[float], half: Vector | Sequence[float], material: Material, *,
        turn: np.ndarray | None = None, detail: float = 1.0, cutout: Cutout | None = None,
    ) -> None:  # fmt: skip
        """A primitive by its middle (x, y down, z) in the current frame and its half sizes; `turn` (3, 3) or None."""
        middle = self._origin + self._rotation @ np.asarray(center, float)
        axes = self._rotation if turn is None else self._rotation @ turn
        w, x, y, z = (round(float(value), 9) for value in quaternion_from_matrix(axes))
        a, b, c = (max(float(value), 1e-4) for value in half)
        position = (round(float(middle[0]), 6), round(float(middle[1]), 6), round(float(middle[2]), 6))
        self.primitives.append(
            Primitive(shape, position, (a, b, c), self.material(material), (w, x, y, z), detail, cutout)
        )

    def _upright(
        self, shape: Shape, size: Vector, material: Material, x: float, up: float, z: float, yaw: float,
        pitch: float, roll: float, detail: float = 1.0, cutout: Cutout | None = None,
    ) -> None:  # fmt: skip
        half = (size[0] / 2, size[1] / 2, size[2] / 2)
        turn = rotation(yaw, pitch, roll) if yaw or pitch or roll else None
        self.add(shape, (x, -(up + half[1]), z), half, material, turn=turn, detail=detail, cutout=cutout)

    def box(
        self, width: float, height: float, depth: float, material: Material, *, x: float = 0.0, up: float = 0.0,
        z: float = 0.0, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, cutout: Cutout | None = None,
    ) -> None:  # fmt: skip
        """A box of full sizes along x, y, z."""
        self._upright("box", (width, height, depth), material, x, up, z, yaw, pitch, roll, 1.0, cutout)

    def room(self, width: float, height: float, depth: float, material: Material, *, x: float = 0.0, z: float = 0.0,
             up: float = 0.0, yaw: float = 0.0) -> None:  # fmt: skip
        """A closed room seen from inside. Rooms with doors are made of walls instead."""
        self._upright("room", (width, height, depth), material, x, up, z, yaw, 0.0, 0.0)

    def ellipsoid(
        self, width: float, height: float, depth: float, material: Material, *, x: float = 0.0, up: float = 0.0,
        z: float = 0.0, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, cutout: Cutout | None = None,
    ) -> None:  # fmt: skip
        """An ellipsoid of full sizes."""
        self._upright("ellipsoid", (width, height, depth), material, x, up, z, yaw, pitch, roll, 1.0, cutout)

    def cylinder(
        self, radius: float, height: float, material: Material, *, top: float = 1.0, x: float = 0.0, up: float = 0.0,
        z: float = 0.0, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, cutout: Cutout | None = None,
    ) -> None:  # fmt: skip
        """An upright cylinder; `top` is the ratio of the upper to the lower radius (0 is a cone, above 1 widens)."""
        size = (2 * radius, height, 2 * radius)
        self._upright("frustum", size, material, x, up, z, yaw, pitch, roll, top, cutout)

    def cone(self, radius: float, height: float, material: Material, *, x: float = 0.0, up: float = 0.0,
             z: float = 0.0, cutout: Cutout | None = None) -> None:  # fmt: skip
        """An upright cone."""
        self.cylinder(radius, height, material, top=0.0, x=x, up=up, z=z, cutout=cutout)

    def ring(
        self, radius: float, height: float, material: Material, *, inner: float = 0.85, x: float = 0.0,
        up: float = 0.0, z: float = 0.0, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0,
    ) -> None:  # fmt: skip
        """A hollow cylinder open above and below; `inner` is the ratio of the radii. pitch = pi/2 stands a wheel up."""
        self._upright("ring", (2 * radius, height, 2 * radius), material, x, up, z, yaw, pitch, roll, inner)

    def gable(
        self, width: float, height: float, depth: float, material: Material, *, ridge: float = 0.0, x: float = 0.0,
        up: float = 0.0, z: float = 0.0, yaw: float = 0.0,
    ) -> None:  # fmt: skip
        """A roof with its ridge along z; `ridge` -1 to 1 moves the ridge along x, so 1 is a ramp that rises to +x."""
        self._upright("prism", (width, height, depth), material, x, up, z, yaw, 0.0, 0.0, ridge)

    def quad(
        self, width: float, height: float, material: Material, *, x: float = 0.0, up: float = 0.0, z: float = 0.0,
        yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, cutout: Cutout | None = None,
    ) -> None:  # fmt: skip
        """An upright rectangle without thickness that faces z; pitch = pi/2 lays it flat around its middle."""
        self._upright("quad", (width, height, 0.01), material, x, up, z, yaw, pitch, roll, 1.0, cutout)

    def disc(
        self, width: float, height: float, material: Material, *, x: float = 0.0, up: float = 0.0, z: float = 0.0,
        yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, cutout: Cutout | None = None,
    ) -> None:  # fmt: skip
        """An upright ellipse without thickness that faces z."""
        self._upright("disc", (width, height, 0.01), material, x, up, z, yaw, pitch, roll, 1.0, cutout)

    def tube(self, start: Sequence[float], end: Sequence[float], radius: float, material: Material) -> None:
        """A round-ended rod between two points (x, up, z) of the current frame."""
        a = np.array([start[0], -start[1], start[2]], float)
        b = np.array([end[0], -end[1], end[2]], float)
        length = float(np.linalg.norm(b - a))
        axis = (b - a) / length if length > 1e-9 else np.array([0.0, 1.0, 0.0])
        helper = np.array([1.0, 0, 0]) if abs(axis[0]) < 0.9 else np.array([0, 0, 1.0])
        side = np.cross(helper, axis)
        side /= np.linalg.norm(side)
        turn = np.stack([side, axis, np.cross(side, axis)], 1)
        self.add("capsule", (a + b) / 2, (radius, length / 2 + radius, radius), material, turn=turn)

    def wall(
        self, start: tuple[float, float], end: tuple[float, float], height: float, thickness: float,
        material: Material, openings: Sequence[Opening] = (), *, up: float = 0.0,
    ) -> None:  # fmt: skip
        """An upright wall between two (x, z) points with holes cut out, as boxes. Openings must not overlap."""
        (x0, z0), (x1, z1) = start, end
        length = math.hypot(x1 - x0, z1 - z0)
        with self.at(x0, z0, math.atan2(-(z1 - z0), x1 - x0), up):
            begin = 0.0
            for hole in sorted(openings, key=lambda o: o.start):
                self._piece(begin, hole.start, 0.0, height, thickness, material)
                self._piece(hole.start, hole.start + hole.width, 0.0, hole.bottom, thickness, material)
                self._piece(hole.start, hole.start + hole.width, hole.top, height, thickness, material)
                begin = hole.start + hole.width
            self._piece(begin, length, 0.0, height, thickness, material)

    def _piece(self, left: float, right: float, bottom: float, top: float, thick: float, material: Material) -> None:
        if right - left > 1e-3 and top - bottom > 1e-3:
            self.box(right - left, top - bottom, thick, material, x=(left + right) / 2, up=bottom)

    def lamp(self, x: float, up: float, z: float, strength: float = 1.0,
             color: tuple[float, float, float] = (1.0, 0.9, 0.75)) -> None:  # fmt: skip
        """A light source without a body."""
        self.lamps.append(Lamp(self.point(x, up, z), color, strength))

    def place(self, x: float, z: float, *, up: float = 0.0, radius: float = 0.4, facing: float | None = None) -> Place:
        """A place to stand, from the current frame; hand all of them to `finish`."""
        forward = self._rotation @ [0.0, 0.0, 1.0]
        turned = None if facing is None else facing + math.atan2(forward[0], forward[2])
        return Place(self.point(x, up, z), radius, turned)

    def finish(self, *, light: Light | None = None, **rest: Any) -> World:
        """The world; lamps collected here join those of `light`. Other fields of `World` by name."""
        given = light or Light()
        light = Light(**{**vars(given), "lamps": (*given.lamps, *self.lamps)})
        rest = {key: tuple(value) if isinstance(value, list) else value for key, value in rest.items()}
        return World(self.kind, self.seed, tuple(self._materials), tuple(self.primitives), light=light, **rest)


def axes_of(primitive: Primitive) -> np.ndarray:
    """(3, 3): its own axes as columns in the world."""
    return np.asarray(matrix_from_quaternion(np.asarray(primitive.rotation, np.float64)))
