"""Open country: hills, mountains, lakes, shores, forests, deserts, snow."""

from __future__ import annotations

import math
from dataclasses import replace

from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.kinds.harbours import boat
from openlyra.worlds.kinds.palette import (
    Rng,
    chance,
    darker,
    grey,
    hsv,
    leaves,
    pick,
    rock,
    seed_of,
    uniform,
    vary,
    whole,
    wood,
)  # fmt: skip
from openlyra.worlds.kinds.parts_building import cottage
from openlyra.worlds.kinds.parts_plants import boulder, broadleaf, bush, conifer, tree, tuft
from openlyra.worlds.kinds.parts_street import fence, fence_along
from openlyra.worlds.kinds.skies import Mood, outdoors
from openlyra.worlds.kinds.streets import lawn
from openlyra.worlds.terrain import path_offset, terrain_height
from openlyra.worlds.types import CameraRange, Material, Place, Terrain, Water, World


def _cover(rng: Rng, kind: str) -> tuple[Material, Material]:
    """Gentle and steep ground."""
    if kind == "desert":
        color = vary(rng, pick(rng, ((0.8, 0.66, 0.46), (0.76, 0.55, 0.4), (0.85, 0.76, 0.6))))
        return Material("sand", color, darker(color, 0.85), scale=uniform(rng, 1, 5), seed=seed_of(rng)), rock(rng)
    if kind == "snow":
        white = grey(rng, 0.86, 0.97)
        return Material("snow", white, darker(white, 0.85), scale=uniform(rng, 1, 4), seed=seed_of(rng)), rock(rng)
    if kind == "heath":
        color = vary(rng, pick(rng, ((0.5, 0.45, 0.28), (0.45, 0.38, 0.3), (0.42, 0.4, 0.25))))
        return Material(
            "grass", color, darker(color, 0.6), vary(rng, (0.45, 0.3, 0.4)), scale=1.5, seed=seed_of(rng)
        ), rock(rng)
    if kind == "rocky":
        first = rock(rng)
        return first, replace(first, scale=first.scale * 2.5)
    return lawn(rng), rock(rng)


def land_of(rng: Rng, scene: SceneBuilder, kind: str) -> Terrain:
    """Land of a kind: meadow, heath, mountain, desert, snow, rocky or forest."""
    gentle, steep = _cover(rng, kind)
    amplitude = {"desert": uniform(rng, 3, 25), "forest": uniform(rng, 1, 10), "mountain": uniform(rng, 60, 260)}.get(
        kind, 10 ** uniform(rng, 0.8, 1.9)
    )
    ridged = uniform(rng, 0.4, 1.0) if kind in ("mountain", "snow") and chance(rng, 0.7) else uniform(rng, 0, 0.3)
    path = None
    if chance(rng, 0.4):
        path = scene.material(
            Material(
                "gravel", vary(rng, (0.62, 0.53, 0.42)), vary(rng, (0.45, 0.38, 0.3)), scale=0.04, seed=seed_of(rng)
            )
        )
    snow = amplitude * uniform(rng, 0.15, 0.4) if kind == "mountain" and chance(rng, 0.6) else None
    return Terrain(
        scene.material(gentle),
        scene.material(steep),
        int(rng.integers(60000)),
        amplitude,
        max(amplitude * uniform(rng, 0.9, 2.5), uniform(rng, 25, 90)),
        ridged,
        uniform(rng, 0.35, 0.55),
        uniform(rng, 2.5, 9),
        uniform(rng, 0.8, 2.5) if path is not None else 0.0,
        path,
        snow,
    )


class _Country:
    """Puts things on the land, away from where one stands and from the water."""

    def __init__(self, scene: SceneBuilder, rng: Rng, land: Terrain, level: float | None) -> None:
        self.scene, self.rng, self.land, self.level = scene, rng, land, level
        self.taken: list[tuple[float, float, float]] = []

    def spot(self, near: float, far: float, spread: float, room: float) -> tuple[float, float, float] | None:
        """(x, z, height) with that much room, on dry land, off the path."""
        for _ in range(8):
            angle = float(self.rng.normal(0, spread))
            reach = near * (far / near) ** float(self.rng.random())
            x, z = reach * math.sin(angle), reach * math.cos(angle)
            height = terrain_height(self.land, x, z)
            wet = self.level is not None and height < -self.level + 0.15
            on_path = (
                self.land.path is not None and abs(x - path_offset(self.land, z)) < room + self.land.path_width / 2
            )
            if wet or on_path or any(math.hypot(x - a, z - b) < room + r for a, b, r in self.taken):
                continue
            self.taken.append((x, z, room))
            return x, z, height
        return None

    def plant(self, count: int, near: float, far: float, spread: float, room: float, make) -> None:  # type: ignore[no-untyped-def]
        """Build `make(scene, rng)` at up to `count` spots."""
        for _ in range(count):
            found = self.spot(near, far, spread, room)
            if found is not None:
                with self.scene.at(found[0], found[1], uniform(self.rng, 0, 6.28), up=found[2] - 0.05):
                    make(self.scene, self.rng)


