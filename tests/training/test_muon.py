from __future__ import annotations

import pytest
import torch
from torch import Tensor

from openlyra.training.muon import MOMENTUM, Muon, orthogonal


def matrices(count: int, rows: int, columns: int) -> Tensor:
    return torch.randn(count, rows, columns, generator=torch.Generator().manual_seed(rows))


@pytest.mark.parametrize("shape", [(24, 64), (64, 24), (32, 32)])
def test_orthogonal_keeps_the_directions_of_each_matrix(shape: tuple[int, int]) -> None:
    left, values, right = torch.linalg.svd(matrices(3, *shape), full_matrices=False)
    found = left.mT @ orthogonal(1000 * left @ torch.diag_embed(values) @ right) @ right.mT
    along = found.diagonal(dim1=-2, dim2=-1)
    assert ((along > 0.6) & (along < 1.3))[values > 0.05 * values.amax()].all()
    assert (found - torch.diag_embed(along)).abs().max() < 0.05


def test_steps_are_those_of_torch_s_muon_on_matrices() -> None:
    weights = [torch.nn.Parameter(matrix) for shape in ((2, 24, 64), (3, 64, 24)) for matrix in matrices(*shape)]
    twins = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
    ours = Muon([weights[:1], weights[1:]], weight_decay=0.1)
    ours.param_groups[0]["lr"], ours.param_groups[1]["lr"] = 0.01, 0.03
    groups = [{"params": twins[:1], "lr": 0.01}, {"params": twins[1:], "lr": 0.03}]
    theirs = torch.optim.Muon(groups, weight_decay=0.1, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw")
    first = [weight.detach().clone() for weight in weights]
    for step in range(3):
        for number, (weight, twin) in enumerate(zip(weights, twins)):
            weight.grad = matrices(1, *weight.shape)[0].roll(step + number, 0)
            twin.grad = weight.grad.clone()
        ours.step()
        theirs.step()
    for weight, twin, before in zip(weights, twins, first):
        # bfloat16 rounds where products are added in another order.
        assert (weight - twin).norm() < 0.02 * (twin - before).norm()


@pytest.mark.parametrize("rows", [16, 100])
def test_a_filter_moves_as_its_matrix_does(rows: int) -> None:
    flat = torch.nn.Parameter(matrices(1, rows, 90)[0])
    filters = torch.nn.Parameter(flat.detach().view(rows, 10, 3, 3).contiguous(memory_format=torch.channels_last))
    flat.grad = matrices(1, rows, 90)[0] + 1
    filters.grad = flat.grad.view(rows, 10, 3, 3).contiguous(memory_format=torch.channels_last)
    Muon([[flat]], 0.0).step()
    Muon([[filters]], 0.0).step()
    torch.testing.assert_close(filters.flatten(1), flat)


def test_ranks_share_the_work_and_together_do_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openlyra.training.muon.dist.all_reduce", lambda flat: None)
    sought = [*matrices(3, 16, 24), *matrices(2, 24, 16), *matrices(1, 8, 8)]
    alone = Muon([sought], 0.0)._orthogonal(sought)
    shares = [Muon([sought], 0.0, rank, 2)._orthogonal(sought) for rank in range(2)]
    for number, matrix in enumerate(alone):
        torch.testing.assert_close(shares[0][number] + shares[1][number], matrix, rtol=0, atol=0.01)
        assert not (shares[0][number].any() and shares[1][number].any())
