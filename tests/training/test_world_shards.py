"""Shards hold what the plain files held, are read in an order that is a function of the step, and are not trusted."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from world_case import killed_at_step, make_walls, settings
from world_ranks_run import losses

from openlyra.cli.main import main
from openlyra.errors import InputError
from openlyra.training import world_shards, world_trainer
from openlyra.training.world_data import check_dataset, open_dataset
from openlyra.training.world_shards import INDEX, is_sharded, write_shards
from openlyra.training.world_stream import streamed_clip
from openlyra.training.world_trainer import WorldTrainer, train_world

VIDEOS = 5


@pytest.fixture(scope="module")
def walls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_walls(tmp_path_factory.mktemp("data") / "walls", VIDEOS)


@pytest.fixture
def shards(walls: Path, tmp_path: Path) -> Path:
    write_shards(open_dataset(walls), tmp_path / "shards", 20_000)
    return tmp_path / "shards"


def test_what_was_packed_comes_back(walls: Path, shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_sharded(shards) and not is_sharded(walls)
    assert len(list(shards.glob("*.tar"))) > 1 and check_dataset(shards) == []
    for packed, plain in zip(open_dataset(shards), open_dataset(walls), strict=True):
        with packed.opened() as video:
            inner = video.folder
            for part, suffix in (("rgb", ".mp4"), ("pose", ".npz"), ("intrinsics", ".npz"), ("depth", ".npz")):
                assert video.path(part, suffix).read_bytes() == plain.path(part, suffix).read_bytes()
        assert not inner.exists()
    again = shards.parent / "again"
    assert main(["train", "shard", str(walls), "-o", str(again), "--megabytes", "1"]) == 0
    with tarfile.open(again / "000000.tar") as archive:
        assert archive.getnames()[:2] == ["wall-0.rgb.mp4", "wall-0.pose.npz"]
    assert main(["train", "shard", str(walls), "-o", str(again)]) == 2
    assert main(["train", "shard", str(shards), "-o", str(shards.parent / "x")]) == 2
    assert "holds shards already" in capsys.readouterr().err


def repacked(path: Path, change: str) -> None:
    """The archive again, with one entry too many or another."""
    content = {}
    with tarfile.open(path) as archive:
        for entry in archive:
            content[entry.name] = archive.extractfile(entry).read()  # type: ignore[union-attr]
    with tarfile.open(path, "w") as archive:
        for name, value in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(value)
            archive.addfile(entry, io.BytesIO(value))
        odd = tarfile.TarInfo(
            {"outside": "../wall-0.pose.npz", "twice": "wall-0.pose.npz"}.get(change, "wall-9.rgb.mp4")
        )
        if change == "link":
            odd.type, odd.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(odd)


@pytest.mark.parametrize(
    ("change", "said"), [("outside", "no file of a video"), ("link", "no file of a video"), ("twice", "twice")]
)
def test_strange_entries_are_refused(shards: Path, change: str, said: str) -> None:
    repacked(shards / "000000.tar", change)
    assert check_dataset(shards)[0].startswith("000000.tar: ")
    with pytest.raises(InputError, match=said), open_dataset(shards)[0].opened():
        pass


def test_damage_is_found(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = shards / "000001.tar"
    content = bytearray(path.read_bytes())
    content[-3000] ^= 1
    path.write_bytes(content)
    assert main(["train", "check", str(shards)]) == 1
    assert "000001.tar: has other bytes" in capsys.readouterr().out
    path.write_bytes(content[: len(content) // 2])
    world_shards._entries.cache_clear()
    problems = check_dataset(shards)
    assert "000001.tar: is missing or has another size" in problems[0] and len(problems) > 1
    index = json.loads((shards / INDEX).read_text())
    for key, value in (("file", "../000000.tar"), ("videos", ["../x"]), ("videos", ["wall-4"])):
        changed = json.loads(json.dumps(index))
        changed["shards"][0][key] = value
        (shards / INDEX).write_text(json.dumps(changed))
        with pytest.raises(InputError, match=r"shards\.json"):
            open_dataset(shards)


def test_an_epoch_sees_each_clip_once_and_ranks_read_other_shards() -> None:
    shards = tuple(np.repeat(np.arange(8), 6).tolist())
    for epoch in range(2):
        visits = range(epoch * 12, (epoch + 1) * 12)
        lanes = [[streamed_clip(shards, 4, 1, visit, place) for visit in visits] for place in range(4)]
        assert sorted(clip for lane in lanes for clip in lane) == list(range(48))
        halves = [{shards[clip] for lane in lanes[2 * rank : 2 * rank + 2] for clip in lane} for rank in range(2)]
        assert not halves[0] & halves[1] and len(halves[0]) == 4
        # A lane stays with a shard until it is through: one archive after the other is read.
        assert sum(shards[a] != shards[b] for a, b in zip(lanes[0], lanes[0][1:])) == 1
    first, second = ([streamed_clip(shards, 4, 1, v, 0) for v in range(e * 12, e * 12 + 12)] for e in range(2))
    assert first != second and first != [streamed_clip(shards, 4, 2, v, 0) for v in range(12)]
    few = Counter(streamed_clip((0, 0, 1), 4, 0, visit, place) for visit in range(3) for place in range(4))
    assert few == {0: 4, 1: 4, 2: 4}


def test_training_on_shards_goes_on_in_mid_epoch(
    shards: Path, walls: Path, tmp_path: Path
) -> None:
    """Killed within an epoch and resumed with hardly any room for the cache: the same losses and the same bytes."""
    how = settings(shards, vae={"videos": 2}, run={"steps": 5, "visits": 2}, objective={"augment_every": 0})
    train_world(how, tmp_path / "whole")
    small = settings(
        shards, vae={"videos": 2}, run={"steps": 5, "visits": 2, "cache_gigabytes": 1e-6},
        objective={"augment_every": 0},
    )  # fmt: skip

    with killed_at_step(WorldTrainer, 3):
        train_world(small, tmp_path / "parts")
    train_world(small, tmp_path / "parts")
    for name in ("checkpoint.safetensors", "vae/model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    seen = losses(tmp_path / "parts")
    assert losses(tmp_path / "whole") == [*seen[:2], *seen[-3:]]
    assert len(list((tmp_path / "parts" / "cache").iterdir())) == 1
    assert len(list((tmp_path / "whole" / "cache").iterdir())) >= 4
    assert len(world_trainer.small_videos(how)) == 2
    # The clips are those that the plain files give.
    codec = world_trainer.load_codec(tmp_path / "whole" / "vae")
    plain = world_trainer.open_cache(settings(walls), codec, tmp_path / "plain")
    plain.fill()
    packed = world_trainer.open_cache(how, codec, tmp_path / "whole")
    for name, value in plain.clip(3).tensors.items():
        assert torch.equal(value, packed.clip(3).tensors[name]), name
