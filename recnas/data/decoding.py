"""A data set's columns → what a model is fed: numbers are transformed, ids become table rows, and what the data set has
not itself, such as bins and joint ids, is made from what it has.

Sizes: N rows of a table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recnas.data.block import Block, Lists
from recnas.data.kernels import BinLookup, KeptLookup
from recnas.features.feature import SparseFeature, parts_of, table_rows
from recnas.features.raw_values import joint_values
from recnas.features.schema import RAW_NUMBERS_SINCE, Schema
from recnas.util.errors import InputError

_NONE = 2**32 - 1
"""Stands for a value that is not kept and counts as missing."""


class Ids(NamedTuple):
    """Ids of N examples, or of all items of their lists.

    Attributes:
        values: `[N]` uint32.
        missing: `[N]` where there is none; None: everywhere there is one.
    """

    values: np.ndarray
    missing: np.ndarray | None


class Decoder:
    """Makes what a model is fed from a data set's columns, a table of some of its rows after the other.

    Args:
        own: The data set's own schema.
        fed: A schema that can be made from it; see `recnas.features.fed.difference`.

    Attributes:
        own: The data set's own schema.
        schema: The one that can be made from it.
    """

    def __init__(self, own: Schema, fed: Schema) -> None:
        self.own, self.schema = own, fed
        self._label = own.label
        self._transformed = own.version < RAW_NUMBERS_SINCE
        parts = parts_of(fed.sparse)
        numbers = [feature.number_name for feature in fed.dense]
        numbers += [feature.number for feature in parts if feature.number is not None]
        plain = [feature for feature in parts if feature.number is None]
        self.columns = list(dict.fromkeys([own.label, *numbers, *(feature.name for feature in plain)]))
        known = {feature.name: feature for feature in own.sparse}
        self._lookups: dict[int, Callable[[np.ndarray], np.ndarray] | None] = {
            id(feature): _lookup(known[feature.name], feature) for feature in plain
        }
        for feature in (*fed.sparse, *parts):
            if feature.number is not None:
                self._lookups[id(feature)] = BinLookup(feature.edges_array)
            elif feature.joint and feature.kept is not None:
                self._lookups[id(feature)] = KeptLookup(feature.kept_array, _other(feature)).of_joint

    def fill(self, block: Block, start: int, table: pa.Table) -> dict[str, Lists]:
        """Decodes a row group into a block, from example `start` on, and returns its multi-valued features.

        Raises:
            InputError: A label is missing, or a number that is kept as transformed.
        """
        columns = _Columns(table, self._transformed)
        stop = start + len(table)
        block.label[start:stop] = columns.array(self._label, nulls=False)
        for place, dense in enumerate(self.schema.dense):
            numbers = columns.numbers(dense.number_name)
            block.dense[start:stop, place] = numbers if self._transformed else dense.apply(numbers)
        place, lists = 0, {}
        rows: dict[int, np.ndarray] = {}
        for feature in self.schema.sparse:
            if feature.multi_valued:
                lists[feature.name] = self._lists(columns, feature)
            else:
                block.single[place, start:stop] = self._rows(columns, feature, rows)
                place += 1
        return lists

    def _rows(self, columns: _Columns, feature: SparseFeature, known: dict[int, np.ndarray]) -> np.ndarray:
        """`[N]` int32 table rows of a single-valued feature, which may be known already."""
        if id(feature) in known:
            return known[id(feature)]
        if feature.joint:
            parts = [self._rows(columns, part, known) for part in feature.joint]
            lookup = self._lookups.get(id(feature))
            ids = _settled(joint_values(parts) if lookup is None else lookup(np.stack(parts)), None)
        elif feature.number is not None:
            numbers = columns.numbers(feature.number)
            ids = Ids(self._lookups[id(feature)](numbers), np.isnan(numbers))
        else:
            ids = self._kept(columns.ids(feature.name), feature)
        rows = known[id(feature)] = table_rows(ids.values, feature.rows, ids.missing).astype(np.int32)
        return rows

    def _kept(self, ids: Ids, feature: SparseFeature) -> Ids:
        lookup = self._lookups[id(feature)]
        return ids if lookup is None else _settled(lookup(ids.values), ids.missing)

    def _lists(self, columns: _Columns, feature: SparseFeature) -> Lists:
        array = columns.array(feature.name)
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        # `flatten` leaves out what a null list may still hold.
        ids = _ids_of(array.flatten())
        kept = self._kept(ids, feature)
        if kept.missing is not None and kept.missing is not ids.missing:
            # What is not kept leaves its list.
            stays = ~kept.missing if ids.missing is None else ~kept.missing | ids.missing
            sums = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(stays)])
            ends = np.cumsum(lengths)
            lengths = sums[ends] - sums[ends - lengths]
            kept = Ids(kept.values[stays], kept.missing[stays])
        rows = table_rows(kept.values, feature.rows, kept.missing).astype(np.int32)
        empty = lengths == 0
        if empty.any():
            # An empty list becomes the missing value's row, put in where the list would have begun.
            rows = np.insert(rows, (np.cumsum(lengths) - lengths)[empty], 0)
            lengths[empty] = 1
        return Lists(rows, lengths)


class _Columns:
    """The columns of a table as NumPy arrays; each is made once."""

    def __init__(self, table: pa.Table, transformed: bool) -> None:
        self._table = table
        self._transformed = transformed
        self._numbers: dict[str, np.ndarray] = {}
        self._ids: dict[str, Ids] = {}

    def array(self, name: str, nulls: bool = True) -> pa.Array:
        array = self._table[name].combine_chunks()
        if array.null_count and not nulls:
            raise InputError(f"column {name} has missing values")
        return array

    def numbers(self, name: str) -> np.ndarray:
        """`[N]` float64, NaN = missing; or float32 as a model takes them."""
        if name not in self._numbers:
            self._numbers[name] = np.array(self.array(name, nulls=not self._transformed).to_numpy(zero_copy_only=False))
        return self._numbers[name]

    def ids(self, name: str) -> Ids:
        if name not in self._ids:
            self._ids[name] = _ids_of(self.array(name))
        return self._ids[name]


def _ids_of(array: pa.Array) -> Ids:
    if not array.null_count:
        return Ids(np.array(array), None)
    return Ids(np.array(array.fill_null(0)), array.is_null().to_numpy(zero_copy_only=False))


def _settled(values: np.ndarray, missing: np.ndarray | None) -> Ids:
    """Ids that a lookup gave, some of which may stand for none."""
    none = values == _NONE
    if not none.any():
        return Ids(values, missing)
    return Ids(values, none if missing is None else none | missing)


def _other(feature: SparseFeature) -> int:
    return _NONE if feature.shared_id is None else feature.shared_id


def _lookup(own: SparseFeature, fed: SparseFeature) -> Callable[[np.ndarray], np.ndarray] | None:
    """What gives the ids as fed of those that the data set has; None: they are the same."""
    if own.kept == fed.kept and own.unseen == fed.unseen:
        return None
    if own.kept is None:
        return KeptLookup(fed.kept_array, _other(fed))
    found, unknown = fed.places(own.kept_array)
    if unknown is not None:
        found[unknown] = _NONE
    # The place after the last is that of the values which share an id.
    places = np.append(found, np.uint32(_other(fed)))
    return lambda ids: places[ids]
