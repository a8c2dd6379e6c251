"""Rows with alike predictions, and how many of them were clicked."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.train.calibration import BINS, calibration_of

VALUES = st.sampled_from([-50.0, -2.0, -0.5, 0.0, 0.1, 3.0, 900.0])


@given(st.lists(st.tuples(VALUES, st.booleans()), min_size=1, max_size=200))
def test_every_row_is_in_one_group_and_groups_are_in_order(rows: list[tuple[float, bool]]) -> None:
    logits, labels = (np.array(column, dtype=np.float32) for column in zip(*rows, strict=True))
    bins = calibration_of(logits, labels)
    assert 1 <= len(bins) <= BINS
    assert sum(item.rows for item in bins) == len(rows)
    assert sum(item.clicked * item.rows for item in bins) == pytest.approx(labels.sum())
    assert all(before.predicted < after.predicted for before, after in pairwise(bins))


def test_groups_of_many_predictions_are_about_as_large() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(-3, 1, 30_000)
    bins = calibration_of(logits, rng.random(30_000) < 1 / (1 + np.exp(-logits)))
    assert len(bins) == BINS
    assert all(item.rows == pytest.approx(30_000 / BINS, abs=2) for item in bins)
    for item in bins:
        error = np.sqrt(item.predicted * (1 - item.predicted) / item.rows)
        assert item.clicked == pytest.approx(item.predicted, abs=4 * error)
