"""Ranks that share a sequence get what one rank gets, also when the tokens do not divide."""

from __future__ import annotations

from pathlib import Path

import torch
from lyra_cases import TINY, tiny_inputs, tiny_model
from safetensors.torch import load_file

from runs_for_tests import run_ranks

RANKS = 2


def test_ranks_together_are_one_rank(tmp_path: Path) -> None:
    script = Path(__file__).with_name("context_parallel_rank.py")
    run_ranks(script, tmp_path, ranks=RANKS)
    model, inputs = tiny_model(), tiny_inputs()
    velocity = inputs.fast(model)
    velocity.square().mean().backward()
    assert TINY.packing is not None
    count = sum(TINY.packing.token_counts(6, 10))
    assert count % RANKS, "the case is about token counts that do not divide"
    for rank in range(RANKS):
        found = load_file(tmp_path / f"{rank}.safetensors")
        assert found["tokens"].item() == -(-count // RANKS)
        torch.testing.assert_close(found["velocity"], velocity.detach(), atol=1e-5, rtol=0)
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None
            scale = parameter.grad.abs().max().item()
            torch.testing.assert_close(found[key], parameter.grad, atol=1e-4 * scale, rtol=1e-4)
