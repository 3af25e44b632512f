"""One rank of a context-parallel forward and backward pass; writes what it got. Run by test_context_parallel.py."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from lyra_cases import tiny_inputs, tiny_model
from safetensors.torch import save_file

from openlyra.models.context_parallel import ContextParallel


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    model, inputs = tiny_model(), tiny_inputs()
    model.context_parallel = ContextParallel()
    model.gradient_checkpointing = True
    velocity = inputs.fast(model)
    velocity.square().mean().backward()
    for parameter in model.parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        dist.all_reduce(gradient)
        parameter.grad = gradient
    results = {
        key: parameter.grad.contiguous() for key, parameter in model.named_parameters() if parameter.grad is not None
    }
    chunk = model.prepare_chunk(**inputs.chunk)
    tokens = torch.tensor([len(chunk.cos)])
    save_file(
        {**results, "velocity": velocity.detach().contiguous(), "tokens": tokens},
        folder / f"{dist.get_rank()}.safetensors",
    )
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
