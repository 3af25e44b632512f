from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from openlyra.models.depth_net import DepthNet
from openlyra.training.depth import DepthTrainer
from openlyra.training.depth_losses import DepthTruth
from openlyra.training.depth_settings import TrainDepthSettings
from openlyra.training.precision import computing_type, quick_type


@pytest.mark.parametrize(
    ("capability", "quick"), [("AVX512", torch.bfloat16), ("AVX2", torch.float32), ("DEFAULT", torch.float32)]
)
def test_trainings_compute_in_bfloat16_only_where_the_processor_has_it(
    capability: str, quick: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    assert quick_type() == computing_type("auto") == quick
    save_file(dict(DepthNet().state_dict()), tmp_path / "start.safetensors")
    trainer = DepthTrainer(TrainDepthSettings(steps=2, batch=1), tmp_path / "start.safetensors")
    trainer.optimisers = ()  # type: ignore[assignment]  # their steps take half a minute in an emulated bfloat16
    types = set()
    trainer.net.enter.register_forward_hook(lambda layer, inputs, output: types.add(output.dtype))
    inverse = torch.full((1, 32, 64), 0.5)
    trainer.learn(torch.rand(1, 3, 32, 64), DepthTruth(inverse, inverse == 0, torch.zeros(1)))
    assert types == {quick}


def test_a_setting_that_says_a_type_is_obeyed() -> None:
    assert (computing_type("bfloat16"), computing_type("float32")) == (torch.bfloat16, torch.float32)
