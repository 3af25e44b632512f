"""The transformer against its slow twin: values, gradients, batches, shared constants, types, bad input."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from lyra_cases import TINY, Inputs, tiny_inputs, tiny_model, without

from openlyra.errors import InputError
from openlyra.models import lyra_dit
from openlyra.models.lyra_config import LyraConfig
from openlyra.models.lyra_layers import Block
from openlyra.models.lyra_plain import plain_velocity

CONFIGS = {
    "whole": TINY,
    "no correspondences": without(TINY, "buffer_channels"),
    "no cameras": without(TINY, "camera_channels"),
    "plain": TINY.without_conditioning(),
    "three octaves": replace(TINY, buffer_octaves=3),
    "coarse spatial kernel": replace(TINY, layout="f2s3f5k3f1k1_g1"),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@pytest.mark.parametrize("size", [(6, 10), (8, 8)], ids=str)
def test_values_are_those_of_the_slow_twin(config: LyraConfig, size: tuple[int, int]) -> None:
    model, inputs = tiny_model(config), tiny_inputs(config, 2, size)
    with torch.no_grad():
        fast, plain = inputs.fast(model), inputs.plain(model)
    frames = config.packing.new_frames if config.packing else 3
    assert fast.shape == (2, 16, frames, *size) and plain.abs().mean() > 0.1
    torch.testing.assert_close(fast, plain, atol=2e-5, rtol=0)


def gradients(inputs: Inputs, forward: str, checkpointing: bool = False, **options) -> dict[str, torch.Tensor]:
    model = tiny_model()
    model.gradient_checkpointing = checkpointing
    leaves = {"latents": inputs.latents, "rays": inputs.chunk["rays"], "buffer": inputs.chunk["buffer"]}
    for leaf in leaves.values():
        leaf.grad = None
        leaf.requires_grad_(True)
    getattr(inputs, forward)(model, **options).square().mean().backward()
    missing = [key for key, parameter in model.named_parameters() if parameter.grad is None]
    assert not missing
    return {key: leaf.grad for key, leaf in [*model.named_parameters(), *leaves.items()]}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("keep_context", [False, True])
def test_gradients_are_those_of_the_slow_twin(checkpointing: bool, keep_context: bool) -> None:
    inputs = tiny_inputs()
    expected = gradients(inputs, "plain")
    found = gradients(inputs, "fast", checkpointing, keep_context=keep_context)
    for key, gradient in expected.items():
        scale = gradient.abs().max().item()
        assert scale > 0, key
        torch.testing.assert_close(
            found[key], gradient, atol=1e-4 * scale, rtol=1e-4, msg=lambda m, key=key: f"{key}: {m}"
        )


def test_checkpointing_recomputes_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    forward = Block.forward
    monkeypatch.setattr(Block, "forward", lambda self, *given: calls.append(self) or forward(self, *given))
    for checkpointing, times in ((False, 1), (True, 2)):
        calls.clear()
        gradients(tiny_inputs(), "fast", checkpointing)
        assert len(calls) == times * TINY.blocks


def test_items_of_a_batch_do_not_mix() -> None:
    model, both = tiny_model(), tiny_inputs(batch=2)
    with torch.no_grad():
        together = both.fast(model)
        for item in range(2):
            chunk = {key: value[item : item + 1] for key, value in both.chunk.items()}
            alone = Inputs(both.latents[item : item + 1], both.timestep[item : item + 1], chunk).fast(model)
            torch.testing.assert_close(together[item : item + 1], alone, atol=1e-5, rtol=0)


def test_branches_share_all_but_the_text() -> None:
    model, inputs = tiny_model(), tiny_inputs()
    other_text = torch.flip(inputs.chunk["text"], (1,)) + 1
    with torch.no_grad():
        chunk = model.prepare_chunk(**inputs.chunk)
        other = model.with_text(chunk, other_text)
        velocity = model(inputs.latents, inputs.timestep, other)
        expected = plain_velocity(model, inputs.latents, inputs.timestep, **{**inputs.chunk, "text": other_text})
    torch.testing.assert_close(velocity, expected, atol=2e-5, rtol=0)
    assert other.codes is chunk.codes and other.image_rows is chunk.image_rows and other.camera is chunk.camera


def test_the_field_is_encoded_once_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    encode = lyra_dit.sincos_encode
    monkeypatch.setattr(lyra_dit, "sincos_encode", lambda *given: calls.append(given) or encode(*given))
    model, inputs = tiny_model(), tiny_inputs()
    with torch.no_grad():
        chunk = model.prepare_chunk(**inputs.chunk)
        other = model.with_text(chunk, inputs.chunk["text"])
        for _ in range(3):
            model(inputs.latents, inputs.timestep, chunk)
            model(inputs.latents, inputs.timestep, other)
    assert len(calls) == 1
    tokens = sum(TINY.packing.token_counts(6, 10)) if TINY.packing else 0
    assert chunk.codes is not None and [code.shape for code in chunk.codes] == [(1, tokens, 4)] * TINY.blocks


def test_slabs_of_the_field_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = tiny_model(), tiny_inputs()
    with torch.no_grad():
        whole = inputs.fast(model)
        monkeypatch.setattr(lyra_dit, "FIELD_SLAB", 7)
        assert torch.equal(inputs.fast(model), whole)


def test_a_buffer_of_only_new_latents() -> None:
    model, inputs = tiny_model(), tiny_inputs()
    short = Inputs(inputs.latents, inputs.timestep, {**inputs.chunk, "buffer": inputs.chunk["buffer"][:, :, -2:]})
    with torch.no_grad():
        fast = short.fast(model)
        torch.testing.assert_close(fast, short.plain(model), atol=2e-5, rtol=0)
        assert (fast - inputs.fast(model)).abs().max() > 1e-4


def test_bfloat16_is_near_float32() -> None:
    model, inputs = tiny_model(), tiny_inputs()
    with torch.no_grad():
        wide = inputs.fast(model)
        narrow = inputs.fast(model.to(torch.bfloat16))
    assert narrow.dtype == torch.float32
    error = (narrow - wide).abs().mean() / wide.abs().mean()
    assert 0 < error < 0.03


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"buffer": None}, "correspondence buffer missing"),
        ({"rays": None}, "camera rays missing"),
        ({"rays": torch.zeros(1, 12, 9, 6, 8)}, r"\(B, 12, 9, 6, 10\) is needed"),
        ({"text": torch.zeros(1, 5, 8)}, r"text of shape \(1, 5, 8\)"),
        ({"image": torch.zeros(1, 5, 9)}, "image tokens of shape"),
        ({"conditions": torch.zeros(1, 19, 9, 6, 10)}, "19 condition channels"),
        ({"conditions": torch.zeros(1, 20, 8, 6, 10)}, "8 latents; layout"),
        ({"conditions": torch.zeros(1, 20, 9, 5, 10)}, "latents of 5x10"),
    ],
)
def test_wrong_inputs_are_named(change: dict, message: str) -> None:
    config = replace(TINY, layout="f1k1f1s2f1s1f3k2f1k1_g2")
    chunk = tiny_inputs(config).chunk
    with pytest.raises(InputError, match=message):
        tiny_model(config).prepare_chunk(**{**chunk, **change})


def test_a_plain_network_refuses_cameras() -> None:
    config = TINY.without_conditioning()
    with pytest.raises(InputError, match="camera rays given"):
        tiny_model(config).prepare_chunk(**{**tiny_inputs(config).chunk, "rays": torch.zeros(1, 384, 3, 6, 10)})
