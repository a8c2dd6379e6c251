"""From a stream of parsed rows to the Parquet files of the three splits, in bounded memory.

A recipe parses its raw files into chunks of rows. The split needs every label, and a mean every training row, so the
chunks are first set down as they are (uncompressed Arrow files in the folder being written): the text is read only
once. Then they are transformed, parted and written. At any moment a chunk and the parts being filled are in memory,
plus a few bytes a row for labels and splits.
"""

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tqdm import tqdm

from data_prep.bad_rows import BadRows
from data_prep.split import SEED, autoctr_split
from recnas.errors import InputError
from recnas.schema import SPLITS, DenseFeature, Schema, SparseFeature

ROW_GROUP_ROWS = 65_536
# A part is filled in memory and then written at once, all columns in parallel.
PART_ROWS = 16 * ROW_GROUP_ROWS
PART_BYTES = 512 << 20


@dataclass
class RawTable:
    """What a recipe hands over.

    Args:
        label: name of the label column.
        dense: for each dense feature "log1p" or "standardize"; the latter's mean and deviation are measured here, on
            the training split.
        chunks: the rows in file order, as frames with the columns label (Int8, 0 and 1), the dense features (numbers,
            null = missing) and the sparse ones (UInt32, null = missing; or lists of it), in any order.
        sparse: gives the sparse features; asked after the last chunk, when vocabularies are known.
        source: the schema's `source`.
    """

    label: str
    dense: dict[str, str]
    chunks: Iterator[pl.DataFrame]
    sparse: Callable[[], Sequence[SparseFeature]]
    source: dict[str, Any] = field(default_factory=dict)


def write_data_set(folder: Path, table: RawTable, bad_rows: BadRows, progress: bool = False) -> Schema:
    """Writes the three splits and `schema.json` into an empty folder.

    Args:
        folder: where to.
        table: the rows.
        bad_rows: where the recipe puts rows that do not fit; their number goes into the schema's `source`.
        progress: show a bar while writing.

    Raises:
        InputError: there are no rows, or too few of one class; whatever the recipe raises.
    """
    stage = folder / "stage"
    stage.mkdir()
    labels = _set_down(stage, table)
    split_of_row = autoctr_split(labels)
    moments = {name: _Moments() for name, kind in table.dense.items() if kind == "standardize"}
    if moments:
        for chunk, split in _staged(stage, split_of_row):
            for name, moment in moments.items():
                values = chunk[name].cast(pl.Float64).to_numpy()[split == 0]
                moment.add(values[~np.isnan(values)])
    schema = Schema(
        label=table.label,
        dense=tuple(
            DenseFeature(name, moments[name].transform() if name in moments else {"name": kind})
            for name, kind in table.dense.items()
        ),
        sparse=tuple(table.sparse()),
        splits={
            name: {
                "rows": int((split_of_row == place).sum()),
                "positives": int(labels[split_of_row == place].sum(dtype=np.int64)),
            }
            for place, name in enumerate(SPLITS)
        },
        source=table.source | {"rejected_rows": bad_rows.count},
        split={"name": "autoctr", "seed": SEED},
    )
    writers = [_SplitWriter(folder / name) for name in SPLITS]
    bar = tqdm(total=len(labels), desc="writing", unit=" rows", unit_scale=True, disable=None if progress else True)
    with bar, ThreadPoolExecutor() as pool:
        for chunk, split in _staged(stage, split_of_row, remove=True):
            chunk = _transformed(chunk, schema, pool)
            for place, writer in enumerate(writers):
                writer.add(chunk.filter(split == place))
            bar.update(len(chunk))
        for writer in writers:
            writer.close()
    shutil.rmtree(stage)
    schema.save(folder)
    return schema


def _set_down(stage: Path, table: RawTable) -> np.ndarray:
    """Writes the chunks as they come; returns all labels."""
    labels = []
    for number, chunk in enumerate(table.chunks):
        chunk.write_ipc(stage / f"{number:08d}.arrow")
        labels.append(chunk[table.label].to_numpy())
    if not labels:
        raise InputError("there is no good row; check --input")
    return np.concatenate(labels)


def _staged(stage: Path, split_of_row: np.ndarray, remove: bool = False) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
    """The chunks again, with the split of each row."""
    start = 0
    for path in sorted(stage.iterdir()):
        chunk = pl.read_ipc(path)
        if remove:
            path.unlink()
        yield chunk, split_of_row[start : start + len(chunk)]
        start += len(chunk)


def _transformed(chunk: pl.DataFrame, schema: Schema, pool: ThreadPoolExecutor) -> pl.DataFrame:
    """The columns as they are on disk, in the schema's order."""

    def dense(feature: DenseFeature) -> pl.Series:
        return pl.Series(feature.name, feature.apply(chunk[feature.name].cast(pl.Float64).to_numpy()))

    columns = [chunk[schema.label].cast(pl.Int8), *pool.map(dense, schema.dense)]
    for feature in schema.sparse:
        columns.append(chunk[feature.name].cast(pl.List(pl.UInt32) if feature.multi_valued else pl.UInt32))
    return pl.DataFrame(columns)


class _Moments:
    """Mean and standard deviation of values that come in parts (Chan, Golub and LeVeque's update)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, values: np.ndarray) -> None:
        if not len(values):
            return
        mean = float(values.mean())
        count = self._count + len(values)
        distance = mean - self._mean
        self._squares += float(((values - mean) ** 2).sum()) + distance**2 * self._count * len(values) / count
        self._mean += distance * len(values) / count
        self._count = count

    def transform(self) -> dict[str, Any]:
        deviation = math.sqrt(self._squares / self._count) if self._count else 0.0
        # A constant has no deviation to divide by; it becomes 0.
        return {"name": "standardize", "mean": self._mean, "std": deviation or 1.0}


class _SplitWriter:
    """One split's part files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._frames: list[pl.DataFrame] = []
        self._rows = 0
        self._bytes = 0
        self._parts = 0

    def add(self, rows: pl.DataFrame) -> None:
        self._frames.append(rows)
        self._rows += len(rows)
        self._bytes += int(rows.estimated_size())
        if self._rows >= PART_ROWS or (self._bytes >= PART_BYTES and self._rows >= ROW_GROUP_ROWS):
            frame = pl.concat(self._frames)
            whole = min(PART_ROWS, len(frame) // ROW_GROUP_ROWS * ROW_GROUP_ROWS)
            self._write(frame[:whole])
            rest = frame[whole:].clone()
            self._frames, self._rows, self._bytes = [rest], len(rest), int(rest.estimated_size())

    def close(self) -> None:
        if self._rows:
            self._write(pl.concat(self._frames))

    def _write(self, frame: pl.DataFrame) -> None:
        path = self._folder / f"part-{self._parts:05d}.parquet"
        # Written and read faster than zstd, and 12 % larger; nobody filters by statistics.
        frame.write_parquet(path, compression="lz4", statistics=False, row_group_size=ROW_GROUP_ROWS)
        self._parts += 1
