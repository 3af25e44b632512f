"""What makes a picture of a world fast, against the plain way, and what it must not change."""

from __future__ import annotations

import math

import numpy as np
import pytest

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.draw import _light_near
from openlyra.worlds.kernels import INFINITY
from openlyra.worlds.land_rays import (
    AWAY,
    BEYOND,
    CLOSE,
    COLUMNS,
    FAR_END,
    LAST,
    land_crossings,
    land_hits,
    land_normals,
    land_scratch,
    normal_scratch,
)
from openlyra.worlds.noise import fbm2, fbm3, noise2, noise3
from openlyra.worlds.packed import LAND, NO_HIT, pack_world
from openlyra.worlds.ray_rows import normals_at
from openlyra.worlds.render import Scene
from openlyra.worlds.shade import plain_light
from openlyra.worlds.sky import SEAM, sky_color
from openlyra.worlds.spread import LIGHT, NORMAL, RIM, STEP, THERE, X, grid_shape, pixel_scratch, put_pixel, spread_row
from openlyra.worlds.terrain import height_at, hit_terrain, pack_terrain, terrain_normal
from openlyra.worlds.trace import normal_at
from openlyra.worlds.types import Ground, Light, Material, Sky, Terrain, Water


def _plain_light(
    grid: np.ndarray, row: int, column: int, place: np.ndarray, normal: np.ndarray, depth: float
) -> np.ndarray:
    """Light of one pixel: a weighted mean over all points there are; negative where none counts."""
    light, total = np.zeros(3), 0.0
    for i in range(grid.shape[0]):
        for j in range(grid.shape[2] - 2 * RIM):
            point = grid[i, :, RIM + j].astype(np.float64)
            near = 1.0
            for away in (i - row / STEP, j - column / STEP):
                near *= min(1.0, max(0.0, 2.5 - abs(away)))
            agree = point[NORMAL : NORMAL + 3] @ normal
            if point[THERE] == 0 or near == 0 or agree < 0.5:
                continue
            away = (point[X : X + 3] - place) @ normal / (0.02 * depth + 0.01)
            weight = near * max(0.0, 1 - away**2 / 8) ** 8 * agree**8
            light, total = light + weight * point[LIGHT : LIGHT + 3], total + weight
    return light / total if total > 1e-8 else np.full(3, -1.0)


@pytest.mark.parametrize("width", [1, 2, 13, 18])
def test_light_is_spread_as_by_the_plain_filter(width: int) -> None:
    """Five surfaces, holes in the grid, odd and even widths, rows at the rims: every pixel as one by one."""
    rng, height = np.random.default_rng(width), 9
    grid = np.zeros(grid_shape(height, width), np.float32)
    inside = grid[:, :, RIM : grid.shape[2] - RIM]
    there = rng.random(inside[:, 0].shape) > 0.3
    sides = np.array([[0, -0.8, -0.6], [0, 0, -1], [0, 0.8, -0.6], [0.6, 0.8, 0], [0, 0.6, 0.8]])
    inside[:, X : X + 3] = rng.normal(0, [[[1.0], [0.03], [0.03]]], (*inside[:, :3].shape,))
    inside[:, NORMAL : NORMAL + 3] = np.moveaxis(sides[rng.choice(5, there.shape)], -1, 1)
    inside[:, LIGHT : LIGHT + 3] = rng.random(inside[:, :3].shape)
    inside[:, THERE] = 1
    inside *= there[:, None]
    pixels, out = pixel_scratch(width), np.zeros((width, 3), np.float32)
    unseen = 0
    for row in (0, 1, 4, 8):
        normals = sides[rng.choice(5, width)]
        places = rng.normal(0, [1.0, 0.05, 0.05], (width, 3))
        for j in range(width):
            put_pixel(pixels, j, *places[j], *normals[j], 1.5)
        spread_row(grid, row, pixels, out)
        plain = np.array([_plain_light(grid, row, j, places[j], normals[j], 1.5) for j in range(width)])
        np.testing.assert_allclose(out, plain, atol=2e-5)
        unseen += int((plain < 0).any(1).sum())
    assert width < 13 or unseen > 0, "none of the pixels was without a point"


