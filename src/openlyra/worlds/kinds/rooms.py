"""What all furnished rooms share: openings, light, places to stand, and the finished world."""

from __future__ import annotations

from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.kinds.layout import drop, link, stand
from openlyra.worlds.kinds.palette import Rng, chance, pick, uniform, whole
from openlyra.worlds.kinds.parts_room import (
    Room,
    Side,
    add_door,
    add_windows,
    build_shell,
    ceiling_lights,
    curtains,
    radiators,
    side_frame,
    structure,
)  # fmt: skip
from openlyra.worlds.kinds.parts_small import scatter
from openlyra.worlds.kinds.skies import outside, through_windows
from openlyra.worlds.types import CameraRange, World


def open_sides(room: Room, rng: Rng, *, doors: int = 1, windowed: float = 0.8, keep: Side | None = None) -> None:
    """Plan windows on one or two walls, then doors; `keep` stays whole."""
    free = [side for side in room.sides if side is not keep]
    if chance(rng, windowed):
        rng.shuffle(free)  # type: ignore[arg-type]
        for side in free[: 2 if chance(rng, 0.3) else 1]:
            width = pick(rng, (uniform(rng, 0.7, 1.3), uniform(rng, 1.2, 2.4)))
            add_windows(room, rng, side, max(1, round(side.length / (width + uniform(rng, 0.6, 1.6)))), width)
    doorway = [side for side in free if not side.windows] or free
    for _ in range(doors):
        add_door(room, rng, pick(rng, doorway))


def cameras(rng: Rng, look_down: float) -> CameraRange:
    """Hand-held views: seated, standing or low; `look_down` is the share that looks at desks and floor."""
    height = pick(rng, ((1.3, 1.75), (1.35, 1.7), (1.0, 1.35), (0.6, 1.1)))
    if chance(rng, look_down):
        return CameraRange(height, (uniform(rng, 12, 28), 7.0), uniform(rng, 1.0, 4.0), (42.0, 75.0))
    return CameraRange(height, (uniform(rng, 0, 10), 6.0), uniform(rng, 0.5, 2.5), (45.0, 85.0))


def litter(scene: SceneBuilder, rng: Rng, room: Room, count: int) -> None:
    """Bags, cartons and toys left on the floor."""
    for _ in range(count):
        drop(scene, room.plan, rng, scatter(rng, 0.45, 0.45, 1, "floor"))


def complete(scene: SceneBuilder, rng: Rng, room: Room, *, clutter: int = 2, look_down: float = 0.4,
             ceiling: bool = True) -> World:  # fmt: skip
    """Shell, windows, lights, places, and the world; call it when the furniture stands."""
    structure(scene, rng, room)
    build_shell(scene, rng, room, flat_ceiling=ceiling)
    for side in room.windowed:
        with side_frame(scene, side):
            if chance(rng, 0.55):
                curtains(scene, rng, side, room.height)
            if chance(rng, 0.5):
                radiators(scene, rng, side)
    if ceiling and chance(rng, 0.85):
        ceiling_lights(scene, rng, room, on=0.4 if room.windowed else 0.9)
    litter(scene, rng, room, clutter)
    yaws = [side.yaw for side in room.windowed]
    mood = through_windows(rng, yaws)
    ground = outside(scene, rng, yaws, max(room.width, room.depth), pick(rng, (0.3, 0.4, 3.2, 6.5)),
                     0.06 if mood.dark else 1.0)  # fmt: skip
    places = stand(scene, room.plan, rng, whole(rng, 5, 9), radius=0.35)
    if not places:
        places = [scene.place(0.0, 0.0)]
    return scene.finish(places=places, links=link(room.plan, places), cameras=cameras(rng, look_down), ground=ground,
                        sky=mood.sky, light=mood.light, fog=mood.fog, indoor=True)  # fmt: skip
