"""How sure it is which model is best: samples of rows, and what the luckiest of many models has on other rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recnas.runs.comparison import Comparison
from recnas.search.comparing import MOST_GROUPS, compare, row_losses


def models_of(losses: np.ndarray) -> list[tuple[str, np.ndarray]]:
    return [(f"m{place}", of_model) for place, of_model in enumerate(losses)]


def test_losses_of_rows_are_those_of_their_labels() -> None:
    logits, labels = np.array([0.0, 2.0, -800.0, 800.0], dtype=np.float32), np.array([1, 0, 0, 0])
    assert row_losses(logits, labels) == pytest.approx([np.log(2), np.log1p(np.exp(2.0)), 0.0, 800.0])


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_standings_are_of_all_models_and_shares_of_being_the_best_are_one_together(
    seed: int, models: int, rows: int
) -> None:
    losses = np.random.default_rng(seed).exponential(size=(models, rows))
    found = compare(models_of(losses), seed)
    assert list(found.models) == [f"m{place}" for place in range(models)]
    assert sum(standing.first for standing in found.models.values()) == pytest.approx(1)
    assert all(standing.low <= standing.high for standing in found.models.values())
    best = found.models[f"m{losses.mean(axis=1).argmin()}"]
    assert (best.low, best.high) == (0, 0)
    assert found == compare(models_of(losses), seed)
    assert Comparison.from_json(found.to_json()) == found


def test_an_interval_is_as_wide_as_chance_makes_it() -> None:
    rng = np.random.default_rng(1)
    for rows in (2_000, 3 * MOST_GROUPS):
        first, noise = rng.exponential(size=rows), rng.normal(0.02, 0.3, size=rows)
        standing = compare(models_of(np.stack([first, first + noise])), 0).models["m1"]
        error = noise.std() / np.sqrt(rows)
        assert standing.low == pytest.approx(noise.mean() - 1.96 * error, abs=0.3 * error)
        assert standing.high == pytest.approx(noise.mean() + 1.96 * error, abs=0.3 * error)


def test_what_the_luckiest_of_many_has_on_other_rows_is_what_all_have() -> None:
    """Forty models that are equally good: the best on the rows at hand has less than that by chance alone."""
    naive, corrected = [], []
    for seed in range(10):
        losses = np.random.default_rng(seed).normal(1.0, 0.5, size=(40, 1_000))
        naive.append(losses.mean(axis=1).min() - 1)
        corrected.append(compare(models_of(losses), seed).log_loss - 1)
    assert np.mean(naive) < -0.02
    assert abs(np.mean(corrected)) < 0.4 * abs(np.mean(naive))


def test_without_models_or_rows_there_is_nothing_to_compare() -> None:
    for nothing in ([], models_of(np.empty((2, 0)))):
        with pytest.raises(ValueError, match="no model's losses were given"):
            compare(nothing, 0)
