from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import released_models
import torch
from released_models import SIZES
from safetensors.torch import load_file, save_file

from openlyra.errors import InputError
from openlyra.models.convert import Sizes, convert
from openlyra.models.folder import ModelFolder
from openlyra.models.foreign import READER, read_distributed, read_pickle_file

pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "checkpoints"
    released_models.write_release(folder)
    return folder


@pytest.fixture(scope="module")
def converted(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("converted")
    parts = convert(release, target, SIZES, dtype=torch.float32, shard_bytes=200_000)
    assert {part.part for part in parts} == {
        "transformer", "vae", "text_encoder", "image_encoder", "negative_prompt.safetensors",
    }  # fmt: skip
    released_models.write_tokenizer(target / "tokenizer")
    return target


def test_a_whole_release_becomes_a_model_folder(converted: Path) -> None:
    models = ModelFolder(converted)
    models.check()
    assert len(list((converted / "transformer").glob("*.safetensors"))) > 1
    network = models.transformer(torch.float32)
    weights = released_models.transformer_weights()
    assert all(torch.equal(value, weights[name]) for name, value in network.named_parameters())
    assert not any(value.is_meta for value in [*network.parameters(), *network.buffers()])
    assert models.negative_prompt().shape == (1, 512, 16)


def test_companions_compute_what_the_golden_ones_do(converted: Path) -> None:
    """From the original formats through conversion and loading, against the same weights put in directly."""
    from openlyra.evaluation.parity.text_image_encoders import tiny_image_encoder, tiny_text_encoder
    from openlyra.evaluation.parity.vae_tiny import tiny_vae

    models = ModelFolder(converted)
    generator = torch.Generator().manual_seed(0)
    clip = torch.rand((1, 3, 5, 32, 32), generator=generator) * 2 - 1
    assert torch.equal(models.vae(torch.float32).encode(clip), tiny_vae(4).encode(clip))
    text = {
        "vocab": 64, "dim": 16, "dim_attn": 12, "dim_ffn": 24, "num_heads": 2, "num_layers": 2, "num_buckets": 32,
    }  # fmt: skip
    ids = torch.tensor([[3, 4, 1, 0]])
    encoder = models.text_encoder(torch.float32)
    assert torch.equal(
        encoder.encode_ids(ids, (ids > 0).long()), tiny_text_encoder(text).encode_ids(ids, (ids > 0).long())
    )
    assert encoder.encode(["red red"]).shape == (1, 512, 16)
    sizes = {"image_size": 28, "patch_size": 7, "dim": 16, "mlp_ratio": 2, "num_heads": 2, "num_layers": 3}
    assert torch.equal(
        models.image_encoder(torch.float32).encode(clip[:, :, 0]), tiny_image_encoder(sizes).encode(clip[:, :, 0])
    )


def test_public_wan_shards_become_a_plain_transformer(tmp_path: Path) -> None:
    """Safetensors with the patch embedding as a convolution kernel, and none of Lyra's additions."""
    plain = released_models.transformer_weights(SIZES.transformer.without_conditioning())
    kernel = {"patch_embedding.weight": plain["patch_embedding.weight"].view(24, 36, 1, 2, 2)}
    save_file({**plain, **kernel}, tmp_path / "diffusion_pytorch_model.safetensors")
    (part,) = convert(tmp_path, tmp_path / "out", SIZES)
    assert part.tensors == len(plain)
    network = ModelFolder(tmp_path / "out").transformer()
    assert network.config.layout is None and network.dtype == torch.bfloat16
    assert torch.equal(network.patch_embedding.weight, plain["patch_embedding.weight"].bfloat16())


def test_another_size_is_named_and_nothing_is_written(release: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the model needs") as caught:
        convert(release / "model", tmp_path / "out", Sizes())
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()
    weights = released_models.vae_weights()
    torch.save({**weights, "decoder.conv9.weight": torch.ones(1)}, tmp_path / "more.pth")
    with pytest.raises(InputError, match=r"decoder\.conv9\.weight is not a tensor of this model"):
        convert(tmp_path / "more.pth", tmp_path / "out", SIZES)
    weights.pop("conv2.bias")
    torch.save(weights, tmp_path / "less.pth")
    with pytest.raises(InputError, match=r"1 of 194 tensors are missing, first post_quant_conv\.bias"):
        convert(tmp_path / "less.pth", tmp_path / "out", SIZES)
    torch.save({**released_models.vae_weights(), "conv2.bias": torch.full((16,), torch.nan)}, tmp_path / "nan.pth")
    with pytest.raises(InputError, match=r"conv2\.bias holds 16 numbers that are not finite"):
        convert(tmp_path / "nan.pth", tmp_path / "out", SIZES)
    assert not list((tmp_path / "out").rglob("*.safetensors")) and not list((tmp_path / "out").rglob(".*"))
    with pytest.raises(InputError, match="nothing to convert"):
        convert(tmp_path / "out", tmp_path / "out2", SIZES)
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="none of the known files"):
        convert(tmp_path / "other.pth", tmp_path / "out", SIZES)


def test_pieces_of_a_tensor_are_put_together(tmp_path: Path) -> None:
    """Two ranks, each with half of the rows, in two shards, with the metadata torch itself writes."""
    from torch.distributed.checkpoint.filesystem import _StorageInfo
    from torch.distributed.checkpoint.metadata import (
        ChunkStorageMetadata,
        Metadata,
        MetadataIndex,
        TensorProperties,
        TensorStorageMetadata,
    )

    value = torch.arange(24, dtype=torch.bfloat16).view(6, 4)
    chunks, places = [], {}
    for rank, rows in enumerate((value[:4], value[4:])):
        start = torch.Size([4 * rank, 0])
        with (tmp_path / f"__{rank}_0.distcp").open("wb") as file:
            file.write(b"x" * 100 * rank)  # what lies before must not matter
            torch.save(rows.clone(), file)
            places[MetadataIndex("net.w", start)] = _StorageInfo(
                f"__{rank}_0.distcp", 100 * rank, file.tell() - 100 * rank
            )
        chunks.append(ChunkStorageMetadata(start, rows.shape))
    entry = TensorStorageMetadata(TensorProperties(value.dtype), value.shape, chunks)
    (tmp_path / ".metadata").write_bytes(pickle.dumps(Metadata({"net.w": entry}, storage_data=places)))
    assert torch.equal(read_distributed(tmp_path)["net.w"].read(), value)
    (tmp_path / "__1_0.distcp").write_bytes((tmp_path / "__1_0.distcp").read_bytes()[:-30])
    with pytest.raises(InputError, match=r"__1_0\.distcp: truncated"):
        read_distributed(tmp_path)
    (tmp_path / "__1_0.distcp").unlink()
    with pytest.raises(InputError, match=r"__1_0\.distcp: shard is missing"):
        read_distributed(tmp_path)


def test_views_and_wrappers(tmp_path: Path) -> None:
    base = torch.arange(30.0).view(5, 6)
    torch.save(
        {"state": {"a": base.T, "b": torch.nn.Parameter(base[1:3, 2:])}, "step": 3, "c": base[:0]}, tmp_path / "a.pt"
    )
    tensors = read_pickle_file(tmp_path / "a.pt")
    assert torch.equal(tensors["state.a"].read(), base.T) and torch.equal(tensors["state.b"].read(), base[1:3, 2:])
    assert tensors["c"].read().shape == (0, 6) and set(tensors) == {"state.a", "state.b", "c"}


class Attack:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, call: object, *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call, self.arguments


def test_pickles_that_want_more_are_refused(tmp_path: Path) -> None:
    import os

    mark = tmp_path / "mark"
    for number, attack in enumerate(
        (Attack(os.system, f"touch {mark}"), Attack(eval, "1"), Attack(open, str(mark), "w"))
    ):
        file = tmp_path / f"{number}.pth"
        torch.save({"w": torch.ones(2), "x": attack}, file)
        with pytest.raises(InputError, match="which is not allowed in a weight file") as caught:
            read_pickle_file(file)
        assert "\n" not in str(caught.value)
    (tmp_path / ".metadata").write_bytes(pickle.dumps(Attack(os.system, f"touch {mark}")))
    with pytest.raises(InputError, match="which is not allowed"):
        read_distributed(tmp_path)
    assert not mark.exists()


def test_the_fence_holds_without_the_list(tmp_path: Path) -> None:
    """Even code that got past the list of classes could not write, connect or start anything."""
    code = READER.read_text().replace('if __name__ == "__main__":\n    main()', "")
    tries = {
        "socket": "import _socket; _socket.socket()", "write": f"open({str(tmp_path / 'x')!r}, 'w')",
        "write by flags": f"os.open({str(tmp_path / 'x')!r}, os.O_CREAT | os.O_WRONLY)", "run": "os.system('true')",
        "import": "import colorsys", "delete": f"os.remove({str(READER)!r})",
    }  # fmt: skip
    body = "\n".join(
        f"try:\n    {what}\n    print('{name} went through')\nexcept PermissionError:\n    print('{name} refused')"
        for name, what in tries.items()
    )
    program = f"import os, _socket\n{code}\nfence()\n{body}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [f"{name} refused" for name in tries], done.stdout + done.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("what", ["text", "cut", "old"])
def test_damaged_files_are_one_clear_line(release: Path, tmp_path: Path, what: str) -> None:
    file = tmp_path / "vae.pth"
    shutil.copy(release / "vae" / "vae.pth", file)
    if what == "text":
        file.write_text("not a weight file at all")
    elif what == "cut":
        file.write_bytes(file.read_bytes()[:-1000])
    else:
        torch.save({"a": torch.ones(2)}, file, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match=r"vae\.pth: ") as caught:
        read_pickle_file(file)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_parts_missing_from_a_model_folder_are_named(converted: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        ModelFolder(tmp_path / "none")
    target = tmp_path / "model"
    shutil.copytree(converted, target)
    models = ModelFolder(target)
    for part in ("negative_prompt.safetensors", "tokenizer", "image_encoder"):
        path = target / part
        path.unlink() if path.is_file() else shutil.rmtree(path)
        with pytest.raises(InputError, match=part):
            models.check()
    config = target / "vae" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_dim": "wide"}))
    with pytest.raises(InputError, match="base_dim is 'wide'"):
        models.check_part("vae")
    shard = sorted((target / "transformer").glob("*.safetensors"))[0]
    save_file({**load_file(shard), "extra": torch.ones(1)}, shard)
    shard.with_name("model.safetensors.index.json").unlink()
    with pytest.raises(InputError, match="extra"):
        models.transformer()