def test_normals_of_the_land_are_the_plain_ones() -> None:
    rng = np.random.default_rng(4)
    for ridged in (0.0, 0.7):
        land = pack_terrain(Terrain(0, 0, seed=3, amplitude=60, wavelength=120, ridged=ridged, flat_radius=6))
        scratch = normal_scratch(101)
        scratch[:2] = rng.normal(0, 150, (2, 101))
        places = scratch[:2].T.copy()
        land_normals(land, scratch, 100)
        plain = [terrain_normal(land, x, z) for x, z in places[:100]]
        np.testing.assert_allclose(scratch[2:, :100].T, plain, atol=1e-11)
        assert not scratch[2:, 100].any(), "only as many as asked for"


def test_two_looks_at_the_land_come_close() -> None:
    """Colour samples know where they are to a tenth of what the march alone knows, at the median."""
    land = pack_terrain(Terrain(0, 0, seed=8, amplitude=40, wavelength=90, ridged=0.3))
    rng, count = np.random.default_rng(1), 400
    rays = np.zeros((count, COLUMNS))
    rays[:, :3] = rng.uniform([-80, 0, -80], [80, 0, 80], (count, 3))
    rays[:, 1] = [-height_at(x, z, land) - 1.6 for x, _, z in rays[:, :3]]
    rays[:, 3:6] = rng.normal(0, [1, 0.25, 1], (count, 3))
    rays[:, FAR_END] = 500
    exact = np.array([hit_terrain(land, *ray[:6], 1e-4, ray[FAR_END]) for ray in rays])
    hit = exact < INFINITY
    rough, close = np.zeros((count, 3)), np.zeros((count, 3))
    land_crossings(land, rays, count, 1e-4, land_scratch(), rough)
    land_hits(land, rays, count, 1e-4, CLOSE, land_scratch(), close)
    march = np.abs(0.5 * (rough[:, LAST] + rough[:, BEYOND]) - exact)[hit]
    error = np.abs(close[:, BEYOND] - exact)[hit]
    assert np.median(error) < 0.1 * np.median(march)
    assert (close[hit, BEYOND] >= rough[hit, LAST] - 1e-9).all() and (close[hit, BEYOND] <= rough[hit, BEYOND]).all()


def _plain_octaves(foot: float, x: float, y: float, z: float | None = None) -> float:
    """Four octaves, each blended with its mean by how many pixels its blobs span: all from three on, nothing at one."""
    total = 0.0
    for octave in range(4):
        seen = float(np.clip(1.5 - 1.5 * foot * 2.03**octave, 0, 1))
        value = noise2(x, y, 7 + octave) if z is None else noise3(x, y, z, 7 + octave)
        total += 0.5**octave * (seen * value + (1 - seen) * 0.5)
        if z is None:
            x, y = 1.62 * x - 1.22 * y + 5.1, 1.22 * x + 1.62 * y + 1.7
        else:
            x, y, z = 2.03 * x + 5.1, 2.03 * y + 1.7, 2.03 * z + 9.2
    return total / 1.875


def test_noise_finer_than_a_pixel_is_its_mean() -> None:
    """Everything is gone far away, and before that octave after octave."""
    rng = np.random.default_rng(0)
    places = rng.uniform(-50, 50, (400, 3))

    def spread(foot: float) -> tuple[float, float]:
        flat = [fbm2(x, y, 7, 4, foot) for x, y, _ in places]
        solid = [fbm3(x, y, z, 7, 4, foot) for x, y, z in places]
        return float(np.std(flat)), float(np.std(solid))

    assert spread(1.0) == (0.0, 0.0) and fbm2(1.3, 2.4, 7, 4, 1.0) == 0.5 and min(spread(0.9)) > 0
    for foot in (0.0, 0.03, 0.2, 0.4):
        for x, y, z in places[:20]:
            assert fbm2(x, y, 7, 4, foot) == pytest.approx(_plain_octaves(foot, x, y), abs=1e-12)
            assert fbm3(x, y, z, 7, 4, foot) == pytest.approx(_plain_octaves(foot, x, y, z), abs=1e-12)


