"""What a data set contains: its label, its features, its splits, written and read as `schema.json`.

A schema is a value without tensors, so that a model, a report or a server can know its inputs anywhere.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recnas.features.checks import check_keys, check_list, check_name, is_int, with_tuples
from recnas.features.encoding import Encoded, encode
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.number_field import NumberField
from recnas.util.documents import parse_json, read_bytes, shortened
from recnas.util.errors import InputError, suggested
from recnas.util.files import write_text

VERSION = 4
READABLE = (1, 2, 3, 4)
"""Versions of the format that can be read; see `Schema.unreadable` for what the older ones lack."""
RAW_NUMBERS_SINCE = 4
"""The first version whose files have numbers as they were given; in older ones they are transformed."""
FILE_NAME = "schema.json"
SPLITS = ("train", "validation", "test")
MOST_BYTES = 2**30
"""Of a `schema.json`, which may have large vocabularies."""


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
        number_fields: fields that a network computes from dense features, before those of the sparse features.
        reads_columns: whether a network is given the dense features as columns, too.

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
    number_fields: tuple[NumberField, ...] = ()
    reads_columns: bool = True

    def __post_init__(self) -> None:
        check_name(self.label)
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
            if not is_int(rows) or not is_int(positives) or not 0 <= positives <= rows:
                raise InputError(
                    f"splits.{name} has {shortened(rows)} rows and {shortened(positives)} positives, which cannot be"
                )
        if extra := set(self.splits) - set(SPLITS):
            raise InputError(f"splits.{min(extra)} is none of {', '.join(SPLITS)}")
        for key in ("source", "split"):
            if not isinstance(getattr(self, key), Mapping):
                raise InputError(f"{key} must be an object")
        if not isinstance(self.reads_columns, bool):
            raise InputError(f"reads_columns is {shortened(self.reads_columns)}, it must be true or false")
        columns = {feature.name for feature in self.dense}
        for item in self.number_fields:
            for name in (item.dense, item.missing):
                if name is not None and name not in columns:
                    raise InputError(f"a number field reads {name}, which is no dense feature")

    @property
    def num_dense(self) -> int:
        """Width of a batch's dense part: one constant zero when there is no dense feature."""
        return max(1, len(self.dense))

    @property
    def num_sparse(self) -> int:
        """Number of sparse features."""
        return len(self.sparse)

    @property
    def singles(self) -> tuple[SparseFeature, ...]:
        """Sparse features that have one id a row, in their order."""
        return tuple(feature for feature in self.sparse if not feature.multi_valued)

    @property
    def lists(self) -> tuple[SparseFeature, ...]:
        """Those that have a list of ids, in their order."""
        return tuple(feature for feature in self.sparse if feature.multi_valued)

    @property
    def num_columns(self) -> int:
        """Number of dense features that a network is given as columns."""
        return len(self.dense) if self.reads_columns else 0

    @property
    def num_fields(self) -> int:
        """Number of fields that a network is given: those computed from numbers, then those of sparse features."""
        return len(self.number_fields) + len(self.sparse)

    def capped(self, max_rows: int | None) -> "Schema":
        """The same schema with no table above `max_rows` rows (None: as it is).

        Raises:
            InputError: `max_rows` is below 2.
        """
        if max_rows is None:
            return self
        if not is_int(max_rows) or max_rows < 2:
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

    def encode(self, rows: Any, allow_absent: bool = False) -> Encoded:
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
        if self.unreadable is not None:
            raise InputError(self.unreadable)
        return encode(self.dense, self.sparse, rows, allow_absent)

    @property
    def unreadable(self) -> str | None:
        """Why raw rows cannot be read as this data set's were; None: they can.

        Version 1 did not say how raw values are read. Up to version 2 the value of an id had another rule: `" 5"` and
        `"2.5e+16"` were not the numbers 5 and 2.5e16. Only features with an `id_parser` are as they were.
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
        names = (feature.name for feature in self.sparse if self.version < 3 and feature.id_parser is None)
        return next(names, None)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, always in the same order."""
        return {
            "version": self.version,
            "label": self.label,
            **({} if self.positive is None else {"positive": list(self.positive)}),
            "dense": [feature.to_json() for feature in self.dense],
            "sparse": [self._sparse_to_json(feature) for feature in self.sparse],
            **({"number_fields": [item.to_json() for item in self.number_fields]} if self.number_fields else {}),
            **({} if self.reads_columns else {"reads_columns": False}),
            "splits": {name: {key: self.splits[name][key] for key in ("rows", "positives")} for name in SPLITS},
            "split": dict(self.split),
            "source": dict(self.source),
        }

    def _sparse_to_json(self, feature: SparseFeature) -> dict[str, Any]:
        """A feature, of whose parts those that are features themselves are written as names."""
        if not feature.joint:
            return feature.to_json()
        own = {other.name: other for other in self.sparse}
        parts = [part.name if own.get(part.name) == part else part.to_json() for part in feature.joint]
        return feature.to_json() | {"joint": parts}

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
        check_keys(value, "the schema", keys, ("positive", "number_fields", "reads_columns"))
        features = {
            "dense": tuple(map(DenseFeature.from_json, check_list(value["dense"], "dense"))),
            "sparse": _sparse_from_json(check_list(value["sparse"], "sparse")),
            "number_fields": tuple(
                map(NumberField.from_json, check_list(value.get("number_fields", []), "number_fields"))
            ),
        }
        return cls(**with_tuples(value, "positive") | features)

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


def _sparse_from_json(entries: list[Any]) -> tuple[SparseFeature, ...]:
    """Features, of which joint ids may have parts that are names of others."""
    single = {
        place: SparseFeature.from_json(entry)
        for place, entry in enumerate(entries)
        if not (isinstance(entry, dict) and "joint" in entry)
    }
    others = {feature.name: feature for feature in single.values()}
    return tuple(
        single[place] if place in single else SparseFeature.from_json(entry, others)
        for place, entry in enumerate(entries)
    )


def _check_version(version: Any) -> None:
    if version not in READABLE:
        raise InputError(
            f"the data set has version {version!r:.60}, this program reads versions {READABLE[0]} to {READABLE[-1]}; "
            "prepare it again"
        )


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
