"""What is minimised is the same whether one process or several learn from a step's rows."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.candidates.recipe import Optimization
from recnas.data import Batch
from recnas.features.schema import Schema
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import CTRModel
from recnas.train.loop import ModelLearner
from recnas.train.losses import training_loss

ROWS = 12


class TwoHeads(nn.Module):
    """Two logits; what is minimised is the product of their log losses."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.5, -1.0], [0.3, 0.2]]))

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        logits = self.weight @ dense.t() + fields.sum()
        return logits if self.training else logits[0]

    def training_loss(self, logits: Tensor, label: Tensor, mean) -> Tensor:
        first, second = mean(F.binary_cross_entropy_with_logits(logits, label.expand_as(logits), reduction="none"))
        return first * second


@dataclass
class Part:
    """One of several processes, as a loss knows them; what they sum is known beforehand."""

    size: int
    total: Tensor
    alone: bool = False

    def sum(self, tensor: Tensor) -> Tensor:
        return self.total


@pytest.fixture
def whole(make_batch) -> Batch:
    batch = make_batch(0)
    return Batch(batch.dense[:ROWS], batch.sparse, (torch.arange(ROWS) % 3 == 0).float(), ROWS)


def gradients(network: nn.Module, batch: Batch, processes) -> tuple[Tensor, Tensor]:
    loss = training_loss(network, network(batch.dense, torch.zeros(len(batch), 0)), batch, processes)
    return loss.detach(), torch.autograd.grad(loss, network.weight)[0]


@pytest.mark.parametrize("cuts", [(6,), (5,), (12,), (0, 7), (3, 4, 12)])
def test_processes_learn_a_loss_of_a_network_s_own_as_one_does(whole: Batch, cuts: tuple[int, ...]) -> None:
    network, size = TwoHeads(), len(cuts) + 1
    loss, gradient = gradients(network, whole, Part(1, torch.empty(0), alone=True))
    rows = F.binary_cross_entropy_with_logits(
        network(whole.dense, torch.zeros(1, 0)), whole.label.expand(2, -1), reduction="none"
    )
    processes = Part(size, rows.detach().sum(1) * size / ROWS)
    parts = [
        gradients(network, Batch(dense, whole.sparse, label, ROWS), processes)
        for dense, label in zip(whole.dense.tensor_split(cuts), whole.label.tensor_split(cuts), strict=True)
    ]
    for value, _ in parts:
        torch.testing.assert_close(value, loss)
    torch.testing.assert_close(torch.stack([part for _, part in parts]).mean(0), gradient)


def test_a_network_s_own_loss_is_what_is_learned_and_its_first_logit_what_is_predicted(
    schema: Schema, make_batch
) -> None:
    model = CTRModel(schema, ShardedEmbeddings(schema, 16), TwoHeads())
    learner, batch = ModelLearner(model, Optimization(0.1, ROWS)), make_batch(0)
    logits = model(batch)
    expected = F.binary_cross_entropy_with_logits(logits[0], batch.label)
    expected = expected * F.binary_cross_entropy_with_logits(logits[1], batch.label)
    torch.testing.assert_close(learner.loss(batch), expected)
    model.eval()
    assert model(batch).shape == batch.label.shape
    torch.testing.assert_close(learner.loss(batch), F.binary_cross_entropy_with_logits(logits[0], batch.label))
