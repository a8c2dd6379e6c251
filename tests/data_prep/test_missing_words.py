"""Words for a missing value: a database's NULL among numbers and ids, in every format, and when the model serves."""

import json
import re

import pandas as pd
import polars as pl
import pytest

from recnas.data_prep import prepare
from recnas.data_prep.missing_words import OF_IDS, OF_NUMBERS
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError
from tests.export.written_rows import assert_project_reads

WORDS = ["\\N", "NULL", "None", "nan"]


def table(count: int = 120) -> list[dict]:
    """Rows whose `row` is their number: each third price and user is a word for a missing one."""
    return [
        {
            "click": str(n % 2),
            "row": str(n),
            "price": WORDS[n % 4] if n % 3 == 0 else f"{n / 4}",
            "user": f" {WORDS[n % 4]}" if n % 3 == 0 else f"u{n % 5}",
            "country": ("NA", "DE", "none")[n % 3],
            "tags": "a|NULL|b" if n % 2 else "[None, 'a']",
        }
        for n in range(count)
    ]


def rows_of(folder) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(folder / split / "*.parquet") for split in SPLITS]).sort("row")


def prepared(tmp_path, input, **options):
    """The schema and the rows of a data set."""
    roles = {"label": "click", "dense": ["row:none", "price:none"], "sparse": ["user", "country"], "multi": ["tags"]}
    schema = prepare("tabular", tmp_path / "out", input, progress=False, overwrite=True, **(roles | options))
    return schema, rows_of(tmp_path / "out")


def test_usual_words_are_missing_values_in_every_format_and_are_kept_in_the_schema(tmp_path) -> None:
    rows = table()
    pl.DataFrame(rows).write_csv(tmp_path / "a.csv")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = {}
    for input in (tmp_path / "a.csv", tmp_path / "a.jsonl", pd.DataFrame(rows), pl.DataFrame(rows)):
        schema, read = prepared(tmp_path, input)
        found[str(type(input)), str(input)[-5:]] = read
        assert [feature.missing for feature in schema.dense] == [OF_NUMBERS] * 2
        assert [feature.missing for feature in schema.sparse] == [OF_IDS] * 3
        assert Schema.load(tmp_path / "out") == schema
        user, country, tags = schema.sparse
        assert len(user.kept) == 5
        # Namibia is no missing value, nor is an answer.
        assert len(country.kept) == 3
        assert len(tags.kept) == 2
        assert read["price"].to_list() == [None if n % 3 == 0 else n / 4 for n in range(120)]
        assert read["user"].is_null().to_list() == [n % 3 == 0 for n in range(120)]
        assert read["tags"].list.len().to_list() == [2 if n % 2 else 1 for n in range(120)]
    first, *others = found.values()
    assert all(first.equals(other) for other in others)


def test_what_serves_reads_the_words_as_preparation_did(tmp_path) -> None:
    rows = table()
    schema, _ = prepared(tmp_path, pl.DataFrame(rows), missing=["\\N", "NULL", "None", "-9"])
    odd = [
        rows[1] | {"price": price, "user": user} for price, user in ((-9, -9), ("-9.0", " -9.0"), (" NULL", "NULL "))
    ]
    absent = schema.encode(rows[1] | {"price": None, "user": None})
    for row in odd:
        encoded = schema.encode(row)
        assert (encoded.dense[0, 1], encoded.ids[0, 0]) == (absent.dense[0, 1], absent.ids[0, 0]) == (0, 0)
    assert schema.encode(rows[1] | {"user": "nan"}).ids[0, 0] != 0
    assert_project_reads(schema, tmp_path / "project", [rows[1], *odd])


def test_words_of_the_users_own_take_the_place_of_the_usual_ones(tmp_path) -> None:
    rows = [row | {"price": "-" if row["price"] in WORDS else row["price"]} for row in table()]
    with pytest.raises(InputError, match=r"price is '-', which is not a finite number"):
        prepared(tmp_path, pl.DataFrame(rows))
    schema, read = prepared(tmp_path, pl.DataFrame(rows), missing=["-", "NA"])
    assert schema.dense[1].missing == schema.sparse[0].missing == ("-", "NA")
    assert read["price"].to_list() == [None if n % 3 == 0 else n / 4 for n in range(120)]
    assert read["country"].is_null().to_list() == [n % 3 == 0 for n in range(120)]
    assert read["user"].null_count() == 0
    schema, read = prepared(tmp_path, pl.DataFrame(rows), missing=[], sparse=["price", "user"], dense=["row:none"])
    assert read.null_count().sum_horizontal().item() == 0
    assert {feature.missing for feature in (*schema.dense, *schema.sparse)} == {()}


def inferred(tmp_path, capsys, rows, **options) -> str:
    """The plan that is shown."""
    prepare("tabular", tmp_path / "out", pl.DataFrame(rows), overwrite=True, **options)
    return capsys.readouterr().err


def test_roles_are_inferred_without_the_words_and_what_counts_as_missing_is_said(tmp_path, capsys) -> None:
    rows = [row | {"price": "NA" if n % 3 == 1 else row["price"]} for n, row in enumerate(table())]
    shown = inferred(tmp_path, capsys, rows)
    assert re.search(r"price +dense +numbers: 0\.5", shown)
    assert "Words that count as missing values: price NA, NULL, None, \\N, nan; user NULL, None, \\N, nan " in shown
    assert "country: NA, none counts as a value; --missing NA NULL None '\\N' nan none makes it a missing one" in shown


@pytest.mark.parametrize("every", [20, 3])
def test_a_column_of_numbers_but_for_an_unknown_word_is_told_of(tmp_path, capsys, every) -> None:
    rows = [row | {"price": "?" if n % every == 0 else f"{n / 4}"} for n, row in enumerate(table())]
    shown = inferred(tmp_path, capsys, rows)
    assert "price: numbers but for ?, so ids; if that is none: --missing '?' NULL None '\\N' nan" in shown
    shown = inferred(tmp_path, capsys, rows, missing=["?"])
    assert re.search(r"price +dense +numbers: ", shown)
    assert "Words that count as missing values: price ? (--missing names others)" in shown


def test_words_among_values_of_several_types_are_missing_values_too(tmp_path, capsys) -> None:
    rows = [row | {"price": "NULL" if n % 3 == 0 else n / 4} for n, row in enumerate(table())]
    prepare("tabular", tmp_path / "out", pd.DataFrame(rows), overwrite=True)
    shown = capsys.readouterr().err
    assert re.search(r"price +dense +numbers: 0\.25", shown)
    assert "Words that count as missing values: price NULL; user" in shown
    with open(tmp_path / "a.jsonl", "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    prepare("tabular", tmp_path / "json", tmp_path / "a.jsonl", progress=False)
    assert Schema.load(tmp_path / "json").dense == Schema.load(tmp_path / "out").dense
