"""JSON and YAML from anywhere are plain values within bounds, or one line that names the file and the place."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.util import forms, result_forms
from recnas.util.documents import (
    MOST_DEPTH,
    MOST_DIGITS,
    MOST_LOG_BYTES,
    check_form,
    parse_json,
    parse_yaml,
    read_bytes,
)
from recnas.util.errors import InputError
from recnas.util.files import read_json, read_json_lines, read_yaml

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(VALUES)
def test_what_python_writes_is_read_back(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"[" * 100_000, "deeper in one another than 64"),
        (b"[" * 100_000 + b"]" * 100_000, "deeper in one another than 64"),
        (b"[" * (MOST_DEPTH + 2) + b"]" * (MOST_DEPTH + 2), "deeper in one another than 64"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "a whole number of 5,000 digits"),
        (b'{"a": 1, "a": 2}', "the key 'a' is there twice in one object"),
        (rb'{"a": "\ud800"}', r"half of a character in '\ud800'"),
        (rb'{"\udc00": 1}', r"half of a character in the key '\udc00'"),
        (b"\xff", "can't decode byte 0xff"),
    ],
)
def test_json_beyond_the_bounds_is_refused(text: bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told.replace("\\", r"\\")):
        parse_json(text)
    (tmp_path / "file.json").write_bytes(text)
    with pytest.raises(InputError, match=r"file\.json: not JSON \(.*\); do this") as refused:
        read_json(tmp_path / "file.json", "do this")
    assert "\n" not in str(refused.value)


def test_json_at_the_bounds_is_read() -> None:
    assert parse_json("9" * MOST_DIGITS) == int("9" * MOST_DIGITS)
    assert parse_json(rb'["\ud83d\ude00"]') == ["😀"]
    assert parse_json("[" * MOST_DEPTH + "]" * MOST_DEPTH)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &x [1]\nb: *x", r"the alias \*x is not read; write the values out"),
        ("a: &x\n  <<: *x", "the alias"),
        ("a: !!python/object/apply:os.system ['true']", "the tag .* is not read"),
        ("a: !!timestamp 2020-01-01", "the tag .* is not read"),
        ("a: 1\na: 2", "the key 'a' is there twice"),
        ("a: " + "9" * 5_000, "a number of 5,000 characters"),
        ("[" * 400, "deeper in one another"),
        ("a: " + "[" * 70 + "]" * 70, "deeper in one another"),
        ("1: 2", "the key 1 is no text"),
        ("a: \x00", "not YAML"),
        ("- 1", "a mapping of settings is expected"),
        ("a" * 200_000, "at most 131,072 are read"),
    ],
)
def test_yaml_beyond_plain_values_is_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match=rf"p\.yaml: .*{told}") as refused:
        parse_yaml(text, "p.yaml")
    assert "\n" not in str(refused.value)


def test_a_date_in_yaml_is_text() -> None:
    assert parse_yaml("a: 2020-01-01\nb: 2020-01-01T00:00:00Z", "") == {"a": "2020-01-01", "b": "2020-01-01T00:00:00Z"}


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe, endless = tmp_path / "pipe", tmp_path / "endless"
    os.mkfifo(pipe)
    endless.symlink_to("/dev/zero")
    for path in (pipe, endless, tmp_path):
        for read in (read_json, read_json_lines, read_yaml):
            with pytest.raises(InputError, match="cannot be read"):
                read(path)


def test_a_form_names_the_place_that_does_not_fit(tmp_path: Path) -> None:
    results = {"best": "a", "models": [{"id": "a", "kind": "searched"}, {"id": "b", "kind": "searched"}]}
    check_form(results, result_forms.Results)
    for change, told in (
        ({"best": 7}, "best: input should be a valid string, it is 7"),
        ({"front": "a"}, "front: input should be a valid list, it is 'a'"),
        ({"data": {"rows": {"train": float("inf")}}}, "data.rows.train: "),
        ({"models": [results["models"][0], {"id": "b"}]}, "models[1]: no 'kind'"),
        ({"models": [{"id": "a", "kind": "searched", "parameters": 10**30}]}, "models[0].parameters: "),
        ({"models": [{"id": "a", "kind": "searched", "learning_rate": "0.1"}]}, "models[0].learning_rate: "),
    ):
        with pytest.raises(ValueError) as refused:  # noqa: PT011 - what it says is looked at below
            check_form(results | change, result_forms.Results)
        assert str(refused.value).startswith(told)
    (tmp_path / "log.jsonl").write_text('{"rows": 1, "step": 1}\n{"rows": "1", "step": 2}\n')
    with pytest.raises(InputError, match=r"log\.jsonl:2: rows: input should be a valid integer, it is '1'"):
        read_json_lines(tmp_path / "log.jsonl", forms.StepLine)


def test_reading_a_file_takes_the_memory_of_the_file_and_not_of_the_bound(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_bytes(b"x" * 1000)
    tracemalloc.start()
    try:
        assert read_bytes(file, MOST_LOG_BYTES) == b"x" * 1000
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
