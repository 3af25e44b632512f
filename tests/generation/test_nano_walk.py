"""The video network that comes with the package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from openlyra import create
from openlyra.cli.main import main
from openlyra.errors import InputError
from openlyra.evaluation.world_walk import load_trained_networks
from openlyra.generation import lyra_load, lyra_models
from openlyra.generation.lyra import LyraGenerator
from openlyra.models.codec import load_codec
from runs_for_tests import outputs


def test_its_files_are_whole_and_small() -> None:
    files = [path for path in lyra_models.NANO.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 60e6
    generator = LyraGenerator()
    assert generator.info.folder == lyra_models.NANO and generator.info.small is not None
    network = generator.load_network()
    assert all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())
    codec = load_codec(lyra_models.NANO / "vae")
    video = torch.linspace(-1, 1, 64)[None, None, None, :, None].expand(1, 3, 5, 64, 112)
    assert (codec.decode(codec.encode(video)) - video).abs().mean() < 0.02


def test_a_walk_without_naming_a_model_is_its(photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = ["create", str(photo), "-o", str(folder), "--generator", "lyra", "--path", "pan-right", "--frames", "18"]
    assert main([*command, "--size", "64x96", "--depth", "layout", "--quiet"]) == 0
    named = create(
        photo, tmp_path / "named", generator="lyra", model="nano", path="pan-right", frames=18, size="64x96",
        depth="layout",
    )  # fmt: skip
    assert (folder / "scene.ply").read_bytes() == (named.folder / "scene.ply").read_bytes()

    # Interrupted when all frames were drawn, but not what lies beside the path.
    beside = [file for file in (folder / "memory").iterdir() if int(file.stem[-5:]) >= 18]
    assert beside
    for file in beside:
        file.unlink()
    manifest = json.loads((folder / "run.json").read_text())
    begun = {"stages": {"depth": manifest["stages"]["depth"]}, "outputs": {}, "finished": False}
    (folder / "run.json").write_text(json.dumps(manifest | begun))
    assert main([*command, "--size", "64x96", "--depth", "layout", "--quiet", "--resume"]) == 0
    assert outputs(folder) == outputs(named.folder)


def test_it_is_measured_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (trained,) = load_trained_networks([Path("nano")])
    assert trained.name == "nano" and trained.model.steps == 2
    (tmp_path / "nano").mkdir()
    with pytest.raises(InputError, match="holds no walk"):
        load_trained_networks([Path("nano")])


def test_damaged_weights_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "nano"
    shutil.copytree(lyra_models.NANO, copy)
    file = copy / "transformer" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    monkeypatch.setattr(lyra_models, "NANO", copy)
    monkeypatch.setattr(lyra_load, "NANO", copy)
    with pytest.raises(InputError, match="damaged"):
        LyraGenerator().load_network()
