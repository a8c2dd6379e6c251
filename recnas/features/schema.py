"""What a data set contains: its label, its features, its splits, written and read as `schema.json`.

A schema is a value without tensors, so that a model, a report or a server can know its inputs anywhere. The two rules
that turn a raw value into a model's input live here, in one place: `DenseFeature.apply` and `table_rows`.
"""

import bisect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recnas.features.id_parsers import check_reading, read_value
from recnas.features.raw_values import checked_id_text, hash_text, id_text, missing_numbers
from recnas.features.raw_values import hash_string as hash_string
from recnas.features.raw_values import raw_value as raw_value
from recnas.util.documents import parse_json, read_bytes, shortened
from recnas.util.errors import InputError, suggested
from recnas.util.files import write_text

if TYPE_CHECKING:
    from recnas.features.encoding import Encoded

VERSION = 3
READABLE = (1, 2, 3)
"""Versions of the format that can be read; see `Schema.unreadable` for what the older ones lack."""
FILE_NAME = "schema.json"
SPLITS = ("train", "validation", "test")
POOLINGS = ("sum", "mean")
MISSING, SHARED = "missing", "shared"
UNSEEN = (MISSING, SHARED)
"""What a value that is not kept counts as: missing, or one of those that share an id; see `SparseFeature`."""
# Table rows are handled as 32-bit signed numbers between the disk and the model.
MAX_ROWS = 2**31 - 1
MOST_BYTES = 2**30
"""Of a `schema.json`, which may have large vocabularies."""


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
        _check_name(self.name)
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
            if not _is_number(self.transform[key]):
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
        reading: how a raw value is read if not by `raw_value`; see `recnas.features.id_parsers`.
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
    reading: Mapping[str, Any] | None = None
    separator: str | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_raw(self)
        where = f"sparse feature {self.name}"
        if self.reading is not None:
            check_reading(self.reading, where)
            if self.vocabulary is not None or self.kept is not None or self.words:
                raise InputError(f"{where}: has a reading, and a vocabulary, kept values or words")
        if self.separator is not None and not (isinstance(self.separator, str) and self.separator):
            raise InputError(f"{where}: separator {shortened(self.separator)} is not a text")
        if not _is_int(self.rows) or not 2 <= self.rows <= MAX_ROWS:
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
            InputError: a number with a fraction, or what the feature's reading does not allow.

        >>> SparseFeature("city", rows=3, kept=(7, 3009526956)).id_of("Alien (1979)")
        1
        """
        if self.missing and checked_id_text(value) in self.missing_ids:
            return None
        if self.reading is not None:
            return read_value(self.reading, value)
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

    @cached_property
    def _places(self) -> dict[str | None, int]:
        # Of two spellings of a word the first counts.
        return {id_text(word): place for place, word in reversed(tuple(enumerate(self.vocabulary or ())))}


@dataclass(frozen=True)
class Schema:
    """What a data set contains.

    Args:
        label: name of the label column, values 0 and 1.
        dense: dense features in the order of a batch's columns.
        sparse: sparse features in the order of a batch's keys, at least one.
        splits: `{"train": {"rows": …, "positives": …}, "validation": …, "test": …}`.
        source: what the data set was made from: `name`, `size` in bytes, `fingerprint`, and whatever a recipe adds.
        split: how the rows were split, `{"name": "autoctr", "seed": 2018}`.
        version: version of the format on disk.
        positive: the label's values that are a click, as `recnas.data_prep.label_words` spells them; None: 1 and true.

    Raises:
        InputError: something in it is missing, twice or out of range.

    Example:
        >>> schema = Schema("click", (DenseFeature("age", {"name": "log1p"}),), (SparseFeature("user", rows=1000),),
        ...                 {name: {"rows": 10, "positives": 2} for name in SPLITS})
        >>> schema.num_dense, schema.num_sparse, schema.positive_rate("train"), schema.capped(100).sparse[0].rows
        (1, 1, 0.2, 100)
    """

    label: str
    dense: tuple[DenseFeature, ...]
    sparse: tuple[SparseFeature, ...]
    splits: Mapping[str, Mapping[str, int]]
    source: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=lambda: {"name": "autoctr", "seed": 2018})
    version: int = VERSION
    positive: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check_name(self.label)
        positive = self.positive
        if positive is not None and not (
            isinstance(positive, tuple) and positive and all(isinstance(word, str) and word for word in positive)
        ):
            raise InputError("positive must be a list of at least one text, the label's values that are a click")
        _check_version(self.version)
        if not self.sparse:
            raise InputError("the data set has no sparse feature; a model needs at least one")
        seen: set[str] = set()
        for name in (self.label, *(feature.name for feature in (*self.dense, *self.sparse))):
            if name in seen:
                raise InputError(f"the name {name} is there twice; the label and all features need different names")
            seen.add(name)
        for name in SPLITS:
            counts = self.splits.get(name) if isinstance(self.splits, Mapping) else None
            if not isinstance(counts, Mapping) or set(counts) != {"rows", "positives"}:
                raise InputError(f"splits.{name} must have rows and positives")
            rows, positives = counts["rows"], counts["positives"]
            if not _is_int(rows) or not _is_int(positives) or not 0 <= positives <= rows:
                raise InputError(
                    f"splits.{name} has {shortened(rows)} rows and {shortened(positives)} positives, which cannot be"
                )
        if extra := set(self.splits) - set(SPLITS):
            raise InputError(f"splits.{min(extra)} is none of {', '.join(SPLITS)}")
        for key in ("source", "split"):
            if not isinstance(getattr(self, key), Mapping):
                raise InputError(f"{key} must be an object")

    @property
    def num_dense(self) -> int:
        """Width of a batch's dense part: one constant zero when there is no dense feature."""
        return max(1, len(self.dense))

    @property
    def num_sparse(self) -> int:
        """Number of sparse features."""
        return len(self.sparse)

    def capped(self, max_rows: int | None) -> "Schema":
        """The same schema with no table above `max_rows` rows (None: as it is).

        Raises:
            InputError: `max_rows` is below 2.
        """
        if max_rows is None:
            return self
        if not _is_int(max_rows) or max_rows < 2:
            raise InputError(f"a table of {max_rows!r} rows cannot be; the most rows per table must be 2 or more")
        # What stays as it is need not be checked again, which takes its time where many values are kept.
        return replace(self, sparse=tuple(f if f.rows <= max_rows else replace(f, rows=max_rows) for f in self.sparse))

    def rows(self, split: str) -> int:
        """Number of rows of "train", "validation" or "test"."""
        return self._counts(split)["rows"]

    def positive_rate(self, split: str) -> float:
        """Share of rows with label 1 in a split; NaN when it is empty."""
        counts = self._counts(split)
        return counts["positives"] / counts["rows"] if counts["rows"] else math.nan

    def _counts(self, split: str) -> Mapping[str, int]:
        if split not in SPLITS:
            raise InputError(f"there is no split {split!r}; take one of {', '.join(SPLITS)}")
        return self.splits[split]

    def encode(self, rows: Any, allow_absent: bool = False) -> "Encoded":
        """Raw rows as a model takes them, exactly as preparation and loading would have made them.

        Args:
            rows: B rows: a mapping of column to raw value (one row) or a list of such; a pandas or Polars DataFrame or
                a pyarrow Table. Other columns than the features' are ignored. None, NaN and text of blanks are
                missing values, and so is a column that a row lacks, if another row has it.
            allow_absent: take a column that no row has for one of missing values, too.

        Returns:
            The numbers of B rows, in the schema's order.

        Raises:
            InputError: a value cannot be read (the message names row, from 1, and column), no row has the column of a
                feature, or the schema is of an older version by which values were read otherwise (`unreadable`).

        Example:
            schema = Schema.load("models/criteo")
            schema.encode({"I1": 3, "C1": "68fd1e64", …}).dense
        """
        from recnas.features.encoding import encode

        return encode(self, rows, allow_absent)

    @property
    def unreadable(self) -> str | None:
        """Why raw rows cannot be read as this data set's were; None: they can.

        Version 1 did not say how raw values are read. Up to version 2 the value of an id had another rule: `" 5"` and
        `"2.5e+16"` were not the numbers 5 and 2.5e16. Only features with a `reading` are as they were.
        """
        remedy = "prepare the data set again and train on it"
        if self.version < 2:
            return f"the schema has version {self.version}, which does not say how raw values are read; {remedy}"
        if self.read_by_the_old_rule is not None:
            return f"the schema has version {self.version}, whose rule for the values of ids is another one; {remedy}"
        return None

    @property
    def read_by_the_old_rule(self) -> str | None:
        """The first feature whose ids were made by the rule of versions below 3; None: there is none."""
        names = (feature.name for feature in self.sparse if self.version < 3 and feature.reading is None)
        return next(names, None)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, always in the same order."""
        return {
            "version": self.version,
            "label": self.label,
            **({} if self.positive is None else {"positive": list(self.positive)}),
            "dense": [{"name": f.name, "transform": dict(f.transform)} | _raw_keys(f) for f in self.dense],
            "sparse": [
                {"name": f.name, "rows": f.rows, "pooling": f.pooling, "multi_valued": f.multi_valued}
                | {key: list(words) for key in ("vocabulary", "kept") if (words := getattr(f, key)) is not None}
                | ({} if f.unseen == MISSING else {"unseen": f.unseen})
                | ({"words": list(f.words)} if f.words else {})
                | ({} if f.reading is None else {"reading": dict(f.reading)})
                | ({} if f.separator is None else {"separator": f.separator})
                | _raw_keys(f)
                for f in self.sparse
            ],
            "splits": {name: {key: self.splits[name][key] for key in ("rows", "positives")} for name in SPLITS},
            "split": dict(self.split),
            "source": dict(self.source),
        }

    @classmethod
    def from_json(cls, value: Any) -> "Schema":
        """The schema that `to_json` gave.

        Raises:
            InputError: one line that names what does not fit.
        """
        if isinstance(value, dict):
            # A newer format may well have other keys, so this comes before they are looked at.
            _check_version(value.get("version", VERSION))
        keys = ("version", "label", "dense", "sparse", "splits", "split", "source")
        _check_keys(value, "the schema", keys, ("positive",))
        dense = []
        for entry in _list(value["dense"], "dense"):
            _check_keys(entry, "a dense feature", ("name", "transform"), _RAW_KEYS)
            dense.append(DenseFeature(**_with_tuples(entry, "missing")))
        sparse = []
        for entry in _list(value["sparse"], "sparse"):
            listed = ("vocabulary", "kept", "words", "missing")
            optional = ("pooling", "multi_valued", "unseen", "reading", "separator", *listed, "column")
            _check_keys(entry, "a sparse feature", ("name", "rows"), optional)
            sparse.append(SparseFeature(**_with_tuples(entry, *listed)))
        return cls(**_with_tuples(value, "positive") | {"dense": tuple(dense), "sparse": tuple(sparse)})

    def save(self, path: str | Path) -> None:
        """Writes `schema.json` into the folder `path`."""
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
        write_text(Path(path) / FILE_NAME, text + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "Schema":
        """Reads `schema.json` of the folder `path`.

        Raises:
            InputError: there is none, it is not JSON, or it does not fit; the message names the file.
        """
        file = Path(path) / FILE_NAME
        try:
            return cls.from_json(parse_json(read_bytes(file, MOST_BYTES)))
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(_without_schema(Path(path))) from None
        except ValueError as error:
            raise InputError(f"{file}: not JSON ({error}); prepare the data set again") from None
        except InputError as error:
            raise InputError(f"{file}: {error}") from None


_LOG_SUFFIXES = frozenset((".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".gz", ".zst", ".zip"))
"""What the files of a raw log end in, and of no data set, run or model that has lost its schema."""
_NO_LOG_SUFFIXES = frozenset((".safetensors", ".yaml", ".yml", ".pt2", ".onnx"))


def _without_schema(path: Path) -> str:
    """What is wrong with a folder that has no `schema.json`, or with a file in its place."""
    is_log = (path.is_file() and path.suffix.lower() not in _NO_LOG_SUFFIXES and path.name != FILE_NAME) or (
        path.is_dir() and any(child.suffix.lower() in _LOG_SUFFIXES and child.is_file() for child in path.iterdir())
    )
    if not is_log:
        return f"{path / FILE_NAME}: no such file; `recnas prepare` makes a data set"
    what = "this is a log" if path.is_file() else "this is a folder of logs"
    example = suggested("recnas", "prepare", "tabular", "--input", path, "--output", f"data/{path.stem}")
    return f"{path}: {what}, not a data set; prepare it first: {example} (or another recipe of recnas prepare --help)"


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise InputError(f"{shortened(name)} is not a name; a label or feature needs a non-empty string")


def _check_raw(feature: "DenseFeature | SparseFeature") -> None:
    """Checks where a raw value is and what stands for a missing one."""
    if feature.column is not None:
        _check_name(feature.column)
    if not isinstance(feature.missing, tuple) or not all(isinstance(text, str) for text in feature.missing):
        raise InputError(f"feature {feature.name}: missing must be a list of strings")


_RAW_KEYS = ("column", "missing")


def _raw_keys(feature: "DenseFeature | SparseFeature") -> dict[str, Any]:
    column = {} if feature.column is None else {"column": feature.column}
    return column | ({"missing": list(feature.missing)} if feature.missing else {})


def _with_tuples(entry: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """A feature's entry with tuples where JSON has lists."""
    return {key: tuple(value) if key in keys and isinstance(value, list) else value for key, value in entry.items()}


def _check_version(version: Any) -> None:
    if version not in READABLE:
        raise InputError(
            f"the data set has version {version!r:.60}, this program reads versions {READABLE[0]} to {READABLE[-1]}; "
            "prepare it again"
        )


def _check_keys(value: Any, what: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    if not isinstance(value, dict):
        raise InputError(f"{what} must be an object, it is {value!r:.60}")
    name = f" {value['name']}" if "name" in value else ""
    for key in needed:
        if key not in value:
            raise InputError(f"{what}{name} has no {key}")
    for key in value:
        if key not in needed + optional:
            raise InputError(f"{what}{name} has an unknown key {key}")


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{what} must be a list, it is {value!r:.60}")
    return value


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
