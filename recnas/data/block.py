"""Many decoded examples as NumPy arrays, and how some of them become a batch.

Sizes: N examples in a block, B in a batch, d₀ dense features, n₁ single-valued sparse features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from recnas.data.batch import Batch
from recnas.features.schema import Schema


@dataclass
class Lists:
    """A multi-valued feature of N examples; every list has at least one id.

    Args:
        ids: `[sum of lengths]` int32 table rows, example after example.
        lengths: The number of ids of each example, `[N]` int64.
    """

    ids: np.ndarray
    lengths: np.ndarray

    def __post_init__(self) -> None:
        self.starts = np.cumsum(self.lengths) - self.lengths

    def take(self, order: np.ndarray) -> "Lists":
        """The lists at the places `order`, in that order."""
        lengths = self.lengths[order]
        ends = np.cumsum(lengths)
        # The place of each wanted id: its list's start, plus its place in the list.
        places = np.repeat(self.starts[order] - (ends - lengths), lengths) + np.arange(lengths.sum())
        return Lists(self.ids[places], lengths)

    def cut(self, start: int, stop: int) -> "Lists":
        """The lists from place `start` up to `stop`."""
        lengths = self.lengths[start:stop]
        first = self.starts[start] if start < stop else 0
        return Lists(self.ids[first : first + lengths.sum()], lengths)


@dataclass
class Block:
    """N decoded examples.

    Args:
        label: The labels, `[N]` float32.
        dense: The dense features, `[N, max(1, d₀)]` float32.
        single: `[n₁, N]` int32 table rows of the single-valued features.
        lists: the multi-valued features, by name.
    """

    label: np.ndarray
    dense: np.ndarray
    single: np.ndarray
    lists: dict[str, Lists]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, order: np.ndarray) -> "Block":
        """The examples at the places `order`, in that order; this block's arrays are written over."""
        size = len(order)
        # Column by column, which stays in the processor's cache and needs no second block of memory.
        for row in self.single:
            row[:size] = row[order]
        return Block(
            self.label[order],
            self.dense.take(order, axis=0),
            self.single[:, :size],
            {name: lists.take(order) for name, lists in self.lists.items()},
        )

    def cut(self, start: int, stop: int) -> "Block":
        """The examples from place `start` up to `stop`, without a copy."""
        return Block(
            self.label[start:stop],
            self.dense[start:stop],
            self.single[:, start:stop],
            {name: lists.cut(start, stop) for name, lists in self.lists.items()},
        )

    def batch(self, schema: Schema) -> Batch:
        """All examples as one batch, which shares no memory with the block."""
        keys = [feature.name for feature in schema.sparse]
        size = len(self)
        if not self.lists:
            values = self.single.astype(np.int64).reshape(-1)
            lengths, offsets = _ones(len(keys) * size)
            ids_per_key = [size] * len(keys)
        else:
            singles = iter(self.single)
            ids, counts = [], []
            for feature in schema.sparse:
                if feature.multi_valued:
                    ids.append(self.lists[feature.name].ids)
                    counts.append(self.lists[feature.name].lengths)
                else:
                    ids.append(next(singles))
                    counts.append(np.ones(size, dtype=np.int64))
            values = np.concatenate(ids, dtype=np.int64)
            ids_per_key = [len(part) for part in ids]
            lengths = torch.from_numpy(np.concatenate(counts))
            offsets = torch.zeros(len(lengths) + 1, dtype=torch.int64)
            torch.cumsum(lengths, 0, out=offsets[1:])
        sparse = KeyedJaggedTensor(
            keys,
            torch.from_numpy(values),
            lengths=lengths,
            offsets=offsets,
            stride=size,
            length_per_key=ids_per_key,
        )
        return Batch(torch.from_numpy(self.dense.copy()), sparse, torch.from_numpy(self.label.copy()))


@lru_cache(maxsize=4)
def _ones(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Lengths and offsets of `count` lists of one id: the same for every batch of a size, so made once."""
    return torch.ones(count, dtype=torch.int64), torch.arange(count + 1)


def concatenate(blocks: Sequence[Block]) -> Block:
    """The examples of several blocks after one another; of one block it is this one."""
    if len(blocks) == 1:
        return blocks[0]
    return Block(
        np.concatenate([block.label for block in blocks]),
        np.concatenate([block.dense for block in blocks]),
        np.concatenate([block.single for block in blocks], axis=1),
        {name: _joined([block.lists[name] for block in blocks]) for name in blocks[0].lists},
    )


def gather(blocks: Sequence[Block], order: np.ndarray) -> Block:
    """The examples at the places `order` of several blocks after one another, in that order, as a new block."""
    single = np.empty((len(blocks[0].single), len(order)), dtype=np.int32)
    for place, row in enumerate(single):
        # Column by column, which stays in the processor's cache.
        np.take(_together([block.single[place] for block in blocks]), order, out=row, mode="clip")
    return Block(
        _together([block.label for block in blocks])[order],
        _together([block.dense for block in blocks]).take(order, axis=0),
        single,
        {name: _joined([block.lists[name] for block in blocks]).take(order) for name in blocks[0].lists},
    )


def _together(parts: Sequence[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _joined(parts: Sequence[Lists]) -> Lists:
    if len(parts) == 1:
        return parts[0]
    return Lists(np.concatenate([part.ids for part in parts]), np.concatenate([part.lengths for part in parts]))


def allocate(schema: Schema, size: int) -> Block:
    """A block of `size` examples to be written into; its lists are still to be put there."""
    singles = sum(not feature.multi_valued for feature in schema.sparse)
    return Block(
        np.empty(size, dtype=np.float32),
        np.zeros((size, schema.num_dense), dtype=np.float32),
        np.empty((singles, size), dtype=np.int32),
        {},
    )
