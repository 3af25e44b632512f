"""Which latents, frames and warps a chunk is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from openlyra.errors import InputError
from openlyra.generation.captions import caption_at, chunk_captions
from openlyra.generation.conditioning import ChunkContext, build_inputs
from openlyra.generation.history import (
    chunk_start,
    latent_frame,
    mirrored_frames,
    recent_latents,
    retrieval_offsets,
    window_frames,
)
from openlyra.generation.lyra_models import working_size
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame
from openlyra.memory.spatial_memory import SpatialMemory
from openlyra.models.frame_packing import Layout

RELEASED = Layout.parse("f1k1f4s2f1s1f16k4f2k2f1k1_g20")
SMALL = Layout.parse("f1k1f1s2f1s1f2k2f1k1_g2")
HEIGHT, WIDTH = 32, 48


def test_latents_and_frames() -> None:
    assert recent_latents(25, 4) == [0, 22, 23, 24]
    assert [latent_frame(latent, RELEASED) for latent in (0, 23, 24, 25, 44, 45)] == [0, 0, 0, 4, 80, 84]
    assert chunk_start(2, RELEASED) == 160
    assert retrieval_offsets(1, 80) == [79] and retrieval_offsets(3, 16) == [5, 10, 15]
    assert window_frames(SMALL, 12, 3, 0) == [3] * 21 + [4, 5, 6, 7, 8, 9, 10, 11]
    assert mirrored_frames(4, 9) == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    with pytest.raises(InputError, match="6 history latents out of 5"):
        recent_latents(5, 6)


def cameras(count: int) -> Camera:
    poses = np.tile(np.eye(4), (count, 1, 1))
    frames = np.arange(count)
    poses[:, 0, 3] = 0.04 * np.minimum(frames, 32 - frames)  # there and back
    return Camera.from_fov(HEIGHT, WIDTH, 0.8, poses)


def frame(index: int, camera: Camera) -> MemoryFrame:
    nothing = np.zeros((HEIGHT, WIDTH), bool)
    return MemoryFrame(
        index,
        np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        np.full((HEIGHT, WIDTH), 3.0, np.float32),
        ~nothing,
        nothing,
        camera,
    )


def encode(clip: torch.Tensor) -> torch.Tensor:
    """Latents that tell which picture they come from: the last frame of each group, seen coarsely."""
    assert clip.shape[2] % 4 == 1
    picked = clip[:, :, [0, *range(4, clip.shape[2], 4)]]
    return torch.nn.functional.avg_pool3d(picked, (1, 8, 8)).repeat(1, 6, 1, 1, 1)[:, :16]


def context(chunk: int, memory_indices: list[int]) -> ChunkContext:
    path = cameras(1 + 8 * (chunk + 1))
    memory = SpatialMemory()
    for index in memory_indices:
        memory.add(frame(index, path[index]))
    pixels = {index: torch.full((3, HEIGHT, WIDTH), index / 100) for index in {0, 8 * chunk, *memory_indices}}
    latents = torch.arange(6.0 + 2 * chunk).reshape(1, 1, -1, 1, 1).expand(1, 16, -1, HEIGHT // 8, WIDTH // 8)
    return ChunkContext(chunk, latents, frame(8 * chunk, path[8 * chunk]), path, memory, pixels.__getitem__)


def test_the_packed_history() -> None:
    inputs = build_inputs(context(2, [8, 16]), SMALL, encode)
    assert inputs.retrieved == (8,)
    expected = [0, 0.0, 0.08, 7, 8, 9]
    found = inputs.history[0, 0, :, 2, 3]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))
    torch.testing.assert_close(inputs.condition[:, :, :6], inputs.history)
    # The last frame is uniformly 0.16; where the warp has no hole its latents say so.
    assert inputs.condition[0, 0, 6:, 2, 3].tolist() == pytest.approx([0.16, 0.16])
    assert inputs.mask.shape == (1, 4, 8, 4, 6) and bool((inputs.mask == 1).all())
    assert inputs.rays.shape == (1, 384, 8, 4, 6)
    assert inputs.buffer is not None and inputs.buffer.shape == (1, 512, 8, 4, 6)


def test_rays_are_relative_to_the_last_frame() -> None:
    rays = build_inputs(context(1, [0, 8]), SMALL, encode).rays
    origins = rays[0, ::64][:3, :, 0, 0]
    torch.testing.assert_close(origins[0, -2:], torch.tensor([0.16, 0.32]), atol=1e-6, rtol=0)
    assert float(origins[0, 5]) == 0 and float(origins[0, 0]) == pytest.approx(-0.32)


def test_without_memory_the_slots_hold_the_photo() -> None:
    inputs = build_inputs(context(1, []), SMALL, encode)
    assert inputs.retrieved == ()
    assert inputs.history[0, 0, 1:3, 2, 3].tolist() == [0, 0]


def test_too_few_cameras() -> None:
    short = context(1, [0])
    with pytest.raises(InputError, match="chunk 1 ends at frame 16; there are 16 cameras"):
        build_inputs(replace(short, cameras=short.cameras[:16]), SMALL, encode)


def test_captions_of_chunks() -> None:
    captions = {0: "a", 81: "b", 161: "c"}
    assert [caption_at(captions, at) for at in (0, 80, 81, 400)] == ["a", "a", "b", "c"]
    assert caption_at({5: "x", 9: "y"}, 1) == "x"
    assert chunk_captions(captions, 3, 80) == ["a", "b", "c"]
    assert chunk_captions({0: "a", 80: "b"}, 2, 80) == ["a", "b"]
    assert chunk_captions({7: "alone"}, 2, 80) == ["alone", "alone"]
    with pytest.raises(InputError, match="frames 161 to 240"):
        chunk_captions({0: "a", 81: "b"}, 3, 80)


@pytest.mark.parametrize(
    ("given", "budget", "expected"),
    [((480, 832), 480 * 832, (480, 832)), ((32, 48), 10**6, (32, 48)), ((480, 832), 96 * 160, (96, 160))],
)
def test_working_size(given: tuple[int, int], budget: int, expected: tuple[int, int]) -> None:
    assert working_size(*given, budget) == expected


def test_working_size_is_always_a_multiple_within_budget() -> None:
    for height in range(32, 700, 38):
        for width in range(32, 1400, 74):
            rows, columns = working_size(height, width, 96 * 160)
            assert rows % 16 == columns % 16 == 0 and 0 < rows * columns <= 96 * 160


def test_resized_frames_keep_their_edges() -> None:
    whole = frame(3, cameras(1)[0])
    depth = np.where(np.arange(WIDTH) < 24, 2.0, 9.0).astype(np.float32) * np.ones((HEIGHT, 1), np.float32)
    small = replace(whole, depth=depth).resized(16, 24)
    assert set(np.unique(small.depth)) == {2.0, 9.0} and small.depth.shape == (16, 24)
    np.testing.assert_allclose(small.camera.intrinsics[:2], whole.camera.intrinsics[:2] / 2)
