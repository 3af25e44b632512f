from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openlyra.depth import FAR_SKY, load_depth
from openlyra.depth.filters import opponent
from openlyra.depth.ground import Contact, find_contact
from openlyra.depth.horizon import find_horizon
from openlyra.depth.layout import FARTHEST, NEAREST, find_layout
from openlyra.depth.sky import find_haze, find_sky
from openlyra.depth.walls import _PIECE_COST, _segment, fit_walls

HEIGHT, WIDTH, FOCAL = 240, 416, 260.0  # of the fixtures
Scene = Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]]


def test_sky_of_a_street_is_found_to_the_pixel(street: Scene) -> None:
    image, _, sky = street()
    found = find_sky(image)
    assert (found & sky).sum() / (found | sky).sum() > 0.97


def test_rooms_and_plain_pictures_have_no_sky(room: Callable[[], np.ndarray]) -> None:
    assert not find_sky(room()).any()
    for colour in ((255, 255, 255), (0, 0, 0), (120, 170, 240)):
        assert not find_sky(np.full((64, 96, 3), colour, np.uint8)).any()
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    assert not find_sky(noise).any()


def test_far_hills_under_a_sky_are_haze_and_near_walls_are_not() -> None:
    rng = np.random.default_rng(0)
    image = np.empty((HEIGHT, WIDTH, 3))
    image[:80], image[80:120] = (150, 190, 245), (120, 150, 185)  # sky, hills
    image[120:] = np.array((95, 110, 60)) + rng.normal(0, 14, (120, WIDTH, 1))  # meadow
    image[60:140, 150:250] = np.array((130, 80, 60)) + rng.normal(0, 14, (80, 100, 1))  # a house in front
    picture = np.clip(image, 0, 255).astype(np.uint8)
    sky = find_sky(picture)
    hills = np.zeros((HEIGHT, WIDTH), bool)
    hills[80:120] = True
    hills[:, 150:250] = False
    open_air = sky | find_haze(picture, sky, 120.0)
    assert open_air[hills].mean() > 0.95
    assert open_air[60:140, 152:248].mean() < 0.02
    assert open_air[124:].mean() < 0.02
    assert not find_haze(picture, np.zeros_like(sky), 120.0).any()


@pytest.mark.parametrize(("row", "column"), [(0.40, 0.5), (0.5, 0.35), (0.6, 0.7)])
def test_horizon_is_where_lines_meet(row: float, column: float) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    angle = np.arctan2(y - row * HEIGHT, x - column * WIDTH)
    rays = (np.floor(angle * 9) % 2).astype(np.float32)
    found = find_horizon(rays)
    assert abs(found.row - row * HEIGHT) < 0.03 * HEIGHT
    assert abs(found.column - column * WIDTH) < 0.05 * WIDTH
    assert found.confidence > 0.8


def test_without_lines_the_horizon_is_the_prior() -> None:
    found = find_horizon(np.full((HEIGHT, WIDTH), 0.5, np.float32))
    assert found.confidence == 0
    assert 0.4 * HEIGHT < found.row < 0.55 * HEIGHT


def test_contact_follows_the_foot_of_the_walls(street: Scene) -> None:
    image, _, sky = street()
    contact = find_contact(opponent(image), HEIGHT / 2, sky)
    columns = np.minimum(((np.arange(contact.rows.size) + 0.5) * contact.step).astype(int), WIDTH - 1)
    wall = np.minimum(8.0, 3.0 / np.abs((columns + 0.5 - WIDTH / 2) / FOCAL))
    expected = np.minimum(HEIGHT / 2 + 1.6 * FOCAL / wall, HEIGHT)
    assert np.median(np.abs(contact.rows - expected)) < 4
    assert np.mean(np.abs(contact.rows - expected) < 8) > 0.85


def test_segments_are_optimal() -> None:
    """The dynamic programme against trying every set of cuts."""
    rng = np.random.default_rng(3)
    for _ in range(5):
        n, narrowest = 12, 3
        y, trust = np.cumsum(rng.normal(0, 0.2, n)), rng.uniform(0.2, 1, n)

        def price(cuts: list[int], y: np.ndarray = y, trust: np.ndarray = trust, n: int = n) -> float:
            total = 0.0
            for a, b in itertools.pairwise(cuts):
                line = np.polyfit(np.arange(a, b), y[a:b], 1, w=np.sqrt(trust[a:b]))
                error = trust[a:b] * (y[a:b] - np.polyval(line, np.arange(a, b))) ** 2
                total += 100 * error.sum() / n + _PIECE_COST
            return total

        options = [[0, *inner, n] for k in range(4) for inner in itertools.combinations(range(1, n), k)]
        options = [cuts for cuts in options if min(np.diff(cuts)) >= narrowest]
        assert price(_segment(y, trust, narrowest)) == pytest.approx(min(map(price, options)), abs=1e-9)


