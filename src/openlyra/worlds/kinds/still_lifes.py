"""Things near the eye: table tops, shelves, the floor, a heap of objects; and mixtures of anything."""

from __future__ import annotations

import math

from openlyra.worlds.builder import SceneBuilder, rotation
from openlyra.worlds.kinds.layout import Piece, Plan, Rect, drop, link, put, stand
from openlyra.worlds.kinds.palette import (
    Rng,
    any_color,
    bark,
    brick,
    chance,
    fabric,
    furniture,
    glow,
    grey,
    leaves,
    metal,
    one_of,
    pick,
    picture,
    plain,
    plastic,
    rock,
    seed_of,
    stone,
    tiles,
    uniform,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.kinds.parts_devices import desk_lamp, desk_things, plant, table_lamp
from openlyra.worlds.kinds.parts_room import against, new_room, pictures
from openlyra.worlds.kinds.parts_seats import chair
from openlyra.worlds.kinds.parts_small import scatter
from openlyra.worlds.kinds.parts_storage import bookshelf, drawers, rack, wardrobe
from openlyra.worlds.kinds.parts_tables import round_table, table_top
from openlyra.worlds.kinds.rooms import complete, open_sides
from openlyra.worlds.kinds.skies import outdoors
from openlyra.worlds.types import CameraRange, Cutout, CutoutKind, Ground, Light, Material, Place, Shape, World


def _around(scene: SceneBuilder, rng: Rng, x: float, z: float, near: float, far: float, count: int) -> list[Place]:
    """Places on a circle that look at (x, z)."""
    places = []
    for _ in range(count):
        angle, reach = uniform(rng, -math.pi, math.pi), uniform(rng, near, far)
        px, pz = x - reach * math.sin(angle), z - reach * math.cos(angle)
        places.append(scene.place(px, pz, radius=0.1, facing=angle + float(rng.normal(0, 0.1))))
    return places


def table_top_view(rng: Rng) -> World:
    """A table full of things, seen from close by, with the room behind it."""
    scene = SceneBuilder("tabletop", int(rng.integers(2**31)))
    room = new_room(
        rng, uniform(rng, 3.5, 6), uniform(rng, 3.5, 6), uniform(rng, 2.4, 3), pick(rng, ("home", "office", "any"))
    )
    open_sides(room, rng, doors=1, windowed=0.7)
    height = uniform(rng, 0.68, 0.95)
    style = pick(rng, ("still", "still", "dining", "office", "kitchen", "workshop", "living"))
    if chance(rng, 0.25):
        table, width, depth = round_table(rng, uniform(rng, 0.4, 0.6), height), 0.7, 0.7
    else:
        width, depth = uniform(rng, 0.8, 1.7), uniform(rng, 0.6, 0.9)
        table = table_top(rng, width, depth, height)
    load: Piece = (
        desk_things(rng, width, depth)
        if style == "office"
        else scatter(rng, width * 0.96, depth * 0.94, whole(rng, 10, 30), style)
    )
    wall_side = pick(rng, room.sides) if chance(rng, 0.3) else None
    x, z = uniform(rng, -0.5, 0.5), uniform(rng, -0.5, 0.5)
    if wall_side is not None:
        reach = wall_side.reach - table.depth / 2 - 0.02
        x, z = math.sin(wall_side.yaw) * reach, math.cos(wall_side.yaw) * reach
    yaw = wall_side.yaw if wall_side is not None else uniform(rng, -math.pi, math.pi)
    put(scene, room.plan, table, x, z, yaw)
    with scene.at(x, z, yaw, up=height):
        load.build(scene)
        if chance(rng, 0.25):
            with scene.at(width * 0.4, depth * 0.3):
                one_of(rng, desk_lamp, lambda r: table_lamp(r), lambda r: plant(r, 0.4)).build(scene)
    for _ in range(whole(rng, 2, 5)):
        against(scene, room, rng, one_of(rng, bookshelf, drawers, wardrobe, rack, chair))
    pictures(scene, rng, room, whole(rng, 1, 5))
    world = complete(scene, rng, room, clutter=1)
    places = []
    for place in _around(scene, rng, x, z, 0.65, 1.5, 24):
        px, pz = place.position[0], place.position[2]
        if room.plan.clearance(px, pz) > 0.12:
            places.append(place)
    pitch = (uniform(rng, 14, 38), 7.0)
    cameras = CameraRange((height + 0.25, height + 0.75), pitch, 3.0, (40.0, 68.0))
    return _with_views(world, tuple(places[:9]) or world.places, cameras)


def _with_views(world: World, places: tuple[Place, ...], cameras: CameraRange) -> World:
    return World(**{**vars(world), "places": places, "links": (), "cameras": cameras})


def floor_things(rng: Rng) -> World:
    """Objects on the floor or the ground, in a studio, a room or outside, seen from low down."""
    scene = SceneBuilder("objects", int(rng.integers(2**31)))
    large = uniform(rng, 0.8, 2.2)
    heap = scatter(rng, large, large, whole(rng, 8, 24), pick(rng, ("still", "floor", "storage", "workshop", "living")))
    heap.build(scene)
    for _ in range(whole(rng, 0, 2)):
        with scene.at(uniform(rng, -1.4, 1.4), uniform(rng, -1.4, 1.4), uniform(rng, 0, 6)):
            if chance(rng, 0.5):
                chair(rng).build(scene)
            else:
                plant(rng).build(scene)
    mood = outdoors(rng, haze=0.2)
    surface = pick(
        rng, (lambda r: tiles(r, 0.3), wood, lambda r: stone(r, 0.4), lambda r: plain(r, grey(r)), fabric, brick)
    )(rng)
    backdrop = chance(rng, 0.6)
    if backdrop:
        _backdrop(scene, rng, large)
    places = _around(scene, rng, 0.0, 0.0, 0.7 + 0.4 * large, 1.2 + large, 9)
    if backdrop:  # stay before the wall
        places = [place for place in places if place.position[2] < 0.9 * large] or [
            scene.place(0.0, -1.8, radius=0.15, facing=0.0)
        ]
    return scene.finish(
        places=places,
        ground=Ground(scene.material(surface)),
        sky=mood.sky,
        light=mood.light,
        fog=mood.fog,
        cameras=CameraRange((0.3, 1.3), (uniform(rng, 12, 30), 6.0), 3.0, (38.0, 70.0)),
    )


def _backdrop(scene: SceneBuilder, rng: Rng, large: float) -> None:
    body = pick(
        rng,
        (brick, lambda r: plain(r, grey(r)), lambda r: plain(r, any_color(r)), fabric, wood, lambda r: tiles(r, 0.2)),
    )(rng)
    with scene.at(0, large + uniform(rng, 0.2, 1.5), uniform(rng, -0.4, 0.4)):
        scene.box(8, uniform(rng, 1.8, 4), 0.2, body, z=0.2)
        if chance(rng, 0.4):
            scene.box(
                uniform(rng, 0.4, 1.4),
                uniform(rng, 0.4, 1.2),
                0.02,
                picture(rng),
                up=0.9,
                z=0.08,
                x=uniform(rng, -1, 1),
            )
        if chance(rng, 0.25):
            bookshelf(rng).build(scene)


def shelf_view(rng: Rng) -> World:
    """A wall of shelves close by."""
    scene = SceneBuilder("shelves", int(rng.integers(2**31)))
    room = new_room(
        rng, uniform(rng, 2.5, 4.5), uniform(rng, 3, 6), uniform(rng, 2.4, 3), pick(rng, ("home", "office", "rough"))
    )
    open_sides(room, rng, doors=1, windowed=0.5)
    for _ in range(whole(rng, 3, 7)):
        against(scene, room, rng, one_of(rng, bookshelf, bookshelf, rack, drawers), gap=0.01)
    for _ in range(whole(rng, 1, 4)):
        drop(scene, room.plan, rng, scatter(rng, 0.5, 0.5, 2, pick(rng, ("floor", "storage"))))
    if chance(rng, 0.4):
        drop(scene, room.plan, rng, table_top(rng, 1.0, 0.6, 0.74), focus=True)
    return complete(scene, rng, room, clutter=whole(rng, 2, 6), look_down=0.5)


def _material(rng: Rng) -> Material:
    makers = (
        wood,
        metal,
        fabric,
        plastic,
        brick,
        furniture,
        leaves,
        rock,
        bark,
        picture,
        lambda r: tiles(r, uniform(r, 0.05, 0.5)),
        lambda r: stone(r, uniform(r, 0.2, 1.0)),
        lambda r: plain(r, any_color(r)),
        lambda r: plain(r, grey(r, 0.05, 0.95)),
    )
    return pick(rng, makers)(rng)


_HOLES: tuple[CutoutKind, ...] = ("leaves", "bars", "mesh")


def _thing(scene: SceneBuilder, rng: Rng, x: float, up: float, z: float, size: float) -> None:
    """One random primitive, turned at random, at times with holes."""
    turn = rotation(uniform(rng, -3, 3), float(rng.normal(0, 0.3)), float(rng.normal(0, 0.3)))
    half = [size * uniform(rng, 0.15, 1.0) / 2 for _ in range(3)]
    shapes: tuple[Shape, ...] = ("box", "box", "ellipsoid", "frustum", "ring", "capsule", "prism", "quad", "disc")
    shape = pick(rng, shapes)
    holes = None
    if chance(rng, 0.12):
        holes = Cutout(pick(rng, _HOLES), size * uniform(rng, 0.05, 0.2), uniform(rng, 0.2, 0.8), seed_of(rng))
    detail = (
        uniform(rng, 0.5, 0.95)
        if shape == "ring"
        else uniform(rng, -1, 1)
        if shape == "prism"
        else uniform(rng, 0, 1.4)
    )
    material = glow(rng, uniform(rng, 0.5, 2)) if chance(rng, 0.03) else _material(rng)
    scene.add(shape, (x, -up - half[1], z), half, material, turn=turn, detail=detail, cutout=holes)


def clutter(rng: Rng) -> World:
    """Anything anywhere: random shapes, furniture and trees in a hall or in the open."""
    scene = SceneBuilder("clutter", int(rng.integers(2**31)))
    inside, half = chance(rng, 0.5), uniform(rng, 3, 9)
    plan = Plan(Rect(-half, -half, half, half))
    for _ in range(whole(rng, 25, 90)):
        size = 0.15 * 15 ** float(rng.random()) * (half / 6)
        x, z = uniform(rng, -half, half), uniform(rng, -half, half)
        if plan.claim(Rect.around(x, z, size * 0.9, size * 0.9), -0.1, focus=True):
            _thing(scene, rng, x, 0.0 if chance(rng, 0.75) else uniform(rng, 0, 2.5), z, size)
    for _ in range(whole(rng, 0, 8)):
        drop(
            scene,
            plan,
            rng,
            one_of(rng, chair, plant, bookshelf, drawers, lambda r: table_top(r, 1.2, 0.7, 0.74)),
            focus=True,
        )
    for _ in range(whole(rng, 0, 10)):
        a, b = rng.uniform(-half, half, 2), rng.uniform(-half, half, 2)
        scene.tube(
            (a[0], uniform(rng, 0, 3), a[1]),
            (b[0], uniform(rng, 0, 3), b[1]),
            uniform(rng, 0.005, 0.05),
            _material(rng),
        )
    places = stand(scene, plan, rng, 9, radius=0.4, near=1.0) or [scene.place(0.0, 0.0)]
    cameras = CameraRange((0.4, 2.2), (uniform(rng, -3, 22), 8.0), 5.0, (38.0, 88.0))
    if not inside:
        mood = outdoors(rng, haze=2.0)
        return scene.finish(
            places=places,
            links=link(plan, places),
            ground=Ground(scene.material(_material(rng))),
            sky=mood.sky,
            light=mood.light,
            fog=mood.fog,
            cameras=cameras,
        )
    high = uniform(rng, 2.6, 5)
    scene.room(2 * half + 1, high, 2 * half + 1, _material(rng))
    scene.quad(2 * half + 1, 2 * half + 1, _material(rng), up=0.002 - half - 0.5, pitch=math.pi / 2)
    for index in range(4):
        scene.lamp(
            half * math.cos(index * 1.6) * 0.6, high - 0.3, half * math.sin(index * 1.6) * 0.6, uniform(rng, 0.3, 1.5)
        )
    light = Light(sun=0.0, ambient=uniform(rng, 0.3, 0.7))
    return scene.finish(places=places, links=link(plan, places), light=light, indoor=True, cameras=cameras)
