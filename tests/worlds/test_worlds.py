"""Worlds as data: JSON, seeds, views, walks, data sets, the command line."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from openlyra.cli.main import main
from openlyra.errors import InputError, OutputExistsError
from openlyra.media.image import read_image
from openlyra.media.video import read_video
from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.cameras import choose_view, inside_something
from openlyra.worlds.dataset import DatasetSettings, make_dataset
from openlyra.worlds.photo_look import PhotoLook, develop, random_look
from openlyra.worlds.render import Scene
from openlyra.worlds.sample import sample_view, sample_world
from openlyra.worlds.serialise import FORMAT, world_from_json, world_to_json
from openlyra.worlds.types import Cutout, Ground, Material, Place, World
from openlyra.worlds.walks import WalkSettings, route, walk

SMALL = DatasetSettings(kind="office", frames=4, height=48, width=80, seed=3, depth="single")


def corridor_of_places() -> World:
    """A ring of four places around a pillar, with a dead end."""
    scene = SceneBuilder("ring", 1)
    scene.box(2, 3, 2, Material("brick"), cutout=Cutout("mesh", 0.3, 0.5))
    for x, z in ((-6.0, 0.0), (6.0, 0.0), (0.0, -6.0), (0.0, 6.0)):
        scene.box(1, 2, 1, Material(), x=x, z=z)
    places = [scene.place(x, z) for x, z in ((-3, -3), (3, -3), (3, 3), (-3, 3), (-3, 5))]
    ground = Ground(scene.material(Material("tile", scale=0.5)))
    return scene.finish(ground=ground, places=places, links=((0, 1), (1, 2), (2, 3), (3, 0), (3, 4)))


def test_json_round_trip() -> None:
    for world in (corridor_of_places(), sample_world(5)):
        assert world_from_json(world_to_json(world)) == world


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="else"), "'format'"),
        (lambda d: d.update(extra=1), "no field 'extra'"),
        (lambda d: d.pop("kind"), "'kind' is missing"),
        (lambda d: d["primitives"][0].update(shape="blob"), "'blob' is not one of"),
        (lambda d: d["primitives"][0].update(half=[1, 1]), "3 entries are needed, not 2"),
        (lambda d: d["primitives"][0].update(half=[1, 1, -1]), "positive half sizes"),
        (lambda d: d["primitives"][0].update(position=[0, "a", 0]), r"position\[1\]"),
        (lambda d: d["primitives"][0].update(material=99), "material number"),
        (lambda d: d["light"].update(sun_direction=[0, 0, 0]), "no direction"),
    ],
)
def test_bad_json_is_named(change, message: str) -> None:  # type: ignore[no-untyped-def]
    data = json.loads(world_to_json(corridor_of_places()))
    change(data)
    with pytest.raises(InputError, match=message):
        world_from_json(json.dumps(data), "file.json")


def test_not_json() -> None:
    assert FORMAT.startswith("openlyra")
    for text in ("", "[1]", "{", "[" * 100_000):
        with pytest.raises(InputError):
            world_from_json(text)


def test_equal_materials_are_stored_once() -> None:
    scene = SceneBuilder("m", 0)
    for _ in range(3):
        scene.box(1, 1, 1, Material("brick"))
    assert len(scene.finish().materials) == 1


def test_the_same_seed_gives_the_same_view() -> None:
    one, two, other = (sample_view(seed, height=48, width=80) for seed in (11, 11, 12))
    np.testing.assert_array_equal(one.rgb, two.rgb)
    np.testing.assert_array_equal(one.depth, two.depth)
    assert one.kind == two.kind and not np.array_equal(one.rgb, other.rgb)
    assert sample_world(11) == sample_world(11)


def test_views_hold_what_training_needs() -> None:
    for seed in range(6):
        view = sample_view(seed, height=48, width=80)
        assert view.rgb.shape == (48, 80, 3) and view.rgb.dtype == np.uint8
        assert np.isfinite(view.depth).all() and (view.depth > 0).all()
        np.testing.assert_allclose(np.linalg.norm(view.normal[~view.sky], axis=-1), 1, atol=1e-4)
        assert (view.plane[view.sky] == 0).all() and 0.2 < view.vertical_fov < 1.6 and view.camera_height > 0
        # Normals look at the camera.
        rays = view.camera.camera_rays()
        assert ((rays * view.normal).sum(-1)[~view.sky] <= 1e-5).all()


def test_views_are_portrait_too() -> None:
    view = sample_view(1, "office", height=80, width=48)
    assert view.rgb.shape == (80, 48, 3)


def test_eyes_are_not_inside_things() -> None:
    world = corridor_of_places()
    world = dataclasses.replace(world, places=(*world.places, Place((0.0, 0.0, 0.0))))
    scene = Scene(world)
    assert inside_something(scene, np.array([0.5, -1.0, 0.5])) and inside_something(scene, np.array([4.0, 0.5, 4.0]))
    for seed in range(10):
        view = choose_view(scene, np.random.default_rng(seed), 48, 80)
        assert not inside_something(scene, view.camera.center)


def test_routes_come_back() -> None:
    links = ((0, 1), (1, 2), (2, 3), (3, 0), (3, 4))
    path = route(links, 0, 30, np.random.default_rng(0))
    pairs = {frozenset(link) for link in links}
    assert all(frozenset(step) in pairs for step in itertools.pairwise(path))
    assert len(path) == 30 and set(path) == {0, 1, 2, 3, 4}


def test_walks_are_smooth_and_revisit() -> None:
    scene = Scene(corridor_of_places())
    path = walk(scene, np.random.default_rng(2), WalkSettings(700, 48, 80))
    eyes = path.cameras.center
    steps = np.linalg.norm(np.diff(eyes, axis=0), axis=1)
    forward = path.cameras.forward
    turn = np.degrees(np.arccos(np.clip((forward[1:] * forward[:-1]).sum(-1), -1, 1)))
    assert len(path) == 700 and steps.max() < 0.08 and steps.sum() > 15 and turn.max() < 4.0
    assert not any(inside_something(scene, eye) for eye in eyes)
    # The end comes near a place the beginning left.
    late = eyes[350:]
    apart = np.linalg.norm(late[:, None] - eyes[None, :150], axis=-1)
    assert apart.min() < 0.5


@pytest.mark.parametrize(("kind", "seed"), [("landscape", 4), ("path", 2), ("path", 4), ("heights", 0)])
def test_walks_over_falling_ground_do_not_jump(kind: str, seed: int) -> None:
    path = walk(Scene(sample_world(seed, kind)), np.random.default_rng(seed), WalkSettings(160, 48, 80))
    assert np.abs(np.diff(path.cameras.center[:, 1])).max() < 0.15


def test_walks_without_links_look_around() -> None:
    world = dataclasses.replace(corridor_of_places(), links=())
    path = walk(Scene(world), np.random.default_rng(0), WalkSettings(60, 48, 80))
    assert np.linalg.norm(path.cameras.center[0] - path.cameras.center[-1]) < 0.05


def test_exposure_and_noise_do_what_they_say() -> None:
    light = np.full((32, 32, 3), 0.2, np.float32)
    rng = np.random.default_rng(0)
    plain = PhotoLook(vignetting=0, glow=0)
    dark = develop(light, dataclasses.replace(plain, exposure=-1.0), rng)
    bright = develop(light, plain, rng)
    assert dark.mean() < 0.85 * bright.mean() and bright.std() == 0
    noisy = develop(light, dataclasses.replace(plain, noise=0.03), rng)
    assert 2 < noisy.std() < 15
    warm = develop(light, dataclasses.replace(plain, white_balance=(1.2, 1.0, 0.8), neutral=0.0), rng)
    assert warm[..., 0].mean() > warm[..., 2].mean() + 10
    assert random_look(np.random.default_rng(1)) == random_look(np.random.default_rng(1))


def test_data_set_in_the_layout_of_training(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    seen: list[tuple[int, int]] = []
    ids = make_dataset(folder, SMALL, 1, advance=lambda done, total: seen.append((done, total)))
    assert (folder / "all_filter.lst").read_text().split() == ids == ["office-000003"]
    name = ids[0]
    pose, depth = np.load(folder / "pose" / f"{name}.npz"), np.load(folder / "depth" / f"{name}.npz")
    pinhole = np.load(folder / "intrinsics" / f"{name}.npz")
    assert pose["data"].shape == (4, 4, 4) and pinhole["data"].shape == (4, 4) and depth["data"].shape == (4, 48, 80)
    assert pose["inds"].tolist() == depth["inds"].tolist() == pinhole["inds"].tolist() == [0, 1, 2, 3]
    assert sum(1 for _ in read_video(folder / "rgb" / f"{name}.mp4")) == 4 and seen[-1] == (4, 4)
    # The stored world, pose and intrinsics give the stored depth.
    from openlyra.geometry.camera import Camera

    world = world_from_json((folder / "world" / f"{name}.json").read_text())
    fx, fy, cx, cy = pinhole["data"][2]
    camera = Camera(pose["data"][2], np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), 80, 48)
    np.testing.assert_array_equal(Scene(world).truth(camera).depth, depth["data"][2])


def test_data_set_is_resumed_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    make_dataset(folder, SMALL, 1)
    first = (folder / "pose" / "office-000003.npz").read_bytes()
    stamp = (folder / "rgb" / "office-000003.mp4").stat().st_mtime_ns
    with pytest.raises(OutputExistsError, match="--resume"):
        make_dataset(folder, SMALL, 2)
    with pytest.raises(InputError, match="frames 4, not 5"):
        make_dataset(folder, dataclasses.replace(SMALL, frames=5), 2, resume=True)
    ids = make_dataset(folder, SMALL, 2, resume=True)
    assert len(ids) == 2 and (folder / "rgb" / "office-000003.mp4").stat().st_mtime_ns == stamp
    (folder / "pose" / "office-000003.npz").unlink()
    make_dataset(folder, SMALL, 2, resume=True)
    assert (folder / "pose" / "office-000003.npz").read_bytes() == first
    assert (folder / "all_filter.lst").read_text().split() == ids


def test_several_processes_give_the_same_files(tmp_path: Path) -> None:
    make_dataset(tmp_path / "one", SMALL, 2)
    make_dataset(tmp_path / "two", SMALL, 2, processes=2)
    for file in ("rgb/office-000003.mp4", "depth/office-000004.npz", "pose/office-000004.npz"):
        if file.endswith(".mp4"):
            assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
        else:
            one, two = np.load(tmp_path / "one" / file), np.load(tmp_path / "two" / file)
            np.testing.assert_array_equal(one["data"], two["data"])


def test_show_writes_a_sheet(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    arguments = ["worlds", "show", "-o", str(sheet), "--count", "3", "--columns", "2", "--size", "48x80"]
    assert main([*arguments, "--kind", "rooms", "--quiet"]) == 0
    assert read_image(sheet).shape == (2 * 2 * 48, 2 * 80, 3)
    assert main(arguments) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["make", "--kind", "moon"], "'moon' is not known"),
        (["make", "--frames", "0"], "--frames 0"),
        (["make", "--videos", "0"], "--videos 0"),
        (["make", "--size", "50"], "--size 50"),
        (["make", "--seed", "-1"], "--seed -1"),
        (["make", "--processes", "0"], "--processes 0"),
        (["make", "--speed", "nan"], "--speed nan"),
        (["show", "--kind", "moon"], "'moon' is not known"),
        (["show", "--count", "0"], "--count 0"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / ("set" if arguments[0] == "make" else "sheet.png")
    assert main(["worlds", arguments[0], "-o", str(target), *arguments[1:]]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and len(captured.err.strip().splitlines()) == 1
    assert not target.exists()


def test_pictures_have_a_known_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worlds", "show", "-o", str(tmp_path / "sheet.gif")]) == 2
    assert ".png or .jpg" in capsys.readouterr().err
