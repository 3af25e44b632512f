from __future__ import annotations

from pathlib import Path

import pytest
import torch
from released_models import SIZES, transformer_weights
from safetensors.torch import save_file
from torch import Tensor

from openlyra.errors import InputError
from openlyra.models.lora import Lora, attach, detach, merge
from openlyra.models.lyra_dit import LyraDiT

CHANGED = (
    "blocks.0.self_attn.q", "blocks.1.cross_attn.k_img", "blocks.1.cross_attn.v_img", "blocks.1.ffn.0",
    "blocks.1.buffer_encoder.0", "time_projection.1", "head.head", "clean_patch_embeddings.3",
)  # fmt: skip


def network() -> LyraDiT:
    model = LyraDiT(SIZES.transformer).eval()
    model.load_state_dict(transformer_weights(), strict=False)
    return model


@pytest.fixture(scope="module")
def matrices() -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    layers = dict(network().named_modules())
    return {
        name: (
            torch.randn((4, layers[name].in_features), generator=generator) / 8,
            torch.randn((layers[name].out_features, 4), generator=generator) / 8,
        )
        for name in CHANGED
    }


def write(path: Path, matrices: dict[str, tuple[Tensor, Tensor]], style: str) -> Path:
    tensors: dict[str, Tensor] = {}
    for name, (down, up) in matrices.items():
        if style == "A/B":
            tensors |= {f"diffusion_model.{name}.lora_A.weight": down, f"diffusion_model.{name}.lora_B.weight": up}
        elif style == "down/up":
            tensors |= {f"net.{name}.lora_down.weight": down, f"net.{name}.lora_up.weight": up}
            tensors |= {f"net.{name}.alpha": torch.tensor(4.0)}
        else:
            root = f"lora_unet_{name.replace('.', '_')}"
            tensors |= {f"{root}.lora_down.weight": 2 * down, f"{root}.lora_up.weight": up}
            tensors |= {f"{root}.alpha": torch.tensor(2.0)}
    save_file(tensors, path)
    return path


