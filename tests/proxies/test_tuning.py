"""One-shot search's judgement against torch's own layers, losses and Adagrad."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.candidates.recipe import Optimization
from recnas.nn.model import Supernet
from recnas.proxies.batches import ProxyBatches
from recnas.proxies.context import ScoringContext
from recnas.proxies.inputs import ProxyInputs
from recnas.proxies.trained import one_shot
from recnas.proxies.tuning import LastLayerTuning
from recnas.space import SPACES, Architecture
from recnas.train.loop import input_columns
from recnas.train.schedule import cosine_with_warmup

TABLE_ROWS = 30
"""Of the largest table."""


@pytest.fixture
def tuning(dataset) -> LastLayerTuning:
    """More steps than one pass over the training rows has."""
    return LastLayerTuning(dataset, 8, 16, 40, Optimization(0.1, 16), seed=3)


@pytest.fixture
def judge(make_batch):
    """A candidate's one-shot score."""

    def measure(supernet: Supernet, arch: Architecture, tuning: LastLayerTuning) -> float:
        generator = torch.Generator().manual_seed(0)
        batches = ProxyBatches(supernet, [make_batch(generator) for _ in range(2)])
        return one_shot(ProxyInputs(ScoringContext.of(supernet, batches, tuning), arch))

    return measure


def last_inputs(model: nn.Module, batch) -> Tensor:
    """What a finished model's last layer reads, `[B, columns]`, by the names of the inputs."""
    read = []
    handle = model.network.last.register_forward_pre_hook(lambda layer, inputs: read.append(inputs[0]))
    with torch.no_grad():
        model(batch)
    handle.remove()
    return torch.cat([item.flatten(1) for _, item in sorted(read[0].items())], dim=1)


def training_batches(tuning: LastLayerTuning):
    epoch = 0
    while True:
        yield from tuning.dataset.batches(
            "train", tuning.batch_size, seed=tuning.seed, epoch=epoch, max_rows_per_table=TABLE_ROWS
        )
        epoch += 1


@pytest.mark.parametrize("space", SPACES)
def test_without_a_step_it_is_the_validation_log_loss_of_the_supernet(space, make_supernet, judge, tuning) -> None:
    supernet, rng = make_supernet(space, narrow=True), random.Random(1)
    validation = list(tuning.dataset.batches("validation", 7, max_rows_per_table=TABLE_ROWS))
    for _ in range(4):
        arch = supernet.network.space.sample(rng)
        with torch.no_grad():
            logits = torch.cat([supernet(batch, arch) for batch in validation])
        expected = F.binary_cross_entropy_with_logits(logits, torch.cat([batch.label for batch in validation]))
        assert judge(supernet, arch, replace(tuning, steps=0)) == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("space", SPACES)
def test_its_steps_are_those_of_adagrad_on_a_linear_layer(space, make_supernet, judge, tuning) -> None:
    supernet, rng = make_supernet(space, narrow=True), random.Random(2)
    for _ in range(3):
        arch = supernet.network.space.sample(rng)
        model = supernet.extract(arch)
        last = model.network.last
        parts = [last.weight[name].flatten() for name in sorted(last.weight)]
        layer = nn.Linear(sum(len(part) for part in parts), 1)
        with torch.no_grad():
            layer.weight.copy_(torch.cat(parts))
            layer.bias.copy_(last.bias)
        optimizer = torch.optim.Adagrad(layer.parameters(), eps=tuning.optimization.dense_eps)
        for step, batch in enumerate(islice(training_batches(tuning), tuning.steps)):
            optimizer.param_groups[0]["lr"] = cosine_with_warmup(step, tuning.steps, 0.1)
            loss = F.binary_cross_entropy_with_logits(layer(last_inputs(model, batch)).squeeze(1), batch.label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        validation = next(iter(tuning.dataset.batches("validation", 40, max_rows_per_table=TABLE_ROWS)))
        with torch.no_grad():
            logits = layer(last_inputs(model, validation)).squeeze(1)
        expected = F.binary_cross_entropy_with_logits(logits, validation.label).item()
        assert judge(supernet, arch, tuning) == pytest.approx(expected, rel=1e-4)


def test_wide_inputs_learn_slower_as_they_do_in_the_warm_up(make_supernet, judge, tuning) -> None:
    tuning = replace(tuning, optimization=Optimization(0.1, 16, fan_in_scale=8.0))
    supernet, rng = make_supernet("nasrec-full", narrow=True), random.Random(3)
    for _ in range(3):
        arch = supernet.network.space.sample(rng)
        model = supernet.extract(arch)
        last = model.network.last
        factors = [tuning.optimization.width_factor(input_columns(last, weight)) for weight in last.parameters()]
        optimizer = torch.optim.Adagrad([{"params": [weight]} for weight in last.parameters()], eps=1e-2)
        for step, batch in enumerate(islice(training_batches(tuning), tuning.steps)):
            for group, factor in zip(optimizer.param_groups, factors, strict=True):
                group["lr"] = factor * cosine_with_warmup(step, tuning.steps, 0.1)
            loss = F.binary_cross_entropy_with_logits(model(batch), batch.label)
            model.zero_grad()
            loss.backward()
            optimizer.step()
        validation = next(iter(tuning.dataset.batches("validation", 40, max_rows_per_table=TABLE_ROWS)))
        expected = F.binary_cross_entropy_with_logits(model(validation), validation.label).item()
        assert judge(supernet, arch, tuning) == pytest.approx(expected, rel=1e-4)


def test_tuning_helps_on_the_rows_it_is_done_on_and_is_the_same_twice(make_supernet, judge, tuning) -> None:
    supernet = make_supernet("nasrec-full", narrow=True)
    arch = supernet.network.space.sample(random.Random(4))
    assert judge(supernet, arch, tuning) == judge(supernet, arch, tuning)
    assert judge(supernet, arch, replace(tuning, seed=4)) != judge(supernet, arch, tuning)
    assert judge(supernet, arch, replace(tuning, steps=60)) < judge(supernet, arch, replace(tuning, steps=0))


def test_tuning_changes_no_weight(make_supernet, judge, tuning) -> None:
    supernet = make_supernet("nasrec-full", narrow=True)
    held = (*supernet.network.parameters(), *supernet.embeddings.tables().values())
    before = [tensor.clone() for tensor in held]
    judge(supernet, supernet.network.space.sample(random.Random(5)), tuning)
    assert all(torch.equal(old, new) for old, new in zip(before, held, strict=True))
    assert all(parameter.grad is None for parameter in supernet.network.parameters())


def test_it_is_measured_on_no_more_rows_than_wanted(make_supernet, judge, tuning) -> None:
    tuning = replace(tuning, steps=0, validation_rows=9)
    assert sum(len(batch) for batch in tuning.validation_batches(make_supernet("nasrec-small", narrow=True))) == 9
