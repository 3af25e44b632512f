"""Weights, gradients and optimiser states in slices over all ranks: FSDP2 (`torch.distributed.fsdp.fully_shard`).

Every block is a unit: its weights are whole on a rank only while it computes. What is outside of blocks is another
unit. Each rank keeps some rows of every parameter; the optimiser works elementwise, on those rows.
"""

from __future__ import annotations

import warnings

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from openlyra.models.lyra_dit import LyraDiT


def shard_network(network: LyraDiT) -> None:
    """Divide a network among all ranks, in place. Gradients of the ranks are added, in float32."""
    # Keys and values are views; nothing writes into them.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
    kind = next(network.parameters()).device.type
    mesh = init_device_mesh(kind, (dist.get_world_size(),))
    policy = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    for _, block in network.each_block():
        fully_shard(block, mesh=mesh, mp_policy=policy)
        register_fsdp_forward_method(block, "prepare")
    fully_shard(network, mesh=mesh, mp_policy=policy)
    for method in ("prepare_chunk", "with_text"):
        register_fsdp_forward_method(network, method)
    for module in network.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            # Otherwise the sum is asked for as a scaled one, which gloo cannot do.
            module.set_force_sum_reduction_for_comms(True)


def gather_again(module: nn.Module) -> None:
    """Forget whole weights that are still there, so that the next use sees the present slices."""
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


def own_rows(value: Tensor) -> Tensor:
    """The rows of a parameter that this rank keeps; all of it when it is not sharded."""
    return value.to_local() if isinstance(value, DTensor) else value


def first_row(value: Tensor) -> int:
    """Where these rows begin."""
    if not isinstance(value, DTensor):
        return 0
    mesh = value.device_mesh
    return min(mesh.get_local_rank() * -(-value.shape[0] // mesh.size()), value.shape[0])


def whole(rows: Tensor, like: Tensor) -> Tensor:
    """All rows, from what each rank keeps of a tensor like this parameter. All ranks must call it."""
    if not isinstance(like, DTensor):
        return rows
    sharded = DTensor.from_local(
        rows, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )
    return sharded.full_tensor()
