"""Two processes that share a batch, the weights or the tokens learn what one process learns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from world_case import make_walls, settings
from world_ranks_run import STEPS, losses, run

from openlyra.errors import InputError
from openlyra.training import ranks, world_trainer
from runs_for_tests import run_ranks

SCRIPT = Path(__file__).with_name("world_ranks_run.py")


@pytest.fixture(scope="module")
def walls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_walls(tmp_path_factory.mktemp("data") / "walls")


@pytest.fixture(scope="module")
def one(walls: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("one") / "run"
    run(walls, output)
    return output


def check_same(one: Path, other: Path) -> None:
    """The same losses and weights. Sums of two halves are rounded in another order, and AdamW's first steps divide by
    small numbers."""
    found = torch.tensor([losses(one), losses(other)])
    assert found.shape == (2, STEPS)
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-4)
    weights = [load_file(folder / "transformer" / "model.safetensors") for folder in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        assert (value.float() - weights[1][name].float()).abs().max() < 2e-3, name


@pytest.mark.parametrize("how", ["plain", "both"])
def test_two_ranks_learn_what_one_learns(walls: Path, one: Path, tmp_path: Path, how: str) -> None:
    run_ranks(SCRIPT, walls, tmp_path / "two", STEPS, how)
    check_same(one, tmp_path / "two")


def test_shards_are_small_and_any_number_of_ranks_goes_on(walls: Path, one: Path, tmp_path: Path) -> None:
    """Two sharded ranks, then one, then two: the losses are those of one rank all the way."""
    output = tmp_path / "run"
    run_ranks(SCRIPT, walls, output, 2, "shard")
    parts = sorted(output.glob("checkpoint-*.safetensors"))
    assert len(parts) == 2
    total = sum(v.numel() for k, v in load_file(one / "checkpoint.safetensors").items() if k.startswith("weight."))
    kept = [sum(v.numel() for k, v in load_file(part).items() if k.startswith("weight.")) for part in parts]
    # Blocks' biases and matrices halve; a modulation of one row is on the first rank.
    assert sum(kept) == total and max(kept) < 0.53 * total
    for rank in range(2):
        memory = json.loads((output / f"memory-{rank}.json").read_text())
        assert memory["rest"] < 0.53 * 4 * total
        assert memory["rest"] < memory["most"] < memory["rest"] + 0.8 * 4 * total
    run(walls, output, 3)
    assert not list(output.glob("checkpoint-*"))
    run_ranks(SCRIPT, walls, output, STEPS, "shard")
    check_same(one, output)
    next(output.glob("checkpoint-*-00001.safetensors")).unlink()
    with pytest.raises(InputError, match="is not a checkpoint"):
        run(walls, output)


def test_a_batch_divides_among_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(ranks.dist, "get_rank", lambda: 0)
    monkeypatch.setattr(ranks.dist, "get_world_size", lambda: 4)
    for run_settings, said in (
        ({"batch": 2}, r"a batch of 2 cannot be shared; a multiple of 4 ranks"),
        ({"batch": 3, "context_ranks": 2}, r"a multiple of 2 groups of 2 ranks"),
        ({"batch": 4, "context_ranks": 3}, r"run.context_ranks is 3; it must divide the 4 ranks"),
    ):
        with pytest.raises(InputError, match=said):
            world_trainer.WorldTrainer(settings(tmp_path, run=run_settings), lambda place: None, 1, None)  # type: ignore[arg-type,return-value]
