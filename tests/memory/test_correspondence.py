"""Canonical maps and the correspondence buffer."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.geometry.warp_types import WarpConfig
from openlyra.memory.correspondence import (
    CorrespondenceConfig,
    canonical_maps,
    generated_buffer,
    history_buffer,
    slot_frames,
)
from openlyra.memory.frame import MemoryFrame

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "plucker_coords.safetensors")
HEIGHT, WIDTH = 32, 48


def cameras(count: int) -> Camera:
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 2, 3] = 0.02 * np.arange(count)
    return Camera.from_fov(HEIGHT, WIDTH, 0.8, poses)


def frame(index: int, depth: float = 3.0, x: float = 0.0) -> MemoryFrame:
    pose = np.eye(4)
    pose[0, 3] = x
    nothing = np.zeros((HEIGHT, WIDTH), bool)
    camera = Camera.from_fov(HEIGHT, WIDTH, 0.8, pose)
    plane = np.full((HEIGHT, WIDTH), depth, np.float32)
    return MemoryFrame(index, np.zeros((HEIGHT, WIDTH, 3), np.uint8), plane, ~nothing, nothing, camera)


def blocks(buffer: np.ndarray, slots: int) -> np.ndarray:
    """(slots*256, T, h, w) -> (slots, T, 4, H, W), undoing the space-to-channel step."""
    _, times, rows, columns = buffer.shape
    cells = buffer.reshape(slots, 4, 8, 8, times, rows, columns).transpose(0, 4, 1, 5, 2, 6, 3)
    return cells.reshape(slots, times, 4, rows * 8, columns * 8)


@pytest.mark.parametrize("slots", [1, 3, 5])
def test_canonical_maps(slots):
    np.testing.assert_allclose(canonical_maps(slots, 16, 24), GOLDEN[f"canonical_coords.n{slots}"], atol=1e-6)


def test_slots_are_filled_from_the_right():
    assert slot_frames([16, 24, 8], 5) == [0, 0, 16, 24, 8]
    assert slot_frames([], 2, filler=7) == [7, 7]
    assert slot_frames([5, 6], 2) == [5, 6]


def test_blocks_are_best_first_and_padded_with_the_filler():
    targets = cameras(8)
    found = blocks(generated_buffer([frame(8, x=0.4), frame(16)], targets, CorrespondenceConfig(slots=3)), 3)
    assert found.shape == (3, 2, 4, HEIGHT, WIDTH)
    for block, z in ((0, 1.0), (1, 0.0)):
        hit = found[block, 0, 3] > -1
        assert hit.mean() > 0.7
        np.testing.assert_allclose(found[block, 0, 2][hit], z, atol=1e-5)
        assert (found[block, 0, :, ~hit] == -1).all()
    assert (found[2, :, :3] == -1).all() and (found[2, :, 3] == 1).all()


def test_coordinates_point_back_to_the_source_pixel():
    """From the frame's own camera, the warped map is the map itself; depth is normalised over all slots."""
    still = Camera.from_fov(HEIGHT, WIDTH, 0.8, np.tile(np.eye(4), (4, 1, 1)))
    found = blocks(generated_buffer([frame(0, 2.0), frame(8, 4.0)], still, CorrespondenceConfig(slots=2)), 2)
    for block, slot in ((0, 1), (1, 0)):
        np.testing.assert_allclose(found[block, 0, :3], canonical_maps(2, HEIGHT, WIDTH)[slot], atol=1e-5)
    np.testing.assert_allclose(found[0, 0, 3], 1, atol=1e-5)
    np.testing.assert_allclose(found[1, 0, 3], -1, atol=1e-5)


def test_only_the_last_frame_of_each_latent_matters():
    """The other cameras may be anything: they are not warped in our mode."""
    targets = cameras(8)
    elsewhere = targets.world_from_camera.copy()
    elsewhere[[0, 1, 2, 4, 5, 6], 0, 3] = 50.0
    other = Camera(elsewhere, targets.intrinsics, WIDTH, HEIGHT)
    np.testing.assert_array_equal(generated_buffer([frame(0)], targets), generated_buffer([frame(0)], other))


def test_reference_mode_differs_only_slightly_here():
    config = CorrespondenceConfig.reference()
    assert config.warp == WarpConfig(reference_compat=True, group=16)
    ours, reference = (generated_buffer([frame(0)], cameras(8), c) for c in (None, config))
    assert np.median(np.abs(ours - reference)) < 0.01


def test_repeated_frames_count_once():
    first, second = frame(0), frame(8, x=0.2)
    once = generated_buffer([first, second], cameras(4))
    np.testing.assert_array_equal(generated_buffer([first, second, frame(0, x=9.0)], cameras(4)), once)


def test_nothing_retrieved_gives_the_filler():
    found = blocks(generated_buffer([], cameras(4), CorrespondenceConfig(slots=2)), 2)
    assert (found[:, :, :3] == -1).all() and (found[:, :, 3] == 1).all()


def test_history_buffer():
    found = blocks(history_buffer([None, 0, 1, None], 2, HEIGHT, WIDTH), 2)
    assert (found[:, [0, 3]] == 0).all()
    for slot in range(2):
        for block in range(2):
            np.testing.assert_array_equal(found[block, 1 + slot, :3], canonical_maps(2, HEIGHT, WIDTH)[slot])
            assert (found[block, 1 + slot, 3] == (1 if block else -1)).all()


def test_bad_input():
    with pytest.raises(InputError, match="3 retrieved frames for 2 slots"):
        slot_frames([1, 2, 3], 2)
    with pytest.raises(InputError, match="3 retrieved frames for 2 slots"):
        generated_buffer([frame(i) for i in range(3)], cameras(4), CorrespondenceConfig(slots=2))
    with pytest.raises(InputError, match="multiple of 4"):
        generated_buffer([frame(0)], cameras(5))
    with pytest.raises(InputError, match="spatial slot 2"):
        history_buffer([2], 2, HEIGHT, WIDTH)
    with pytest.raises(InputError, match="0 slots"):
        canonical_maps(0, 8, 8)
