"""Floor plans: what stands where, where there is room to stand, and which places see a free way to each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.kinds.palette import Rng, chance, pick, uniform
from openlyra.worlds.types import Place


@dataclass(frozen=True)
class Piece:
    """A thing that knows its size before it is built: centred on x = z = 0, its back towards +z, metres."""

    width: float
    depth: float
    height: float
    build: Callable[[SceneBuilder], None]


@dataclass(frozen=True)
class Rect:
    """A rectangle of the floor along x and z."""

    x0: float
    z0: float
    x1: float
    z1: float

    @classmethod
    def around(cls, x: float, z: float, width: float, depth: float, yaw: float = 0.0) -> Rect:
        """The bounds of a turned rectangle."""
        c, s = abs(math.cos(yaw)), abs(math.sin(yaw))
        hx, hz = (c * width + s * depth) / 2, (s * width + c * depth) / 2
        return cls(x - hx, z - hz, x + hx, z + hz)

    def grown(self, margin: float) -> Rect:
        """Larger on every side."""
        return Rect(self.x0 - margin, self.z0 - margin, self.x1 + margin, self.z1 + margin)

    def overlaps(self, other: Rect) -> bool:
        """Whether they share more than an edge."""
        return self.x0 < other.x1 and other.x0 < self.x1 and self.z0 < other.z1 and other.z0 < self.z1

    def distance(self, x: float, z: float) -> float:
        """Metres from a point to the rectangle; negative inside."""
        dx, dz = max(self.x0 - x, x - self.x1), max(self.z0 - z, z - self.z1)
        if dx <= 0 and dz <= 0:
            return max(dx, dz)
        return math.hypot(max(dx, 0.0), max(dz, 0.0))

    @property
    def center(self) -> tuple[float, float]:
        """(x, z)."""
        return (self.x0 + self.x1) / 2, (self.z0 + self.z1) / 2


@dataclass
class Plan:
    """An area with blocked rectangles and points worth looking at."""

    area: Rect
    blocked: list[Rect] = field(default_factory=list)
    focus: list[tuple[float, float]] = field(default_factory=list)

    def fits(self, rect: Rect, margin: float = 0.03) -> bool:
        """Whether a rectangle lies inside and touches nothing."""
        a = self.area
        if rect.x0 < a.x0 - 1e-6 or rect.x1 > a.x1 + 1e-6 or rect.z0 < a.z0 - 1e-6 or rect.z1 > a.z1 + 1e-6:
            return False
        large = rect.grown(margin)
        return not any(large.overlaps(other) for other in self.blocked)

    def claim(self, rect: Rect, margin: float = 0.03, focus: bool = False) -> bool:
        """Block a rectangle if it fits."""
        if not self.fits(rect, margin):
            return False
        self.blocked.append(rect)
        if focus:
            self.focus.append(rect.center)
        return True

    def clearance(self, x: float, z: float) -> float:
        """Metres from a point to the nearest blocked thing or border."""
        a = self.area
        border = min(x - a.x0, a.x1 - x, z - a.z0, a.z1 - z)
        return min([border, *(rect.distance(x, z) for rect in self.blocked)])

    def free_point(self, rng: Rng, radius: float, tries: int = 40) -> tuple[float, float] | None:
        """A random point with that much room around it."""
        a = self.area
        for _ in range(tries):
            x, z = uniform(rng, a.x0, a.x1), uniform(rng, a.z0, a.z1)
            if self.clearance(x, z) >= radius:
                return x, z
        return None

    def way_free(self, a: Sequence[float], b: Sequence[float], margin: float = 0.25) -> bool:
        """Whether one can walk straight from (x, z) to (x, z)."""
        steps = max(2, int(math.hypot(b[0] - a[0], b[1] - a[1]) / 0.15))
        for t in np.linspace(0, 1, steps):
            x, z = a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t
            if any(rect.distance(x, z) < margin for rect in self.blocked):
                return False
        return True


def grow(scene: SceneBuilder, rng: Rng, *growers: Callable[[SceneBuilder, Rng], None]) -> None:
    """Build with one of the growers in the current frame."""
    pick(rng, growers)(scene, rng)


def drop(scene: SceneBuilder, plan: Plan, rng: Rng, piece: Piece, *, margin: float = 0.05, turned: bool = True,
         tries: int = 12, focus: bool = False) -> bool:  # fmt: skip
    """Build a piece somewhere free on the plan; False if there is no room."""
    for _ in range(tries):
        yaw = uniform(rng, -math.pi, math.pi) if turned else pick(rng, (0.0, math.pi / 2, math.pi, -math.pi / 2))
        a = plan.area
        x, z = uniform(rng, a.x0, a.x1), uniform(rng, a.z0, a.z1)
        if plan.claim(Rect.around(x, z, piece.width, piece.depth, yaw), margin, focus):
            with scene.at(x, z, yaw):
                piece.build(scene)
            return True
    return False


def put(scene: SceneBuilder, plan: Plan, piece: Piece, x: float, z: float, yaw: float = 0.0, *, margin: float = 0.0,
        focus: bool = False) -> bool:  # fmt: skip
    """Build a piece at a point if it is free there."""
    if not plan.claim(Rect.around(x, z, piece.width, piece.depth, yaw), margin, focus):
        return False
    with scene.at(x, z, yaw):
        piece.build(scene)
    return True


def stand(scene: SceneBuilder, plan: Plan, rng: Rng, count: int, *, radius: float = 0.4, near: float = 0.7,
          anywhere: float = 0.15) -> list[Place]:  # fmt: skip
    """Places with room around them that look at a point of interest at least `near` metres away."""
    places: list[Place] = []
    for attempt in range(count * 3):
        if len(places) == count:
            break
        spot = plan.free_point(rng, radius * (1.0 if attempt < count * 2 else 0.6))
        if spot is None:
            continue
        x, z = spot
        facing = None if chance(rng, anywhere) else _facing(plan, rng, x, z, near)
        places.append(scene.place(x, z, radius=plan.clearance(x, z), facing=facing))
    return places


def _facing(plan: Plan, rng: Rng, x: float, z: float, near: float) -> float | None:
    seen = [(a, b) for a, b in plan.focus if math.hypot(a - x, b - z) > near]
    if not seen:
        middle = plan.area.center
        return math.atan2(middle[0] - x, middle[1] - z) if math.hypot(middle[0] - x, middle[1] - z) > 0.3 else None
    a, b = pick(rng, seen)
    return math.atan2(a - x, b - z) + float(rng.normal(0, 0.15))


def link(plan: Plan, places: Sequence[Place], reach: float = 8.0) -> list[tuple[int, int]]:
    """Pairs of places with a free straight way; places must be in the plan's own frame."""
    pairs = []
    for i, first in enumerate(places):
        for j in range(i + 1, len(places)):
            a, b = (first.position[0], first.position[2]), (places[j].position[0], places[j].position[2])
            if math.hypot(a[0] - b[0], a[1] - b[1]) < reach and plan.way_free(a, b):
                pairs.append((i, j))
    return pairs
