"""Wide holes: rigid copies follow the surface, seams are chosen and blended."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from openlyra.generation.copy_maps import Motion, Target, copies, main_directions
from openlyra.generation.outpaint import _paint, outpaint
from openlyra.generation.seams import blend
from openlyra.generation.stitch import choose_labels
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame

HEIGHT, WIDTH, FOCAL, WALL = 96, 160, 120.0, 4.0
INTRINSICS = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
PERIOD = 0.8


def camera(x: float) -> Camera:
    pose = np.eye(4)
    pose[0, 3] = x
    return Camera(pose, INTRINSICS, WIDTH, HEIGHT)


def wall_color(view: Camera) -> np.ndarray:
    """A fronto-parallel wall with stripes and a skirting, (H, W, 3) in [0, 1]."""
    points = view.unproject(np.full((HEIGHT, WIDTH), WALL))
    stripes = 0.5 + 0.4 * np.sin(2 * np.pi * points[..., 0] / PERIOD)
    color = np.stack([stripes, 0.6 * stripes, np.full_like(stripes, 0.3)], -1)
    color[points[..., 1] > 1.0] = [0.2, 0.5, 0.2]
    return color.astype(np.float32)


def photo() -> MemoryFrame:
    image = np.round(wall_color(camera(0)) * 255).astype(np.uint8)
    depth = np.full((HEIGHT, WIDTH), WALL, np.float32)
    return MemoryFrame(-1, image, depth, np.ones(depth.shape, bool), np.zeros(depth.shape, bool), camera(0))


def sidestep(x: float = 1.6) -> tuple[Target, np.ndarray]:
    """A view from beside the photo's: the part on that side is unknown. Also what is really there."""
    view = camera(x)
    truth = wall_color(view)
    known = np.asarray(camera(0).project(view.unproject(np.full((HEIGHT, WIDTH), WALL)).reshape(-1, 3))[0])
    hole = ((known[:, 0] < 0) | (known[:, 0] > WIDTH)).reshape(HEIGHT, WIDTH)
    color = np.where(hole[..., None], 0.5, truth).astype(np.float32)
    depth = np.full((HEIGHT, WIDTH), WALL, np.float32)
    return Target(view, color, depth, np.zeros(depth.shape, bool), hole, ~hole), truth


def test_a_motion_of_the_surface_by_a_period_finds_the_same_colour() -> None:
    target, truth = sidestep()
    matrix = np.eye(4)
    matrix[0, 3] = -2 * PERIOD
    found = copies(target, photo(), [Motion(True, matrix, 0.0)], np.stack(np.indices((HEIGHT, WIDTH)), -1))
    rows, columns = np.rint(found.places[0]).astype(int)[found.ok[0]].T
    copied = photo().image[rows - HEIGHT - 1, columns] / 255.0
    assert found.ok[0].mean() > 0.9
    assert np.abs(copied - truth[found.ok[0]]).mean() < 0.03
    assert found.cost[0][found.ok[0]].max() < 1e-3


def test_a_motion_to_another_surface_or_from_the_sky_costs() -> None:
    target, _ = sidestep()
    everywhere = np.stack(np.indices((HEIGHT, WIDTH)), -1)
    towards = np.eye(4)
    towards[2, 3] = -1.0
    found = copies(target, photo(), [Motion(True, towards, 0.0)], everywhere)
    assert found.cost[0][found.ok[0]].min() > 0.02
    matrix = np.diag([3.0, 3.0, 3.0, 1.0])
    found = copies(target, photo(), [Motion(True, matrix, 0.0)], everywhere)
    assert found.cost[0][found.ok[0]].min() > 0.2
    sky = Target(target.camera, target.color, target.depth, ~target.sky, target.hole, target.copyable)
    found = copies(sky, photo(), [Motion(True, np.eye(4), 0.0)], everywhere)
    assert found.cost[0].min() >= 1.0


def test_main_directions_of_a_wall_and_up() -> None:
    found = np.abs(np.array(main_directions(photo())))
    assert found[0] @ [1, 0, 0] > 0.99 and found[-1] @ [0, 1, 0] > 0.99


def test_a_striped_wall_goes_on_and_known_pixels_stay() -> None:
    target, truth = sidestep()
    painted = outpaint(target, photo())
    np.testing.assert_array_equal(painted[~target.hole], target.color[~target.hole])
    error = np.abs(painted - truth)[target.hole].mean()
    # Constant paint of the best colour has 0.15; the stripes are met, the skirting stays below.
    assert error < 0.08
    low = target.hole & (np.arange(HEIGHT)[:, None] > 85)
    assert np.abs(painted - truth)[low].mean() < 0.06


