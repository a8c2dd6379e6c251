"""A feature: the rule that gives a value its table row, the transforms, and ids of what is known."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recnas.features.feature import DenseFeature, SparseFeature, table_rows
from recnas.features.raw_values import raw_value


@given(st.lists(st.none() | st.integers(0, 2**32 - 1), max_size=20), st.integers(2, 2**31 - 1))
def test_values_go_to_row_v_mod_rows_less_one_plus_one_and_missing_to_row_0(values, rows):
    missing = np.array([value is None for value in values], dtype=bool)
    raw = np.array([value or 0 for value in values], dtype=np.uint32)
    expected = [0 if value is None else value % (rows - 1) + 1 for value in values]
    result = table_rows(raw, rows, missing)
    assert result.dtype == np.int64
    assert result.tolist() == expected
    assert all(row < rows for row in expected)


def test_log1p_takes_negative_numbers_and_missing_ones_as_0():
    result = DenseFeature("x", {"name": "log1p"}).apply(np.array([np.nan, -3, 0, 1, 1e6]))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [0, 0, 0, np.log(2), np.log(1e6 + 1)], rtol=1e-6)


def test_standardising_puts_missing_numbers_at_the_mean():
    result = DenseFeature("x", {"name": "standardize", "mean": 10.0, "std": 2.0}).apply(np.array([np.nan, 10, 14]))
    assert result.tolist() == [0, 0, 2]


def test_the_id_of_a_value_is_its_place_in_a_vocabulary_or_among_the_kept_values() -> None:
    words = SparseFeature("word", 4, vocabulary=("a", "b", "c"))
    assert [words.id_of(value) for value in ("a", "c", "d", None)] == [0, 2, None, None]
    values = (5, "70", "x")
    kept = SparseFeature("user", 4, kept=tuple(sorted(raw_value(value) for value in values)))
    assert [kept.kept[kept.id_of(value)] for value in values] == [raw_value(value) for value in values]
    assert [kept.id_of(value) for value in ("y", 6, "", None)] == [None] * 4
    shared = replace(kept, rows=5, unseen="shared")
    assert [shared.id_of(value) for value in ("y", 6, "", None)] == [3, 3, None, None]
    assert [shared.id_of(value) for value in values] == [kept.id_of(value) for value in values]
    assert table_rows(np.array([0, 1, 2, 3], dtype=np.uint32), shared.rows).tolist() == [1, 2, 3, 4]
    plain = SparseFeature("user", 4)
    assert [plain.id_of(value) for value in (5, "5", "x", None)] == [5, 5, raw_value("x"), None]
