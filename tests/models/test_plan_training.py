"""The plan of a training: its factor is what PyTorch counts, and its terms move as they must."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from openlyra.cli.main import main
from openlyra.errors import InputError
from openlyra.models.lyra_config import RELEASED
from openlyra.models.lyra_layers import Block, BlockConstants
from openlyra.models.plan import GB, Machine
from openlyra.models.plan_training import BACKWARD_WIDTHS, TrainingLayout, training_plan
from openlyra.models.work import transformer_work

H100 = Machine(80 * GB, 989, 1000 * GB)


def test_a_backward_pass_holds_what_pytorch_counts() -> None:
    """Two lengths of the sequence, so that weights and their gradients cancel."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    width = 1280
    config = replace(RELEASED, width=width, heads=10, ffn_width=3456, blocks=2)
    torch.set_default_dtype(torch.bfloat16)
    peaks = []
    try:
        with FakeTensorMode():
            block = Block(config)
            for length in (1024, 4096):
                block.zero_grad(set_to_none=True)
                x, e0 = torch.empty(1, length, width), torch.empty(1, 6, width, dtype=torch.float32)
                angles = torch.empty(length, 64, dtype=torch.float32)
                rows = torch.empty(1, 10, 512, 128)
                constants = BlockConstants(
                    angles, angles, torch.empty(1, length, 1536), torch.empty(1, length, 256, requires_grad=True),
                    (rows, rows), (rows, rows),
                )  # fmt: skip
                tracker = MemTracker()
                with tracker:
                    block(x.requires_grad_(), e0.requires_grad_(), constants).sum().backward()
                peaks.append(sum(value["Total"] for value in tracker.get_tracker_snapshot("peak").values()))
    finally:
        torch.set_default_dtype(torch.float32)
    assert (peaks[1] - peaks[0]) / (4096 - 1024) / width == pytest.approx(BACKWARD_WIDTHS, rel=0.1)


def test_terms_follow_the_layout() -> None:
    one, eight, many = (training_plan(480, 832, H100, TrainingLayout(count)) for count in (1, 8, 64))
    states = [dict(plan.parts)["moments of AdamW, float32"] for plan in (one, eight, many)]
    parameters = transformer_work(RELEASED, 480, 832).parameters
    assert states == [8 * parameters / count for count in (1, 8, 64)]
    assert one.gpu_bytes > 300 * GB > 80 * GB > many.gpu_bytes and many.examples == 64
    assert one.exchange_seconds == 0 < eight.exchange_seconds < many.exchange_seconds
    shared = training_plan(480, 832, H100, TrainingLayout(64, 2))
    assert shared.examples == 32 and shared.compute_seconds < 0.6 * many.compute_seconds
    assert shared.gpu_bytes < many.gpu_bytes
    whole = training_plan(480, 832, H100, TrainingLayout(8, shard=False))
    assert whole.gpu_bytes > one.gpu_bytes * 0.9
    with pytest.raises(InputError, match="64 GPUs in groups of 3"):
        training_plan(480, 832, H100, TrainingLayout(64, 3))


def test_the_command_prints_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "plan", "--gpu", "H100", "--train-gpus", "64", "--context-ranks", "2"]) == 0
    said = capsys.readouterr().out
    assert "64 GPUs, 2 to an example" in said and "predicted, not measured" in said and "examples/s" in said
    assert main(["models", "plan", "--gpu", "H100", "--train-gpus", "64", "--context-ranks", "3"]) == 2
