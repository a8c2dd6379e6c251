"""From a stream of parsed rows to the Parquet files of the three splits, in bounded memory.

A recipe parses its raw files into chunks of rows. If the split, a mean or a table's size needs a look at every row, the
chunks are first set down as they are (Arrow files in the folder being written): the text is read only once. Then they
are transformed, parted and written. At any moment a few chunks and the parts being filled are in memory, plus a few
bytes a row for labels and splits.
"""

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from recnas.data_prep.bad_rows import BadRows
from recnas.data_prep.pipeline import ahead
from recnas.data_prep.rows import unnamed
from recnas.data_prep.split import Split
from recnas.data_prep.text import check_unchanged
from recnas.features.columns import places_of_kept
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.schema import SPLITS, Schema
from recnas.util.console import Console
from recnas.util.errors import InputError

ROW_GROUP_ROWS, ROW_GROUP_BYTES = 65_536, 64 << 20
"""Rows of a row group, fewer in whole thousands where rows are wide: what is shuffled together is several groups."""
_LEAST_GROUP_ROWS = 1024
# A part is filled in memory and then written at once, all columns in parallel.
PART_ROWS = 8 * ROW_GROUP_ROWS
PART_BYTES = 512 << 20

LARGEST = float(np.finfo(np.float32).max)

Part = tuple[pl.DataFrame, np.ndarray]
"""Rows, and each one's place in `SPLITS`."""


@dataclass
class RawTable:
    """What a recipe hands over.

    Args:
        label: name of the label column.
        dense: for each dense feature the name of its transform, "log1p", "standardize" or "none"; the mean and
            deviation of "standardize" are measured here, on the training split.
        chunks: the rows in file order, as frames with the columns label (Int8, 0 and 1), the dense features (numbers,
            null = missing) and the sparse ones (UInt32, null = missing; or lists of it), in any order.
        sparse: the sparse features. Of one with `kept` values the chunks have raw values.
        source: the schema's `source`.
        measured: gives the sparse features anew, once it has seen all rows, when table sizes or kept values are known.
        files: where the rows are from, as described in `source`; if they are changed meanwhile, rows may be lost.
        time: the column of `chunks`, a feature or not, by which a split by time goes; `ROW_ORDER` when rows are in
            order of time; None: there is no time.
        extra: columns of `chunks` that are kept in the files, but are no features.
        summaries: what is added to `source` after the rows are split: each is given each chunk with the rows' splits,
            and asked at the end.
        raw: for dense features what `DenseFeature` is told of their raw values, `column` and `missing`.
        like: the schema of another data set whose transforms are taken instead of measuring any.
        positive: the schema's `positive`, which values of the raw label were a click.
    """

    label: str
    dense: dict[str, str]
    chunks: Iterator[pl.DataFrame]
    sparse: Sequence[SparseFeature]
    source: dict[str, Any] = field(default_factory=dict)
    files: Sequence[Path] = ()
    measured: "Measured | None" = None
    time: str | None = None
    extra: tuple[str, ...] = ()
    summaries: "tuple[Summary, ...]" = ()
    raw: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    like: Schema | None = None
    positive: tuple[str, ...] | None = None

    @property
    def measures(self) -> bool:
        """Whether the features depend on the rows for training."""
        return self.like is None and (self.measured is not None or "standardize" in self.dense.values())


class Measured(Protocol):
    """Features that depend on the rows."""

    def add(self, chunk: pl.DataFrame, places: np.ndarray) -> None:
        """Takes in rows and each one's place in `SPLITS`."""

    def features(self) -> Sequence[SparseFeature]:
        """All rows have been taken in."""


