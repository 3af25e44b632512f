"""Every kind: one world a seed, sound numbers, places to stand, links that are free, pictures to learn from."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from openlyra.worlds.kinds import GROUPS, KINDS
from openlyra.worlds.kinds.layout import Plan, Rect
from openlyra.worlds.render import Scene
from openlyra.worlds.sample import sample_view
from openlyra.worlds.terrain import terrain_height
from openlyra.worlds.types import TEXTURES, World

EYE = 1.3
INDOOR = ("rooms", "corridors", "still_lifes")


def build(name: str, seed: int) -> World:
    return KINDS[name][0](np.random.default_rng(seed))


@pytest.mark.parametrize("name", KINDS)
def test_a_seed_gives_one_world_and_another_seed_another(name: str) -> None:
    first = build(name, 7)
    assert first == build(name, 7)
    assert first != build(name, 8)


@pytest.mark.parametrize("name", KINDS)
def test_worlds_are_sound(name: str) -> None:
    for seed in range(3):
        world = build(name, seed)
        assert 15 <= len(world.primitives) <= 2600
        json.dumps(asdict(world), allow_nan=False)
        for primitive in world.primitives:
            assert 0 <= primitive.material < len(world.materials)
            assert all(0 < size < 500 for size in primitive.half)
            assert math.isclose(sum(q * q for q in primitive.rotation), 1.0, abs_tol=1e-6)
        for material in world.materials:
            assert material.texture in TEXTURES
            assert all(0 <= channel <= 2.5 for channel in (*material.color, *material.color2))
            assert material.scale > 1e-3
        assert len(world.light.lamps) <= 8


@pytest.mark.parametrize("name", KINDS)
def test_places_are_in_the_open_and_links_join_them(name: str) -> None:
    for seed in range(2):
        world = build(name, seed)
        scene = Scene(world)
        free = 0
        for place in world.places:
            x, y, z = place.position
            if world.terrain is not None:
                above = -y - terrain_height(world.terrain, x, z)
                assert abs(above) < 1e-6 or (name == "heights" and above > 1)
            around = np.array([(math.sin(a), 0.0, math.cos(a)) for a in np.linspace(0, 6.28, 8)])
            free += bool((scene.cast(np.array([x, y - EYE, z]), around)[0] > 0.05).all())
        assert free >= 0.7 * len(world.places), f"{free} of {len(world.places)} places are free"
        for a, b in world.links:
            assert a != b and 0 <= min(a, b) and max(a, b) < len(world.places)


def test_rooms_of_a_flat_can_all_be_reached() -> None:
    for seed in range(4):
        world = build("flat", seed)
        reached, todo = {0}, [0]
        while todo:
            at = todo.pop()
            fresh = {b if a == at else a for a, b in world.links if at in (a, b)} - reached
            reached |= fresh
            todo += fresh
        assert len(reached) == len(world.places)


def test_doorways_of_a_flat_are_open() -> None:
    world = build("flat", 1)
    scene = Scene(world)
    gates = sorted({max(link) for link in world.links if world.places[max(link)].radius == 0.3})
    assert gates
    for gate in gates:
        x, y, z = world.places[gate].position
        ahead = scene.cast(np.array([x, y - EYE, z]), np.array([(1.0, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1)]))[0]
        assert max(min(ahead[0], ahead[1]), min(ahead[2], ahead[3])) > 0.4


@pytest.mark.parametrize("name", ["office", "corridor", "street", "landscape", "tabletop"])
def test_pictures_have_light_and_depth(name: str) -> None:
    view = sample_view(5, name, height=72, width=96)
    assert 20 < view.rgb.mean() < 235 and view.rgb.std() > 8
    solid = view.depth[~view.sky]
    assert solid.size > 0.2 * view.depth.size
    assert np.percentile(solid, 95) / np.percentile(solid, 5) > 1.3


def test_the_table_is_mostly_indoors_and_its_groups_cover_it() -> None:
    members = [name for group in GROUPS.values() for name in group]
    assert sorted(members) == sorted(KINDS)
    total = sum(weight for _, weight in KINDS.values())
    inside = sum(KINDS[name][1] for group in INDOOR for name in GROUPS[group])
    assert 0.55 <= inside / total <= 0.75
    assert {build(name, 0).kind for name in KINDS} == {*KINDS}


def test_a_plan_refuses_what_overlaps_and_knows_its_free_room() -> None:
    plan = Plan(Rect(-2, -2, 2, 2))
    assert plan.claim(Rect(-1, -1, 0, 0))
    assert not plan.claim(Rect(-0.5, -0.5, 1, 1))
    assert not plan.claim(Rect(1.5, 1.5, 2.5, 1.9))
    assert plan.clearance(1.0, -0.5) == pytest.approx(1.0)
    assert plan.clearance(-0.5, -0.25) == pytest.approx(-0.25)
    assert not plan.way_free((-1.5, -0.5), (1.0, -0.5))
    assert plan.way_free((-1.5, 1.0), (1.5, 1.0))
