"""DLRM as published for Criteo Kaggle."""

from itertools import pairwise

import pytest

from recnas.nn.baselines.dlrm import DLRM


@pytest.mark.parametrize(("num_dense", "num_sparse", "dim"), [(13, 26, 16), (1, 23, 16), (3, 1, 8)])
def test_dlrm_has_the_parameters_of_its_layers(num_dense: int, num_sparse: int, dim: int) -> None:
    products = (num_sparse + 1) * num_sparse // 2
    widths = [[num_dense, 512, 256, 64, dim], [dim + products, 512, 256, 1]]
    expected = sum(a * b + b for layers in widths for a, b in pairwise(layers))
    assert sum(parameter.numel() for parameter in DLRM(num_dense, num_sparse, dim).parameters()) == expected
