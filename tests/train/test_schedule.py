"""The learning rate: a tenth of the steps up, then half a cosine down."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.train.schedule import cosine_with_warmup


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