class Summary:
    """Figures of all rows for the schema's `source`."""

    def add(self, chunk: pl.DataFrame, places: np.ndarray) -> None:
        """Takes in rows and each one's place in `SPLITS`."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """What is added to the source."""
        raise NotImplementedError


def write_data_set(folder: Path, table: RawTable, split: Split, bad_rows: BadRows, progress: bool = False) -> Schema:
    """Writes the three splits and `schema.json` into an empty folder.

    Args:
        folder: where to.
        table: the rows.
        split: which of them are for what.
        bad_rows: where the recipe puts rows that do not fit; their number goes into the schema's `source`.
        progress: show a bar while writing.

    Raises:
        InputError: there are no rows, or too few of one class; whatever the recipe raises.
    """
    standardized = (name for name, kind in table.dense.items() if kind == "standardize" and table.like is None)
    moments = {name: _Moments() for name in standardized}
    stage = folder / "stage"
    rows = None
    if split.at_once and not moments and table.measured is None:
        parted = _parted(table.chunks, split)
    else:
        rows = _set_down(stage, table.chunks, split)
        split.settle()
        for chunk, places in _parted(_staged(stage), split) if moments or table.measured else ():
            if table.measured is not None:
                table.measured.add(chunk, places)
            for name, moment in moments.items():
                values = chunk[name].cast(pl.Float64).to_numpy()[places == 0]
                # As far as float32 goes, which is how they are kept; squares of more could not be summed.
                moment.add(np.clip(values[~np.isnan(values)], -LARGEST, LARGEST))
        parted = _parted(_staged(stage, remove=True), split)
    dense = (
        tuple(
            DenseFeature(
                name, moments[name].transform() if name in moments else {"name": kind}, **table.raw.get(name, {})
            )
            for name, kind in table.dense.items()
        )
        if table.like is None
        else table.like.dense
    )
    sparse = tuple(table.sparse if table.measured is None else table.measured.features())
    counts = {name: {"rows": 0, "positives": 0} for name in SPLITS}
    writers = [_SplitWriter(folder / name) for name in SPLITS]

    def transform(part: Part) -> tuple[Part, list[pl.DataFrame]]:
        chunk, places = part
        columns = _transformed(chunk, table, dense, sparse)
        return part, [columns.filter(places == place) for place in range(len(SPLITS))]

    # Rows are counted as they are set down; where they are not, reading has a bar of its own.
    with Console(progress).bar(rows or 0, "writing", "rows") as bar:
        for (chunk, places), frames in ahead(transform, parted):
            for summary in table.summaries:
                summary.add(chunk, places)
            for count, writer, frame in zip(counts.values(), writers, frames, strict=True):
                count["rows"] += len(frame)
                count["positives"] += int(frame[table.label].sum())
                writer.add(frame)
            bar.update(len(chunk))
        for writer in writers:
            writer.close()
    if table.files:
        check_unchanged(table.files, table.source)
    if not any(count["rows"] for count in counts.values()):
        raise InputError("there is no good row; check --input")
    for name in split.parts:
        count = counts[name]
        if count["rows"] == 0:
            raise InputError(f"the {name} split would be empty; give more rows or choose another --split")
        if count["positives"] in (0, count["rows"]):
            label = int(count["positives"] > 0)
            raise InputError(
                f"every label of the {name} split would be {label}; give more rows or choose another --split"
            )
    shutil.rmtree(stage, ignore_errors=True)
    figures = {name: value for summary in table.summaries for name, value in summary.to_json().items()}
    schema = Schema(
        label=table.label,
        dense=dense,
        sparse=sparse,
        splits=counts,
        source=table.source | figures | {"rejected_rows": bad_rows.count},
        split=split.to_json(),
        positive=table.positive,
    )
    schema.save(folder)
    return schema


def _set_down(stage: Path, chunks: Iterator[pl.DataFrame], split: Split) -> int:
    """Writes the chunks as they come; returns how many rows they have."""
    stage.mkdir()
    rows = 0
    for number, chunk in enumerate(chunks):
        # Opened here, as of a name Polars would read stars and brackets as a pattern.
        with (stage / f"{number:08d}.arrow").open("wb") as file:
            chunk.write_ipc(file)
        split.look(chunk)
        rows += len(chunk)
    if not rows:
        raise InputError("there is no good row; check --input")
    return rows


def _staged(stage: Path, remove: bool = False) -> Iterator[pl.DataFrame]:
    """The chunks again."""
    for path in sorted(stage.iterdir()):
        with path.open("rb") as file:
            chunk = pl.read_ipc(file)
        yield chunk
        if remove:
            path.unlink()


def _parted(chunks: Iterator[pl.DataFrame], split: Split) -> Iterator[Part]:
    """The chunks with the split of each row."""
    start = 0
    for chunk in chunks:
        yield chunk, split.places(chunk, start)
        start += len(chunk)


def _transformed(
    chunk: pl.DataFrame,
    table: RawTable,
    dense: Sequence[DenseFeature],
    sparse: Sequence[SparseFeature],
) -> pl.DataFrame:
    """The columns as they are on disk, in the schema's order."""
    columns = [chunk[table.label].cast(pl.Int8)]
    for feature in dense:
        numbers = unnamed(chunk[feature.name]).cast(pl.Float64).fill_nan(None)
        if numbers.is_infinite().any():
            raise InputError(f"{feature.name} is infinite in some row; a recipe leaves such a row out, or the number")
        columns.append(numbers.alias(feature.name))
    for feature in sparse:
        column = chunk[feature.name].cast(pl.List(pl.UInt32) if feature.multi_valued else pl.UInt32)
        columns.append(column if feature.kept is None else places_of_kept(column, feature))
    return pl.DataFrame([*columns, *(chunk[name] for name in table.extra)])


