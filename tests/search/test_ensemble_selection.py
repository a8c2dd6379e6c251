"""Which models are selected, by their predictions alone."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.search.ensemble_selection import Mixture, Selection, select
from recnas.train.metrics import quality_of


def libraries(models: int = 6) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Logits `[M, N]` of a few models, some of which know something of the labels `[N]`."""

    def drawn(seed: int, count: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 2, rows).astype(np.int8)
        known = rng.uniform(0, 3, (count, 1)) * (labels - 0.5)
        return (known + rng.normal(0, rng.uniform(0, 3), (count, rows))).astype(np.float32), labels

    return st.builds(drawn, st.integers(0, 10**6), st.integers(1, models), st.integers(1, 400))


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(np.logaddexp(0, np.where(labels, -logits, logits).astype(np.float64)).mean())


def together(logits: np.ndarray, selection: Selection) -> np.ndarray:
    mixture = Mixture()
    for place, weight in selection.weights.items():
        mixture.add(weight, logits[place])
    return mixture.logits


@given(libraries(), st.integers(1, 5))
def test_an_ensemble_is_no_worse_than_the_best_model_on_the_rows_that_it_was_selected_by(
    library: tuple[np.ndarray, np.ndarray], most: int
) -> None:
    logits, labels = library
    selection = select(logits, labels, most=most, seed=0)
    losses = [log_loss(item, labels) for item in logits]
    assert log_loss(together(logits, selection), labels) <= min(losses) + 1e-6
    assert sum(selection.weights.values()) == pytest.approx(1)
    assert list(selection.weights.values()) == sorted(selection.weights.values(), reverse=True)
    assert 1 <= len(selection.weights) <= most
    # It begins with the best, with which what is held out is compared.
    assert selection.single == pytest.approx(min(losses), abs=1e-6)
    assert selection.held_out <= selection.single


@given(libraries(), st.randoms(use_true_random=False))
def test_the_order_of_models_changes_nothing_nor_do_copies_of_them(
    library: tuple[np.ndarray, np.ndarray], rng: object
) -> None:
    logits, labels = library
    expected = select(logits, labels, most=4, seed=1)
    assert select(logits, labels, most=4, seed=1) == expected
    order = list(range(len(logits)))
    rng.shuffle(order)
    shuffled = select(logits[order], labels, most=4, seed=1)
    assert {order[place]: weight for place, weight in shuffled.weights.items()} == pytest.approx(expected.weights)
    assert shuffled.held_out == pytest.approx(expected.held_out)
    copied = select(np.concatenate([logits, logits]), labels, most=4, seed=1)
    assert copied == expected


def planted(rows: int, models: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Models that err alike on the first third of what there is to know, and each for itself on the rest."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-1, 1.5, rows)
    labels = (rng.random(rows) < 1 / (1 + np.exp(-truth))).astype(np.int8)
    shared = rng.normal(0, 0.3, rows)
    return (truth + shared + rng.normal(0, 0.7, (models, rows))).astype(np.float32), labels


def test_models_that_complement_each_other_are_found_and_what_is_held_out_tells_the_truth() -> None:
    logits, labels = planted(40_000, 10)
    chosen, unseen = slice(0, 20_000), slice(20_000, 40_000)
    selection = select(logits[:, chosen], labels[chosen], most=8, seed=0)
    assert len(selection.weights) >= 4
    loss = log_loss(together(logits[:, unseen], selection), labels[unseen])
    best = min(logits, key=lambda item: log_loss(item[chosen], labels[chosen]))
    gain = log_loss(best[unseen], labels[unseen]) - loss
    assert gain > 0.01
    assert selection.single - selection.held_out == pytest.approx(gain, abs=0.01)


def test_a_model_that_knows_what_the_others_do_not_is_a_member_however_bad_it_is_alone() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(0, 1.5, (2, 6000))
    labels = (rng.random(6000) < 1 / (1 + np.exp(-first - second))).astype(np.int8)
    logits = np.stack([first, first + rng.normal(0, 0.1, 6000), 0.7 * second]).astype(np.float32)
    assert 2 in select(logits, labels, most=2, seed=0).weights


@pytest.mark.parametrize("rows", [1000, 10_000])
@pytest.mark.parametrize("seed", range(5))
def test_of_a_hundred_models_that_know_nothing_none_is_picked(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(-1, 1.2, rows)
    labels = (rng.random(rows) < 1 / (1 + np.exp(-truth))).astype(np.int8)
    noise = np.log(labels.mean() / (1 - labels.mean())) + rng.normal(0, 1, (100, rows))
    selection = select(np.concatenate([truth[None], noise]).astype(np.float32), labels, most=8, seed=seed)
    assert selection.weights == {0: 1.0}
    assert selection.held_out == selection.single


@given(libraries(), st.floats(1, 20))
def test_limits_hold_for_all_members_together(library: tuple[np.ndarray, np.ndarray], bound: float) -> None:
    logits, labels = library
    costs = np.arange(1, len(logits) + 1)
    admits = lambda members: sum(costs[place] for place in members) <= bound  # noqa: E731
    weights = select(logits, labels, most=8, seed=0, admits=admits).weights
    assert admits(weights) or len(weights) == 1
    assert len(select(logits, labels, most=8, seed=0, admits=lambda members: False).weights) == 1


@given(st.lists(st.floats(-80, 80, width=32), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_a_mixture_is_the_mean_of_probabilities_however_close_to_0_or_1(values: list[float], rng: object) -> None:
    weights = np.array([rng.random() + 0.01 for _ in values])
    weights /= weights.sum()
    mixture = Mixture()
    for weight, value in zip(weights, values, strict=True):
        mixture.add(weight, np.array([value, -value], dtype=np.float32))
    exact = [np.longdouble(1) / (1 + np.exp(-np.longdouble(value))) for value in values]
    mean = sum(weight * item for weight, item in zip(weights, exact, strict=True))
    others = [item * np.exp(-np.longdouble(value)) for item, value in zip(exact, values, strict=True)]
    expected = float(np.log(mean / sum(weight * item for weight, item in zip(weights, others, strict=True))))
    assert mixture.logits == pytest.approx([expected, -expected], abs=1e-9)


def test_the_quality_of_a_mixture_is_that_of_its_mean() -> None:
    logits, labels = planted(500, 3)
    mixture = Mixture()
    for item in logits:
        mixture.add(1 / 3, item)
    mean = (1 / (1 + np.exp(-logits.astype(np.float64)))).mean(axis=0)
    expected = -np.log(np.where(labels, mean, 1 - mean)).mean()
    assert quality_of(mixture.logits, labels).log_loss == pytest.approx(expected)


def test_nothing_cannot_be_selected_from() -> None:
    with pytest.raises(ValueError, match="no predictions"):
        select(np.empty((0, 5), dtype=np.float32), np.zeros(5), most=3, seed=0)


@pytest.mark.slow
def test_fifty_models_are_selected_from_in_seconds() -> None:
    logits, labels = planted(50_000, 50)
    begun = time.process_time()
    select(logits, labels, most=8, seed=0)
    assert time.process_time() - begun < 10
