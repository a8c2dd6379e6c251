"""Proxies of single rows, against one backward pass a row and loops over pairs."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch import Tensor

from recnas.nn.elastic import ElasticNorm
from recnas.nn.operators.attention import Attention
from recnas.nn.operators.mask import Mask
from recnas.nn.operators.mlp import MLP
from recnas.proxies import row_statistics, rows
from recnas.space import SPACES


def jacobian(case, arch, count: int) -> np.ndarray:
    """The logit's gradient at a row's inputs, row by row."""
    network, found = case.network(arch), []
    dense, fields, _ = case.rows()
    for row in range(count):
        inputs = [dense[row : row + 1].clone().requires_grad_(), fields[row : row + 1].clone().requires_grad_()]
        gradients = torch.autograd.grad(network(*inputs), inputs, materialize_grads=True)
        found.append(np.concatenate([item.flatten().numpy() for item in gradients]))
    return np.stack(found)


def opened(case, arch, count: int) -> np.ndarray:
    """Which ReLUs a row opens, row by row."""
    network, seen = case.network(arch), []

    def watch_linear(layer, inputs, output: Tensor) -> None:
        seen.append(output.detach().flatten().numpy() > 0)

    def watch_norm(layer, inputs, options: dict, output: Tensor) -> None:
        if options.get("relu"):
            seen.append(output.detach().flatten().numpy() > 0)

    for layer in network.modules():
        if isinstance(layer, ElasticNorm):
            layer.register_forward_hook(watch_norm, with_kwargs=True)
        elif isinstance(layer, Attention):
            layer.feed_forward_in.register_forward_hook(watch_linear)
        elif isinstance(layer, MLP):
            layer.linear.register_forward_hook(watch_linear)
        elif isinstance(layer, Mask):
            layer.hidden.register_forward_hook(watch_linear)
    dense, fields, _ = case.rows()
    found = []
    for row in range(count):
        seen.clear()
        network(dense[row : row + 1], fields[row : row + 1])
        found.append(np.concatenate([np.zeros(0, bool), *seen]))
    return np.stack(found)


def jacov(jacobian: np.ndarray) -> float:
    eigenvalues = np.linalg.eigvals(np.corrcoef(jacobian)).real
    return -sum(math.log(value + 1e-5) + 1 / (value + 1e-5) for value in eigenvalues)


def epe_nas(jacobian: np.ndarray, label: np.ndarray) -> float:
    total = 0.0
    for value in (0, 1):
        members = [row for row, its in zip(jacobian, label, strict=True) if its == value]
        total += abs(sum(math.log(abs(np.corrcoef(a, b)[0, 1]) + 1e-5) for a in members for b in members))
    return total


def naswot(codes: np.ndarray) -> float:
    agreement = [[float(np.sum(one == other)) for other in codes] for one in codes]
    return np.linalg.slogdet(np.array(agreement))[1].item()


@pytest.mark.parametrize("space", SPACES)
def test_every_proxy_of_rows_equals_a_loop_over_rows(space: str, make_case) -> None:
    case, rng = make_case(space, batches=3), random.Random(11)
    count, label = case.proxy_batches.num_batch_rows, case.rows()[2].numpy()
    for _ in range(5):
        arch = case.supernet.network.space.sample(rng)
        candidate, at_inputs = case.candidate(arch), jacobian(case, arch, count)
        assert rows.jacov(candidate) == pytest.approx(jacov(at_inputs), rel=1e-5)
        assert rows.epe_nas(candidate) == pytest.approx(epe_nas(at_inputs, label), rel=1e-6)
        assert rows.naswot(candidate) == pytest.approx(naswot(opened(case, arch, count)), rel=1e-8)


def test_only_the_first_rows_are_compared(make_case, monkeypatch) -> None:
    case = make_case("nasrec-full", batches=3)
    arch = case.supernet.network.space.sample(random.Random(12))
    monkeypatch.setattr(row_statistics, "ROWS", 8)
    assert rows.jacov(case.candidate(arch)) == pytest.approx(jacov(jacobian(case, arch, 8)), rel=1e-5)
    assert rows.naswot(case.candidate(arch)) == pytest.approx(naswot(opened(case, arch, 8)), rel=1e-8)


def test_a_row_with_a_constant_jacobian_correlates_with_nothing(make_case) -> None:
    case = make_case("nasrec-small")
    candidate = case.candidate(case.supernet.network.space.sample(random.Random(0)))
    candidate.rows.jacobian[0] = 3.0
    assert math.isfinite(rows.jacov(candidate))
    assert math.isfinite(rows.epe_nas(candidate))


def test_rows_that_open_the_same_relus_have_no_naswot_score(make_case) -> None:
    case = make_case("nasrec-small")
    candidate = case.candidate(case.supernet.network.space.sample(random.Random(0)))
    candidate.rows.codes[:] = 1
    assert rows.naswot(candidate) == -math.inf
