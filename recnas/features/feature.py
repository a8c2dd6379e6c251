"""The features of a data set as values without tensors, and the two rules that turn a raw value into a model's input:
`DenseFeature.apply` and `table_rows`."""

import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recnas.features.checks import check_keys, check_name, is_int, is_number, with_tuples
from recnas.features.id_parsers import check_id_parser, parse_id
from recnas.features.raw_values import checked_id_text, hash_text, id_text, missing_numbers
from recnas.util.documents import shortened
from recnas.util.errors import InputError

POOLINGS = ("sum", "mean")
MISSING, SHARED = "missing", "shared"
UNSEEN = (MISSING, SHARED)
"""What a value that is not kept counts as: missing, or one of those that share an id; see `SparseFeature`."""
# Table rows are handled as 32-bit signed numbers between the disk and the model.
MAX_ROWS = 2**31 - 1


def table_rows(values: np.ndarray, rows: int, missing: np.ndarray | None = None) -> np.ndarray:
    """The rows of an embedding table that raw values stand for: v mod (rows - 1) + 1, and 0 where v is missing.

    Args:
        values: raw values, unsigned integers of any shape.
        rows: the table's rows, at least 2; row 0 is the missing value's.
        missing: true where there is no value, same shape; None: every value is there.

    Returns:
        int64, same shape, 0 … rows - 1.

    >>> table_rows(np.array([0, 5, 99], dtype=np.uint32), rows=10, missing=np.array([False, False, True]))
    array([1, 6, 0])
    """
    result = (values % values.dtype.type(rows - 1)).astype(np.int64)
    result += 1
    if missing is not None:
        # Multiplying is three times as fast as assigning to a mask.
        result *= ~missing
    return result