def outputs(model: LyraDiT) -> Tensor:
    """The network once around, at 4x6 latents."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    config, frames = SIZES.transformer, 15
    with torch.no_grad():
        chunk = model.prepare_chunk(
            conditions=normal(1, 20, frames, 4, 6), rays=normal(1, 384, frames, 4, 6),
            buffer=normal(1, config.buffer_channels, frames, 4, 6), text=normal(1, 512, config.text_width),
            image=normal(1, 9, config.image_width),
        )  # fmt: skip
        return model(normal(1, 16, frames, 4, 6), torch.tensor([500.0]), chunk)


@pytest.mark.parametrize("style", ["A/B", "down/up", "underscores"])
def test_three_ways_of_naming_give_the_same_network(
    tmp_path: Path, matrices: dict[str, tuple[Tensor, Tensor]], style: str
) -> None:
    """Each against weights changed by hand, merged and attached."""
    path = write(tmp_path / "lora.safetensors", matrices, style)
    expected = network()
    with torch.no_grad():
        for name, (down, up) in matrices.items():
            expected.get_submodule(name).weight += 0.4 * up @ down
    merged, attached = network(), network()
    lora = Lora.open(path, merged)
    assert lora.rank == 4 and {adapter.module for adapter in lora.adapters} == set(CHANGED)
    merge(merged, lora, 0.4)
    attach(attached, [(lora, 0.4)])
    reference, plain = outputs(expected), outputs(network())
    assert (reference - plain).abs().max() > 0.05
    assert (outputs(merged) - reference).abs().max() < 1e-5
    assert (outputs(attached) - reference).abs().max() < 1e-5
    detach(attached)
    assert torch.equal(outputs(attached), plain) and attached.state_dict().keys() == network().state_dict().keys()


def test_several_adapters_add_up(tmp_path: Path, matrices: dict[str, tuple[Tensor, Tensor]]) -> None:
    first = write(tmp_path / "a.safetensors", matrices, "A/B")
    second = write(tmp_path / "b.safetensors", dict(list(matrices.items())[:3]), "down/up")
    model, merged = network(), network()
    loras = [(Lora.open(first, model), 1.0), (Lora.open(second, model), -0.5)]
    attach(model, loras)
    attach(model, loras)  # replaces, does not add again
    for lora, weight in loras:
        merge(merged, lora, weight)
    assert (outputs(model) - outputs(merged)).abs().max() < 1e-5


def test_bias_changes(tmp_path: Path, matrices: dict[str, tuple[Tensor, Tensor]]) -> None:
    """A change of the bias counts when it is not noise; changes of whole weights are ignored."""
    name = "blocks.0.self_attn.q"
    down, up = matrices[name]
    tensors = {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up, f"{name}.diff": torch.ones(24, 24)}
    large = torch.linspace(-0.5, 1, 24)
    save_file({**tensors, f"{name}.diff_b": large}, tmp_path / "large.safetensors")
    save_file({**tensors, f"{name}.diff_b": 0.01 * large}, tmp_path / "small.safetensors")
    model = network()
    before = model.blocks[0].self_attn.q.bias.clone()
    merge(model, Lora.open(tmp_path / "small.safetensors", model))
    assert torch.equal(model.blocks[0].self_attn.q.bias, before)
    merge(model, Lora.open(tmp_path / "large.safetensors", model), 0.5)
    assert torch.allclose(model.blocks[0].self_attn.q.bias, before + 0.5 * large)
    attached = network()
    attach(attached, [(Lora.open(tmp_path / "large.safetensors", attached), 0.5)])
    x = torch.randn(3, 24)
    weight = attached.blocks[0].self_attn.q.base.weight + 0.5 * up @ down
    assert torch.allclose(attached.blocks[0].self_attn.q(x), x @ weight.T + before + 0.5 * large, atol=1e-5)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"blocks.7.self_attn.q.lora_A.weight": (4, 24)}, r"another model \(blocks\.7\.self_attn\.q is not in this"),
        ({"lora_unet_blocks_0_attn_q.lora_down.weight": (4, 24)}, r"another model \(lora_unet_blocks_0_attn_q"),
        (
            {"blocks.0.self_attn.q.lora_A.weight": (4, 48), "blocks.0.self_attn.q.lora_B.weight": (48, 4)},
            "goes from 48 to 48; this network's from 24 to 24",
        ),
        ({"blocks.0.self_attn.q.lora_A.weight": (4, 24)}, "only one of the two"),
        (
            {"blocks.0.self_attn.q.lora_A.weight": (4, 24), "blocks.0.self_attn.q.lora_B.weight": (24, 5)},
            "cannot be multiplied",
        ),
        (
            {"blocks.0.cross_attn.k_img.lora_A.weight": (4, 24), "blocks.0.cross_attn.k_img.lora_B.weight": (24, 4)},
            r"without blocks\.0\.cross_attn\.v_img",
        ),
        ({"blocks.0.self_attn.q.weight": (24, 24)}, "no tensor of an adapter"),
        ({"blocks.0.self_attn.q.diff": (24, 24)}, "holds no adapter"),
    ],
)
def test_adapters_of_other_models_are_one_clear_line(
    tmp_path: Path, tensors: dict[str, tuple[int, ...]], message: str
) -> None:
    path = tmp_path / "lora.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in tensors.items()}, path)
    with torch.device("meta"):
        model = LyraDiT(SIZES.transformer)
    with pytest.raises(InputError, match=message) as caught:
        Lora.open(path, model)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_not_a_number_is_named(tmp_path: Path, matrices: dict[str, tuple[Tensor, Tensor]]) -> None:
    down, up = matrices[CHANGED[0]]
    path = write(tmp_path / "lora.safetensors", {CHANGED[0]: (down * torch.nan, up)}, "A/B")
    with pytest.raises(InputError, match=r"lora_A\.weight holds 96 numbers that are not finite"):
        Lora.open(path, network())
