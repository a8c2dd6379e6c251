"""The learning rate's schedules, and when a training has lost its patience."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.candidates.recipe import SCHEDULES, Optimization
from recnas.train.schedule import CUT, cosine_with_warmup, improvements, is_exhausted, learning_rate


@given(st.integers(1, 500), st.floats(1e-4, 10))
def test_the_rate_rises_to_its_peak_and_falls_to_nothing(steps: int, peak: float) -> None:
    rates = [cosine_with_warmup(step, steps, peak) for step in range(steps)]
    top = max(1, round(0.1 * steps)) - 1
    assert rates[top] == pytest.approx(peak) == max(rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top + 1 :] == sorted(rates[top + 1 :], reverse=True)
    assert all(rate > 0 for rate in rates)
    assert cosine_with_warmup(steps, steps, peak) == pytest.approx(0, abs=1e-9) or steps == 1


def test_the_rate_has_the_published_shape() -> None:
    assert [cosine_with_warmup(step, 100, 0.12) for step in (0, 4, 9, 10)] == pytest.approx([0.012, 0.06, 0.12, 0.12])
    assert cosine_with_warmup(55, 100, 0.12) == pytest.approx(0.06)
    assert cosine_with_warmup(25, 100, 0.12) == pytest.approx(0.06 * (1 + math.cos(math.pi / 6)))


@given(st.sampled_from(SCHEDULES), st.integers(1, 300), st.floats(0, 0.9), st.lists(st.floats(0.1, 1)))
def test_no_schedule_is_above_its_peak_or_below_0(schedule, steps: int, share: float, losses: list[float]) -> None:
    optimization = Optimization(0.1, 64, schedule=schedule, lr_warmup_share=share)
    for step in range(steps):
        assert 0 < learning_rate(optimization, step, steps, losses) <= 0.1 * (1 + 1e-9)


@given(st.integers(2, 300), st.floats(0, 0.9))
def test_a_line_falls_by_the_same_at_each_step(steps: int, share: float) -> None:
    optimization = Optimization(0.1, 64, schedule="linear", lr_warmup_share=share)
    rise = round(share * steps)
    rates = [learning_rate(optimization, step, steps) for step in range(rise, steps)]
    assert all(before - after == pytest.approx(0.1 / (steps - rise)) for before, after in pairwise(rates))


@given(st.lists(st.floats(0.1, 1), max_size=12))
def test_plateau_cuts_the_rate_at_each_measurement_that_is_no_better(losses: list[float]) -> None:
    optimization = Optimization(0.1, 64, schedule="plateau", lr_warmup_share=0)
    expected, best = 0.1, math.inf
    for loss in losses:
        expected, best = (expected, loss) if loss < best else (expected * CUT, best)
    assert learning_rate(optimization, 7, 10, losses) == pytest.approx(expected)


@given(st.lists(st.floats(0.1, 1), max_size=12), st.integers(1, 4))
def test_patience_ends_with_so_many_measurements_in_succession_that_are_no_better(losses, patience: int) -> None:
    bad, best = 0, math.inf
    for loss in losses:
        bad, best = (0, loss) if loss < best else (bad + 1, best)
    assert is_exhausted(losses, patience) == (bad >= patience)
    assert not is_exhausted(losses, None)
    better = [losses[place] for place in improvements(losses)]
    assert better == sorted(set(better), reverse=True)