def test_walls_join_at_corners_and_part_at_outlines() -> None:
    colour, none = np.zeros((200, 400, 3), np.float32), np.zeros((200, 400), bool)
    rows = np.concatenate([np.linspace(190, 140, 50), np.linspace(140, 190, 50)])
    corner, _ = fit_walls(Contact(rows, np.ones(100), 4), colour, 90.0, none)
    assert len(corner) == 2
    assert corner[0].right_foot == corner[1].left_foot == pytest.approx(140, abs=1.5)
    step = Contact(np.where(np.arange(100) < 50, 180.0, 120.0), np.ones(100), 4)
    outline = colour.copy()
    outline[:, 206:] = 0.8  # six pixels beside the step of the contact line
    walls, label = fit_walls(step, outline, 90.0, none)
    assert walls[0].right_foot - walls[1].left_foot > 50
    assert (np.abs(label[20:170].argmax(axis=1) - 206) <= 1).all()
    joined, _ = fit_walls(step, colour, 90.0, none)  # nothing in the photo tells them apart: no tear
    assert joined[0].right_foot == joined[1].left_foot


def test_street_has_the_right_depth(street: Scene) -> None:
    image, depth, sky = street()
    result = load_depth("layout").estimate(image, FOCAL)
    result.validate()
    seen = depth > 0
    ratio = np.abs(np.log(result.depth[seen] / depth[seen]))
    assert np.median(ratio) < 0.1
    assert np.mean(ratio < 0.25) > 0.85
    assert (result.sky & sky).sum() / (result.sky | sky).sum() > 0.97
    assert np.allclose(result.depth[result.sky], FAR_SKY * np.median(result.depth[~result.sky]), rtol=1e-5)
    rest = result.depth[~result.sky]
    assert rest.min() >= NEAREST and rest.max() <= FARTHEST * 1.0001
    assert result.licence is None and result.focal == FOCAL


def test_walls_are_planes(street: Scene) -> None:
    """Inside one wall inverse depth is linear in the pixel: second differences vanish."""
    image, _, _ = street()
    layout = find_layout(image)
    inverse = 1.0 / load_depth("layout").estimate(image, FOCAL).depth.astype(np.float64)
    inside = ~layout.ground & ~layout.far & ~layout.haze & (inverse > 1.001 / FARTHEST)
    for axis in (0, 1):
        same = np.ones_like(inside)
        for shift in (1, 2):
            same &= (np.roll(layout.wall_of, -shift, axis) == layout.wall_of) & np.roll(inside, -shift, axis)
        same &= inside
        same[(slice(-2, None), slice(None))[axis] if axis == 0 else (slice(None), slice(-2, None))] = False
        second = np.roll(inverse, -2, axis) - 2 * np.roll(inverse, -1, axis) + inverse
        assert same.any()
        assert np.abs(second[same]).max() < 1e-6


def test_camera_height_scales_the_scene(street: Scene) -> None:
    image, _, _ = street()
    low, high = (load_depth("layout", camera_height=h).estimate(image, FOCAL).depth for h in (1.0, 2.0))
    inside = (high < 0.99 * FARTHEST) & (low > 1.01 * NEAREST)
    assert np.allclose(high[inside], 2 * low[inside], rtol=1e-4)


@settings(max_examples=12, deadline=None)
@given(st.integers(16, 150), st.integers(16, 150), st.integers(0, 5), st.integers(0, 99))
def test_anything_gives_a_valid_result(height: int, width: int, kind: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    if kind >= 2:
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
    if kind >= 4:
        image[: height // 2] = (130, 180, 250)
    focal = None if kind % 2 else float(rng.uniform(5, 5000))
    result = load_depth("layout").estimate(image, focal)
    result.validate()
    assert result.depth.shape == (height, width)
    again = load_depth("layout").estimate(image, focal)
    assert np.array_equal(result.depth, again.depth)