def _level_camera(pitch: float) -> Camera:
    pose = np.eye(4)
    cos, sin = math.cos(pitch), math.sin(pitch)
    pose[:3, :3], pose[1, 3] = [[1, 0, 0], [0, cos, sin], [0, -sin, cos]], -1.6
    return Camera.from_fov(48, 80, math.radians(60), pose)


@pytest.mark.parametrize("what, least, most", [("water", 1.6, 9.0), ("polished", 1.1, 1.6), ("dull", 0.95, 1.05)])
def test_water_and_polish_mirror_what_stands_behind(what: str, least: float, most: float) -> None:
    """Walls, red on the left and green on the right, show in still water and in a polished floor, not in a dull one.

    A dull box stands on the left, so that not every ray of a row has a mirror image.
    """
    scene = SceneBuilder("test", 0)
    scene.box(15, 12, 1, Material(color=(0.9, 0.0, 0.0), grime=0.0), x=-7.5, z=14)
    scene.box(15, 12, 1, Material(color=(0.0, 0.9, 0.0), grime=0.0), x=7.5, z=14)
    scene.box(1.5, 3, 1.5, Material(grime=0.0), x=-5, z=9)
    light = Light(sun_direction=(0.0, -1.0, -0.2), sun=1.0)
    gloss, grey = 0.9 if what == "polished" else 0.0, (0.6, 0.6, 0.6)
    floor = Material("metal", grey, grey, gloss=gloss, roughness=0.05)
    if what == "water":
        world = scene.finish(water=Water(0.0, (0.1, 0.1, 0.1), 0.0, 1.0), light=light)
    else:
        world = scene.finish(ground=Ground(scene.material(floor)), light=light)
    camera = _level_camera(0.2)
    rgb, truth = Scene(world).draw(camera)
    place = camera.unproject(truth.depth)
    floor_seen = (truth.primitive < -1) & (truth.depth > 8) & (truth.depth < 13)
    for side, ours, other in ((-1, 0, 1), (1, 1, 0)):
        part = floor_seen & (side * place[..., 0] > 1) & (side * place[..., 0] < 4)
        assert part.sum() > 20
        assert least < rgb[part][:, ours].mean() / rgb[part][:, other].mean() < most


def test_normals_of_a_row_are_those_of_each_ray() -> None:
    """Sky, land, boxes and the underside of the land in one row."""
    scene = SceneBuilder("test", 0)
    material = scene.material(Material())
    scene.box(1, 3, 1, Material(), x=-2, z=6, yaw=0.4)
    packed = Scene(scene.finish(terrain=Terrain(material, material, seed=4, amplitude=15, wavelength=60))).packed
    rng, count = np.random.default_rng(0), 200
    rays = np.zeros((count, COLUMNS))
    rays[:, 3:6] = rng.normal(0, 1, (count, 3))
    t, face = rng.uniform(1, 50, count), rng.integers(0, 6, count)
    what = rng.choice([NO_HIT, LAND, 0], count)
    normal = np.full((count, 3), 9.0)
    normals_at(packed, rays, count, t, what, face, normal_scratch(count), normal)
    for k in range(count):
        x, y, z = t[k] * rays[k, 3:6]
        plain = (0, 0, 0) if what[k] == NO_HIT else normal_at(packed, what[k], face[k], x, y, z, *rays[k, 3:6])
        np.testing.assert_allclose(normal[k], plain, atol=1e-11)


def test_long_steps_still_hold_a_crossing() -> None:
    """However far the viewer is, a crossing begins above the land and ends below it."""
    land = pack_terrain(Terrain(0, 0, seed=8, amplitude=40, wavelength=90, ridged=0.3))
    rng, count = np.random.default_rng(1), 300
    for away in (0.0, 60.0):
        rays = np.zeros((count, COLUMNS))
        rays[:, :3] = rng.uniform([-80, 0, -80], [80, 0, 80], (count, 3))
        rays[:, 1] = [-height_at(x, z, land) - 1.6 for x, _, z in rays[:, :3]]
        rays[:, 3:6] = rng.normal(0, [1, 0.25, 1], (count, 3))
        rays[:, 3:6] /= np.linalg.norm(rays[:, 3:6], axis=1)[:, None]
        rays[:, FAR_END], rays[:, AWAY] = 500, away
        found = np.zeros((count, 3))
        land_crossings(land, rays, count, 1e-4, land_scratch(), found)
        hit = found[:, BEYOND] < INFINITY
        assert 0.3 < hit.mean() < 1
        for ray, (last, beyond, gap) in zip(rays[hit], found[hit]):
            above, below = (
                -height_at(x, z, land) - y for x, y, z in (ray[:3] + t * ray[3:6] for t in (last, beyond))
            )  # metres of the point over the land, in axes that point down
            assert above > -1e-3 and below == pytest.approx(gap, abs=2e-3) and gap < 0