def test_a_leaf_before_the_wall_is_not_painted_onto_it() -> None:
    target, _ = sidestep()
    seen, matrix = photo(), np.eye(4)
    matrix[0, 3] = -2 * PERIOD
    leaf = (slice(40, 50), slice(118, 128))
    seen.image[leaf], seen.depth[leaf] = (255, 0, 0), WALL / 4
    source = np.concatenate([target.color, np.zeros((1, WIDTH, 3), np.float32), seen.image.astype(np.float32) / 255])
    moved = [Motion(True, matrix, 0.0)]
    labels = np.zeros((HEIGHT // 2, WIDTH // 2), np.int32)
    painted = _paint(target, seen, source, moved, labels, 2)
    red = lambda image: (image[..., 0] > 0.9) & (image[..., 1] < 0.2)  # noqa: E731
    places = copies(target, seen, moved, np.stack(np.indices((HEIGHT, WIDTH)), -1)).places[0]
    lands = (places[..., 0] >= HEIGHT + 1 + 40) & (places[..., 0] < HEIGHT + 1 + 50) & (places[..., 1] > 118)
    assert (lands & target.hole).sum() > 50 and not red(painted).any()
    # Where a copy gives nothing else, it is better than nothing.
    seen.image[:], seen.depth[:] = (255, 0, 0), WALL / 4
    source[HEIGHT + 1 :] = (1, 0, 0)
    assert red(_paint(target, seen, source, moved, labels, 2))[target.hole].mean() > 0.5


def test_a_border_that_cuts_cells_is_painted_like_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hole's last column lies in cells whose centres are known; they too get a copy that was chosen."""
    target, _ = sidestep(-1.6 + 4.0 / FOCAL)
    assert target.hole[:, 46].all() and not target.hole[:, 47].any()
    monkeypatch.setattr("openlyra.generation.outpaint.choose_labels", lambda *given: np.where(given[3], 1, 0))
    monkeypatch.setattr("openlyra.generation.outpaint._paint", lambda *given: np.kron(given[4], np.ones((2, 2), int)))
    assert (outpaint(target, photo())[target.hole] == 1).all()


def test_same_bytes_with_one_and_two_threads() -> None:
    target, _ = sidestep()
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = outpaint(target, photo())
        numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
        together = outpaint(target, photo())
    finally:
        numba.set_num_threads(threads)
    assert alone.tobytes() == together.tobytes()


def test_stitching_puts_the_seam_where_two_copies_agree() -> None:
    """Each of two copies is cheap on its side only; they agree in one column alone."""
    colors = np.zeros((2, 9, 20, 3), np.float32)
    colors[1] = 0.8
    colors[1, :, 12:14] = 0.0
    cost = np.zeros((2, 9, 20), np.float32)
    cost[0, :, 16:], cost[1, :, :8] = 1.0, 1.0
    hole = np.ones((9, 20), bool)
    labels = choose_labels(colors, np.ones((2, 9, 20), bool), cost, hole, np.zeros((9, 20, 3), np.float32))
    np.testing.assert_array_equal(labels, np.broadcast_to(np.arange(20) >= 13, (9, 20)))


def test_stitching_leaves_out_what_may_not_be_copied() -> None:
    colors = np.zeros((2, 6, 6, 3), np.float32)
    ok = np.ones((2, 6, 6), bool)
    ok[0] = False
    labels = choose_labels(colors, ok, np.zeros((2, 6, 6), np.float32), np.ones((6, 6), bool), colors[0])
    assert (labels == 1).all()


def test_blending_spreads_a_small_jump_and_keeps_an_edge() -> None:
    known = np.full((8, 40, 3), 0.4, np.float32)
    hole = np.zeros((8, 40), bool)
    hole[:, 10:] = True
    labels = np.zeros((8, 40), int)
    for step, seam_stays in ((0.1, False), (0.4, True)):
        layer = np.full_like(known, 0.4 + step)
        painted = np.where(hole[..., None], layer, known)
        blended = blend(painted, known, {0: layer}, labels, hole, ~hole, hole)
        jump = float(np.abs(blended[:, 10] - known[:, 9]).max())
        assert (jump > 0.35) if seam_stays else (jump < 0.02)
        assert np.abs(blended[:, -1] - painted[:, -1]).max() < 0.6 * step
        np.testing.assert_array_equal(blended[~hole], known[~hole])


def test_blending_goes_on_across_what_no_copy_shows() -> None:
    known = np.full((8, 40, 3), 0.4, np.float32)
    hole, copied = np.zeros((8, 40), bool), np.ones((8, 40), bool)
    hole[:, 10:] = True
    copied[:, 20:22] = False
    labels = np.zeros((8, 40), int)
    labels[:, 21:] = 1
    layers = {0: known, 1: known + np.float32(0.06)}
    painted = np.where(labels[..., None] == 1, layers[1], layers[0])
    blended = blend(painted, known, layers, labels, hole, ~hole, copied)
    assert np.abs(np.diff(blended, axis=1)).max() < 0.02 < np.abs(np.diff(painted, axis=1)).max()
