"""What networks with a loss of their own minimise, computed term by term."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recnas.nn.baselines.fcn import FCN
from recnas.nn.baselines.finalnet import FinalNet
from recnas.nn.baselines.qnn import QNN

ROWS = 6

pytestmark = pytest.mark.usefixtures("double")

LABEL = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], dtype=torch.float64)


def drawn(count: int, seed: int) -> Tensor:
    return torch.randn(
        count, ROWS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, requires_grad=True
    )


def log_loss(probability: Tensor, label: Tensor) -> Tensor:
    return -(label * probability.log() + (1 - label) * (1 - probability).log()).mean()


def check(network, logits: Tensor, expected: Tensor) -> None:
    """Compares a loss and its gradient."""
    found = network.training_loss(logits, LABEL, lambda values: values.mean(-1))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(item, logits)[0] for item in (found, expected)))


@pytest.mark.parametrize("seed", range(3))
def test_finalnet_s_blocks_learn_what_they_predict_together(seed: int) -> None:
    choices = {"hidden": (4,), "second": (4,), "gates": "none", "norm": "none"}
    logits = drawn(2, seed)
    together = torch.sigmoid(logits.mean(0))
    expected = log_loss(together, LABEL) + sum(log_loss(torch.sigmoid(item), together.detach()) for item in logits)
    check(FinalNet(0, 2, 4, blocks=2, **choices), logits, expected)
    alone = drawn(1, seed)
    check(FinalNet(0, 2, 4, blocks=1, **choices), alone, log_loss(torch.sigmoid(alone[0]), LABEL))


@pytest.mark.parametrize("seed", range(3))
def test_fcn_s_networks_learn_the_more_the_worse_they_are_than_both_together(seed: int) -> None:
    logits = drawn(2, seed)
    loss = log_loss(torch.sigmoid(logits.mean(0)), LABEL)
    expected = loss
    for item in logits:
        own = log_loss(torch.sigmoid(item), LABEL)
        expected = expected + (own - loss).clamp(min=0) * own
    check(FCN(0, 2, 4, layers=1, linear_layers=1, norm="none"), logits, expected)


@pytest.mark.parametrize("seed", range(3))
def test_qnn_s_passes_learn_what_they_predict_together(seed: int) -> None:
    network, logits = QNN(0, 2, 4, layers=1, rows=1, norm="none"), drawn(2, seed)
    single = torch.sigmoid(logits)
    together = single.mean(0)
    expected = log_loss(together, LABEL) + sum(log_loss(item, together.detach()) for item in single)
    check(network, logits, expected)
    alone = drawn(1, seed)
    check(network, alone, log_loss(torch.sigmoid(alone[0]), LABEL))


def test_predictions_are_one_logit_a_row_and_training_gives_each_part_s() -> None:
    dense, fields = torch.zeros(ROWS, 1), torch.randn(ROWS, 3, 4)
    finalnet = FinalNet(0, 3, 4, hidden=(4,), second=(4,), blocks=2, gates="none", norm="none")
    for network in (finalnet, FCN(0, 3, 4, 0.0, layers=1, linear_layers=1, norm="none")):
        assert network(dense, fields).shape == (2, ROWS)
        torch.testing.assert_close(network(dense, fields).mean(0), network.eval()(dense, fields))
    for dropout, passes in ((0.0, 1), (0.5, 2)):
        network = QNN(0, 3, 4, dropout, layers=1, rows=1, norm="none")
        assert network(dense, fields).shape == (passes, ROWS)
        assert network.eval()(dense, fields).shape == (ROWS,)