@dataclass(frozen=True)
class DenseFeature:
    """A number, and the transform that made it from the raw one.

    Args:
        name: column name.
        transform: `{"name": "log1p"}` for log(1 + max(x, 0)), `{"name": "standardize", "mean": m, "std": s}` for
            (x - m) / s, or `{"name": "none"}` for x. A missing value becomes 0 after each.
        column: where its raw value is in a raw row; None: under its own name.
        missing: words that stand for a missing value, beside text of blanks only; a number among them in any spelling.
    """

    name: str
    transform: Mapping[str, Any]
    column: str | None = None
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        _check_raw(self)
        kind = self.transform.get("name") if isinstance(self.transform, Mapping) else None
        if kind in ("log1p", "none"):
            wanted = {"name"}
        elif kind == "standardize":
            wanted = {"name", "mean", "std"}
        else:
            raise InputError(
                f"dense feature {self.name}: transform {shortened(self.transform)} is none of log1p, standardize, none"
            )
        if set(self.transform) != wanted:
            raise InputError(f"dense feature {self.name}: transform {kind} needs the keys {', '.join(sorted(wanted))}")
        for key in wanted - {"name"}:
            if not is_number(self.transform[key]):
                raise InputError(
                    f"dense feature {self.name}: {key} is {shortened(self.transform[key])}, not a finite number"
                )
        if kind == "standardize" and self.transform["std"] <= 0:
            raise InputError(f"dense feature {self.name}: std is {self.transform['std']}, it must be above 0")

    @cached_property
    def missing_numbers(self) -> frozenset[float]:
        """The numbers among the words for a missing value."""
        return missing_numbers(self.missing)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """The model's input from raw numbers of any shape (NaN = missing): float32, same shape."""
        values = np.asarray(values, dtype=np.float64)
        if self.transform["name"] == "log1p":
            result = np.log1p(np.maximum(values, 0))
        elif self.transform["name"] == "none":
            result = values
        else:
            result = (values - self.transform["mean"]) / self.transform["std"]
        # What is beyond float32 becomes its largest number.
        bound = float(np.finfo(np.float32).max)
        result = np.clip(result, -bound, bound).astype(np.float32)
        result[np.isnan(result)] = 0
        return result

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, always in the same order."""
        return {"name": self.name, "transform": dict(self.transform)} | _raw_to_json(self)

    @classmethod
    def from_json(cls, entry: Any) -> "DenseFeature":
        """The feature that `to_json` gave.

        Raises:
            InputError: one line that names what does not fit.
        """
        check_keys(entry, "a dense feature", ("name", "transform"), _RAW_KEYS)
        return cls(**with_tuples(entry, "missing"))


@dataclass(frozen=True)
class SparseFeature:
    """An id, or a list of ids, that picks rows of an embedding table.

    Args:
        name: column name.
        rows: the table's rows, 2 … 2³¹ - 1; row 0 is the missing value's.
        pooling: "sum" or "mean", how the embeddings of several ids become one.
        multi_valued: whether an example has a list of ids.
        vocabulary: the strings that have an id, which is their index; None: the ids stand for themselves.
        kept: the raw values (`raw_value`), ascending, that have an id, which is their index. None: the ids stand for
            themselves.
        unseen: what every other value is if some are kept: "missing", or "shared", which is the id after the last
            kept one. Such a table has a row for missing values, one for each kept one, and one that the others share.
        words: the most frequent values as they were given, the most frequent first, for people to read: what `id_of`
            gives for each is the id that it stands for.
        column: where its raw value is in a raw row; None: under its own name.
        missing: words that stand for a missing value in any spelling, beside text of blanks only.
        id_parser: how a raw value is read if not by `raw_value`; see `recnas.features.id_parsers`. On disk it is called
            `reading`.
        separator: between two ids of a list that is text, unless that is in brackets, which
            `recnas.features.raw_values.list_items` reads; None: text is one id.
    """

    name: str
    rows: int
    pooling: str = "sum"
    multi_valued: bool = False
    vocabulary: tuple[str, ...] | None = None
    kept: tuple[int, ...] | None = None
    unseen: str = MISSING
    words: tuple[str, ...] = ()
    column: str | None = None
    missing: tuple[str, ...] = ()
    id_parser: Mapping[str, Any] | None = None
    separator: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        _check_raw(self)
        where = f"sparse feature {self.name}"
        if self.id_parser is not None:
            check_id_parser(self.id_parser, where)
            if self.vocabulary is not None or self.kept is not None or self.words:
                raise InputError(f"{where}: has a reading, and a vocabulary, kept values or words")
        if self.separator is not None and not (isinstance(self.separator, str) and self.separator):
            raise InputError(f"{where}: separator {shortened(self.separator)} is not a text")
        if not is_int(self.rows) or not 2 <= self.rows <= MAX_ROWS:
            raise InputError(
                f"{where}: {shortened(self.rows)} table rows, it must be a whole number from 2 to {MAX_ROWS}"
            )
        if self.pooling not in POOLINGS:
            raise InputError(f"{where}: pooling {shortened(self.pooling)} is none of {', '.join(POOLINGS)}")
        if not isinstance(self.multi_valued, bool):
            raise InputError(f"{where}: multi_valued is {shortened(self.multi_valued)}, it must be true or false")
        if self.kept is not None:
            if self.vocabulary is not None:
                raise InputError(f"{where}: has both a vocabulary and kept values")
            kept = self.kept
            # There may be very many, so nothing looks at one after the other in Python.
            whole = isinstance(kept, tuple) and set(map(type, kept)) <= {int}
            if not whole or (kept and not 0 <= min(kept) <= max(kept) < 2**32):
                raise InputError(f"{where}: kept values must be a list of whole numbers from 0 to {2**32 - 1}")
            if not np.all(self.kept_array[1:] > self.kept_array[:-1]):
                raise InputError(f"{where}: kept values must ascend")
        if self.unseen not in UNSEEN or (self.unseen == SHARED and self.kept is None):
            raise InputError(
                f"{where}: unseen is {shortened(self.unseen)}; it is {MISSING}, or with kept values {SHARED}"
            )
        if not isinstance(self.words, tuple) or not all(isinstance(word, str) for word in self.words):
            raise InputError(f"{where}: words must be a list of strings")
        if self.vocabulary is None:
            return
        words = self.vocabulary
        if not isinstance(words, tuple) or not words or not all(isinstance(word, str) for word in words):
            raise InputError(f"{where}: the vocabulary must be a list of at least one string")
        if len(set(words)) < len(words):
            raise InputError(f"{where}: the vocabulary has a string twice")

    def id_of(self, value: str | int | float | None) -> int | None:
        """The id of a value, as preparation makes it: what a data set holds, and `table_rows` takes; None: missing.

        A value that is not among the kept ones has the id that they share, if `unseen` says so; else it is missing.

        Args:
            value: a string, a whole number, or a missing value; for a feature with a vocabulary one of its strings, or
                a whole number written like one.

        Raises:
            InputError: a number with a fraction, or what the feature's id parser does not allow.

        >>> SparseFeature("city", rows=3, kept=(7, 3009526956)).id_of("Alien (1979)")
        1
        """
        if self.missing and checked_id_text(value) in self.missing_ids:
            return None
        if self.id_parser is not None:
            return parse_id(self.id_parser, value)
        text = checked_id_text(value)
        if text is None:
            return None
        if self.vocabulary is not None:
            return self._places.get(text)
        raw = hash_text(text)
        if self.kept is None:
            return raw
        place = bisect.bisect_left(self.kept, raw)
        return place if place < len(self.kept) and self.kept[place] == raw else self.shared_id

    @property
    def shared_id(self) -> int | None:
        """The id of all values that are not kept; None: there is none, they are missing or all values have an id."""
        return len(self.kept) if self.kept is not None and self.unseen == SHARED else None

    @cached_property
    def kept_array(self) -> np.ndarray:
        """`[K]` uint32: the kept values."""
        return np.array(self.kept or (), dtype=np.uint32)

    @cached_property
    def names(self) -> dict[int, str]:
        """The words by the id that they stand for."""
        return {place: word for word in reversed(self.words) if (place := self.id_of(word)) is not None}

    @cached_property
    def missing_ids(self) -> frozenset[str]:
        """Of the words for a missing value what `id_text` makes of them, as of each value that is compared."""
        return frozenset(text for word in self.missing if (text := id_text(word)) is not None)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, always in the same order."""
        return (
            {"name": self.name, "rows": self.rows, "pooling": self.pooling, "multi_valued": self.multi_valued}
            | {key: list(words) for key in ("vocabulary", "kept") if (words := getattr(self, key)) is not None}
            | ({} if self.unseen == MISSING else {"unseen": self.unseen})
            | ({"words": list(self.words)} if self.words else {})
            | ({} if self.id_parser is None else {"reading": dict(self.id_parser)})
            | ({} if self.separator is None else {"separator": self.separator})
            | _raw_to_json(self)
        )

    @classmethod
    def from_json(cls, entry: Any) -> "SparseFeature":
        """The feature that `to_json` gave.

        Raises:
            InputError: one line that names what does not fit.
        """
        listed = ("vocabulary", "kept", "words", "missing")
        optional = ("pooling", "multi_valued", "unseen", "reading", "separator", *listed, "column")
        check_keys(entry, "a sparse feature", ("name", "rows"), optional)
        return cls(
            **{"id_parser" if key == "reading" else key: value for key, value in with_tuples(entry, *listed).items()}
        )

    @cached_property
    def _places(self) -> dict[str | None, int]:
        # Of two spellings of a word the first counts.
        return {id_text(word): place for place, word in reversed(tuple(enumerate(self.vocabulary or ())))}


_RAW_KEYS = ("column", "missing")


def _check_raw(feature: "DenseFeature | SparseFeature") -> None:
    """Checks where a raw value is and what stands for a missing one."""
    if feature.column is not None:
        check_name(feature.column)
    if not isinstance(feature.missing, tuple) or not all(isinstance(text, str) for text in feature.missing):
        raise InputError(f"feature {feature.name}: missing must be a list of strings")


def _raw_to_json(feature: "DenseFeature | SparseFeature") -> dict[str, Any]:
    """The entry of where a raw value is and what stands for a missing one."""
    column = {} if feature.column is None else {"column": feature.column}
    return column | ({"missing": list(feature.missing)} if feature.missing else {})
