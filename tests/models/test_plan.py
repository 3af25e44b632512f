from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from openlyra.errors import InputError
from openlyra.models.lyra_config import RELEASED, LyraConfig
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.plan import GB, Machine, Work, choose, fits, plans, table
from openlyra.models.video_vae import VideoVae, VideoVaeConfig, build_network
from openlyra.models.work import STATE_BYTES, STEP_BYTES, STEP_OPERATIONS, Parameters, transformer_work

SMALL = replace(RELEASED, width=1280, heads=10, ffn_width=3456, blocks=2, text_width=64, image_width=64)
"""The released network, a quarter as wide."""


def inputs(config: LyraConfig, rows: int, columns: int) -> dict[str, torch.Tensor]:
    shapes = {
        "conditions": (1, 20, 45, rows, columns), "rays": (1, 384, 45, rows, columns),
        "buffer": (1, 1280, 45, rows, columns), "text": (1, 512, config.text_width),
        "image": (1, 257, config.image_width),
    }  # fmt: skip
    return {name: torch.empty(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}


def test_parameters_and_tokens_are_those_of_the_release() -> None:
    work = transformer_work(RELEASED, 480, 832)
    assert (work.parameters, work.tokens) == (17_029_871_424, 38_246)
    assert transformer_work(RELEASED, 448, 768).tokens == 32_928
    with torch.device("meta"):
        assert sum(p.numel() for p in build_network(VideoVaeConfig()).parameters()) == Parameters().vae


def test_operations_are_what_pytorch_counts() -> None:
    work = transformer_work(SMALL, 96, 160)
    with torch.device("meta"), torch.no_grad():
        network = LyraDiT(SMALL).to(torch.bfloat16)
        chunk = network.prepare_chunk(**inputs(SMALL, 12, 20))
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 16, 45, 12, 20), torch.empty(1), chunk)
    assert work.forward_operations == pytest.approx(counter.get_total_flops(), rel=0.005)


def test_memory_is_what_pytorch_counts() -> None:
    """The factors, at a quarter of the width, against PyTorch's own count on tensors without data."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    rows, columns = 12, 20
    work = transformer_work(SMALL, 8 * rows, 8 * columns)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with FakeTensorMode(), torch.no_grad():
            network, given = LyraDiT(SMALL), inputs(SMALL, rows, columns)
            prepared = MemTracker()
            with prepared:
                chunk = network.prepare_chunk(**given)
            latents, time = torch.empty(1, 16, 45, rows, columns), torch.empty(1)
            forward = MemTracker()
            with forward:
                network(latents, time, chunk)
    finally:
        torch.set_default_dtype(torch.float32)
    weights = 2 * work.parameters
    needed = [sum(v["Total"] for v in t.get_tracker_snapshot("peak").values()) for t in (prepared, forward)]
    assert 0.8 * work.prepare_bytes < needed[0] < 1.25 * work.prepare_bytes
    assert 0.85 * work.activation_bytes < needed[1] - weights < 1.15 * work.activation_bytes


def test_auto_encoder_is_what_pytorch_counts() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    torch.set_default_dtype(torch.bfloat16)
    try:
        with FakeTensorMode(), torch.no_grad():
            vae = VideoVae(build_network(VideoVaeConfig()))
            vae.network.requires_grad_(True)
            weights = sum(p.numel() * p.element_size() for p in vae.network.parameters())
            pixels = 320 * 480
            frames, latent = torch.empty(1, 3, 4, 320, 480), torch.empty(1, 16, 1, 40, 60)
            states = (
                vae.encode_more(torch.empty(1, 3, 5, 320, 480), None)[1],
                vae.decode_more(latent.repeat(1, 1, 3, 1, 1), None)[1],
            )
            calls = (lambda: vae.encode_more(frames, states[0]), lambda: vae.decode_more(latent, states[1]))
            for number, call in enumerate(calls):
                kept = sum(c.numel() * c.element_size() for c in states[number].tiles[0] if isinstance(c, torch.Tensor))
                assert kept == pytest.approx(STATE_BYTES[number] * pixels, rel=0.02)
                with FlopCounterMode(display=False) as counter:
                    call()
                assert counter.get_total_flops() == pytest.approx(STEP_OPERATIONS[number] * pixels, rel=0.05)
                tracker = MemTracker()
                with tracker:
                    call()
                peak = sum(v["Total"] for v in tracker.get_tracker_snapshot("peak").values()) - weights
                assert peak == pytest.approx(STEP_BYTES[number] * pixels, rel=0.15)
    finally:
        torch.set_default_dtype(torch.float32)


def test_targets() -> None:
    """One 24 GB GPU for 480x832 with exact weights, 16 GB with eight bits, an 80 GB GPU with all on it."""
    large = choose(Work(), Machine(80 * GB, 989, 256 * GB))
    assert (large.weights, large.blocks, large.tiled) == ("bfloat16", "resident", False)
    assert 240 < large.chunk_seconds < 9 * 60
    middle = choose(Work(), Machine(24 * GB, 165, 64 * GB))
    assert (middle.weights, middle.blocks) == ("bfloat16", "offload") and not middle.link_bound
    small = choose(Work(), Machine(16 * GB, 97, 32 * GB))
    assert (small.weights, small.blocks) == ("int8", "offload") and small.gpu_bytes < 16 * GB
    fast = choose(Work(steps=4, guided=False), Machine(80 * GB, 989, 256 * GB))
    assert fast.chunk_seconds < large.chunk_seconds / 12


def test_order_and_what_does_not_fit() -> None:
    every = plans(Work())
    assert [plan.weights for plan in every] == ["bfloat16"] * 4 + ["int8"] * 4 + ["float8"] * 4
    by_kind = {(plan.weights, plan.blocks, plan.tiled): plan for plan in every}
    resident, visiting = by_kind["bfloat16", "resident", False], by_kind["bfloat16", "offload", False]
    assert resident.gpu_bytes - visiting.gpu_bytes > 25 * GB and resident.host_bytes < visiting.host_bytes
    assert by_kind["int8", "resident", False].gpu_bytes < resident.gpu_bytes - 15 * GB
    tiny = Machine(4 * GB, 20, 16 * GB)
    assert not any(fits(plan, tiny) for plan in plans(Work(), None, tiny))
    with pytest.raises(InputError, match=r"does not fit 4 GB of GPU memory.*smallest way needs") as caught:
        choose(Work(), tiny)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="height 481"):
        choose(Work(height=481), tiny)
    lines = table(Work(), Machine(24 * GB, 165, 64 * GB))
    assert sum(line.startswith("*") for line in lines) == 2 and any(line.startswith("-") for line in lines)
