"""Durations as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.util.durations import seconds_of
from recnas.util.errors import InputError


@given(st.integers(0, 9), st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_days_hours_minutes_and_seconds_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    assert seconds_of(f"{days}d{hours}h{minutes}m{seconds}s") == days * 86_400 + hours * 3_600 + minutes * 60 + seconds


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1.5h", 5_400), (" 10M ", 600), ("2m30", 150)])
def test_it_is_read_as_a_person_means_it(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10x", "-3m", "0", "0s", "nan", "m"])
def test_what_is_none_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match="is no duration; write it as 10m"):
        seconds_of(text)