def landscape(rng: Rng) -> World:
    """Rolling or ridged land with trees, rocks, paths, water, huts and fences."""
    kind = str(
        rng.choice(["meadow", "heath", "mountain", "desert", "snow", "rocky"], p=[0.36, 0.14, 0.2, 0.12, 0.1, 0.08])
    )
    scene = SceneBuilder("landscape", int(rng.integers(2**31)))
    land = land_of(rng, scene, kind)
    water, mood = None, outdoors(rng, haze=pick(rng, (0.3, 1.0, 1.5)))
    if kind != "desert" and chance(rng, 0.4):
        water = lake(rng, uniform(rng, 0.6, 5.0))
    country = _Country(scene, rng, land, None if water is None else water.level)
    places = _viewpoints(scene, rng, land, water, country)
    _grow(rng, country, kind)
    if chance(rng, 0.4):
        country.plant(whole(rng, 1, 3), 12, 60, 0.6, 7.0, cottage)
    if chance(rng, 0.3):
        country.plant(
            whole(rng, 1, 4),
            4,
            20,
            0.8,
            2.0,
            lambda s, r: fence(s, r, uniform(r, 4, 10), pick(r, ("rails", "picket", "wall"))),
        )
    if water is not None and chance(rng, 0.4):
        with scene.at(uniform(rng, -20, 20), uniform(rng, 20, 60), uniform(rng, 0, 6), up=-water.level):
            boat(scene, rng)
    return _finish(scene, rng, land, water, mood, places)


def lake(rng: Rng, level: float) -> Water:
    """Water of some colour, `level` metres below y = 0."""
    color = vary(rng, pick(rng, ((0.18, 0.35, 0.38), (0.15, 0.3, 0.42), (0.25, 0.32, 0.25), (0.1, 0.42, 0.48))), 0.04)
    return Water(level, color, uniform(rng, 0.02, 0.9), uniform(rng, 0.4, 2.5))


def _viewpoints(scene: SceneBuilder, rng: Rng, land: Terrain, water: Water | None, country: _Country) -> list[Place]:
    """Standing places along z near the origin, on dry land."""
    places = []
    for _ in range(14):
        x, z = uniform(rng, -6, 6), uniform(rng, -8, 8)
        if land.path is not None and chance(rng, 0.6):
            x = path_offset(land, z)
        height = terrain_height(land, x, z)
        if water is not None and height < -water.level + 0.1:
            continue
        country.taken.append((x, z, 0.9))
        places.append(scene.place(x, z, up=height, radius=0.8, facing=float(rng.normal(0, 0.5))))
    return places[:8] or [scene.place(0.0, 0.0, radius=0.8, facing=0.0)]


def _grow(rng: Rng, country: _Country, kind: str) -> None:
    share = uniform(rng, 0.2, 1.0)
    if kind in ("meadow", "heath", "mountain", "snow"):
        green, fir = leaves(rng), leaves(rng)
        mixed = pick(rng, ("leaf", "fir", "both"))
        far_tree = _simple_tree(green, fir, mixed)
        country.plant(int(26 * share), 25, 220, 0.6, 1.5, far_tree)
        country.plant(int(9 * share), 6, 30, 0.6, 1.5, tree if mixed != "fir" else conifer_of(fir))
        country.plant(int(14 * share), 3, 25, 0.8, 0.8, lambda s, r: bush(s, r, None, green))
    if kind in ("desert",):
        country.plant(int(12 * share), 4, 40, 0.8, 0.8, cactus)
    if kind in ("desert", "rocky", "mountain", "heath", "snow") or chance(rng, 0.5):
        stone_ = rock(rng)
        country.plant(int(16 * share) + 2, 2.5, 60, 0.8, 0.9, lambda s, r: boulder(s, r, uniform(r, 0.3, 2.6), stone_))
    if kind in ("meadow", "heath"):
        blade = Material("plain", hsv(uniform(rng, 0.15, 0.3), 0.6, 0.5))
        country.plant(int(10 * share), 1.5, 7, 0.9, 0.3, lambda s, r: tuft(s, r, blade))


