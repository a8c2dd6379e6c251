"""The features of a data set as values without tensors, and the two rules that turn a raw value into a model's input:
`DenseFeature.apply` and `table_rows`.

What a model is fed may have more features than its data set: bins of a number, joint ids, columns that say where a
number is missing (`recnas.data.fitting`). They are features as well, which say what they are made from.
"""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recnas.features.checks import check_keys, check_list, check_name, is_int, is_number, with_tuples
from recnas.features.id_parsers import check_id_parser, parse_id
from recnas.features.inputs import MOST_PARTS
from recnas.features.raw_values import (
    checked_id_text,
    hash_text,
    id_text,
    joint_value,
    missing_numbers,
    number_of_value,
)
from recnas.util.documents import shortened
from recnas.util.errors import InputError

POOLINGS = ("sum", "mean")
MISSING, SHARED = "missing", "shared"
UNSEEN = (MISSING, SHARED)
"""What a value that is not kept counts as: missing, or one of those that share an id; see `SparseFeature`."""
MISSING_INDICATOR = "missing"
"""The transform of a dense feature that says where a number is missing."""
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
            (x - m) / s, or `{"name": "none"}` for x. A missing value becomes 0 after each. `{"name": "missing"}` gives
            1 where the number is missing, else 0.
        column: where its raw value is in a raw row; None: under its own name.
        missing: words that stand for a missing value, beside text of blanks only; a number among them in any spelling.
        number: the name of the data set's dense feature whose number it is; None: its own.
    """

    name: str
    transform: Mapping[str, Any]
    column: str | None = None
    missing: tuple[str, ...] = ()
    number: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        _check_raw(self)
        if self.number is not None:
            check_name(self.number)
        kind = self.transform.get("name") if isinstance(self.transform, Mapping) else None
        if kind in ("log1p", "none", MISSING_INDICATOR):
            wanted = {"name"}
        elif kind == "standardize":
            wanted = {"name", "mean", "std"}
        else:
            raise InputError(
                f"dense feature {self.name}: transform {shortened(self.transform)} is none of log1p, standardize, "
                f"none, {MISSING_INDICATOR}"
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

    @property
    def number_name(self) -> str:
        """The name of the data set's dense feature whose number it is."""
        return self.name if self.number is None else self.number

    @cached_property
    def missing_numbers(self) -> frozenset[float]:
        """The numbers among the words for a missing value."""
        return missing_numbers(self.missing)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """The model's input from raw numbers of any shape (NaN = missing): float32, same shape."""
        values = np.asarray(values, dtype=np.float64)
        if self.transform["name"] == MISSING_INDICATOR:
            return np.isnan(values).astype(np.float32)
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
        number = {} if self.number is None else {"number": self.number}
        return {"name": self.name, "transform": dict(self.transform)} | number | _raw_to_json(self)

    @classmethod
    def from_json(cls, entry: Any) -> "DenseFeature":
        """The feature that `to_json` gave.

        Raises:
            InputError: one line that names what does not fit.
        """
        check_keys(entry, "a dense feature", ("name", "transform"), (*_RAW_KEYS, "number"))
        return cls(**with_tuples(entry, "missing"))


