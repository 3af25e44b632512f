from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from openlyra.errors import InputError
from openlyra.models.checkpoint import Checkpoint, ShardWriter, load_into


def network(device: str = "meta") -> nn.Module:
    torch.manual_seed(0)
    with torch.device(device):
        return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 4))


def sharded(folder: Path, changes: dict[str, torch.Tensor | None] | None = None) -> dict[str, torch.Tensor]:
    """The weights of `network` in several shards; ``changes`` replaces (or leaves out) some."""
    weights = {**network("cpu").state_dict(), **(changes or {})}
    kept = {name: value for name, value in weights.items() if value is not None}
    writer = ShardWriter(folder, "model", shard_bytes=200)
    for name, value in kept.items():
        writer.add(name, value)
    assert len(writer.finish()) > 1
    return kept


def test_shards_come_back(tmp_path: Path) -> None:
    weights = sharded(tmp_path)
    model = network()
    load_into(model, Checkpoint.open(tmp_path))
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    x = torch.randn(3, 6)
    assert torch.equal(model(x), network("cpu")(x))
    half = network()
    load_into(half, Checkpoint.open(tmp_path), dtype=torch.bfloat16)
    assert {value.dtype for value in half.state_dict().values()} == {torch.bfloat16}
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_converting_again_replaces_shards_and_index(tmp_path: Path) -> None:
    sharded(tmp_path)
    writer = ShardWriter(tmp_path)
    writer.add("a", torch.ones(3))
    assert [path.name for path in writer.finish()] == ["model.safetensors"]
    assert list(Checkpoint.open(tmp_path).tensors) == ["a"]


def test_renamed_and_ignored_names(tmp_path: Path) -> None:
    weights = {f"net.{name}": value for name, value in network("cpu").state_dict().items()}
    save_file({**weights, "net.0._extra_state": torch.zeros(1)}, tmp_path / "one.safetensors")
    model = network()
    load_into(
        model, Checkpoint.open(tmp_path), rename=lambda name: name.removeprefix("net."),
        ignored=lambda name: name.endswith("_extra_state"),
    )  # fmt: skip
    assert torch.equal(model[0].weight, weights["net.0.weight"])


def broken(tmp_path: Path, what: str) -> None:
    """A folder with one thing wrong."""
    changes: dict[str, torch.Tensor | None] = {
        "absent": {"2.weight": None}, "shape": {"2.weight": torch.zeros(4, 9)},
        "type": {"2.bias": torch.zeros(4).int()},
        "foreign": {"3.weight": torch.zeros(1)}, "nan": {"1.bias": torch.full((8,), torch.nan)},
        "infinite": {"1.bias": torch.full((8,), torch.inf)},
    }.get(what, {})  # fmt: skip
    sharded(tmp_path, changes)
    first = sorted(tmp_path.glob("*.safetensors"))[0]
    index = next(tmp_path.glob("*.index.json"))
    if what == "missing shard":
        first.unlink()
    elif what == "truncated":
        first.write_bytes(first.read_bytes()[:-20])
    elif what == "cut header":
        first.write_bytes(first.read_bytes()[:5])
    elif what == "not an index":
        index.write_text("{}")
    elif what == "elsewhere":
        index.write_text(json.dumps({"weight_map": {"0.weight": "../secret.safetensors"}}))
    elif what == "moved":
        places = json.loads(index.read_text())
        places["weight_map"]["0.weight"] = sorted(set(places["weight_map"].values()))[-1]
        index.write_text(json.dumps(places))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("absent", r"1 of 6 tensors are missing, first 2\.weight"), ("shape", r"2\.weight is 4x9; the model needs 4x8"),
        ("type", r"2\.bias holds int32"), ("foreign", r"1 tensors are not of this model, first 3\.weight"),
        ("nan", r"1\.bias holds 8 numbers that are not finite"), ("infinite", r"1\.bias holds 8"),
        ("missing shard", r"model-00001-of-0000\d\.safetensors: shard is missing"),
        ("truncated", r"model-00001-of-0000\d\.safetensors: truncated or damaged"),
        ("cut header", "truncated or damaged"),
        ("not an index", "is not an index of shards"), ("elsewhere", "only .safetensors files beside it"),
        ("moved", r"does not hold 0\.weight"),
    ],
)  # fmt: skip
def test_wrong_files_are_one_clear_line(tmp_path: Path, what: str, message: str) -> None:
    broken(tmp_path, what)
    with pytest.raises(InputError, match=message) as caught:
        load_into(network(), Checkpoint.open(tmp_path))
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_shapes_are_checked_before_any_weight_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(tmp_path, "shape")
    monkeypatch.setattr(Checkpoint, "read", lambda self, names=None: pytest.fail("read"))
    with pytest.raises(InputError, match="4x9"):
        load_into(network(), Checkpoint.open(tmp_path))


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        Checkpoint.open(tmp_path / "none")
    with pytest.raises(InputError, match=r"no \.safetensors file"):
        Checkpoint.open(tmp_path)
    (tmp_path / "vae.pth").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"vae\.pth can be made into one with: openlyra models convert"):
        Checkpoint.open(tmp_path)
    with pytest.raises(InputError, match="openlyra models convert"):
        Checkpoint.open(tmp_path / "vae.pth")
    for name in ("a", "b"):
        save_file({"same": torch.zeros(2)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(InputError, match=r"same is also in a\.safetensors"):
        Checkpoint.open(tmp_path)
