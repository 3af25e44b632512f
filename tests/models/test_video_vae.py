from __future__ import annotations

from pathlib import Path

import pytest
import torch

from openlyra.errors import InputError
from openlyra.evaluation.parity.folder import check_file
from openlyra.models.video_vae import StreamState, Tiling, VideoVae, VideoVaeConfig, tile_spans

pytest.importorskip("diffusers")
GOLDEN = Path(__file__).parents[1] / "golden"
TINY = VideoVaeConfig(base_width=4)


@pytest.fixture(scope="module")
def vae() -> VideoVae:
    return VideoVae.random(TINY, seed=1)


@pytest.fixture(scope="module")
def clip() -> torch.Tensor:
    return torch.rand((1, 3, 9, 48, 64), generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_recorded_numbers() -> None:
    report = check_file(GOLDEN / "vae_tiny.safetensors")
    assert report.verdict == "ok" and len(report.comparisons) == 7 and not report.not_compared


def test_seed_decides_the_weights(vae: VideoVae, clip: torch.Tensor) -> None:
    before = torch.random.get_rng_state()
    assert torch.equal(VideoVae.random(TINY, seed=1).encode(clip), vae.encode(clip))
    assert not torch.equal(VideoVae.random(TINY, seed=2).encode(clip), vae.encode(clip))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("tiling", [None, Tiling(4, 2)])
def test_streams_continue_from_a_file(vae: VideoVae, clip: torch.Tensor, tiling: Tiling | None) -> None:
    """Cutting a stream anywhere, and storing the state as tensors, changes no bit."""
    vae = VideoVae(vae.network, TINY, tiling)
    whole = vae.encode(clip)
    first, state = vae.encode_more(clip[:, :, :5], None)
    kept = StreamState.from_tensors({key: value.clone() for key, value in state.tensors().items()})
    assert torch.equal(torch.cat([first, vae.encode_more(clip[:, :, 5:], kept)[0]], 2), whole)
    assert torch.equal(torch.cat([first, vae.encode_more(clip[:, :, 5:], state)[0]], 2), whole)  # not used up
    pixels = vae.decode(whole)
    assert pixels.shape == clip.shape and pixels.dtype == torch.float32
    for cut in (1, 2):
        start, state = vae.decode_more(whole[:, :, :cut], None)
        rest, _ = vae.decode_more(whole[:, :, cut:], StreamState.from_tensors(state.tensors()))
        assert torch.equal(torch.cat([start, rest], 2), pixels)


def test_tiles_cover_and_cross_fade(vae: VideoVae, clip: torch.Tensor) -> None:
    """Where only one tile reaches, the result is that tile's own; between tiles it lies between the two."""
    tiled = VideoVae(vae.network, TINY, Tiling(4, 2))
    latents = tiled.encode(clip)
    alone = vae.encode(clip[..., :32, :32])
    assert torch.allclose(latents[..., :2, :2], alone[..., :2, :2], atol=1e-6)
    right = vae.encode(clip[..., :32, 16:48])
    inside, low, high = latents[..., :2, 2:4], alone[..., :2, 2:4], right[..., :2, :2]
    share = torch.tensor([0.25, 0.75])
    assert torch.allclose(inside, low * (1 - share) + high * share, atol=1e-6)
    large = VideoVae(vae.network, TINY, Tiling(64, 8))
    assert torch.equal(large.encode(clip), vae.encode(clip))


def test_tile_spans_end_at_the_border() -> None:
    spans = list(tile_spans((60, 104), Tiling(32, 8)))
    assert {(r.start, r.stop) for r, _ in spans} == {(0, 32), (24, 56), (28, 60)}
    assert max(c.stop for _, c in spans) == 104 and all(c.stop - c.start == 32 for _, c in spans)
    assert list(tile_spans((60, 104), None)) == [(slice(0, 60), slice(0, 104))]


def test_bfloat16_stays_near(clip: torch.Tensor) -> None:
    plain = VideoVae.random(TINY, seed=1).encode(clip)
    rounded = VideoVae.random(TINY, seed=1).to(dtype=torch.bfloat16).encode(clip)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - plain).abs().max() < 0.05 * plain.std()


def test_wrong_input_is_named(vae: VideoVae, clip: torch.Tensor) -> None:
    _, state = vae.encode_more(clip, None)
    with pytest.raises(InputError, match=r"8 frames.*4n\+1"):
        vae.encode(clip[:, :, :8])
    with pytest.raises(InputError, match=r"9 frames.*4n "):
        vae.encode_more(clip, state)
    with pytest.raises(InputError, match="multiples of 8"):
        vae.encode(clip[..., :44, :])
    with pytest.raises(InputError, match="6x8, not 4x8"):
        vae.encode_more(clip[:, :, :4, :32], state)
    with pytest.raises(InputError, match="1 tiles, not"):
        VideoVae(vae.network, TINY, Tiling(4, 2)).encode_more(clip[:, :, :4], state)
    with pytest.raises(InputError, match="unknown tensor"):
        StreamState.from_tensors({"size": torch.tensor([1, 1]), "x": torch.zeros(1)})
    with pytest.raises(InputError, match="cannot overlap"):
        Tiling(4, 4)
