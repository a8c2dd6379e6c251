"""Columns of text that hold a list in each value: whether they do, and what parts the items."""

import shlex
from collections.abc import Iterable

import polars as pl

from recnas.data_prep.rows import unnamed
from recnas.features.raw_values import list_items
from recnas.util.errors import InputError

SEPARATOR = "|"
"""Between two items, unless the user says otherwise."""
# Of two that would do the first: blanks around an item are no part of it.
_SEPARATORS = ("|", ";", ",", "\t", " ")
_NAMES = {"\t": r"$'\t'"}
# A list may have one item only, so that not all have a separator.
_SHARE = 1 / 3
# 11,50 and 1.20 EUR: no list, and no number that is read.
_AMOUNT = r"^\s*(?:[$€£¥]|[A-Z]{3}\b)?\s*[+-]?\d+(?:[.,' ]\d{3})*[.,]\d{1,2}\s*(?:[$€£¥%]|[A-Za-z]{1,3})?\s*$"
_NUMBERS = r"^\s*[+-]?\d+(\.0*)?(?:\s*[|;,\s]\s*[+-]?\d+(\.0*)?)+\s*$"


def are_in_brackets(values: pl.Series) -> bool:
    """Whether most of some texts are lists in brackets."""
    text = values.str.strip_chars()
    bracketed = text.filter(text.str.starts_with("[") & text.str.ends_with("]"))
    return 2 * len(bracketed) > len(values) and 2 * sum(map(_is_list, bracketed)) > len(values)


def list_notes(frame: pl.DataFrame, named: Iterable[str], ids: Iterable[str]) -> list[str]:
    """What should be said of columns whose texts look like lists that `SEPARATOR` does not part, or like numbers that
    are written otherwise, a sentence each.

    Args:
        frame: A table's first rows, null where a value is missing.
        named: The columns that the user named as lists.
        ids: The columns that were inferred to be single ids.

    Raises:
        InputError: One of those named is nowhere parted, though another separator would; what to pass.
    """
    for name in named:
        _check_separator(name, _texts(frame[name]))
    return [note for name in ids if (note := _note(name, _texts(frame[name])))]


def _texts(column: pl.Series) -> pl.Series:
    """The texts of a column, without blank ones; none of another type."""
    column = unnamed(column)
    if column.dtype != pl.String:
        return pl.Series("value", dtype=pl.String)
    return column.filter((column.str.strip_chars() != "").fill_null(False))


def _check_separator(name: str, values: pl.Series) -> None:
    if values.is_empty() or are_in_brackets(values) or values.str.contains(SEPARATOR, literal=True).any():
        return
    if (separator := _separator(values)) is not None:
        example = values.filter(values.str.contains(separator, literal=True))[0]
        remedy = f"give --multi-separator {_quoted(separator)}, or {_quoted(SEPARATOR)} if each is one id"
        raise InputError(
            f"--multi {name}: none of the first {len(values):,} values has {SEPARATOR!r} between two ids, and many "
            f"look like lists such as {example!r:.40}; {remedy}"
        )


def _note(name: str, values: pl.Series) -> str | None:
    amounts = values.filter(values.str.contains(_AMOUNT))
    if 2 * len(amounts) > len(values) and 2 * values.cast(pl.Float64, strict=False).count() < len(values):
        are_pairs = amounts.str.contains(r"^\s*\d+,\d+\s*$").all()
        lists = f"; {shlex.join(['--multi', name, '--multi-separator', ','])} parts lists" if are_pairs else ""
        return (
            f"{name} looks like numbers such as {amounts[0]!r:.40}, each taken as one id; written as 11.5, without a "
            f"unit, they can be dense{lists}"
        )
    lists = values.filter(values.str.contains(_NUMBERS) | values.str.contains(r"\S\|\S"))
    if 2 * len(lists) <= len(values) or (separator := _separator(lists)) is None:
        return None
    flags = ["--multi", name, *(["--multi-separator", separator] if separator != SEPARATOR else [])]
    example = f"{lists[0]!r:.40}"
    return f"{name} looks like lists such as {example}, each taken as one id; {shlex.join(flags)} parts them"


def _separator(values: pl.Series) -> str | None:
    """What parts the items of many of some texts."""
    text = values.str.strip_chars()
    shares = {separator: text.str.contains(separator, literal=True).mean() for separator in _SEPARATORS}
    return next((separator for separator, share in shares.items() if share > _SHARE), None)


def _quoted(separator: str) -> str:
    return _NAMES.get(separator, f"'{separator}'")


def _is_list(text: str) -> bool:
    try:
        list_items(text)
    except ValueError:
        return False
    return True
