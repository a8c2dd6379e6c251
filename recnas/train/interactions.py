"""PROFIT's progressive search (Gao et al. 2021): which interactions of fields to keep, order after order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from recnas.candidates.recipe import Optimization
from recnas.data import Batch
from recnas.nn.baselines.profit import Entries, Profit
from recnas.nn.model import CTRModel
from recnas.nn.number_fields import inner_network
from recnas.train.loop import ModelLearner, average
from recnas.train.losses import training_loss

FACTOR_RATE, FACTOR_BETAS, FACTOR_DECAY = 3e-3, (0.5, 0.999), 1e-3
"""Adam's settings for factors: the authors', but for a rate ten times theirs, as there are fewer steps."""
MOST_PASSES, MOST_ROWS = 3, 2**18
"""How long each order is searched: so many passes over the training rows, and so many rows at most."""


def find_interactions(
    model: CTRModel,
    optimization: Optimization,
    batches: Callable[[int], Iterable[Batch]],
    device: torch.device | str = "cpu",
) -> Entries:
    """Learns the factors of each order's tensor; gives the largest entries. The model is of no use afterwards.

    Low orders say most of a click, so that factors of k fields are learned when those of fewer are, which stay. Every
    other step learns the weights and the tables by the recipe, at its learning rate, those between learn the factors,
    from other rows (the first-order approximation of the bilevel problem; the authors keep half of the rows for that).
    A search whose loss is no finite number any more ends there.

    Args:
        model: With fresh weights, of a `Profit`.
        optimization: How weights are learned.
        batches: By order, batches of training rows.
        device: The device that batches are moved to.
    """
    network = inner_network(model.network)
    assert isinstance(network, Profit), "there are no interactions to be found"
    learner = ModelLearner(model, optimization)
    learner.set_learning_rate(optimization.learning_rate)
    network.begin_search()
    for order in network.orders:
        factors = network.begin_order(order)
        optimizer = torch.optim.Adam([factors], FACTOR_RATE, FACTOR_BETAS, weight_decay=FACTOR_DECAY)
        for step, batch in enumerate(batches(order)):
            batch = batch.to(device, non_blocking=True)
            loss = _learn_factors(learner, factors, optimizer, batch) if step % 2 else _learn_weights(learner, batch)
            if not math.isfinite(learner.processes.start_mean(loss)()):
                break
        factors.requires_grad_(False)
    return network.found()


def _learn_weights(learner: ModelLearner, batch: Batch) -> Tensor:
    loss = learner.loss(batch)
    loss.backward()
    learner.step()
    return loss.detach()


def _learn_factors(learner: ModelLearner, factors: Tensor, optimizer: torch.optim.Optimizer, batch: Batch) -> Tensor:
    network = learner.model.network
    with torch.no_grad():
        fields = learner.model.embeddings(batch.sparse)
    loss = training_loss(network, network(batch.dense, fields), batch, learner.processes)
    (gradient,) = torch.autograd.grad(loss, [factors])
    average([gradient], learner.processes)
    factors.grad = gradient
    optimizer.step()
    return loss.detach()
