"""Two chunks of a world that is known: a wall, a card before it, sky. Each knows what it saw, in a frame of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from openlyra.errors import InputError
from openlyra.gaussians.merge import Chunk, Merged, MergeSettings, merge, on_shell, shared_edge
from openlyra.gaussians.merge_align import Similarity
from openlyra.gaussians.render import render
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera

SIZE = (40, 64)
PLACE = Similarity(Rotation.from_rotvec([0.2, -0.5, 0.1]).as_matrix(), np.array([1.0, -0.5, 2.0]), 1.7)
"""From the second chunk's frame to the world's, which is the first chunk's."""


def sheet(width: float, height: float, z: float, color: tuple[float, float, float], step: float = 0.1) -> Gaussians:
    x, y = np.meshgrid(np.arange(-width, width, step), np.arange(-height, height, step))
    means = np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], 1)
    shade = np.array(color) * (0.75 + 0.25 * np.sin(2 * means[:, :1]))
    scales = np.full((x.size, 3), 0.6 * step) * [1, 1, 0.1]
    return Gaussians.from_colors(means, np.tile([1.0, 0, 0, 0], (x.size, 1)), scales, np.full(x.size, 0.98), shade)


def cameras(*positions: float) -> Camera:
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    poses[:, 0, 3] = positions
    return Camera.from_fov(*SIZE, np.radians(50), poses)


WALL, CARD = sheet(3.5, 1.8, 4, (0.9, 0.5, 0.3)), sheet(0.5, 0.6, 2, (0.2, 0.4, 0.9), 0.05)
LEFT, RIGHT = cameras(-0.9, -0.7, -0.5, 0.0), cameras(0.0, 0.5, 0.7, 0.9)
"""The last camera of one is the first of the other."""


def known(wall: Gaussians, eyes: Camera) -> np.ndarray:
    """(N,) which of the wall's Gaussians the card does not hide from all of these cameras."""
    free = np.zeros(wall.count, bool)
    for eye in eyes.center:
        hit = eye + (wall.means - eye) * ((2 - eye[2]) / (wall.means[:, 2:] - eye[2]))
        free |= (np.abs(hit[:, 0]) > 0.45) | (np.abs(hit[:, 1]) > 0.55)
    return free


def elsewhere(chunk: Chunk, place: Similarity) -> Chunk:
    """The same chunk in the frame from which `place` leads back."""
    back = place.inverse()
    poses = np.asarray(chunk.cameras.world_from_camera).copy()
    poses[:, :3, 3] = back.apply(poses[:, :3, 3])
    poses[:, :3, :3] = back.rotation @ poses[:, :3, :3]
    moved = chunk.gaussians.transformed(back.rotation, back.translation, back.scale)
    return replace(chunk, gaussians=moved, cameras=replace(chunk.cameras, world_from_camera=poses))


def two_chunks(extra: Gaussians | None = None) -> list[Chunk]:
    parts = [WALL.select(known(WALL, RIGHT)), CARD] + ([extra] if extra else [])
    left = Chunk(Gaussians.concatenate([WALL.select(known(WALL, LEFT)), CARD]), LEFT)
    return [left, elsewhere(Chunk(Gaussians.concatenate(parts), RIGHT), PLACE)]


def merged(chunks: list[Chunk], settings: MergeSettings | None = None) -> Merged:
    return merge(chunks, [shared_edge(chunks, 0, 1, [(3, 0)])], settings)


def test_two_chunks_become_the_world() -> None:
    chunks = two_chunks()
    found = merged(chunks)
    place = found.alignment.transforms[1]
    np.testing.assert_allclose(place.rotation, PLACE.rotation, atol=1e-3)
    assert place.scale == pytest.approx(PLACE.scale, rel=0.01)
    doubled = found.counts["all"]
    assert found.counts["owned"] < 0.6 * doubled and found.counts["consistent"] == found.gaussians.count
    truth = Gaussians.concatenate([WALL, CARD])
    for camera in found.cameras:
        off = render(found.gaussians, camera).color - render(truth, camera).color
        assert -10 * np.log10((off**2).mean()) > 28
    np.testing.assert_allclose(found.cameras.center[4:], RIGHT.center, atol=0.02)


def test_what_one_chunk_could_not_see_stays() -> None:
    """The wall behind the card, from the left, is in the second chunk only, though within frustums of both."""
    chunks = two_chunks()
    found = merged(chunks).gaussians
    hidden = WALL.means[~known(WALL, LEFT) & known(WALL, RIGHT)]
    assert len(hidden) > 20
    near = np.linalg.norm(found.means[None] - hidden[:, None], axis=2).min(1)
    assert (near < 0.05).mean() > 0.95


def test_what_others_look_through_goes_and_every_step_can_be_off() -> None:
    floater = sheet(0.15, 0.15, 1.2, (0, 1, 0), 0.05)
    floater = replace(floater, means=floater.means + np.float32([0.1, 0.3, 0]))
    found, lax = (merged(two_chunks(floater), MergeSettings(consistency=c)) for c in (True, False))

    def green(result: Merged) -> int:
        return int((result.gaussians.colors[:, 1] > result.gaussians.colors[:, ::2].max(1) + 0.1).sum())

    assert green(lax) == floater.count and green(found) < 0.2 * floater.count
    everything = merged(two_chunks(), MergeSettings(ownership=False, consistency=False, min_opacity=0))
    assert everything.gaussians.count == everything.counts["all"] and "owned" not in everything.counts
    assert merged(two_chunks(), MergeSettings(budget=700)).counts["budget"] == 700


def test_what_makes_no_sense_goes_first() -> None:
    chunks = two_chunks()
    means = chunks[0].gaussians.means.copy()
    means[:3] = np.nan
    opacities = chunks[0].gaussians.opacities.copy()
    opacities[3:8] = 0.001
    edges = [shared_edge(chunks, 0, 1, [(3, 0)])]
    broken = replace(chunks[0], gaussians=replace(chunks[0].gaussians, means=means, opacities=opacities))
    counts = merge([broken, chunks[1]], edges).counts
    assert counts["all"] - counts["finite"] == 3 and counts["finite"] - counts["opaque"] == 5


def test_sky_goes_to_a_shell_and_looks_the_same_from_the_middle() -> None:
    sky = sheet(3, 2, 6, (0.3, 0.5, 0.9), 0.2)
    scene = Gaussians.concatenate([CARD, sky])
    chunk = Chunk(scene, cameras(-0.2, 0.2), np.arange(scene.count) >= CARD.count)
    moved = on_shell([chunk])[0].gaussians
    np.testing.assert_array_equal(moved.means[: CARD.count], CARD.means)
    distance = np.linalg.norm(moved.means[CARD.count :], axis=1)
    np.testing.assert_allclose(distance, 3 * np.linalg.norm(CARD.means, axis=1).max(), rtol=1e-5)
    middle = cameras(0.0)[0]
    off = np.abs(render(moved, middle).color - render(scene, middle).color)
    assert off.mean() < 0.006 and off.max() < 0.1  # neighbours are blended in another order


def test_refusals() -> None:
    chunks = two_chunks()
    with pytest.raises(InputError, match="no chunks"):
        merge([], [])
    with pytest.raises(InputError, match="chunk 1 shares nothing"):
        merge(chunks, [])
    with pytest.raises(InputError, match="no shared camera"):
        shared_edge(chunks, 0, 1, [])
    with pytest.raises(InputError, match="chunk 0: sky has shape"):
        merge([replace(chunks[0], sky=np.zeros(3, bool))], [])
