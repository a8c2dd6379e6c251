"""The Parquet files of one split: which row groups there are, whether their columns fit, and their decoding."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recnas.data.block import Block, Lists, allocate
from recnas.data.decoding import Decoder
from recnas.features.frames import open_arrow, parts_of
from recnas.features.schema import RAW_NUMBERS_SINCE, Schema
from recnas.util.errors import InputError


@dataclass(frozen=True)
class RowGroup:
    """One row group of one Parquet file: the unit in which a data set is read."""

    path: Path
    metadata: pq.FileMetaData
    index: int

    @property
    def rows(self) -> int:
        return self.metadata.row_group(self.index).num_rows


def row_groups(folder: Path, schema: Schema) -> list[RowGroup]:
    """All row groups of a split in file order, after a look at every file's columns.

    Raises:
        InputError: a file cannot be read, or has not the schema's columns and types.
    """
    groups = []
    for path in parts_of(folder):
        try:
            metadata = pq.read_metadata(open_arrow(path))
        except (pa.ArrowInvalid, OSError) as error:
            raise _unreadable(path, error) from None
        _check_columns(path, metadata.schema.to_arrow_schema(), schema)
        groups += [RowGroup(path, metadata, index) for index in range(metadata.num_row_groups)]
    return groups


def decode(groups: Sequence[RowGroup], decoder: Decoder) -> Block:
    """The examples of some row groups, one group after the other.

    Raises:
        InputError: a file cannot be read or has missing values where none may be.
    """
    block = allocate(decoder.schema, sum(group.rows for group in groups))
    start = 0
    parts: dict[str, list[Lists]] = {}
    for group in groups:
        table = read(group, decoder.columns)
        try:
            for name, lists in decoder.fill(block, start, table).items():
                parts.setdefault(name, []).append(lists)
        except pa.ArrowException as error:
            raise _unreadable(group.path, error) from None
        except InputError as error:
            raise InputError(f"{group.path}: {error}; prepare the data set again") from None
        start += group.rows
    for name, lists in parts.items():
        block.lists[name] = Lists(
            np.concatenate([part.ids for part in lists]), np.concatenate([part.lengths for part in lists])
        )
    return block


def read(group: RowGroup, columns: Sequence[str]) -> pa.Table:
    """Some columns of a row group.

    Raises:
        InputError: its file cannot be read.
    """
    try:
        with open_arrow(group.path) as opened, pq.ParquetFile(opened, metadata=group.metadata) as file:
            return file.read_row_group(group.index, columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(group.path, error) from None


def _check_columns(path: Path, found: pa.Schema, schema: Schema) -> None:
    def check(name: str, wanted: pa.DataType) -> None:
        place = found.get_field_index(name)
        if place < 0:
            raise InputError(f"{path}: no column {name}, which schema.json lists; prepare the data set again")
        kind = found.field(place).type
        if pa.types.is_large_list(kind) or pa.types.is_list(kind):
            kind = pa.list_(kind.value_type)
        if kind != wanted:
            raise InputError(f"{path}: column {name} is {kind} where {wanted} is expected; prepare the data set again")

    check(schema.label, pa.int8())
    for feature in schema.dense:
        check(feature.name, pa.float64() if schema.version >= RAW_NUMBERS_SINCE else pa.float32())
    for feature in schema.sparse:
        check(feature.name, pa.list_(pa.uint32()) if feature.multi_valued else pa.uint32())


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]}); prepare the data set again")
