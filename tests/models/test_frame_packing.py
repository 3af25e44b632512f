"""Layouts as data, patches, means over what a token replaces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from openlyra.errors import InputError
from openlyra.geometry.rays import space_to_channel
from openlyra.models import frame_packing as fp
from openlyra.models.frame_packing import Layout, Segment
from openlyra.models.lyra_config import RELEASED_LAYOUT

RELEASED = Layout.parse(RELEASED_LAYOUT)


def test_the_released_layout() -> None:
    assert [segment.frames for segment in RELEASED.segments] == [1, 4, 1, 16, 2, 1]
    assert RELEASED.spans == ((0, 1), (1, 5), (5, 6), (6, 22), (22, 24), (24, 25), (25, 45))
    assert (RELEASED.history_frames, RELEASED.temporal_frames, RELEASED.spatial_frames) == (25, 20, 5)
    assert (RELEASED.new_pixel_frames, RELEASED.total_frames) == (80, 45)
    assert RELEASED.indices(spatial=True) == [1, 2, 3, 4, 5]
    assert RELEASED.indices(spatial=False) == [0, *range(6, 25)]


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        ((60, 104), [1560, 1560, 1560, 416, 390, 1560, 31200]),
        ((56, 96), [1344, 1344, 1344, 336, 336, 1344, 26880]),
    ],
)
def test_token_counts(size: tuple[int, int], counts: list[int]) -> None:
    assert RELEASED.token_counts(*size) == counts
    assert len(fp.token_positions(RELEASED, 45, *size)) == sum(counts)


segments = st.builds(Segment, st.integers(1, 20), st.sampled_from("ks"), st.integers(1, 5))
layouts = st.builds(Layout, st.lists(segments, min_size=1, max_size=6).map(tuple), st.integers(1, 30))


@settings(deadline=None)
@given(layouts)
def test_text_and_data_agree(layout: Layout) -> None:
    assert Layout.parse(str(layout)) == layout
    assert sorted(layout.indices(True) + layout.indices(False)) == list(range(layout.history_frames))


@pytest.mark.parametrize(
    "text", ["", "g20", "_g20", "f1k1", "f1k1_g", "f1q1_g2", "f0k1_g2", "f1k0_g2", "f1k1_g0", "f1k1_g2x", "f99999k1_g2"]
)
def test_bad_layouts(text: str) -> None:
    with pytest.raises(InputError, match="layout"):
        Layout.parse(text)


def test_patch_and_unpatch_orders() -> None:
    video = torch.arange(2 * 3 * 2 * 4 * 6.0).reshape(2, 3, 2, 4, 6)
    tokens = fp.patches(video, fp.PATCH)
    assert tokens.shape == (2, 2 * 2 * 3, 12)
    assert torch.equal(tokens[1, 4], video[1, :, 0, 2:4, 2:4].reshape(-1))  # token (0, 1, 1): channel slowest
    channel_last = tokens.unflatten(-1, (3, 4)).transpose(-1, -2).flatten(-2)
    assert torch.equal(fp.unpatch(channel_last, (2, 2, 3), 3), video)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 30))
def test_mean_positions(count: int, pooling: int, start: int) -> None:
    grid = torch.arange(start, start + count, dtype=torch.float64).view(1, 1, count, 1, 1)
    pooled = fp.mean_pool(grid, (pooling, 1, 1)).flatten()
    torch.testing.assert_close(fp.mean_positions(count, start, pooling), pooled, atol=1e-5, rtol=0)


def test_a_padded_row_has_the_mean_of_repeated_edges() -> None:
    assert fp.mean_positions(30, 0, 4)[-1] == 28.75


def test_camera_tokens_are_means() -> None:
    layout = Layout.parse("f2s2f4k2_g1")
    rays = torch.randn(1, 3, 7, 4, 8, generator=torch.Generator().manual_seed(0))
    tokens = fp.camera_tokens(layout, rays)
    base = space_to_channel(rays, 2, channel_axis=-4)
    assert tokens.shape == (1, 2 * 2 + 2 * 2 + 8, 12)
    torch.testing.assert_close(tokens[0, 1], base[0, :, 0, :2, 2:4].flatten(1).mean(-1))
    torch.testing.assert_close(tokens[0, 4 + 2 + 1], base[0, :, 4:6, :2, 2:4].flatten(1).mean(-1))
    assert torch.equal(tokens[0, -8:].T.reshape(12, 2, 4), base[0, :, -1])


def test_buffer_tokens_and_validity() -> None:
    layout = Layout.parse("f1k1f1s1f1s2_g1")
    buffer = torch.randn(1, 5, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    tokens, validity = fp.buffer_tokens(layout, buffer)
    assert validity[0, :, 0].tolist() == [0.0] * 4 + [1.0] * (4 + 1 + 4)
    assert (tokens[0, :4] == -1).all()
    assert torch.equal(tokens[0, 4:8].T.reshape(20, 2, 2), space_to_channel(buffer, 2, channel_axis=-4)[0, :, 1])
    pooled = torch.nn.functional.avg_pool2d(buffer[0, :, 2], 2)
    torch.testing.assert_close(tokens[0, 8], pooled.reshape(-1))
    tokens, validity = fp.buffer_tokens(layout, buffer[:, :, -1:])
    assert validity[0, :, 0].tolist() == [0.0] * 9 + [1.0] * 4
    assert (tokens[0, :4] == -1).all() and (tokens[0, 4:9] == 0).all()
