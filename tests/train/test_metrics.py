"""Log loss and AUC against their definitions."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from recnas.candidates.evaluation import Quality
from recnas.train.metrics import Metrics, quality_of

LOGITS = st.one_of(st.floats(-12, 12, width=32), st.integers(-2, 2).map(float))
ROWS = st.lists(st.tuples(LOGITS, st.booleans()), min_size=2, max_size=60).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


def _measure(logits: list[float], labels: list[float], cuts: list[int]) -> Quality:
    metrics, edges = Metrics(), [0, *sorted(cuts), len(logits)]
    for start, stop in pairwise(edges):
        metrics.update(torch.tensor(logits[start:stop]), torch.tensor(labels[start:stop]))
    return metrics.compute()


@given(ROWS, st.lists(st.integers(0, 60), max_size=5))
def test_figures_are_exact_with_ties_and_batches_of_any_size(rows: list[tuple[float, bool]], cuts: list[int]) -> None:
    logits, labels = [logit for logit, _ in rows], [float(label) for _, label in rows]
    quality = _measure(logits, labels, [min(cut, len(rows)) for cut in cuts])
    probabilities = 1 / (1 + np.exp(-np.array(logits)))
    assert quality.log_loss == pytest.approx(log_loss(labels, probabilities), rel=1e-9)
    assert quality.auc == pytest.approx(roc_auc_score(labels, logits), abs=1e-12)
    pairs = [(p, n) for p, label in rows if label for n, other in rows if not other]
    won = sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs)
    assert quality.auc == pytest.approx(won / len(pairs), abs=1e-12)


def test_the_log_loss_of_a_confident_mistake_is_not_clipped() -> None:
    quality = _measure([200.0, 200.0], [0.0, 1.0], [])
    assert quality == Quality(100.0, 0.5)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_no_numbers_give_no_figures(wrong: float) -> None:
    quality = _measure([0.0, wrong, 1.0, wrong], [0.0, 1.0, 1.0, 0.0], [2])
    assert np.isnan(quality.log_loss)
    assert np.isnan(quality.auc)


@given(ROWS, st.integers(1, 4), st.integers(1, 10))
def test_several_processes_have_the_figures_of_one_and_the_first_one_has_the_logits_in_order(
    rows: list[tuple[float, bool]], size: int, batch: int
) -> None:
    whole, shares = Metrics(), [Metrics() for _ in range(size)]
    for start in range(0, len(rows), batch):
        logits, labels = torch.tensor(rows[start : start + batch], dtype=torch.float32).T
        whole.update(logits, labels)
        parts = zip(logits.tensor_split(size), labels.tensor_split(size), strict=True)
        for share, part in zip(shares, parts, strict=True):
            share.update(*part)

    class First:
        def collect(self, share: Metrics) -> list[Metrics]:
            return shares

        def first(self, function: Callable[[], Quality]) -> Quality:
            return function()

    measured, expected = shares[0].of_all(First()), whole.of_all()
    assert measured.quality.log_loss == pytest.approx(expected.quality.log_loss)
    assert measured.quality.auc == expected.quality.auc
    assert measured.logits.tolist() == expected.logits.tolist() == [logit for logit, _ in rows]
    told = quality_of(measured.logits, np.array([label for _, label in rows]))
    assert told.to_json() == pytest.approx(expected.quality.to_json())


def test_nothing_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="no predictions"):
        Metrics().compute()


def test_measuring_keeps_no_graph() -> None:
    logits = torch.randn(8, requires_grad=True)
    metrics = Metrics()
    metrics.update(logits * 2, (torch.arange(8) % 2).float())
    assert metrics.compute().to_json().keys() == {"log_loss", "auc"}
    assert logits.grad is None


def test_labels_of_one_class_only_are_refused() -> None:
    metrics = Metrics()
    metrics.update(torch.zeros(3), torch.ones(3))
    with pytest.raises(ValueError, match="both classes"):
        metrics.compute()
