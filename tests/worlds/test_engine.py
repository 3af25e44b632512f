"""The ray caster against what geometry says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import look_at
from openlyra.worlds.builder import Opening, SceneBuilder, rotation
from openlyra.worlds.cameras import inside_something
from openlyra.worlds.draw import FAR_SKY
from openlyra.worlds.kernels import INFINITY
from openlyra.worlds.land_rays import BEYOND, COLUMNS, EXACT, FAR_END, land_hits, land_scratch
from openlyra.worlds.packed import SHAPE
from openlyra.worlds.render import Scene, visible
from openlyra.worlds.shapes_plain import hit_plain
from openlyra.worlds.terrain import height_at, hit_terrain, pack_terrain, terrain_height, terrain_normal
from openlyra.worlds.types import Cutout, Ground, Material, Terrain, World

GREY = Material()


def ground_only() -> World:
    scene = SceneBuilder("test", 0)
    return scene.finish(ground=Ground(scene.material(GREY)))


def one_of_each() -> SceneBuilder:
    scene = SceneBuilder("test", 0)
    scene.box(0.8, 1.0, 0.6, GREY, x=-2.0, z=5.0, yaw=0.4, roll=0.2)
    scene.ellipsoid(0.9, 0.6, 0.7, GREY, x=-1.0, z=4.5, pitch=0.3)
    scene.cylinder(0.3, 1.1, GREY, x=0.0, z=5.0, roll=0.3)
    scene.cylinder(0.2, 1.1, GREY, top=1.8, x=0.6, z=4.0)
    scene.cone(0.4, 0.9, GREY, x=1.2, z=5.0)
    scene.ring(0.4, 0.3, GREY, inner=0.7, x=2.2, z=5.0, pitch=1.1)
    scene.tube((-1, 0.2, 3), (1, 1.6, 4), 0.05, GREY)
    scene.gable(1.0, 0.5, 1.2, GREY, ridge=0.4, x=-0.4, z=6.5, up=1.2, yaw=0.8)
    scene.quad(0.7, 0.5, GREY, x=1.7, z=4.0, up=1.4, yaw=0.5)
    scene.disc(0.5, 0.7, GREY, x=-1.8, z=4.0, up=1.5, yaw=-0.3)
    return scene


def standing(height: float = 1.6, fov: float = 60.0, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0,
             size: tuple[int, int] = (48, 80)) -> Camera:  # fmt: skip
    pose = np.eye(4)
    pose[:3, :3], pose[1, 3] = rotation(yaw, pitch, roll), -height
    return Camera.from_fov(*size, math.radians(fov), pose)


def test_depth_of_the_ground_is_exact() -> None:
    camera = standing(pitch=0.5, roll=0.1, yaw=0.7)
    truth = Scene(ground_only()).truth(camera)
    _, directions = camera.rays()
    forward = directions @ np.asarray(camera.forward)
    with np.errstate(divide="ignore"):
        expected = 1.6 / directions[..., 1] * forward
    seen = ~truth.sky & (truth.depth < 1000)
    assert seen.mean() > 0.5
    np.testing.assert_allclose(truth.depth[seen], expected[seen], rtol=1e-6)
    up = np.asarray(camera.world_from_camera)[:3, :3].T @ np.array([0.0, -1.0, 0.0])
    np.testing.assert_allclose(truth.normal[seen], np.broadcast_to(up, (seen.sum(), 3)), atol=1e-6)
    assert (truth.depth[truth.sky] == FAR_SKY).all() and len(np.unique(truth.plane[seen])) == 1


def test_depth_of_a_wall_and_its_plane() -> None:
    scene = SceneBuilder("test", 0)
    scene.box(40, 20, 1.0, GREY, z=5.5)
    scene.box(1.0, 1.0, 1.0, GREY, z=3.5)
    truth = Scene(scene.finish()).truth(standing(0.5))
    middle = truth.depth[20:28, 36:44]
    np.testing.assert_allclose(middle, 3.0, rtol=1e-6)
    np.testing.assert_allclose(truth.depth[2:8, 2:8], 5.0, rtol=1e-6)
    assert truth.plane[24, 40] != truth.plane[4, 4] > 0
    np.testing.assert_allclose(truth.normal[24, 40], [0, 0, -1], atol=1e-6)


def test_a_sphere_has_no_plane_and_points_at_the_camera() -> None:
    scene = SceneBuilder("test", 0)
    scene.ellipsoid(2, 2, 2, GREY, z=5, up=-1)
    truth = Scene(scene.finish()).truth(standing(0.0, size=(49, 49)))
    assert truth.plane[24, 24] == 0 and truth.primitive[24, 24] == 0
    assert truth.depth[24, 24] == pytest.approx(4.0, rel=1e-6)
    np.testing.assert_allclose(truth.normal[24, 24], [0, 0, -1], atol=1e-6)


def test_fast_and_plain_intersections_agree() -> None:
    world = one_of_each().finish()
    scene = Scene(world)
    rng = np.random.default_rng(0)
    origins = rng.uniform([-3, -2, 0], [3, 0, 8], (4000, 3))
    # Eyes are never inside solids.
    origins = origins[[not inside_something(scene, origin) for origin in origins]]
    count = len(origins)
    targets = np.array([p.position for p in world.primitives])[rng.integers(len(world.primitives), size=count)]
    directions = targets + rng.normal(0, 0.25, (count, 3)) - origins
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert count > 3000
    distance, primitive, normal = scene.cast(origins, directions)
    each = np.stack([hit_plain(p, origins, directions) for p in world.primitives])
    nearest = each.min(0)
    hit = np.isfinite(distance)
    np.testing.assert_array_equal(hit, np.isfinite(nearest))
    np.testing.assert_allclose(distance[hit], nearest[hit], rtol=1e-7, atol=1e-7)
    np.testing.assert_array_equal(primitive[hit], each.argmin(0)[hit])
    assert set(primitive[hit]) == set(range(len(world.primitives)))
    np.testing.assert_allclose(np.linalg.norm(normal[hit], axis=1), 1, atol=1e-9)
    assert (np.einsum("ij,ij->i", normal[hit], directions[hit]) <= 1e-9).all()


def test_normals_are_gradients_of_depth() -> None:
    """Moving the ray a little moves the hit point inside the tangent plane."""
    world = one_of_each().finish()
    scene = Scene(world)
    rng = np.random.default_rng(1)
    eye = np.array([0.0, -1.0, -1.0])
    for index, p in enumerate(world.primitives):
        spread = 0.4 * min(p.half)
        directions = np.array(p.position) + rng.normal(0, spread, (300, 3)) - eye
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        side = rng.normal(0, 1e-6, directions.shape)
        t, what, normal = scene.cast(eye, directions)
        t2, what2, normal2 = scene.cast(eye, directions + side)
        other = (directions + side) / np.linalg.norm(directions + side, axis=1, keepdims=True)
        same = (what == index) & (what2 == index) & (np.einsum("ij,ij->i", normal, normal2) > 0.999)
        step = t2[same, None] * other[same] - t[same, None] * directions[same]
        assert same.sum() > 3, p.shape
        slope = np.abs(np.einsum("ij,ij->i", step, normal[same])) / np.linalg.norm(step, axis=1)
        assert np.median(slope) < 1e-3, p.shape


def test_tree_finds_what_a_search_finds() -> None:
    scene = SceneBuilder("test", 0)
    rng = np.random.default_rng(3)
    for _ in range(300):
        x, up, z = rng.uniform(-6, 6), rng.uniform(0, 3), rng.uniform(-6, 6)
        scene.box(*rng.uniform(0.05, 0.8, 3), GREY, x=x, up=up, z=z, yaw=rng.uniform(0, 3))
    world = scene.finish()
    directions = rng.normal(size=(500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    origins = np.tile([0.0, -1.5, -9.0], (500, 1))
    distance, _, _ = Scene(world).cast(origins, directions)
    plain = np.stack([hit_plain(p, origins, directions) for p in world.primitives]).min(0)
    np.testing.assert_allclose(distance, plain, rtol=1e-9)


def test_visibility_across_a_wall() -> None:
    scene = SceneBuilder("test", 0)
    scene.wall((-4, 3), (4, 3), 2.5, 0.2, GREY, [Opening(3.5, 1.0, 0.0, 2.0)])
    world = scene.finish(ground=Ground(scene.material(GREY)))
    eye = np.array([0.0, -1.5, 0.0])
    points = np.array([
        [0.0, -1.5, 6.0], [1.9, -1.5, 6.0], [0.0, -2.4, 6.0], [0.0, -4.5, 6.0], [0.0, -1.5, 2.0], [0.0, 0.0, 2.0],
        [0.0, 0.3, 2.0],
    ])  # fmt: skip
    # Through the door; behind the wall; the door's lintel; over the wall; in front; on the ground; below it.
    assert visible(world, points, eye).tolist() == [True, False, True, True, True, True, False]
    blocked = visible(world, np.array([[1.5, -1.0, 3.0]]), eye)
    assert blocked.tolist() == [False], "a point inside the wall"


@pytest.mark.parametrize("kind", ["solid", "land"])
def test_reprojection_between_two_frames(kind: str) -> None:
    """A point seen in one frame lies where the other frame sees it, within 1e-4 of its depth."""
    builder = one_of_each()
    if kind == "solid":
        world = builder.finish(ground=Ground(builder.material(GREY)))
    else:
        builder = SceneBuilder("test", 0)
        material = builder.material(GREY)
        world = builder.finish(terrain=Terrain(material, material, seed=4, amplitude=15, wavelength=60))
    scene = Scene(world)
    height = 1.6 if kind == "solid" else 3.0
    first = standing(height, pitch=0.15)
    second = Camera(look_at(np.array([0.5, -height - 0.2, 0.3]), np.array([0.3, -0.8, 6.0])), first.intrinsics, 80, 48)
    one = scene.truth(first)
    points = first.unproject(one.depth)[~one.sky & (one.depth < 60)]
    distance, _, _ = scene.cast(second.center, points - second.center)
    true = np.linalg.norm(points - second.center, axis=1)
    seen = scene.visible(points, second.center, 2e-3)
    error = np.abs(distance - true)[seen] / true[seen]
    assert seen.mean() > 0.5 and np.percentile(error, 99) < 1e-4


def test_terrain_depth_lies_on_the_land() -> None:
    scene = SceneBuilder("test", 0)
    m = scene.material(GREY)
    land = Terrain(m, m, seed=9, amplitude=25, wavelength=80, ridged=0.5)
    camera = standing(4.0, pitch=0.2)
    truth = Scene(scene.finish(terrain=land)).truth(camera)
    points = camera.unproject(truth.depth)[~truth.sky][::17]
    heights = [terrain_height(land, x, z) for x, _, z in points]
    np.testing.assert_allclose(-points[:, 1], heights, atol=2e-3)
    assert terrain_height(land, 0, 0) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("seed", [1, 5, 9])
def test_land_rays_take_the_plain_steps(seed: int) -> None:
    """Every ray alone and all of them together: the same crossing to 1e-7, with the same things missed."""
    land = pack_terrain(Terrain(0, 0, seed=seed, amplitude=40, wavelength=90, ridged=0.2 * (seed % 3)))
    rng = np.random.default_rng(seed)
    count = 700
    rays = np.zeros((count, COLUMNS))
    rays[:, :3] = rng.uniform([-80, 0, -80], [80, 0, 80], (count, 3))
    rays[:, 1] = [-height_at(x, z, land) - up for (x, _, z), up in zip(rays[:, :3], rng.uniform(-0.3, 9, count))]
    rays[:, 3:6] = rng.normal(0, [1, 0.25, 1], (count, 3))
    rays[:, FAR_END] = rng.uniform(20, 900, count)
    crossing = np.zeros((count, 3))
    land_hits(land, rays, count, 1e-4, EXACT, land_scratch(), crossing)
    plain = np.array([hit_terrain(land, *ray[:6], 1e-4, ray[FAR_END]) for ray in rays])
    hit = plain < INFINITY
    assert 0.3 < hit.mean() < 0.95
    np.testing.assert_array_equal(crossing[:, BEYOND] < INFINITY, hit)
    np.testing.assert_allclose(crossing[hit, BEYOND], plain[hit], rtol=1e-7)
    for i in np.flatnonzero(hit)[:50]:
        x, y, z = rays[i, :3] + plain[i] * rays[i, 3:6]
        assert -y == pytest.approx(height_at(x, z, land), abs=1e-5)


def test_the_normal_of_the_land_is_its_slope() -> None:
    land = pack_terrain(Terrain(0, 0, seed=3, amplitude=30, wavelength=80, ridged=0.7, flat_radius=6))
    rng = np.random.default_rng(2)
    wrong = []
    for x, z in [(0.0, 0.0), *rng.uniform(-60, 60, (300, 2))]:
        e = 1e-5
        along_x = (height_at(x + e, z, land) - height_at(x - e, z, land)) / (2 * e)
        along_z = (height_at(x, z + e, land) - height_at(x, z - e, land)) / (2 * e)
        slope = np.array([-along_x, -1.0, -along_z])
        wrong.append(np.abs(slope / np.linalg.norm(slope) - terrain_normal(land, x, z)).max())
    # Creases of the ridges have two slopes; a point within 1e-5 of one is rare.
    assert np.sort(wrong)[-3] < 1e-5


def test_holes_let_rays_through_in_the_stated_share() -> None:
    scene = SceneBuilder("test", 0)
    scene.quad(2, 2, GREY, z=3, up=-1, cutout=Cutout("bars", 0.1, 0.3))
    scene.quad(20, 20, GREY, z=6, up=-10)
    truth = Scene(scene.finish()).truth(standing(0.0, 30, size=(60, 60)))
    assert abs((truth.primitive == 0).mean() - 0.3) < 0.05
    assert set(np.unique(truth.primitive)) == {0, 1}


def test_colour_is_finite_and_the_same_again() -> None:
    builder = one_of_each()
    world = builder.finish(ground=Ground(builder.material(Material("grass"))))
    camera = standing(pitch=0.1)
    light, _ = Scene(world).draw(camera)
    again, _ = Scene(world).draw(camera)
    assert np.isfinite(light).all() and light.min() >= 0 and light.std() > 0.05
    np.testing.assert_array_equal(light, again)


def test_shadow_lies_where_the_sun_says() -> None:
    from openlyra.worlds.types import Light

    scene = SceneBuilder("test", 0)
    scene.box(1, 4, 1, GREY, z=8)
    ground = scene.material(Material(grime=0.0))
    light = Light(sun_direction=(-1.0, -1.0, 0.0), sun=1.0)
    world = scene.finish(ground=Ground(ground), light=light)
    camera = standing(3.0, 70, pitch=0.25)
    rgb, truth = Scene(world).draw(camera, samples=0)
    points = camera.unproject(truth.depth)
    on_ground = truth.primitive == -2
    luma = rgb.mean(-1)
    # The sun is on the left at 45 degrees, so the shadow of the 4 m box lies to its right.
    near_box = on_ground & (np.abs(points[..., 2] - 8) < 0.3)
    shaded = luma[near_box & (points[..., 0] > 1) & (points[..., 0] < 3)]
    lit = luma[near_box & (points[..., 0] < -2) & (points[..., 0] > -4)]
    assert shaded.size > 3 and lit.size > 3 and shaded.max() < 0.6 * lit.min()


def test_unusable_input_is_named() -> None:
    scene = Scene(ground_only())
    with pytest.raises(InputError, match="one camera"):
        scene.truth(Camera(np.eye(4)[None], standing().intrinsics, 80, 48))
    with pytest.raises(InputError, match="not zero"):
        scene.cast(np.zeros(3), np.zeros((1, 3)))
    world = ground_only()
    with pytest.raises(InputError, match="material number"):
        Scene(World("x", 0, (), (), ground=world.ground))


def test_rows_hold_the_shape() -> None:
    rows = Scene(one_of_each().finish()).packed.primitives
    assert len(set(rows[:, SHAPE])) == 8