@dataclass(frozen=True)
class SparseFeature:
    """An id, or a list of ids, that picks rows of an embedding table.

    The id is made from a raw value: by an `id_parser` or as `raw_value` reads it, or its place in a `vocabulary`. Of a
    feature with a `number` it is that number's bin, of one with `joint` features the hash of their table rows. Where
    values are `kept`, the id is in turn the place of this one among them.

    Args:
        name: column name.
        rows: the table's rows, 2 … 2³¹ - 1; row 0 is the missing value's.
        pooling: "sum" or "mean", how the embeddings of several ids become one.
        multi_valued: whether an example has a list of ids.
        vocabulary: the strings that have an id, which is their index; None: the ids stand for themselves.
        kept: the ids, ascending, that have one of their own, which is their index. None: the ids stand for themselves.
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
        number: the name of the data set's dense feature whose bins these are; None: it is no number.
        edges: of bins where they begin, ascending, in raw units: the id of a number is how many edges are not above it.
        joint: of a joint id the two or three features whose table rows it is made from, each with all that it takes to
            compute these; see `recnas.features.raw_values.joint_value`. Empty: it is none.
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
    number: str | None = None
    edges: tuple[float, ...] = ()
    joint: tuple["SparseFeature", ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        _check_raw(self)
        where = f"sparse feature {self.name}"
        if self.id_parser is not None:
            check_id_parser(self.id_parser, where)
            if self.vocabulary is not None or self.words:
                raise InputError(f"{where}: has a reading, and a vocabulary or words")
        if self.number is not None or self.edges:
            self._check_bins(where)
        if self.joint:
            self._check_joint(where)
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
        if self.kept and self.kept[-1] >= len(words):
            raise InputError(f"{where}: keeps {self.kept[-1]}, but the vocabulary has {len(words)} strings")

    def _check_bins(self, where: str) -> None:
        check_name(self.number)
        others = (self.vocabulary, self.kept, self.id_parser, self.separator)
        if self.joint or self.multi_valued or self.words or any(other is not None for other in others):
            raise InputError(f"{where}: has the bins of a number, and what only ids have")
        if not isinstance(self.edges, tuple) or not all(map(is_number, self.edges)):
            raise InputError(f"{where}: edges must be a list of finite numbers")
        if not np.all(self.edges_array[1:] > self.edges_array[:-1]):
            raise InputError(f"{where}: edges must ascend")

    def _check_joint(self, where: str) -> None:
        parts = self.joint
        if not isinstance(parts, tuple) or not all(isinstance(part, SparseFeature) for part in parts):
            raise InputError(f"{where}: joint must be a list of sparse features")
        if not 2 <= len(parts) <= MOST_PARTS:
            raise InputError(f"{where}: joins {len(parts)} features; a joint id is of 2 to {MOST_PARTS}")
        for part in parts:
            if part.joint or part.multi_valued:
                what = "is a joint id itself" if part.joint else "is a list of ids, which no joint id can have"
                raise InputError(f"{where}: {part.name} {what}")
        others = (self.vocabulary, self.id_parser, self.separator, self.column)
        if self.multi_valued or self.words or self.missing or any(other is not None for other in others):
            raise InputError(f"{where}: is a joint id, and has what only its parts have")

    def id_of(self, value: str | int | float | None) -> int | None:
        """The id of a value, as preparation makes it: what a data set holds, and `table_rows` takes; None: missing.

        A value that is not among the kept ones has the id that they share, if `unseen` says so; else it is missing.

        Args:
            value: a string, a whole number, or a missing value; for a feature with a vocabulary one of its strings, or
                a whole number written like one; for bins any number; for a joint id its parts' values in their order.

        Raises:
            InputError: a number with a fraction, or what the feature's id parser does not allow.

        >>> SparseFeature("city", rows=3, kept=(7, 3009526956)).id_of("Alien (1979)")
        1
        """
        raw = self.unkept_id_of(value)
        if raw is None or self.kept is None:
            return raw
        place = bisect.bisect_left(self.kept, raw)
        return place if place < len(self.kept) and self.kept[place] == raw else self.shared_id

    def unkept_id_of(self, value: Any) -> int | None:
        """The id of a value if none were `kept`; see `id_of`."""
        if self.joint:
            return joint_value([part.row_of(item) for part, item in zip(self.joint, value, strict=True)])
        if self.as_number is not None:
            number = number_of_value(value, self.missing, self.as_number.missing_numbers)
            return None if number != number else bisect.bisect_right(self.edges, number)
        if self.missing and checked_id_text(value) in self.missing_ids:
            return None
        if self.id_parser is not None:
            return parse_id(self.id_parser, value)
        text = checked_id_text(value)
        if text is None:
            return None
        return hash_text(text) if self.vocabulary is None else self._places.get(text)

    def row_of(self, value: Any) -> int:
        """The table row of a value, which `id_of` takes."""
        found = self.id_of(value)
        return 0 if found is None else found % (self.rows - 1) + 1

    def places(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """What `kept` makes of ids.

        Args:
            ids: `[N]` uint32, as `unkept_id_of` gives them.

        Returns:
            `[N]` uint32, their places among the kept ones, and the shared one's; and `[N]` where there is none, as the
            value counts as missing; None: everywhere there is one.
        """
        if self.kept is None:
            return ids, None
        kept, shared = self.kept_array, self.shared_id
        found = np.minimum(np.searchsorted(kept, ids), max(0, len(kept) - 1)).astype(np.uint32)
        known = kept[found] == ids if len(kept) else np.zeros(len(ids), dtype=bool)
        return (found, ~known) if shared is None else (np.where(known, found, np.uint32(shared)), None)

    @cached_property
    def as_number(self) -> DenseFeature | None:
        """The number whose bins these are, as it is read from raw rows; None: it is none."""
        if self.number is None:
            return None
        return DenseFeature(self.number, {"name": "none"}, self.column, self.missing)

    @property
    def shared_id(self) -> int | None:
        """The id of all values that are not kept; None: there is none, they are missing or all values have an id."""
        return len(self.kept) if self.kept is not None and self.unseen == SHARED else None

    @cached_property
    def kept_array(self) -> np.ndarray:
        """`[K]` uint32: the kept values."""
        return np.array(self.kept or (), dtype=np.uint32)

    @cached_property
    def edges_array(self) -> np.ndarray:
        """Of bins their edges, float64."""
        return np.array(self.edges, dtype=np.float64)

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
            | ({} if self.number is None else {"number": self.number, "edges": list(self.edges)})
            | ({"joint": [part.to_json() for part in self.joint]} if self.joint else {})
            | _raw_to_json(self)
        )

    @classmethod
    def from_json(cls, entry: Any, others: Mapping[str, "SparseFeature"] | None = None) -> "SparseFeature":
        """The feature that `to_json` gave.

        Args:
            entry: plain JSON values.
            others: features by name, for parts of a joint id that are written as names.

        Raises:
            InputError: one line that names what does not fit.
        """
        listed = ("vocabulary", "kept", "words", "missing", "edges")
        optional = ("pooling", "multi_valued", "unseen", "reading", "separator", "number", "joint", *listed, "column")
        check_keys(entry, "a sparse feature", ("name", "rows"), optional)
        values = {"id_parser" if key == "reading" else key: value for key, value in with_tuples(entry, *listed).items()}
        if "number" in entry and "edges" not in entry:
            raise InputError(f"sparse feature {shortened(entry['name'])}: has the bins of a number, and no edges")
        if "joint" in entry:
            parts = check_list(entry["joint"], f"joint of sparse feature {shortened(entry['name'])}")
            if not parts:
                raise InputError(f"sparse feature {shortened(entry['name'])}: joins 0 features")
            values["joint"] = tuple(_part(part, entry["name"], others or {}) for part in parts)
        return cls(**values)

    @cached_property
    def _places(self) -> dict[str | None, int]:
        # Of two spellings of a word the first counts.
        return {id_text(word): place for place, word in reversed(tuple(enumerate(self.vocabulary or ())))}


def _part(entry: Any, name: Any, others: Mapping[str, SparseFeature]) -> SparseFeature:
    """A part of a joint id: a feature, or the name of one."""
    if isinstance(entry, str):
        if entry not in others:
            raise InputError(f"sparse feature {shortened(name)}: joins {shortened(entry)}, which is no sparse feature")
        return others[entry]
    if isinstance(entry, dict) and "joint" in entry:
        raise InputError(f"sparse feature {shortened(name)}: a part of it is a joint id itself")
    return SparseFeature.from_json(entry)


def parts_of(features: Sequence[SparseFeature]) -> list[SparseFeature]:
    """The features, and the parts of joint ids in place of these: those that are read from raw rows; twice if so."""
    return [part for feature in features for part in feature.joint or (feature,)]


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
