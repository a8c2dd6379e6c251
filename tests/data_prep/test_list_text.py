"""Lists that are text: in brackets they are read, and what nothing parts though it looks like lists is told of."""

import json

import pandas as pd
import polars as pl
import pytest

from recnas.data_prep import prepare
from recnas.features.raw_values import raw_value
from recnas.features.schema import SPLITS
from recnas.util.errors import InputError
from tests.export.written_rows import assert_project_reads

LISTS = [[11, 5], [7], [], [11, 5, 7]]


def table(write, count: int = 80) -> list[dict]:
    return [{"click": n % 3 // 2, "user": f"u{n % 3}", "hist": write(LISTS[n % 4])} for n in range(count)]


def pandas_csv(rows, path):
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    "write", [json.dumps, str, lambda items: f"[{' '.join(map(str, items))}]", lambda items: items]
)
def test_lists_in_brackets_have_the_ids_of_their_items(tmp_path, write) -> None:
    rows = table(write)
    options = {"label": "click", "sparse": ["user"], "multi": ["hist"], "unseen": "hash"}
    schema = prepare("tabular", tmp_path / "out", pandas_csv(rows, tmp_path / "a.csv"), progress=False, **options)
    found = pl.concat([pl.read_parquet(tmp_path / "out" / split / "*.parquet") for split in SPLITS])["hist"].to_list()
    expected = [[raw_value(item) for item in items] for items in LISTS]
    assert sorted(found) == sorted(expected * 20)
    texts = [row | {"hist": str(row["hist"])} for row in rows[:4]]
    assert_project_reads(schema, tmp_path / "project", texts)
    for row, items in zip(texts, LISTS, strict=True):
        values = schema.encode(row).lists[0].values.tolist()
        assert values == schema.encode(row | {"hist": items}).lists[0].values.tolist()


def test_a_list_that_was_shortened_is_a_bad_row(tmp_path) -> None:
    rows = table(str)
    rows[5]["hist"] = "[0 1 ... 9]"
    options = {"label": "click", "sparse": ["user"], "multi": ["hist"]}
    with pytest.raises(InputError, match=r"row 6: hist is '\[0 1 \.\.\. 9\]', which is not a list of strings or whole"):
        prepare("tabular", tmp_path / "out", pl.DataFrame(rows), progress=False, **options)


@pytest.mark.parametrize(("separator", "shown"), [(" ", "' '"), (", ", "','"), (";", "';'"), ("\t", r"$'\t'")])
def test_lists_that_nothing_parts_are_refused_with_the_separator_to_pass(tmp_path, separator, shown) -> None:
    rows = table(lambda items: separator.join(map(str, items)))
    options = {"label": "click", "sparse": ["user"], "multi": ["hist"], "progress": False}
    with pytest.raises(InputError) as refused:
        prepare("tabular", tmp_path / "out", pl.DataFrame(rows), **options)
    message = str(refused.value)
    assert message.startswith(
        "--multi hist: none of the first 60 values has '|' between two ids, and many look like lists"
    )
    assert message.endswith(f"; give --multi-separator {shown}, or '|' if each is one id")
    schema = prepare("tabular", tmp_path / "out", pl.DataFrame(rows), multi_separator=separator, **options)
    assert schema.encode(rows[3]).lists[0].offsets.tolist() == [0, 3]
    schema = prepare("tabular", tmp_path / "out", pl.DataFrame(rows), multi_separator="|", overwrite=True, **options)
    assert schema.encode(rows[3]).lists[0].offsets.tolist() == [0, 1]


def test_words_that_are_no_lists_pass(tmp_path) -> None:
    rows = [row | {"hist": "tag"} for row in table(str)]
    prepare("tabular", tmp_path / "out", pl.DataFrame(rows), label="click", multi=["hist"], progress=False)


def test_inferred_roles_take_lists_in_brackets_for_lists_and_tell_of_others(tmp_path, capsys) -> None:
    brackets = [row["hist"] for row in table(str)]
    spaces = [row["hist"] for row in table(lambda items: " ".join(map(str, items or [3, 4])))]
    words = [row["hist"] for row in table(lambda items: "|".join(f"t{item}" for item in items or [3, 4]))]
    city = ["New York, NY"] * 40 + ["Los Angeles, CA"] * 40
    rows = pl.DataFrame(table(str)).with_columns(
        brackets=pl.Series(brackets), spaces=pl.Series(spaces), words=pl.Series(words), city=pl.Series(city)
    )
    prepare("tabular", tmp_path / "out", rows)
    shown = capsys.readouterr().err
    assert "brackets  multi   lists, as text in brackets: [11, 5], [7], []" in shown
    assert (
        "spaces looks like lists such as '11 5', each taken as one id; --multi spaces --multi-separator ' ' parts"
        in shown
    )
    assert "words looks like lists such as 't11|t5', each taken as one id; --multi words parts them" in shown
    assert "city looks" not in shown


@pytest.mark.parametrize(
    ("write", "lists"), [("{},50", True), ("{},20 EUR", False), ("1.{:03},20 €", False), ("${}.50", False)]
)
def test_numbers_written_otherwise_are_told_of_and_not_as_lists(tmp_path, capsys, write, lists) -> None:
    rows = [row | {"price": write.format(n % 30)} for n, row in enumerate(table(str))]
    prepare("tabular", tmp_path / "out", pl.DataFrame(rows))
    note = (
        f"price looks like numbers such as {write.format(0)!r}, each taken as one id; written as 11.5, without a unit, "
        "they can be dense"
    )
    assert f"{note}{'; --multi price --multi-separator , parts lists' if lists else ''}\n" in capsys.readouterr().err