class _Moments:
    """Mean and standard deviation of values that come in parts (Chan, Golub and LeVeque's update)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0
        self._least, self._most = math.inf, -math.inf

    def add(self, values: np.ndarray) -> None:
        if not len(values):
            return
        self._least, self._most = min(self._least, float(values.min())), max(self._most, float(values.max()))
        mean = float(values.mean())
        count = self._count + len(values)
        distance = mean - self._mean
        self._squares += float(((values - mean) ** 2).sum()) + distance**2 * self._count * len(values) / count
        self._mean += distance * len(values) / count
        self._count = count

    def transform(self) -> dict[str, Any]:
        if self._least >= self._most:
            # A constant has no deviation to divide by, only rounding; it becomes 0.
            return {"name": "standardize", "mean": self._least if self._count else 0.0, "std": 1.0}
        return {"name": "standardize", "mean": self._mean, "std": math.sqrt(self._squares / self._count)}


def group_rows(row_bytes: float) -> int:
    """Rows of a row group where one has so many bytes."""
    return int(min(ROW_GROUP_ROWS, max(_LEAST_GROUP_ROWS, ROW_GROUP_BYTES // row_bytes // 1024 * 1024)))


class _SplitWriter:
    """One split's part files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._frames: list[pl.DataFrame] = []
        self._rows = 0
        self._bytes = 0
        self._parts = 0
        self._group_rows = ROW_GROUP_ROWS

    def add(self, rows: pl.DataFrame) -> None:
        if not self._bytes and len(rows):
            self._group_rows = group_rows(rows.estimated_size() / len(rows))
        self._frames.append(rows)
        self._rows += len(rows)
        self._bytes += int(rows.estimated_size())
        if self._rows >= PART_ROWS or (self._bytes >= PART_BYTES and self._rows >= self._group_rows):
            frame = pl.concat(self._frames)
            whole = min(PART_ROWS, len(frame) // self._group_rows * self._group_rows)
            self._write(frame[:whole])
            rest = frame[whole:].clone()
            self._frames, self._rows, self._bytes = [rest], len(rest), int(rest.estimated_size())

    def close(self) -> None:
        if self._rows:
            self._write(pl.concat(self._frames))

    def _write(self, frame: pl.DataFrame) -> None:
        path = self._folder / f"part-{self._parts:05d}.parquet"
        # Written and read faster than zstd, and 12 % larger; nobody filters by statistics.
        with path.open("wb") as file:
            frame.write_parquet(file, compression="lz4", statistics=False, row_group_size=self._group_rows)
        self._parts += 1
