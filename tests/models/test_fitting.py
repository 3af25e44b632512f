"""Quantised and offloaded networks against the plain one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from released_models import SIZES, transformer_weights
from safetensors.torch import save_file
from test_lora import network, outputs

from openlyra.models.folder import ModelFolder
from openlyra.models.lora import Lora, attach
from openlyra.models.offload import BlockOffload
from openlyra.models.quantise import QuantisedLinear, quantise

TOLERANCES = {"int8": 0.01, "float8": 0.05}
"""Root mean square of the change of the output, relative to that of the output, which docs/memory.md states."""


@pytest.mark.parametrize("kind", ["int8", "float8"])
def test_eight_bits_stay_within_the_stated_tolerance(kind: str) -> None:
    plain, small = outputs(network()), network()
    before = sum(v.numel() * v.element_size() for v in small.blocks.state_dict().values())
    quantise(small, kind)  # type: ignore[arg-type]
    after = sum(v.numel() * v.element_size() for v in small.blocks.state_dict().values())
    assert after < 0.3 * before
    change = (outputs(small) - plain).square().mean().sqrt() / plain.square().mean().sqrt()
    assert 1e-5 < change < TOLERANCES[kind]
    assert not any(isinstance(module, QuantisedLinear) for module in small.head.modules())


@pytest.mark.parametrize("kind", ["int8", "float8"])
def test_fast_form_is_the_plain_form(kind: str) -> None:
    """Scaling after the product against the product with the dequantised weight."""
    layer = torch.nn.Linear(40, 24)
    layer.weight.data[3] = 0  # a row of zeros must not divide by zero
    layer.weight.data[4] *= 100
    stored = QuantisedLinear.from_weight(layer.weight, layer.bias.detach(), kind)  # type: ignore[arg-type]
    x = torch.randn(7, 40)
    assert torch.allclose(stored(x), x @ stored.dequantised().T + layer.bias, rtol=1e-5, atol=1e-5)
    rows = (stored.dequantised() - layer.weight).abs().amax(1) / layer.weight.abs().amax(1).clamp_min(1e-9)
    assert rows.max() < {"int8": 0.5 / 127 + 1e-6, "float8": 1 / 16}[kind]
    assert stored(x.bfloat16()).dtype == torch.bfloat16


def test_offloaded_blocks_give_the_same_bits() -> None:
    plain, moved = network(), network()
    expected = outputs(plain)
    offload = BlockOffload(moved, "cpu")
    homes = [block.self_attn.q.weight.data_ptr() for block in moved.blocks]
    visits = [block.self_attn.q.weight.data_ptr() for _, block in moved.each_block()]
    assert not set(homes) & set(visits), "a block must be a copy while it visits"
    for _ in range(2):
        assert torch.equal(outputs(moved), expected)
    assert offload.most_visiting == 2
    assert [block.self_attn.q.weight.data_ptr() for block in moved.blocks] == homes
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), moved.state_dict().values()))
    offload.close()


def test_a_walk_stopped_in_the_middle_leaves_the_blocks_at_home() -> None:
    moved = network()
    expected, offload = outputs(moved), BlockOffload(moved, "cpu")
    home = moved.blocks[0].self_attn.q.weight.data_ptr()
    for index, _ in moved.each_block():
        if index == 0:
            break
    assert moved.blocks[0].self_attn.q.weight.data_ptr() == home
    assert torch.equal(outputs(moved), expected) and offload.most_visiting == 2
    offload.close()


def test_quantised_offloaded_and_adapted_at_once(tmp_path: Path) -> None:
    name = "blocks.1.ffn.0"
    down, up = torch.randn(2, 24) / 4, torch.randn(32, 2) / 4
    save_file({f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}, tmp_path / "lora.safetensors")
    small = network()
    quantise(small, "int8")
    attach(small, [(Lora.open(tmp_path / "lora.safetensors", small), 0.7)])
    adapted = outputs(small)
    offload = BlockOffload(small, "cpu")
    assert torch.equal(outputs(small), adapted)
    offload.close()
    plain = network()
    assert (outputs(plain) - adapted).abs().max() > 0.01
    with torch.no_grad():
        plain.get_submodule(name).weight += 0.7 * up @ down
    change = (outputs(plain) - adapted).square().mean().sqrt() / adapted.square().mean().sqrt()
    assert change < TOLERANCES["int8"]


@pytest.mark.parametrize("bias_first", [True, False])
def test_loading_straight_into_eight_bits(tmp_path: Path, bias_first: bool) -> None:
    """Read from a folder, each weight quantised as it comes: the same as quantising afterwards."""
    part = tmp_path / "transformer"
    part.mkdir()
    names = sorted(transformer_weights(), reverse=not bias_first)
    for number, some in enumerate([names[::2], names[1::2]]):
        save_file({name: transformer_weights()[name] for name in some}, part / f"{number}.safetensors")
    (part / "config.json").write_text(SIZES.transformer.to_json())
    loaded = ModelFolder(tmp_path).transformer(torch.float32, quantised="int8", blocks="cpu")
    expected = network()
    quantise(expected, "int8")
    stored, wanted = loaded.state_dict(), expected.state_dict()
    assert stored.keys() == wanted.keys() and all(torch.equal(stored[name], wanted[name]) for name in wanted)
    assert torch.allclose(outputs(loaded), outputs(expected), atol=1e-5)
