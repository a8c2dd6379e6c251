"""One pass over a split: which examples in which order, decoded ahead in a thread, cut into batches."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from recnas.data.batch import Batch
from recnas.data.block import Block, concatenate, gather
from recnas.data.decoding import Decoder
from recnas.data.files import RowGroup, decode
from recnas.data.in_memory import KeptSplit, bytes_of
from recnas.util.errors import InputError

# Shuffling needs many examples at hand, file order only the next ones: 8 groups of Criteo are 84 MB.
SHUFFLED_GROUPS = 8
SHUFFLED_BYTES = 512 << 20
"""Decoded bytes of the groups that are shuffled together, if they are more than one; as much is decoded ahead. They are
counted as the data set has them, so that the order is the same whatever a model is fed."""


@dataclass(frozen=True)
class _Buffer:
    """Row groups to be decoded together; `number` is its place in the order of epoch 0 of a subset."""

    groups: tuple[RowGroup, ...]
    number: int
    rows: int  # how many of its examples are wanted
    skipped: int = 0  # how many of these, in the pass's order, were given out before it was left

    @property
    def size(self) -> int:
        return sum(group.rows for group in self.groups)


class Batches:
    """The batches of one pass; see `Dataset.batches`, which makes it.

    Each iteration starts the same pass anew. A thread decodes the next buffer while the caller works on this one;
    an error there is raised here, and the thread ends when the iterator is exhausted or dropped.
    """

    def __init__(
        self,
        decoder: Decoder,
        groups: Sequence[RowGroup],
        kept: KeptSplit | None,
        batch_size: int,
        *,
        seed: int | None,
        epoch: int,
        rows: int | None,
        drop_last: bool,
        rank: int,
        world_size: int,
        first_batch: int,
        labels: np.ndarray | None,
    ) -> None:
        self.schema = decoder.schema
        self._decoder = decoder
        self.batch_size = batch_size
        total = sum(group.rows for group in groups)
        self.rows = total if rows is None else min(rows, total)
        self._groups = groups
        self._kept = kept
        self._seed = seed
        self._epoch = epoch
        self._drop_last = drop_last
        self._rank = rank
        self._world_size = world_size
        self._step = batch_size
        self._first_batch = first_batch
        ends = np.cumsum([group.rows for group in groups])
        # Those of each row group.
        self._labels = None if labels is None else dict(zip(map(id, groups), np.split(labels, ends[:-1]), strict=True))
        whole = self.rows // self._step if drop_last else -(-self.rows // self._step)
        if first_batch > whole:
            raise InputError(f"first_batch is {first_batch}, it must be from 0 to {whole}, the number of batches")
        self._left = whole - first_batch

    def __len__(self) -> int:
        """Number of batches from the first one on, the same in every process."""
        return self._left

    def __iter__(self) -> Iterator[Batch]:
        step = self._step
        left: Block | None = None
        for block in self._blocks():
            start = 0
            if left is not None:
                # A batch that began in the block before goes on in this one.
                start = min(step - len(left), len(block))
                left = concatenate([left, block.cut(0, start)])
                if len(left) < step:
                    continue
                yield self._share(left, 0, step)
            stop = start + (len(block) - start) // step * step
            for begin in range(start, stop, step):
                yield self._share(block, begin, begin + step)
            left = block.cut(stop, len(block)) if stop < len(block) else None
        if left is not None and not self._drop_last:
            yield self._share(left, 0, len(left))

    def _share(self, block: Block, start: int, stop: int) -> Batch:
        """This process's batch of the step from `start` to `stop`."""
        size = stop - start
        first = start + size * self._rank // self._world_size
        last = start + size * (self._rank + 1) // self._world_size
        batch = block.cut(first, last).batch(self.schema)
        return batch if self._world_size == 1 else replace(batch, rows_of_step=size)

    def _blocks(self) -> Iterator[Block]:
        """The buffers, decoded and in order, the next one always under way."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="recnas-data") as pool:
            ahead = None
            for buffer in self._rest():
                current, ahead = ahead, pool.submit(self._decode, buffer)
                if current is not None:
                    yield current.result()
            if ahead is not None:
                yield ahead.result()

    def _decode(self, buffer: _Buffer) -> Block:
        if self._seed is None:
            return concatenate(self._read(buffer.groups)).cut(buffer.skipped, buffer.rows)
        order = self._order(buffer)[buffer.skipped :]
        if self._kept is None:
            (block,) = self._read(buffer.groups)
            return block.take(order)
        return gather(self._read(buffer.groups), order)

    def _read(self, groups: Sequence[RowGroup]) -> list[Block]:
        """The examples of some row groups: together, or of a split that is kept each by itself."""
        together = [[group] for group in groups] if self._kept is not None else [groups]
        blocks = [decode(groups, self._decoder)] if self._kept is None else self._kept.blocks(groups)
        if self._labels is None:
            return blocks
        return [
            replace(block, label=np.concatenate([self._labels[id(group)] for group in members]))
            for block, members in zip(blocks, together, strict=True)
        ]

    def _rest(self) -> Iterator[_Buffer]:
        """The buffers of this pass from the one in which the first batch starts."""
        if not self._left:
            return
        skip = self._first_batch * self._step
        for buffer in self._plan():
            if skip < buffer.rows:
                yield replace(buffer, skipped=skip)
            skip = max(0, skip - buffer.rows)

    def _plan(self) -> list[_Buffer]:
        """The buffers of this pass, in order."""
        total = sum(group.rows for group in self._groups)
        # A subset is epoch 0's beginning, so its buffers are epoch 0's in every epoch.
        subset = self.rows < total
        groups = list(self._groups)
        if self._seed is not None:
            places = np.random.default_rng([self._seed, 0 if subset else self._epoch]).permutation(len(groups))
            groups = [groups[place] for place in places]
        buffers = []
        wanted = self.rows
        for members in self._together(groups):
            size = sum(group.rows for group in members)
            buffers.append(_Buffer(members, len(buffers), min(size, wanted)))
            wanted -= buffers[-1].rows
            if wanted == 0:
                break
        if self._seed is not None and subset and self._epoch:
            places = np.random.default_rng([self._seed, self._epoch]).permutation(len(buffers))
            buffers = [buffers[place] for place in places]
        return buffers

    def _together(self, groups: Sequence[RowGroup]) -> Iterator[tuple[RowGroup, ...]]:
        """The row groups that are decoded together, in order: one, or as many as are shuffled and not too large."""
        members: list[RowGroup] = []
        size = 0
        for group in groups:
            size += bytes_of(group, self._decoder.own)
            if members and (self._seed is None or len(members) == SHUFFLED_GROUPS or size > SHUFFLED_BYTES):
                yield tuple(members)
                members, size = [], bytes_of(group, self._decoder.own)
            members.append(group)
        yield tuple(members)

    def _order(self, buffer: _Buffer) -> np.ndarray:
        """The places of a buffer's wanted examples, in the shuffled order."""

        def shuffled(epoch: int, size: int) -> np.ndarray:
            return np.random.default_rng([self._seed, epoch, buffer.number + 1]).permutation(size)

        if buffer.rows == buffer.size:
            return shuffled(self._epoch, buffer.size)
        chosen = shuffled(0, buffer.size)[: buffer.rows]
        return chosen[shuffled(self._epoch, buffer.rows)] if self._epoch else chosen
