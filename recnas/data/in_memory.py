"""Small splits are decoded once, and kept as a model is fed them for later passes."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence

from recnas.data.block import Block
from recnas.data.decoding import Decoder
from recnas.data.files import RowGroup, decode
from recnas.features.schema import Schema

LIMIT = 512 << 20
"""Bytes that the kept splits of a data set may have together."""


class KeptSplit:
    """The row groups of a split, each decoded when it is first asked for. Threads may ask at the same time."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._blocks: dict[int, Block] | None = {}

    def blocks(self, groups: Sequence[RowGroup]) -> list[Block]:
        """Each row group's examples, which must not be written to.

        Raises:
            InputError: a file cannot be read or has missing values where none may be.
        """
        return [self._block(group) for group in groups]

    def drop(self) -> None:
        """From now on nothing is kept."""
        self._blocks = None

    def _block(self, group: RowGroup) -> Block:
        kept = self._blocks
        found = None if kept is None else kept.get(id(group))
        if found is None:
            found = decode([group], self._decoder)
            if kept is not None:
                # If two threads were here, either's will do.
                kept[id(group)] = found
        return found


class Memory:
    """The decoders of a data set, and its kept splits: those that were asked for last, as far as they have room.

    All views of a data set share one; see `Dataset.fed`.

    Args:
        own: The data set's own schema.
    """

    def __init__(self, own: Schema) -> None:
        self._own = own
        self._lock = threading.Lock()
        # Those that nobody uses any more go.
        self._decoders: weakref.WeakSet[Decoder] = weakref.WeakSet()
        self._splits: OrderedDict[tuple[int, str], tuple[KeptSplit, int]] = OrderedDict()

    def decoder(self, fed: Schema) -> Decoder:
        """What gives the features of a schema; its look-up tables are made once."""
        with self._lock:
            for decoder in self._decoders:
                if decoder.schema == fed:
                    return decoder
            decoder = Decoder(self._own, fed)
            self._decoders.add(decoder)
            return decoder

    def split(self, name: str, groups: Sequence[RowGroup], decoder: Decoder) -> KeptSplit | None:
        """A split as a decoder gives it, to be kept; None: it is too large.

        Args:
            name: "train", "validation" or "test".
            groups: Its row groups.
            decoder: One of this object's.
        """
        size = sum(bytes_of(group, decoder.schema) for group in groups)
        if size > LIMIT:
            return None
        key = id(decoder), name
        with self._lock:
            found, _ = self._splits.pop(key, (None, 0))
            while self._splits and sum(other for _, other in self._splits.values()) + size > LIMIT:
                _, (dropped, _) = self._splits.popitem(last=False)
                dropped.drop()
            found = found or KeptSplit(decoder)
            self._splits[key] = found, size
            return found


def bytes_of(group: RowGroup, schema: Schema) -> int:
    """The size of a decoded row group."""
    lists = {feature.name for feature in schema.sparse if feature.multi_valued}
    size = 4 * group.rows * (1 + schema.num_dense + schema.num_sparse - len(lists)) + 16 * group.rows * len(lists)
    if lists:
        columns = group.metadata.row_group(group.index)
        for place in range(columns.num_columns):
            column = columns.column(place)
            if column.path_in_schema.rpartition(".list.")[0] in lists:
                size += 4 * column.num_values
    return size
