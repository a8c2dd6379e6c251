"""Batch norm, in one process and over the rows of several."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.batch_norm import BatchNorm, share_statistics

COLUMNS = 3

pytestmark = pytest.mark.usefixtures("double")


class Together:
    """Several processes, played by threads that meet at each sum."""

    def __init__(self, size: int) -> None:
        self.size, self._barrier, self._parts = size, threading.Barrier(size), {}

    def sum(self, rank: int, tensor: Tensor) -> Tensor:
        self._parts[rank] = tensor.detach().clone()
        self._barrier.wait()
        total = sum(self._parts[place] for place in range(self.size))
        self._barrier.wait()
        return tensor.detach().copy_(total)


@dataclass
class OneOf:
    """One of them."""

    together: Together
    rank: int
    alone: bool = False

    def sum(self, tensor: Tensor) -> Tensor:
        return self.together.sum(self.rank, tensor)


def stepped(norm: BatchNorm, x: Tensor, weight: Tensor) -> list[Tensor]:
    """Output, gradients and running statistics of a step that minimises the mean of a function of the output."""
    x = x.clone().requires_grad_()
    output = norm(x)
    (torch.tanh(output) * weight).sum().backward()
    return [output.detach(), x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var]


def fresh() -> BatchNorm:
    norm = BatchNorm(COLUMNS)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.5, -0.5, 2.0]))
        norm.bias.copy_(torch.tensor([0.1, 0.2, -0.3]))
    return norm


def in_parts(x: Tensor, weight: Tensor, cuts: tuple[int, ...]) -> list[list[Tensor]]:
    """What each of several processes comes to, each with its share of the rows."""
    together, results = Together(len(cuts) + 1), {}

    def work(rank: int, own: Tensor, own_weight: Tensor) -> None:
        norm = nn.Sequential(fresh())
        share_statistics(norm, OneOf(together, rank))
        results[rank] = stepped(norm[0], own, own_weight)

    parts = zip(x.tensor_split(cuts), weight.tensor_split(cuts), strict=True)
    threads = [threading.Thread(target=work, args=(rank, *part)) for rank, part in enumerate(parts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[rank] for rank in range(len(threads))]


def test_it_is_torch_s(shake) -> None:
    ours, theirs = fresh(), nn.BatchNorm1d(COLUMNS)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    for seed in range(3):
        x = torch.randn(7, COLUMNS, generator=torch.Generator().manual_seed(seed)) * 3 + 1
        torch.testing.assert_close(ours(x), theirs(x))
    assert ours.state_dict().keys() == theirs.state_dict().keys() - {"num_batches_tracked"}
    for name, tensor in ours.state_dict().items():
        torch.testing.assert_close(tensor, theirs.state_dict()[name])
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("cuts", [(4,), (1,), (0,), (7,), (2, 3), (0, 6)])
def test_several_processes_normalise_and_learn_as_one(cuts: tuple[int, ...]) -> None:
    x, weight = torch.randn(7, COLUMNS) * 2 + 1, torch.randn(7, COLUMNS)
    output, at_x, at_weight, at_bias, mean, var = stepped(fresh(), x, weight)
    parts = in_parts(x, weight, cuts)
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), output)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), at_x)
    torch.testing.assert_close(sum(part[2] for part in parts), at_weight)
    torch.testing.assert_close(sum(part[3] for part in parts), at_bias)
    for part in parts:
        torch.testing.assert_close(part[4:], [mean, var])


def test_a_step_of_one_row_is_normalised_by_what_was_seen_before() -> None:
    norm, x, weight = fresh(), torch.randn(1, COLUMNS), torch.ones(1, COLUMNS)
    expected = F.batch_norm(x, torch.zeros(COLUMNS), torch.ones(COLUMNS), norm.weight, norm.bias)
    output, *_, mean, var = stepped(norm, x, weight)
    torch.testing.assert_close(output, expected)
    assert (mean.tolist(), var.tolist()) == ([0] * COLUMNS, [1] * COLUMNS)
    one, none = in_parts(x, weight, (1,))
    torch.testing.assert_close(one[0], expected)
    assert none[0].shape == (0, COLUMNS)


def test_alone_it_takes_its_own_rows() -> None:
    norm = nn.Sequential(fresh())
    share_statistics(norm, OneOf(Together(1), 0, alone=True))
    assert norm[0].processes is None
