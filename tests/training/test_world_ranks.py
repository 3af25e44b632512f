"""Two processes that share a batch learn what one process learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from world_case import make_walls, settings
from world_ranks_run import STEPS, losses, run

from openlyra.errors import InputError
from openlyra.training import world_trainer
from runs_for_tests import run_ranks


def test_two_ranks_learn_what_one_learns(tmp_path: Path) -> None:
    walls = make_walls(tmp_path / "walls")
    run(walls, tmp_path / "one")
    script = Path(__file__).with_name("world_ranks_run.py")
    run_ranks(script, walls, tmp_path / "two")
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == STEPS
    # Sums of two halves are rounded in another order, and AdamW's first steps divide by small numbers.
    torch.testing.assert_close(torch.tensor(one), torch.tensor(two), rtol=1e-3, atol=1e-4)
    weights = [load_file(tmp_path / name / "transformer" / "model.safetensors") for name in ("one", "two")]
    for name, value in weights[0].items():
        assert (value.float() - weights[1][name].float()).abs().max() < 2e-3, name


def test_a_batch_divides_among_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_trainer.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(world_trainer.dist, "get_rank", lambda: 0)
    monkeypatch.setattr(world_trainer.dist, "get_world_size", lambda: 4)
    with pytest.raises(InputError, match=r"run.batch is 2; a multiple of 4"):
        world_trainer.WorldTrainer(settings(tmp_path), lambda place: None, 1, None)  # type: ignore[arg-type,return-value]