def conifer_of(crown: Material):  # type: ignore[no-untyped-def]
    """A maker of firs in one colour."""
    return lambda scene, rng: conifer(scene, rng, uniform(rng, 4, 14), crown)


def _simple_tree(green: Material, fir: Material, mixed: str):  # type: ignore[no-untyped-def]
    """A maker of cheap trees for the distance."""

    def make(scene: SceneBuilder, rng: Rng) -> None:
        if mixed == "fir" or (mixed == "both" and chance(rng, 0.5)):
            conifer(scene, rng, uniform(rng, 6, 16), fir)
        else:
            broadleaf(scene, rng, uniform(rng, 5, 13), green, detail=3)

    return make


def cactus(scene: SceneBuilder, rng: Rng) -> None:
    """A cactus, a dry bush or an agave."""
    green, tall = (
        Material("stripes", hsv(0.3, 0.4, 0.45), hsv(0.3, 0.4, 0.35), scale=0.06, seed=seed_of(rng)),
        uniform(rng, 1, 4),
    )
    if chance(rng, 0.4):
        bush(
            scene,
            rng,
            uniform(rng, 0.4, 1.0),
            Material("foliage", (0.25, 0.2, 0.1), (0.14, 0.11, 0.06), scale=0.15, seed=seed_of(rng)),
        )
        return
    scene.tube((0, -0.1, 0), (0, tall, 0), 0.17, green)
    for side in (-1, 1):
        if chance(rng, 0.6):
            up = tall * uniform(rng, 0.35, 0.6)
            scene.tube((0, up, 0), (side * 0.6, up + 0.1, 0), 0.11, green)
            scene.tube((side * 0.6, up + 0.1, 0), (side * 0.62, up + tall * 0.3, 0), 0.11, green)


def _finish(
    scene: SceneBuilder, rng: Rng, land: Terrain, water: Water | None, mood: Mood, places: list[Place]
) -> World:
    height = (1.3, 1.9) if chance(rng, 0.6) else pick(rng, ((0.6, 1.2), (2.0, 8.0)))
    return scene.finish(
        places=places,
        links=[(i, i + 1) for i in range(len(places) - 1)],
        terrain=land,
        water=water,
        sky=mood.sky,
        light=mood.light,
        fog=mood.fog,
        cameras=CameraRange(height, (uniform(rng, -3, 8), 5.0), 1.5, (38.0, 85.0)),
    )


def forest(rng: Rng) -> World:
    """Many trunks, undergrowth, fallen wood, dappled light."""
    scene = SceneBuilder("forest", int(rng.integers(2**31)))
    land = land_of(rng, scene, "forest")
    floor = Material(
        "noise",
        vary(rng, (0.36, 0.28, 0.18)),
        vary(rng, (0.24, 0.26, 0.12)),
        scale=uniform(rng, 0.1, 0.6),
        seed=seed_of(rng),
        bump=0.5,
    )
    if chance(rng, 0.6):
        land = replace(land, material=scene.material(floor))
    country = _Country(scene, rng, land, None)
    places = _viewpoints(scene, rng, land, None, country)
    green, fir, firs = leaves(rng), leaves(rng), chance(rng, 0.5)
    tall = uniform(rng, 9, 18)

    def trunk(s: SceneBuilder, r: Rng) -> None:
        if firs:
            conifer(s, r, tall * uniform(r, 0.7, 1.2), fir)
        else:
            broadleaf(s, r, tall * uniform(r, 0.7, 1.2), green, detail=3)

    country.plant(whole(rng, 40, 80), 2.5, 60, 1.0, 0.7, trunk)
    country.plant(whole(rng, 5, 25), 2, 20, 1.0, 0.5, lambda s, r: bush(s, r, uniform(r, 0.3, 1.0), green))
    country.plant(whole(rng, 0, 8), 2, 20, 1.0, 0.5, lambda s, r: boulder(s, r, uniform(r, 0.3, 1.5)))
    country.plant(whole(rng, 0, 5), 2.5, 15, 1.0, 1.0, log)
    return _finish(scene, rng, land, None, outdoors(rng, haze=2.0), places)


