"""Which values of a label are a click."""

import io
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.cli import main
from recnas.data_prep import prepare
from recnas.data_prep.label_words import label_words, read_labels
from recnas.data_prep.labels import LabelRule, Labels, label_rule
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError


def _table(labels: list, name: str = "bought") -> pl.DataFrame:
    return pl.DataFrame({name: labels, "user": [f"u{place % 7}" for place in range(len(labels))]}, strict=False)


def _positives(schema: Schema) -> int:
    return sum(schema.splits[split]["positives"] for split in SPLITS)


@pytest.mark.parametrize(
    ("no", "yes", "positive"),
    [
        ("no", "yes", ("yes",)),
        (" No", "YES ", ("yes",)),
        ("f", "t", ("t",)),
        ("n", "y", ("y",)),
        ("-1", "1", ("1",)),
        ("-1", "+1", ("1",)),
        (-1, 1, ("1",)),
        (-1.0, 1.0, ("1",)),
        ("low", "high", ("high",)),
        ("negative", "positive", ("positive",)),
        ("not_clicked", "clicked", ("clicked",)),
        ("No Click", "Click", ("click",)),
        ("non-fraud", "fraud", ("fraud",)),
        ("impression", "click", ("click",)),
        ("0", "1", None),
        ("0.00", "1.00", None),
        (0.0, 1.0, None),
        ("False", "True", None),
        (False, True, None),
    ],
)
def test_of_two_plain_values_one_is_the_click(tmp_path, no, yes, positive):
    table = _table([no, no, no, yes] * 40)
    schema = prepare("tabular", tmp_path / "out", table, label="bought", sparse=["user"], progress=False)
    assert (schema.positive, _positives(schema)) == (positive, 40)
    assert Schema.load(tmp_path / "out").positive == positive


def test_a_plain_label_is_inferred_and_what_is_a_click_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    _table(["no", "yes"] * 60, "Click").write_csv(tmp_path / "a.csv")
    command = ["prepare", "tabular", "--input", str(tmp_path / "a.csv"), "--output", str(tmp_path / "out")]
    assert main([*command, "--yes"]) == 0
    out, err = capsys.readouterr()
    assert "yes is a click, no is none" in err
    assert "a click is a row whose Click is yes\n" in out
    assert main([*command, "--overwrite", "--quiet", "--label", "Click", "--sparse", "user"]) == 0
    assert "a click is a row whose Click is yes\n" in capsys.readouterr().out


def test_a_value_that_is_neither_of_the_two_is_a_bad_row(tmp_path):
    labels = ["no", "yes"] * 50
    labels[60] = "maybe"
    with pytest.raises(InputError, match=r"table:row 61: bought is 'maybe', which is not no or yes; --on-bad-row skip"):
        prepare("tabular", tmp_path / "out", _table(labels), label="bought", sparse=["user"])
    labels[60] = ""
    with pytest.raises(InputError, match=r"table:row 61: bought is missing, which is not no or yes"):
        prepare("tabular", tmp_path / "out", _table(labels), label="bought", sparse=["user"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            ["Basic", "Gold plan", "Basic"],
            r"holds basic \(60 rows\), gold plan \(30 rows\), and neither is plainly the click; "
            r"give --positive basic or --positive 'gold plan'",
        ),
        ([1, 2, 2], r"holds 2 \(60 rows\), 1 \(30 rows\), and neither is plainly the click; give --positive 2 or"),
        ([0, 2, 2], r"give --positive 2 or --positive 0"),
        (
            [1, 2, 3, 4, 5],
            r"holds 1 \(30 rows\), 2 .*, 5 \(30 rows\), where 0 and 1 are expected; give the values that are a click, "
            r"--positive VALUE",
        ),
        ([0, 0, 0, 1, 1, 2, 3], r"where 0 and 1 are expected"),
        ([0, -1, 1], r"where 0 and 1 are expected"),
        ([*range(20)], r"and 15 more values, where 0 and 1 are expected"),
        (["unknown", "known", "yes"], r"where 0 and 1 are expected"),
        (["bought"], r"holds bought \(30 rows\), where 0 and 1 are expected"),
    ],
)
def test_values_of_which_none_is_plainly_the_click_are_shown_with_what_to_pass(tmp_path, labels, message):
    with pytest.raises(InputError, match=message) as caught:
        prepare("tabular", tmp_path / "out", _table(labels * 30), label="bought", sparse=["user"])
    assert "skip" not in str(caught.value)
    with pytest.raises(InputError, match=message):
        prepare("tabular", tmp_path / "out", _table(labels * 30, "click").with_columns(bought=1), progress=False)


