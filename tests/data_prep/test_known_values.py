"""Which values have an id of their own, what the others are, and how large the tables get."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recnas.data_prep.known_values
from recnas.data import Dataset
from recnas.data.describe import describe
from recnas.data_prep import prepare
from recnas.data_prep.known_values import table_rows_of
from recnas.features.feature import SparseFeature, table_rows
from recnas.features.raw_values import raw_value
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError

ROLES = {"label": "y", "dense": ["x:none"], "sparse": ["id"], "multi": ["tags"], "time": "x", "split": "time"}


def _log(folder: Path, rows: list[dict[str, str]]) -> Path:
    """Rows in the order of time, of which the first eight tenths are for training."""
    lines = (f"{place % 2},{place},{row['id']},{row['tags']}\n" for place, row in enumerate(rows))
    (folder / "log.csv").write_text("y,x,id,tags\n" + "".join(lines))
    return folder / "log.csv"


def _rows() -> list[dict[str, str]]:
    """A hundred rows; `new` and its like are only in the last twenty, `rare…` in one row each."""
    rows = [{"id": f"user{place % 7}", "tags": f"a|b{place % 3}"} for place in range(100)]
    for place in range(0, 80, 10):
        rows[place] = {"id": f"rare{place}", "tags": f"rare{place}|a"}
    for place in range(80, 100, 2):
        rows[place] = {"id": "new", "tags": "new|newer"}
    rows[5] = rows[95] = {"id": "", "tags": ""}
    return rows


def _found(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(folder / split / "*.parquet") for split in SPLITS]).sort("x")


def _values(row: dict[str, str], feature: SparseFeature) -> list[str]:
    return [value for value in row[feature.name].split("|" if feature.multi_valued else "\0") if value]


@pytest.mark.parametrize(("unseen", "min_count"), [(None, None), ("shared", 3), ("missing", None), ("missing", 3)])
def test_values_of_enough_training_rows_have_an_id_and_the_others_what_is_asked_for(tmp_path, unseen, min_count):
    rows = _rows()
    schema = prepare("tabular", tmp_path / "out", _log(tmp_path, rows), unseen=unseen, min_count=min_count, **ROLES)
    assert Schema.load(tmp_path / "out") == schema
    least = min_count or (1 if unseen == "missing" else 2)
    found = _found(tmp_path / "out")
    for feature in schema.sparse:
        counts = Counter(raw_value(value) for row in rows[:80] for value in _values(row, feature))
        kept = sorted(value for value, count in counts.items() if count >= least)
        assert list(feature.kept) == kept
        assert raw_value("new") not in kept
        assert feature.unseen == (unseen or "shared")
        assert feature.rows == len(kept) + (1 if unseen == "missing" else 2)
        shared = [] if unseen == "missing" else [len(kept)]
        for row, ids in zip(rows, found[feature.name], strict=True):
            raw = [raw_value(value) for value in _values(row, feature)]
            expected = [place for value in raw for place in ([kept.index(value)] if value in kept else shared)]
            assert (ids.to_list() if feature.multi_valued else [] if ids is None else [ids]) == expected
    # Training rows come to the row of the values that share an id, so that it is trained; missing values do not.
    rows_of_ids = _table_rows(tmp_path / "out", schema.sparse[0])
    if unseen != "missing":
        assert rows_of_ids.count(schema.sparse[0].rows - 1) == 8
    assert rows_of_ids.count(0) == 1 + (8 if least == 3 and unseen == "missing" else 0)
    assert max(rows_of_ids) < schema.sparse[0].rows


def _table_rows(folder: Path, feature: SparseFeature) -> list[int]:
    (batch,) = Dataset(folder).batches("train", 80)
    return batch.sparse[feature.name].values().tolist()


def test_an_unseen_value_has_no_known_ones_row_at_serving(tmp_path):
    schema = prepare("tabular", tmp_path / "out", _log(tmp_path, _rows()), **ROLES)
    known = {value: schema.encode({"x": 0, "id": value, "tags": []}).ids[0, 0] for value in ("user1", "user2")}
    unseen = {schema.encode({"x": 0, "id": f"stranger{n}", "tags": []}).ids[0, 0] for n in range(50)}
    assert unseen == {schema.sparse[0].rows - 1}
    assert not unseen & {*known.values(), 0}


def test_a_capped_table_hashes_the_places_so_that_each_row_still_has_its_values(tmp_path):
    feature = prepare("tabular", tmp_path / "out", _log(tmp_path, _rows()), **ROLES).capped(4).sparse[0]
    ids = [feature.id_of(value) for value in ("stranger", *(f"user{n}" for n in range(7)))]
    assert table_rows(np.array(ids, dtype=np.uint32), feature.rows).tolist() == [place % 3 + 1 for place in ids]
    assert ids[0] == 7


def test_hashed_values_stand_for_themselves(tmp_path):
    rows = _rows()
    schema = prepare("tabular", tmp_path / "out", _log(tmp_path, rows), unseen="hash", **ROLES)
    assert [feature.kept for feature in schema.sparse] == [None, None]
    assert _found(tmp_path / "out")["id"].to_list() == [raw_value(row["id"]) for row in rows]
    # The table keeps those apart, too, that training rows do not have.
    distinct = np.array(sorted({raw_value(row["id"]) for row in rows if row["id"]}), dtype=np.uint32)
    assert schema.sparse[0].rows == table_rows_of(distinct)


def test_hashed_tables_are_bounded_together_and_that_is_said(tmp_path, monkeypatch, capsys):
    path = tmp_path / "log.csv"
    path.write_text("y,a,b,c\n" + "".join(f"{n % 2},a{n % 500},b{n % 300},c{n % 7}\n" for n in range(1500)))

    def rows(**options) -> list[int]:
        roles = {"label": "y", "sparse": ["a", "b", "c"], "unseen": "hash"}
        return [
            item.rows for item in prepare("tabular", tmp_path / "out", path, overwrite=True, **roles, **options).sparse
        ]

    free = rows()
    assert "some values share" not in capsys.readouterr().err
    monkeypatch.setattr(recnas.data_prep.known_values, "MOST_HASHED_ROWS", 700)
    bounded = rows()
    # The small table has what it needs, the others are as large as each other.
    assert bounded[2] == free[2]
    assert sum(bounded) <= 700
    assert bounded[0] == (700 - free[2]) // 2
    assert bounded[1] > 300
    assert f"a {bounded[0]:,} for 500 values; --max-rows N" in capsys.readouterr().err
    # What the user says holds.
    assert max(rows(max_rows=2000)) > 700
    assert "some values share" not in capsys.readouterr().err


def test_columns_with_too_many_known_values_are_hashed_and_that_is_said(tmp_path, monkeypatch, capsys):
    path = tmp_path / "log.csv"
    lines = (f"{n % 2},a{n % 10},b{n % 7},c{n % 5},d{n % 4}\n" for n in range(200))
    path.write_text("y,a,b,c,d\n" + "".join(lines))
    roles = {"label": "y", "sparse": ["a", "b", "c", "d"]}

    def hashed(**options) -> list[str]:
        schema = prepare("tabular", tmp_path / "out", path, overwrite=True, **roles, **options)
        return [feature.name for feature in schema.sparse if feature.kept is None]

    assert hashed() == []
    assert "hashed" not in capsys.readouterr().err
    monkeypatch.setattr(recnas.data_prep.known_values, "MOST_KNOWN", 8)
    assert hashed() == ["a"]
    # Of the others the largest, until the rest fits.
    monkeypatch.setattr(recnas.data_prep.known_values, "MOST_KNOWN_IN_ALL", 9)
    assert hashed() == ["a", "b"]
    assert "hashed, as the schema lists at most 8 values of a column and 9 in all: a, b" in capsys.readouterr().err
    assert hashed(unseen="shared") == hashed(unseen="missing") == []
    assert hashed(unseen="hash") == ["a", "b", "c", "d"]


def test_values_that_share_an_id_are_counted_for_the_user(tmp_path, capsys):
    prepare("tabular", tmp_path / "out", _log(tmp_path, _rows()), **ROLES)
    line = "values that are rare in training rows share an id with those never seen: id 8 of 15, tags 8 of 12"
    assert line in capsys.readouterr().err


@pytest.mark.parametrize("unseen", ["shared", "missing"])
def test_all_values_may_be_rare(tmp_path, unseen):
    path = tmp_path / "log.csv"
    path.write_text("y,id,tags\n" + "".join(f"{n % 2},{n},t{n}|u{n}\n" for n in range(40)))
    roles = {"label": "y", "sparse": ["id"], "multi": ["tags"]}
    schema = prepare("tabular", tmp_path / "out", path, min_count=2, unseen=unseen, **roles)
    assert [(feature.kept, feature.rows, feature.words) for feature in schema.sparse] == [((), 2, ())] * 2
    found = pl.read_parquet(tmp_path / "out" / "train" / "*.parquet")
    if unseen == "missing":
        assert found["id"].null_count() == 32
        assert found["tags"].list.len().sum() == 0
    else:
        assert found["id"].to_list() == [0] * 32
        assert found["tags"].to_list() == [[0, 0]] * 32


def test_a_bounded_table_knows_the_most_frequent_values(tmp_path):
    path = tmp_path / "log.csv"
    values = [value for value in range(1, 9) for _ in range(10 * value)]
    path.write_text("y,id\n" + "".join(f"{n % 2},{value}\n" for n, value in enumerate(values)))
    options = {"label": "y", "sparse": ["id"], "overwrite": True}
    for unseen, kept in (("shared", (7, 8)), ("missing", (6, 7, 8))):
        (feature,) = prepare("tabular", tmp_path / "out", path, max_rows=4, unseen=unseen, **options).sparse
        assert (feature.rows, feature.kept) == (4, kept)
    (feature,) = prepare("tabular", tmp_path / "out", path, max_rows=4, unseen="hash", **options).sparse
    assert (feature.rows, feature.kept) == (4, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unseen": "mean"}, "--unseen mean: it is one of shared, hash, missing"),
        ({"min_count": 0}, "--min-count 0: it must be 1 or more"),
        ({"unseen": "hash", "min_count": 2}, "--min-count is for --unseen shared or missing"),
        ({"max_rows": 1}, "--max-rows 1: it must be from 2 to"),
        ({"max_rows": 2, "unseen": "shared"}, "--max-rows 2: it must be from 3 to"),
    ],
)
def test_options_that_cannot_be_are_refused_before_a_row_is_read(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        prepare("tabular", tmp_path / "out", _log(tmp_path, _rows()), **ROLES, **options)
    assert not (tmp_path / "out").exists()


def test_the_words_of_frequent_values_are_in_the_schema_and_shown(tmp_path):
    rows = _rows()
    for unseen in ("shared", "hash"):
        options = {"unseen": unseen, "overwrite": True}
        schema = prepare("tabular", tmp_path / "out", _log(tmp_path, rows), **ROLES, **options)
        feature, tags = schema.sparse
        counts = Counter(value for row in rows[:80] for value in _values(row, feature))
        frequent = [word for word, count in counts.items() if count > 1]
        assert sorted(feature.words) == sorted(frequent) == [f"user{n}" for n in range(7)]
        assert [counts[word] for word in feature.words] == sorted(counts.values(), reverse=True)[:7]
        assert set(tags.words) == {"a", "b0", "b1", "b2"}
        shown = dict(describe(tmp_path / "out").sparse[0].most_frequent)
        assert set(shown) <= {*feature.words, "new", str(raw_value("new")), "(rare or unseen)"}
        assert {"user1", "user2"} & set(shown)


def test_words_are_as_few_as_said_and_whole_numbers_are_written_in_one_way(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("y,id\n" + "".join(f"{n % 2},{n % 30}.0\n" for n in range(300)))
    (feature,) = prepare("tabular", tmp_path / "out", path, label="y", sparse=["id"]).sparse
    assert len(feature.words) == 20
    assert set(feature.words) < {str(n) for n in range(30)}


@settings(deadline=None)
@given(
    st.sets(st.integers(0, 2**32 - 1) | st.integers(0, 300), max_size=40),
    st.integers(1, 50),
)
def test_a_table_keeps_ids_apart_wherever_it_can(values, step):
    for ids in (np.array(sorted(values), dtype=np.uint32), np.arange(7, 7 + 3 * len(values), 3, dtype=np.uint32)):
        most = max(1024, 4 * len(ids))
        rows = table_rows_of(ids)
        assert max(2, len(ids) + 1) <= rows <= max(2, most + 1)
        shares = [len(ids) - len(set((ids % m).tolist())) for m in range(max(1, len(ids)), most + 1)]
        taken = table_rows(ids, rows)
        assert len(ids) - len(set(taken.tolist())) == min(shares)
        assert shares[rows - 1 - max(1, len(ids))] == min(shares)
        assert min(shares) < min(shares[: rows - 1 - max(1, len(ids))], default=len(ids) + 1)


@pytest.mark.parametrize("count", [5, 3000])
def test_the_table_of_a_range_of_numbers_has_as_many_rows(count):
    assert table_rows_of(np.arange(10**6, 10**6 + count, dtype=np.uint32)) == count + 1
    with_gaps = np.setdiff1d(np.arange(count), [1, 2]).astype(np.uint32)
    assert count - 1 <= table_rows_of(with_gaps) <= count + 1
    assert len(set(table_rows(with_gaps, table_rows_of(with_gaps)).tolist())) == count - 2


def test_the_table_of_many_hashed_ids_stays_in_proportion():
    ids = np.unique(np.random.default_rng(0).integers(0, 2**32, 10_000, dtype=np.uint32))
    rows = table_rows_of(ids)
    assert rows <= 4 * len(ids) + 1
    assert len(np.unique(ids % (rows - 1))) > 0.85 * len(ids)
