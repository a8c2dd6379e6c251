"""The value of an id: its spellings are one, whatever reads it; what is another stays apart; lists that are text."""

import json
import math
from decimal import Decimal
from types import ModuleType

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recnas.features.columns import read_ids, read_lists
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.raw_values import BLANKS, hash_string, id_text, items_of, list_items, raw_value
from recnas.features.schema import SPLITS, Schema
from recnas.util.errors import InputError
from tests.export.written_rows import outcome_of_encode, outcome_of_written, written_rows

LARGEST = 2**31 - 1
SCHEMA = Schema(
    "y",
    (DenseFeature("price", {"name": "none"}, missing=("-9", "NA")),),
    (
        SparseFeature("id", LARGEST),
        SparseFeature("some", LARGEST, missing=("-9", "NULL")),
        SparseFeature("word", LARGEST, vocabulary=(" a", "007", "5.0", "25000000000000000")),
        SparseFeature("tags", LARGEST, multi_valued=True, separator="|", missing=("-9", "NULL")),
    ),
    {name: {"rows": 10, "positives": 4} for name in SPLITS},
)


@pytest.fixture(scope="module")
def rows_code(tmp_path_factory) -> ModuleType:
    return written_rows(SCHEMA, tmp_path_factory.mktemp("rows"))


@pytest.mark.parametrize(
    ("spellings", "value"),
    [
        ((5, 5.0, "5", " 5", "5 ", "\t5\u3000", "5.", "5.0", "5.000", "5e0", "0.5e1", "0.5E+01", "50e-1"), 5),
        ((100_000, "1e5", "1E5", "1e+05", "100000.0", "1.0E5", np.float32(1e5), Decimal("1E+5")), 100_000),
        ((0, -0.0, False, "0", "-0", "-0.0", "0.0", "0.0e7", np.bool_(False)), 0),
        ((True, 1, "1"), 1),
        ((2.5e16, 25 * 10**15, "2.5e+16", "2.5E16", "25000000000000000", "25000000000000000.0"), None),
        ((1e23, "1e+23", "1e23", int(1e23)), None),
        ((-(2**70), float(-(2**70)), str(-(2**70)), f"{-(2**70)}.00"), None),
        (("a b", " a b", "a b\u00a0"), hash_string("a b")),
        ((None, math.nan, "", " ", "\u2003\t"), None),
    ],
)
def test_spellings_of_a_value_are_one(spellings, value) -> None:
    found = {raw_value(spelling) for spelling in spellings}
    assert len(found) == 1
    assert value is None or found == {value}


def test_what_is_not_a_number_by_its_spelling_is_a_word() -> None:
    words = [
        "7",
        "007",
        "+7",
        "0x7",
        "7_0",
        "٧",
        "7,0",
        "True",
        "true",
        "A",
        "a",
        "é",
        "e\u0301",
        "0e12",
        "1e400",
        "inf",
    ]
    assert [id_text(word) for word in words] == words
    assert len({raw_value(word) for word in words}) == len(words)
    for number in (0.5, math.inf, Decimal("0.5"), Decimal("inf")):
        with pytest.raises(InputError, match="is not an id: a string or a whole number"):
            raw_value(number)


def test_blanks_are_those_of_polars() -> None:
    letters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    stripped = pl.Series(letters).str.strip_chars()
    assert set(pl.Series(letters).filter(stripped == "")) == set(BLANKS)


whole = st.integers() | st.integers(-(10**20), 10**20) | st.floats(-1e25, 1e25).map(math.trunc)
blanks = st.text(st.sampled_from(BLANKS), max_size=2)


def spellings_of(number: int) -> st.SearchStrategy:
    """Ways to write a whole number."""
    ways: list[object] = [number, str(number), f"{number}.", f"{number}.00"]
    if -(2**53) < number < 2**53:
        ways += [float(number), repr(float(number)), f"{number:.17e}", f"{float(number):E}", Decimal(number)]
        ways = [way for way in ways if float(way) == number]
    given = st.sampled_from(ways)
    return st.tuples(given, blanks, blanks).map(
        lambda drawn: drawn[1] + drawn[0] + drawn[2] if isinstance(drawn[0], str) else drawn[0]
    )


@settings(max_examples=50, deadline=None)
@given(whole, st.data())
def test_every_reader_gives_a_whole_number_the_id_of_its_digits(rows_code, number, data) -> None:
    ways = data.draw(st.lists(spellings_of(number), min_size=1, max_size=4))
    expected = raw_value(str(number))
    assert [raw_value(way) for way in ways] == [expected] * len(ways)
    texts = [way for way in ways if isinstance(way, str)]
    for kind in (pl.String, pl.Categorical):
        assert read_ids(pl.Series(texts, dtype=kind))[0].to_list() == [expected] * len(texts)
    assert read_ids(pl.Series(ways, dtype=pl.Object))[0].to_list() == [expected] * len(ways)
    assert_served_alike(rows_code, [dict.fromkeys(("id", "some", "word", "tags"), way) | {"price": 1} for way in ways])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False).map(lambda x: float(math.trunc(x))), min_size=1))
