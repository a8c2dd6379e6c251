import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from recnas.data_prep.split import ROW_ORDER, HashSplit, TimeSplit, autoctr_split
from recnas.util.errors import InputError


def _sklearn_split(labels: np.ndarray) -> np.ndarray:
    split = np.empty(len(labels), dtype=np.int8)
    folds = StratifiedKFold(n_splits=10, shuffle=True, random_state=2018).split(np.zeros(len(labels)), labels)
    for fold, (_, members) in enumerate(folds):
        split[members] = max(0, fold - 7)
    return split


@given(st.integers(10, 300), st.integers(10, 300), st.integers(0, 2**32 - 1))
def test_the_split_is_scikit_learns_row_for_row(negatives, positives, seed):
    labels = np.repeat(np.array([0, 1], dtype=np.int8), [negatives, positives])
    np.random.default_rng(seed).shuffle(labels)
    np.testing.assert_array_equal(autoctr_split(labels), _sklearn_split(labels))


def test_the_split_of_many_rows_is_scikit_learns_row_for_row():
    labels = (np.random.default_rng(0).random(100_003) < 0.2).astype(np.int8)
    np.testing.assert_array_equal(autoctr_split(labels), _sklearn_split(labels))


def test_another_seed_gives_another_split():
    labels = np.tile(np.array([0, 1], dtype=np.int8), 500)
    assert (autoctr_split(labels, seed=1) != autoctr_split(labels)).any()


@pytest.mark.parametrize(("negatives", "positives", "label"), [(50, 9, 1), (9, 50, 0), (50, 0, 1), (0, 0, 0)])
def test_too_few_rows_of_a_label_are_refused(negatives, positives, label):
    labels = np.repeat(np.array([0, 1], dtype=np.int8), [negatives, positives])
    with pytest.raises(InputError, match=f"have label {label}, at least 10 are needed"):
        autoctr_split(labels)


def _rows(count: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    lists = [rng.integers(0, 50, size).tolist() for size in rng.integers(0, 4, count)]
    return pl.DataFrame(
        {
            "label": pl.Series(rng.integers(0, 2, count), dtype=pl.Int8),
            "price": pl.Series([None if x < 0.1 else x for x in rng.random(count)], dtype=pl.Float64),
            "user": pl.Series([None if x == 0 else int(x) for x in rng.integers(0, 300, count)], dtype=pl.UInt32),
            "tags": pl.Series([None if len(x) == 3 else x for x in lists], dtype=pl.List(pl.UInt32)),
            "day": pl.Series(rng.integers(0, 40, count)),
        }
    )


COLUMNS = ("label", "price", "user", "tags")


@given(st.integers(0, 50), st.integers(1, 400))
def test_a_hash_split_knows_a_row_wherever_it_stands(seed, size):
    rows = _rows(400, seed)
    split = HashSplit(COLUMNS)
    places = split.places(rows, 0)
    order = np.random.default_rng(seed).permutation(400)
    np.testing.assert_array_equal(split.places(rows[order], 17), places[order])
    parts = [split.places(part, 0) for part in rows.iter_slices(size)]
    np.testing.assert_array_equal(np.concatenate(parts), places)


def test_a_hash_splits_shares_are_8_1_1_and_another_seed_gives_others():
    rows = _rows(50_000)
    places = HashSplit(COLUMNS).places(rows, 0)
    # Four standard deviations of a share of 0.1 are 0.005.
    np.testing.assert_allclose(np.bincount(places) / len(rows), [0.8, 0.1, 0.1], atol=0.0055)
    other = HashSplit(COLUMNS, seed=1).places(rows, 0)
    assert abs(np.mean(places == other) - 0.66) < 0.01
    assert abs(np.corrcoef(places, rows["label"])[0, 1]) < 0.02


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_counts_in_a_hash_split(column):
    rows = _rows(2000)
    changed = rows.with_columns(rows[column].gather(np.roll(np.arange(2000), 1)))
    same = rows[column].eq_missing(changed[column]).to_numpy()
    before, after = (HashSplit(COLUMNS).places(part, 0) for part in (rows, changed))
    np.testing.assert_array_equal(before[same], after[same])
    assert 0.55 < np.mean(before[~same] == after[~same]) < 0.77


def test_a_missing_value_is_not_a_zero_and_an_empty_list_is_a_missing_one():
    rows = pl.DataFrame({"a": pl.Series(range(1000), dtype=pl.UInt32)})
    zero, missing = rows.with_columns(b=pl.lit(0.0)), rows.with_columns(b=pl.lit(None, dtype=pl.Float64))
    assert (HashSplit("ab").places(zero, 0) != HashSplit("ab").places(missing, 0)).any()
    empty = rows.with_columns(b=pl.Series([[]] * 1000, dtype=pl.List(pl.UInt32)))
    absent = rows.with_columns(b=pl.lit(None, dtype=pl.List(pl.UInt32)))
    np.testing.assert_array_equal(HashSplit("ab").places(empty, 0), HashSplit("ab").places(absent, 0))


def test_a_hash_split_by_a_feature_keeps_its_rows_together():
    rows = _rows(3000)
    places = rows.with_columns(place=HashSplit(COLUMNS, by=["user"]).places(rows, 0))
    assert places.group_by("user").agg(pl.col("place").n_unique())["place"].max() == 1
    assert places["place"].n_unique() == 3


@given(st.integers(0, 100), st.integers(60, 500), st.integers(1, 200))
def test_a_split_by_time_puts_the_past_before_the_future(seed, count, size):
    rows = _rows(count, seed)
    split = TimeSplit("day")
    for part in rows.iter_slices(size):
        split.look(part)
    split.settle()
    places = np.concatenate([split.places(part, 0) for part in rows.iter_slices(size)])
    days = rows["day"].to_numpy()
    assert days[places == 0].max() < days[places == 1].min() <= days[places == 1].max() < days[places == 2].min()
    # At least the wanted share lies before; without the last of its days it would be too few.
    largest = np.bincount(days).max() / count
    assert 0.8 <= np.mean(places < 1) <= 0.8 + largest
    assert 0.9 <= np.mean(places < 2) <= 0.9 + largest
    assert split.to_json()["first"] == {"validation": days[places == 1].min(), "test": days[places == 2].min()}


def test_rows_in_order_of_time_need_no_column():
    rows = _rows(105)
    split = TimeSplit(ROW_ORDER)
    split.look(rows[:50])
    split.look(rows[50:])
    split.settle()
    places = np.concatenate([split.places(rows[:50], 0), split.places(rows[50:], 50)])
    assert np.bincount(places).tolist() == [84, 11, 10]
    assert (np.diff(places) >= 0).all()


@pytest.mark.parametrize("days", [[1] * 100, [1] * 95 + [2] * 5, [1, 2] * 50])
def test_too_few_times_are_refused(days):
    split = TimeSplit("day")
    split.look(pl.DataFrame({"day": days}))
    with pytest.raises(InputError, match=r"day: . different times"):
        split.settle()
