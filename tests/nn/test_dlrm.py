"""DLRM as published for Criteo Kaggle."""

from itertools import pairwise

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from recnas.nn.baselines.dlrm import DLRM, flops


@pytest.mark.parametrize(("num_dense", "num_sparse", "dim"), [(13, 26, 16), (1, 23, 16), (3, 1, 8)])
def test_dlrm_has_the_parameters_of_its_layers(num_dense: int, num_sparse: int, dim: int) -> None:
    products = (num_sparse + 1) * num_sparse // 2
    widths = [[num_dense, 512, 256, 64, dim], [dim + products, 512, 256, 1]]
    expected = sum(a * b + b for layers in widths for a, b in pairwise(layers))
    assert sum(parameter.numel() for parameter in DLRM(num_dense, num_sparse, dim).parameters()) == expected


@pytest.mark.parametrize(("num_dense", "num_sparse", "dim"), [(13, 26, 16), (1, 23, 16), (3, 1, 8)])
def test_dlrm_computes_the_flops_that_are_counted(num_dense: int, num_sparse: int, dim: int) -> None:
    model, rows = DLRM(num_dense, num_sparse, dim), 2
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.randn(rows, num_dense), torch.randn(rows, num_sparse, dim))
    assert 2 * rows * flops(num_dense, num_sparse, dim) == counter.get_total_flops()


def test_dlrm_gives_a_row_the_same_logit_in_any_batch() -> None:
    model = DLRM(4, 5, 16)
    dense, fields = torch.randn(6, 4), torch.randn(6, 5, 16)
    logits = model(dense, fields)
    assert logits.shape == (6,)
    for row in range(6):
        single = model(dense[row : row + 1], fields[row : row + 1])
        assert single.shape == (1,)
        torch.testing.assert_close(single[0], logits[row])


def test_dlrm_learns_from_all_it_reads() -> None:
    model = DLRM(4, 5, 16)
    dense, fields = torch.randn(64, 4, requires_grad=True), torch.randn(64, 5, 16, requires_grad=True)
    model(dense, fields).sum().backward()
    assert dense.grad.abs().sum(0).all()
    assert fields.grad.abs().sum((0, 2)).all()
    assert all(parameter.grad.any() for parameter in model.parameters())
