from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from recnas.study.tables import training_times
from recnas.study.text import interval, ordered, signed, to_csv

PLAIN = st.one_of(st.integers(-9, 9), st.text('ab,"\n', max_size=4).filter(bool))
ROWS = st.lists(
    st.fixed_dictionaries({"id": PLAIN, "values": st.dictionaries(st.sampled_from(["0", "0.01"]), PLAIN)}),
    min_size=1,
    max_size=4,
)


@given(ROWS)
def test_csv_that_python_reads_back_has_every_value_in_a_column_of_its_own(rows):
    read = list(csv.DictReader(io.StringIO(to_csv(rows), newline="")))
    assert len(read) == len(rows)
    for line, row in zip(read, rows, strict=True):
        flat = {"id": row["id"], **{f"values.{key}": value for key, value in row["values"].items()}}
        # A column of another row is empty in this one.
        assert {key: value for key, value in line.items() if value} == {key: str(value) for key, value in flat.items()}


def test_lists_have_numbered_columns_and_none_is_an_empty_cell():
    assert to_csv([{"test": [0.5, None], "loss": {"best": 1}}]) == "test.0,test.1,loss.best\n0.5,,1\n"


def test_correlations_have_a_sign_that_is_the_same_everywhere():
    assert (signed(0.314), signed(-0.2), signed(None)) == ("+0.31", "−0.20", "–")
    assert interval({"low": -0.5, "high": 0.25}) == "−0.50 … +0.25"
    assert interval({"tau_low": None, "tau_high": None}, "tau_") == "–"


def test_the_highest_tau_is_first_and_those_without_one_last():
    rows = [{"tau": None}, {"tau": -0.5}, {"tau": 0.0}, {"tau": 0.5}]
    assert [row["tau"] for row in ordered(rows)] == [0.5, 0.0, -0.5, None]


def test_a_mean_time_is_of_trainings_with_the_same_threads_and_as_many_beside_them():
    """A study that went on with other threads had times of both in one mean."""
    rows = [
        {"threads": [1, 2], "beside": [1, 1], "training_seconds": [10.0, 5.0]},
        {"threads": [1, 1], "beside": [1, 2], "training_seconds": [12.0, 20.0]},
    ]
    assert training_times(rows) == [
        {"threads": 1, "beside": 1, "trainings": 2, "seconds": 11.0},
        {"threads": 2, "beside": 1, "trainings": 1, "seconds": 5.0},
        {"threads": 1, "beside": 2, "trainings": 1, "seconds": 20.0},
    ]
