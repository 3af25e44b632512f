"""The command line of `openlyra models`, and loading a folder by plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import released_models
import torch
from released_models import SIZES
from safetensors.torch import save_file
from test_lora import outputs

from openlyra.cli.main import main
from openlyra.errors import InputError
from openlyra.evaluation.selftest import selftest
from openlyra.models.convert import convert
from openlyra.models.fit import load_fitted
from openlyra.models.folder import ModelFolder
from openlyra.models.licences import Entry, record
from openlyra.models.offload import BlockOffload
from openlyra.models.plan import Machine, Plan, Work, plans

pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    released_models.write_release(folder / "checkpoints")
    record(folder, [Entry("lyra-2.0", "nvidia/Lyra-2.0", "nvidia-research")])
    return folder


@pytest.fixture(scope="module")
def model(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("model")
    parts = convert(release / "checkpoints", target, SIZES, dtype=torch.float32)
    released_models.write_tokenizer(target / "tokenizer")
    record(target, [Entry(part.part, "nvidia/Lyra-2.0", "nvidia-research") for part in parts])
    return target


def test_convert_and_verify(release: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = tmp_path / "size.json"
    size.write_text(SIZES.transformer.to_json())
    source, target = str(release / "checkpoints" / "model"), str(tmp_path / "out")
    assert main(["models", "convert", source, "-o", target, "--size", str(size)]) == 0
    printed = capsys.readouterr().out
    assert "NVIDIA Internal" in printed and "nvidia/Lyra-2.0" in printed
    assert json.loads((tmp_path / "out" / "licences.json").read_text())[0]["licence"] == "nvidia-research"
    assert main(["models", "verify", target]) == 2
    assert "vae: this part of the model is missing" in capsys.readouterr().err
    assert main(["models", "verify", str(model), "--read"]) == 0
    assert "all numbers finite" in capsys.readouterr().out
    assert main(["models", "convert", source, "-o", str(tmp_path / "other")]) == 2
    assert "the model needs" in capsys.readouterr().err


def test_verify_against_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from openlyra.models.lyra_keys import COLUMNS, network_keys

    size, table = tmp_path / "size.json", tmp_path / "keys.tsv"
    size.write_text(SIZES.transformer.to_json())
    lines = ["\t".join(COLUMNS)]
    for key, entry in network_keys(SIZES.transformer).items():
        shape = "x".join(map(str, entry.shape)) or "scalar"
        lines.append("\t".join([key, entry.kind, entry.dtype, shape, str(entry.numel)]))
    table.write_text("\n".join(lines))
    assert main(["models", "verify", "--against", str(table), "--size", str(size)]) == 0
    assert "all shapes equal" in capsys.readouterr().out
    table.write_text("\n".join(lines[:-1]))
    assert main(["models", "verify", "--against", str(table), "--size", str(size)]) == 1
    assert "not in the table" in capsys.readouterr().out


def test_list_plan_and_wrong_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    assert "--accept-license nvidia-research" in capsys.readouterr().out
    assert main(["models", "plan", "--gpu", "RTX 4090", "--ram", "64"]) == 0
    assert "runs with: bfloat16 weights, blocks visiting" in capsys.readouterr().out
    assert main(["models", "plan", "--memory", "16", "--ram", "32", "--json"]) == 0
    assert any(plan["fits"] for plan in json.loads(capsys.readouterr().out))
    for words, message in {
        ("plan", "--gpu", "abacus"): "is not known", ("plan", "--memory", "-1"): "must be a positive number",
        ("plan", "--memory", "4", "--ram", "16"): "smallest way needs", ("verify",): "give a model folder",
        ("plan", "--gpu", "H100", "--size", "big"): "--size big", ("fetch", "lyra-2.0", "-o", "x"): "--accept-license",
    }.items():  # fmt: skip
        assert main(["models", *words]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error


def named(weights: str, blocks: str, tiled: bool) -> Plan:
    every = plans(Work(), SIZES.transformer, Machine(80e9, 100, 64e9))
    return next(plan for plan in every if (plan.weights, plan.blocks, plan.tiled) == (weights, blocks, tiled))


def test_a_folder_is_loaded_as_planned(model: Path, tmp_path: Path) -> None:
    """Blocks that visit change nothing, eight bits little; adapters come along; captions are those of the encoder."""
    down, up = torch.randn(2, 24) / 4, torch.randn(24, 2) / 4
    lora = tmp_path / "lora.safetensors"
    save_file({"net.blocks.0.self_attn.v.lora_A.weight": down, "net.blocks.0.self_attn.v.lora_B.weight": up}, lora)
    folder = ModelFolder(model)
    plain = load_fitted(folder, ["red", "red red", "red"], Work(), [(lora, 0.5)], device="cpu")
    assert plain.offload is None and set(plain.texts) == {"red", "red red"}
    assert torch.equal(plain.texts["red"], folder.text_encoder(torch.float32).encode(["red"]))
    bare = outputs(folder.transformer(torch.float32))
    expected = outputs(plain.network)
    assert (bare - expected).abs().max() > 1e-3
    visiting = load_fitted(
        folder, ["red"], Work(), [(lora, 0.5)], named("bfloat16", "offload", True), "cpu", torch.float32
    )
    assert isinstance(visiting.offload, BlockOffload) and visiting.vae.tiling is not None
    assert torch.allclose(outputs(visiting.network), expected, atol=1e-5)
    small = load_fitted(folder, ["red"], Work(), [(lora, 0.5)], named("int8", "offload", False), "cpu", torch.float32)
    change = (outputs(small.network) - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert 1e-5 < change < 0.01
    for fitted in (visiting, small):
        assert fitted.offload is not None
        fitted.offload.close()
    save_file({"net.blocks.9.self_attn.v.lora_A.weight": down}, lora)
    with pytest.raises(InputError, match="another model"):
        load_fitted(folder, ["red"], Work(), [(lora, 0.5)], device="cpu")


def test_selftest_tells_random_weights_from_trained_ones(model: Path) -> None:
    """Small networks pass; random weights are complete, but cannot do what trained ones can."""
    with pytest.raises(InputError, match="--accept-license nvidia-research"):
        list(selftest(model, (64, 96)))
    results = {result.name: result.passed for result in selftest(model, (64, 96), ["nvidia-research"])}
    assert results["toy network, blocks visiting (cpu)"] and results["toy network, eight bits (cpu)"]
    assert results["small auto-encoder, stream against whole (cpu)"] and results["loading"]
    assert not results["auto-encoder reconstructs a picture"]
    assert not results["transformer takes noise away"]
    assert "one call of the transformer" in results


def test_selftest_command_without_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "selftest"]) == 0
    assert capsys.readouterr().out.endswith("all well\n")


def test_the_generator_loads_a_folder(model: Path, tmp_path: Path) -> None:
    """What `--generator lyra --model FOLDER` calls: captions encoded once, the distilled adapter with --fast."""
    from openlyra.generation.lyra_load import load_models
    from openlyra.generation.lyra_models import model_info

    info = model_info(str(model))
    models = load_models(info, captions=["red", "red", "blue"])
    assert models.encode_text(["red", "blue"]).shape == (2, 512, 16) and models.negative.shape == (1, 512, 16)
    with pytest.raises(InputError, match=r"dmd_distillation\.safetensors: is missing; --fast needs it"):
        load_models(info, captions=["red"], fast=True)
    (model / "lora").mkdir()
    name, down, up = "blocks.0.self_attn.v", torch.randn(2, 24) / 4, torch.randn(24, 2) / 4
    tensors = {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    save_file(tensors, model / "lora" / "dmd_distillation.safetensors")
    fast = load_models(info, captions=["red"], fast=True)
    change = fast.network.get_submodule(name).weight - models.network.get_submodule(name).weight  # type: ignore[attr-defined]
    assert torch.allclose(change, up @ down, atol=1e-6)