def test_a_picture_needs_a_ray_of_light() -> None:
    scene = SceneBuilder("test", 0)
    scene.box(1, 1, 1, Material(), z=4)
    with pytest.raises(InputError, match="rays 0"):
        Scene(scene.finish()).draw(_level_camera(0.0), rays=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (7, 9)])
def test_pictures_of_any_size_are_drawn(size: tuple[int, int]) -> None:
    """A row, a column, odd sides, with land, a polished box and outlines."""
    scene = SceneBuilder("test", 0)
    material = scene.material(Material("grass"))
    scene.box(1, 2, 1, Material("metal", gloss=0.8, roughness=0.1), z=4, up=0.6)
    world = scene.finish(terrain=Terrain(material, material, seed=4, amplitude=15, wavelength=60))
    camera = _level_camera(0.1)
    small = Camera.from_fov(*size, math.radians(60), camera.world_from_camera)
    rgb, truth = Scene(world).draw(small)
    assert rgb.shape == (*size, 3) and np.isfinite(rgb).all() and rgb[~truth.sky].min() > 0


def test_a_sample_takes_the_light_of_its_own_surface() -> None:
    """The same surface at the most similar depth, two pixels away if need be, and open-air light if there is none."""
    scene = SceneBuilder("test", 0)
    world = Scene(scene.finish()).packed
    what, face = np.zeros((5, 5), np.int64), np.zeros((5, 5), np.int64)
    depth, light = np.full((5, 5), 10.0), np.zeros((5, 5, 3), np.float32)
    light[..., 0] = np.arange(25).reshape(5, 5)
    depth[1, 2], depth[3, 2], what[2, 4], face[0, 0] = 3.0, 30.0, 7, 5
    out = np.zeros(3, np.float32)

    def taken(t: float, primitive: int, side: int) -> float:
        _light_near(world, light, depth, what, face, 2, 2, t, primitive, side, -1.0, out)
        return float(out[0])

    assert taken(3.1, 0, 0) == light[1, 2, 0] and taken(29.0, 0, 0) == light[3, 2, 0], "the nearest depth"
    assert taken(10.0, 7, 0) == light[2, 4, 0] and taken(10.0, 0, 5) == light[0, 0, 0], "two pixels away"
    assert taken(10.0, 99, 0) == pytest.approx(plain_light(world, -1.0)[0]), "none there"


@pytest.mark.parametrize("seed", range(4))
def test_clouds_have_no_seam_where_the_azimuth_jumps(seed: int) -> None:
    packed = pack_world(SceneBuilder("test", 0).finish(sky=Sky(clouds="cumulus", cover=0.9, haze=0.0, seed=seed)))

    def seen(azimuth: float, height: float) -> np.ndarray:
        flat = math.sqrt(1 - height**2)
        direction = (flat * math.sin(azimuth), -height, flat * math.cos(azimuth))
        return np.array(sky_color(packed.sky, packed.light, *direction, False))

    heights = np.linspace(0.02, 0.5, 60)
    for azimuth in (math.pi, math.pi - SEAM, 1.0):
        left, right = (np.stack([seen(azimuth + a, h) for h in heights]) for a in (-1e-7, 1e-7))
        assert np.abs(left - right).max() < 1e-3
    first, last = (np.stack([seen(azimuth, h) for h in heights]) for azimuth in (1.0, math.pi))
    assert np.abs(first - last).max() > 0.05  # there are clouds