def test_a_column_of_floats_has_the_ids_of_the_text_that_it_is_written_as(values) -> None:
    expected = read_ids(pl.Series(values, dtype=pl.Float64))[0].to_list()
    for texts in (map(repr, values), map("{:.17e}".format, values), map(json.dumps, values)):
        assert read_ids(pl.Series(list(texts), dtype=pl.String))[0].to_list() == expected
    assert [raw_value(value) for value in values] == expected


words = st.text(max_size=4) | st.sampled_from(["NULL", " NULL ", "-9", "-9.0", "-9e0", "a", " a", "5", "[5, 'a']"])
numbers = st.sampled_from([-9, -9.0, 5, 5.0, 2.5e16, None, True, math.nan])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats() | st.sampled_from(["NA", " NA", "-9", "-9.0", " 7 ", ""]), words | numbers)))
def test_rows_tables_and_written_code_read_any_value_alike(rows_code, pairs) -> None:
    rows = [dict.fromkeys(("id", "some", "word", "tags"), value) | {"price": price} for price, value in pairs]
    assert_served_alike(rows_code, rows)


def assert_served_alike(rows_code: ModuleType, rows: list[dict]) -> None:
    """Each row as `Schema.encode` of a dictionary reads it, of a table, and of the code of an export."""
    for row in rows:
        expected = outcome_of_encode(SCHEMA, [row])
        assert outcome_of_written(rows_code, [row]) == expected
        tables = [
            pd.DataFrame([row], dtype=object),
            pl.DataFrame({name: pl.Series([v], dtype=pl.Object) for name, v in row.items()}),
        ]
        texts = {name: value for name, value in row.items() if isinstance(value, str)}
        if len(texts) == len(row):
            tables += [pl.DataFrame([row]), pa.Table.from_pylist([row])]
        for table in tables:
            encoded = SCHEMA.encode(table) if isinstance(expected, list) else None
            if encoded is None:
                with pytest.raises(InputError):
                    SCHEMA.encode(table)
                continue
            for array, other in zip(encoded.arrays, SCHEMA.encode([row]).arrays, strict=True):
                np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("[11, 5]", ["11", "5"]),
        ("[11 5]", ["11", "5"]),
        (str(np.array([7, 2500])), ["7", "2500"]),
        (str(np.array([7.0, 2.5e16])), ["7.0e+00", "2.5e+16"]),
        (str(np.array(["a b", "c"])), ["a b", "c"]),
        (str(["a", "b's", 'q"', "x,y", "[z]", "k\xa0l", "\\"]), ["a", "b's", 'q"', "x,y", "[z]", "k\xa0l", "\\"]),
        (json.dumps(["é", "😀", "a/b"]), ["é", "😀", "a/b"]),
        ("[null, true, 2.5e16, None, nan]", [None, "1", "2.5e16", None, None]),
        ("[New York, Rome]", ["New York", "Rome"]),
        ("[New York]", ["New York"]),
        ("['11']", ["11"]),
        ("[]", []),
        ("[ ]", []),
    ],
)
def test_a_list_that_is_text_in_brackets_is_read(text, items) -> None:
    assert list_items(text) == items
    assert items_of(f" {text} ", "|") == items
    ids = [raw_value(item) for item in items if item is not None]
    assert read_lists(pl.Series([text, None, "a|b"]), "|")[0].to_list() == [ids, [], [raw_value("a"), raw_value("b")]]


@pytest.mark.parametrize(
    "text",
    [
        "[[1], [2]]",
        "[{'a': 1}]",
        "[0 1 ... 9]",
        "[a]|[b]",
        "['a' b]",
        "[it's]",
        "['\\q']",
        "['\\ud800']",
        "[1, 'a' 'b']",
    ],
)
def test_text_in_brackets_that_is_no_list_is_refused(rows_code, text) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        list_items(text)
    _, misfits = read_lists(pl.Series(["1|2", text]), "|")
    assert misfits.tolist() == [False, True]
    row = {"id": 1, "some": 1, "word": 1, "price": 1, "tags": text}
    assert_served_alike(rows_code, [row])
    with pytest.raises(InputError, match=r"row 1: tags is .*, which is not a list of strings or whole numbers"):
        SCHEMA.encode(row)


@given(st.lists(st.text() | st.integers() | st.booleans() | st.none()))
def test_lists_as_json_and_python_write_them_have_the_ids_of_their_items(items) -> None:
    expected = [id_text(item) for item in items]
    for text in (json.dumps(items), json.dumps(items, ensure_ascii=False), str(items)):
        assert [id_text(item) for item in list_items(text)] == expected


def test_a_string_has_the_same_hash_everywhere():
    assert [hash_string(text) for text in ("", "Alien (1979)", "é")] == [634351890, 3009526956, 3259254165]