def log(scene: SceneBuilder, rng: Rng) -> None:
    """A fallen trunk or a stump."""
    body = Material("bark", vary(rng, (0.35, 0.27, 0.2)), vary(rng, (0.2, 0.15, 0.1)), scale=0.2, seed=seed_of(rng))
    radius = uniform(rng, 0.12, 0.35)
    if chance(rng, 0.4):
        scene.cylinder(radius * 1.2, 0.5, body, top=0.85)
        return
    scene.tube((-1.8, radius * 0.7, 0), (1.8, radius * 0.8, 0.3), radius, body)


def shore(rng: Rng) -> World:
    """A beach or rocky shore with the sea, islands, boats, cliffs."""
    scene = SceneBuilder("shore", int(rng.integers(2**31)))
    land = land_of(rng, scene, pick(rng, ("desert", "meadow", "rocky")))
    land = replace(land, amplitude=min(land.amplitude, 14.0), path=None, path_width=0.0)
    water = lake(rng, uniform(rng, 0.15, 1.2))
    country = _Country(scene, rng, land, water.level)
    places = _viewpoints(scene, rng, land, water, country)
    stone_ = rock(rng)
    country.plant(whole(rng, 3, 20), 2.5, 40, 0.9, 0.7, lambda s, r: boulder(s, r, uniform(r, 0.3, 2.5), stone_))
    country.plant(whole(rng, 0, 8), 6, 50, 0.9, 1.2, tree)
    country.plant(whole(rng, 0, 8), 2, 15, 0.9, 0.4, lambda s, r: tuft(s, r, Material("plain", (0.2, 0.22, 0.08))))
    for _ in range(whole(rng, 0, 4)):
        with scene.at(uniform(rng, -30, 30), uniform(rng, 12, 70), uniform(rng, 0, 6), up=-water.level):
            boat(scene, rng)
    for _ in range(whole(rng, 0, 5)):
        x, z, wide = uniform(rng, -200, 200), uniform(rng, 80, 350), uniform(rng, 30, 160)
        scene.ellipsoid(wide, uniform(rng, 10, 70), wide * 0.7, stone_, x=x, z=z, up=-15)
    if chance(rng, 0.3):
        _jetty(scene, rng, water.level)
    return _finish(scene, rng, land, water, outdoors(rng), places)


def _jetty(scene: SceneBuilder, rng: Rng, level: float) -> None:
    body, x, top = wood(rng), uniform(rng, -6, 6), 0.5 - level
    for index in range(12):
        scene.box(1.4, 0.06, 0.9, body, x=x, up=top, z=4 + index)
        if index % 2 == 0:
            for side in (-0.65, 0.65):
                scene.cylinder(0.08, 2.5, body, x=x + side, up=top - 2.0, z=4 + index)


def hill_path(rng: Rng) -> World:
    """A way along a slope with a railing or wall, rocks and pavilions."""
    scene = SceneBuilder("path", int(rng.integers(2**31)))
    kind = pick(rng, ("meadow", "mountain", "rocky"))
    land = replace(land_of(rng, scene, kind), path_width=uniform(rng, 1.6, 3.0), flat_radius=uniform(rng, 12, 22))
    slab = Material(
        "stone",
        vary(rng, (0.55, 0.52, 0.47)),
        vary(rng, (0.35, 0.33, 0.3)),
        scale=uniform(rng, 0.35, 0.8),
        seed=seed_of(rng),
        bump=0.6,
    )
    land = replace(
        land,
        path=scene.material(slab if chance(rng, 0.6) else Material("gravel", (0.34, 0.28, 0.2), (0.2, 0.16, 0.12))),
    )
    country = _Country(scene, rng, land, None)
    rail, side = pick(rng, ("rails", "iron", "wall", "chain", "mesh")), pick(rng, (-1, 1))
    edge = [(path_offset(land, z) + side * (land.path_width / 2 + 0.3), z) for z in (2.5 * k - 8 for k in range(21))]
    fence_along(scene, rng, [(x, z, terrain_height(land, x, z)) for x, z in edge], rail)
    places = _viewpoints(scene, rng, land, None, country)
    _grow(rng, country, kind)
    if chance(rng, 0.5):
        country.plant(1, 9, 20, 0.4, 5.0, cottage)
    return _finish(scene, rng, land, None, outdoors(rng, haze=1.5), places)
