"""A training whose loss is no number says what may be the matter."""

import math
import pickle
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from recnas.data import Batch
from recnas.features.feature import DenseFeature
from recnas.features.schema import Schema
from recnas.nn.processes import this_process
from recnas.train.divergence import Diverged, explain
from recnas.train.loop import train


@pytest.fixture
def said(schema: Schema, make_batch: Callable[[int], Batch]) -> Callable[..., str]:
    """What is said of rows that have a value in a dense feature."""

    def say(value: float, transform: str = "none", place: int = 3, step: int = 0) -> str:
        plain = replace(schema, dense=(DenseFeature("ts", {"name": transform}), *schema.dense[1:]))
        batches = [make_batch(0), make_batch(1)]
        batches[step].dense[place, 0] = value
        found = explain("the loss is nan", batches, plain, this_process("cpu"), "--warmup-learning-rate")
        assert str(pickle.loads(pickle.dumps(found))) == str(found)
        return str(found)

    return say


@pytest.mark.parametrize("step", [0, 1])
def test_a_feature_far_out_of_scale_is_named_with_its_size_and_another_transform(said, step: int) -> None:
    wanted = (
        "the loss is nan, as inputs are far out of scale: ts (up to 1.7e+12); prepare the data with another transform, "
        "--dense ts:standardize"
    )
    assert said(1.7e12, step=step) == said(-1.7e12, step=step) == wanted


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_so_is_one_that_is_no_number(said, value: float) -> None:
    assert f"ts (up to {abs(value):.3g}); prepare the data with another transform" in said(value)


def test_a_feature_that_has_a_transform_is_not_given_another(said) -> None:
    assert "ts (up to 1.7e+12); set such rows aside or bound the values" in said(1.7e12, "log1p")


def test_where_inputs_are_in_scale_the_learning_rate_is_the_remedy_by_its_flag(said) -> None:
    assert said(30.0) == "the loss is nan; try a smaller --warmup-learning-rate"


def test_without_dense_features_there_is_nothing_but_the_rate(schema: Schema, make_batch) -> None:
    batch = make_batch(0)
    found = explain("no", [Batch(batch.dense[:, :1] * 0, batch.sparse, batch.label)], replace(schema, dense=()),
                    this_process("cpu"), "--rate")  # fmt: skip
    assert str(found) == "no; try a smaller --rate"


def test_a_loop_tells_of_the_rows_of_its_last_two_steps(make_learner, make_batch) -> None:
    """The rows that ruin the weights may be those of the step before."""

    def said(value: float) -> str:
        learner, batches = make_learner(), [make_batch(seed) for seed in range(4)]
        loss = learner.loss
        batches[2].dense[0, 1] = value
        learner.loss = lambda batch: loss(batch) * (torch.nan if torch.equal(batch.label, batches[3].label) else 1.0)
        with pytest.raises(Diverged) as caught:
            train(learner, batches, steps=4)
        return str(caught.value)

    assert said(1.0) == "the training loss is nan at step 4; try a smaller --learning-rate"
    assert said(1e9).startswith(
        "the training loss is nan at step 4, as inputs are far out of scale: count (up to 1e+09)"
    )
