"""Fresh weights: spread, zeros where training starts, history embeddings derived from the base one."""

from __future__ import annotations

import pytest
import torch
from lyra_cases import TINY, tiny_inputs

from openlyra.models import frame_packing as fp
from openlyra.models.lyra_config import TOY
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.lyra_init import enlarged_embedding, initialise


def test_a_seed_gives_the_same_weights() -> None:
    first, again, other = (initialise(LyraDiT(TINY), seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["patch_embedding.weight"], other["patch_embedding.weight"])


def test_spread_of_weights() -> None:
    with torch.no_grad():
        model = LyraDiT(TOY)
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
        weights = initialise(model, 0).state_dict()
    assert not any(value.isnan().any() for value in weights.values())
    std = TOY.width**-0.5
    assert weights["blocks.1.self_attn.q.weight"].std().item() == pytest.approx(std, rel=0.05)
    assert weights["blocks.1.buffer_encoder.0.weight"].std().item() == pytest.approx(std * 0.9866, rel=0.02)
    assert weights["blocks.1.cam_encoder.weight"].abs().max() <= 3 * std
    assert weights["time_projection.1.weight"].std().item() == pytest.approx(0.02, rel=0.02)
    assert not weights["head.head.weight"].any() and not weights["blocks.0.ffn.0.bias"].any()
    assert (weights["blocks.0.norm3.weight"] == 1).all() and (weights["img_emb.proj.0.weight"] == 1).all()


def test_a_fresh_network_has_velocity_zero() -> None:
    inputs = tiny_inputs()
    with torch.no_grad():
        assert not inputs.fast(initialise(LyraDiT(TINY), 0)).any()
        assert inputs.fast(initialise(LyraDiT(TINY), 0, head_std=0.1)).abs().mean() > 0.01


@pytest.mark.parametrize("text", ["f4k4_g1", "f1s2_g1", "f2k2_g1", "f1k1_g1"])
def test_a_coarse_patch_of_repeated_values_gets_the_base_token(text: str) -> None:
    (segment,) = fp.Layout.parse(text).segments
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(7, 3 * 4, generator=generator)
    small = torch.randn(1, 3, *fp.PATCH, generator=generator)
    big = small
    for axis, times in enumerate(segment.pooling, start=2):
        big = big.repeat_interleave(times, axis)
    token = fp.patches(big, segment.patch) @ enlarged_embedding(weight, segment).T
    torch.testing.assert_close(token, fp.patches(small, fp.PATCH) @ weight.T)