@pytest.mark.parametrize("kind", [pl.Int64, pl.Float32, pl.String, pl.Decimal(10, 2)])
def test_positive_says_which_ratings_are_a_click_and_the_others_are_counted(tmp_path, capsys, kind):
    ratings = [1, 2, 3, 4, 5, 5] * 40
    table = _table(ratings, "rating").with_columns(pl.col("rating").cast(kind))
    table.write_parquet(tmp_path / "a.parquet")
    flags = ["--label", "rating", "--positive", "4", "5.0", "--sparse", "user", "--quiet"]
    paths = ["--input", str(tmp_path / "a.parquet"), "--output", str(tmp_path / "out")]
    assert main(["prepare", "tabular", *paths, *flags]) == 0
    schema = Schema.load(tmp_path / "out")
    assert schema.positive == ("4", "5")
    assert _positives(schema) == 120
    assert schema.source["negatives"] == {"1": 40, "2": 40, "3": 40}
    assert "a click is a row whose rating is 4 or 5\nno click: 1 (40 rows), 2 (40 rows), 3" in capsys.readouterr().out


@pytest.mark.parametrize("missing", [None, "", " ", "NULL", "\\N", "nan", "NA", "<NA>", "Null", "#N/A"])
def test_a_missing_label_is_never_no_click(tmp_path, missing):
    labels = ["buy", "look", "leave"] * 40
    labels[50] = missing
    options = {"label": "bought", "positive": ["buy"], "sparse": ["user"]}
    with pytest.raises(InputError, match=r"table:row 51: bought is .*, which is not a label; --on-bad-row skip"):
        prepare("tabular", tmp_path / "out", _table(labels), **options)
    schema = prepare("tabular", tmp_path / "out", _table(labels), on_bad_row="skip", **options)
    assert sum(schema.rows(split) for split in SPLITS) == 119
    assert schema.source["negatives"] == {"look": 40, "leave": 39}


@pytest.mark.parametrize(
    ("positive", "message"),
    [([], "--positive is empty"), (["NULL"], "--positive 'NULL': stands for a missing label, which is no click")],
)
def test_positive_values_that_cannot_be_are_refused(tmp_path, positive, message):
    with pytest.raises(InputError, match=message):
        prepare("tabular", tmp_path / "out", _table(["a", "b"]), label="bought", positive=positive, sparse=["user"])


def test_positive_values_that_no_row_has_are_named(tmp_path):
    table = _table(["no", "yes"] * 50)
    with pytest.raises(
        InputError, match=r"no row's label is yess, which is to be the click; there are no \(50 rows\), yes"
    ):
        prepare("tabular", tmp_path / "out", table, label="bought", positive=["yess"], sparse=["user"])


def test_a_few_odd_labels_are_bad_rows_but_not_those_of_a_count():
    ones = [0, 1] * 50
    assert label_rule("y", pl.Series([*ones, 7]), None, False) == LabelRule()
    assert label_rule("y", pl.Series([*map(str, ones), "x", "y"]), None, False) == LabelRule()
    with pytest.raises(InputError, match="where 0 and 1 are expected"):
        label_rule("y", pl.Series([*ones, 2, 3]), None, False)
    # Who has bad rows set aside has said so.
    assert label_rule("y", pl.Series([*ones, 2, 3]), None, True) == LabelRule()
    assert label_rule("y", pl.Series(["yes"] * 30), None, False) == LabelRule(("yes",), ("no",))


labels = st.one_of(
    st.none(), st.text(max_size=3), st.sampled_from(["0", "1", "0.0", "+1", " true", "False", "1e0", "2", "inf", "yes"])
)


@given(st.lists(labels), st.none() | st.just(["yes", "2"]))
def test_a_column_of_labels_is_read_as_each_label_alone(values, positive):
    column = pl.Series("y", values, dtype=pl.String)
    read, misfits = read_labels(column, positive)
    alone = [read_labels(pl.Series("y", [value], dtype=pl.String), positive)[0][0] for value in values]
    assert read.to_list() == alone
    assert (np.zeros(len(values), bool) if misfits is None else misfits).tolist() == [one is None for one in alone]


@given(st.floats(-1e6, 1e6) | st.integers(-(10**15), 10**15))
def test_a_number_is_one_word_however_it_is_written(number):
    columns = [[str(number)], [f" {number}"], [float(number)]]
    words = {label_words(pl.Series("y", values))[0] for values in columns}
    if float(number).is_integer():
        words |= {label_words(pl.Series("y", [f"{int(number)}.00"]))[0], str(int(number))}
    assert len(words) == 1


def test_of_very_many_other_values_the_rarest_are_counted_together():
    counted = Labels(LabelRule(("x",)))
    counted.count(pl.Series("y", [f"v{place:04d}" for place in range(1500)] * 2 + ["v1499"] * 3))
    negatives = counted.to_json()["negatives"]
    assert negatives == {"v1499": 5} | {f"v{place:04d}": 2 for place in range(99)} | {"other values": 2800}
