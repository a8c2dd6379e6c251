"""Blocks whose unread outputs all go to the logit: what of them there is, what is unread, and in which order.

Nothing of such an architecture is dead, but a block may have nothing to read, and then gives nothing. The order of
blocks that do not read each other means nothing, so that networks of different order may be the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from recnas.space.block import Block
from recnas.space.operators import DENSE_INPUTS, OPERANDS, OPERATORS, SPARSE_INPUTS

Sources = tuple[tuple[int, ...], tuple[int, ...]]
"""Outputs whose dense part is meant, and those whose sparse part is."""


def what_there_is(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Blocks without the operators that have nothing to read, and without the inputs that nothing makes.

    An operator needs something of every kind of input that it reads; one that is `optional`, of any kind.
    """
    dense, sparse = {0}, {0}
    kept: list[Block] = []
    for index, block in enumerate(blocks, start=1):
        block = replace(
            block,
            dense_inputs=tuple(source for source in block.dense_inputs if source in dense),
            sparse_inputs=tuple(source for source in block.sparse_inputs if source in sparse),
        )
        has = {
            DENSE_INPUTS: bool(block.dense_inputs),
            SPARSE_INPUTS: bool(block.sparse_inputs),
            OPERANDS: block.left in dense and block.right in dense,
        }
        dense_operators, sparse_operators = (
            tuple(name for name in names if _runs(name, has))
            for names in (block.dense_operators, block.sparse_operators)
        )
        block = replace(
            block,
            dense_operators=dense_operators,
            sparse_operators=sparse_operators,
            dense_width=block.dense_width if dense_operators else 0,
            sparse_width=block.sparse_width if sparse_operators else 0,
            dense_to_sparse=block.dense_to_sparse and bool(dense_operators),
            fm=block.fm and bool(dense_operators) and bool(sparse_operators),
        )
        if dense_operators:
            dense.add(index)
        if sparse_operators or block.dense_to_sparse:
            sparse.add(index)
        kept.append(block)
    return tuple(kept)


def unread(blocks: Sequence[Block]) -> Sources:
    """The outputs of the stem (0) and of blocks, all of which there are, that no block reads."""
    dense = [0, *(index for index, block in enumerate(blocks, start=1) if block.dense_operators)]
    sparse = [
        0,
        *(index for index, block in enumerate(blocks, start=1) if block.sparse_operators or block.dense_to_sparse),
    ]
    read_dense, read_sparse = set[int](), set[int]()
    for block in blocks:
        if block.reads_dense_inputs:
            read_dense.update(block.dense_inputs)
        if block.reads_operands:
            read_dense.update((block.left, block.right))
        if block.reads_sparse_inputs:
            read_sparse.update(block.sparse_inputs)
    return _without(dense, read_dense), _without(sparse, read_sparse)


def in_order(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Blocks in an order that depends on what reads what, and not on the order they are given in; empty ones last.

    Blocks are told apart by what they are and by what the blocks are that they read and are read by, over and over
    (colour refinement). Of those that are alike even so each is tried as the first, and the smallest outcome counts.
    """
    graph = _Graph(blocks)
    order = graph.best(graph.refined([0] * (len(blocks) + 1)))
    places = {0: 0} | {node: place for place, node in enumerate(order, start=1)}
    return tuple(_renumbered(blocks[node - 1], places) for node in order)


class _Graph:
    """The stem, node 0, and the blocks, with what each reads."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = blocks
        self.reads: list[list[tuple[str, int]]] = [[]] + [_reads(block) for block in blocks]
        self.readers: list[list[tuple[str, int]]] = [[] for _ in self.reads]
        self.labels = [""] + [_label(block) for block in blocks]
        self.depth = [0] * len(self.reads)
        for node, read in enumerate(self.reads):
            for kind, source in read:
                self.readers[source].append((kind, node))
                self.depth[node] = max(self.depth[node], self.depth[source] + 1)

    def refined(self, colors: list[int]) -> list[int]:
        """Colours that tell apart whatever differs in its own colour, its kind, or those of its neighbours."""
        while True:
            signs = [
                (
                    not self.labels[node] and node > 0,
                    self.depth[node],
                    self.labels[node],
                    colors[node],
                    sorted((kind, colors[other]) for kind, other in self.reads[node]),
                    sorted((kind, colors[other]) for kind, other in self.readers[node]),
                )
                for node in range(len(colors))
            ]
            distinct = sorted({repr(sign): sign for sign in signs}.values())
            places = {repr(sign): place for place, sign in enumerate(distinct)}
            found = [places[repr(sign)] for sign in signs]
            if len(distinct) == len(set(colors)):
                return found
            colors = found

    def best(self, colors: list[int]) -> list[int]:
        """The blocks in the order of their colours, where alike ones are told apart in the best way."""
        if not (tied := self._tied(colors)):
            return sorted(range(1, len(colors)), key=colors.__getitem__)
        orders, met = [], set[str]()
        for node in tied:
            apart = self._apart(colors, node)
            # Where one way to go on from here is as one from another block, these may change places.
            if (leaf := repr(self._written(self._any(apart)))) not in met:
                met.add(leaf)
                orders.append(self.best(apart))
        return min(orders, key=self._written)

    def _any(self, colors: list[int]) -> list[int]:
        """The blocks in the order of their colours, where alike ones are told apart as they come."""
        while tied := self._tied(colors):
            colors = self._apart(colors, tied[0])
        return sorted(range(1, len(colors)), key=colors.__getitem__)

    def _tied(self, colors: list[int]) -> list[int]:
        """The first blocks that are alike; none if all differ."""
        alike: dict[int, list[int]] = {}
        for node in range(1, len(colors)):
            alike.setdefault(colors[node], []).append(node)
        return next((alike[color] for color in sorted(alike) if len(alike[color]) > 1), [])

    def _apart(self, colors: list[int], node: int) -> list[int]:
        """Colours by which a block stands before those that it is like."""
        apart = [2 * color + 1 for color in colors]
        apart[node] -= 1
        return self.refined(apart)

    def _written(self, order: list[int]) -> list[tuple[str, list[tuple[str, int]]]]:
        places = {0: 0} | {node: place for place, node in enumerate(order, start=1)}
        return [
            (self.labels[node], sorted((kind, places[source]) for kind, source in self.reads[node])) for node in order
        ]


def _runs(name: str, has: dict[str, bool]) -> bool:
    operator = OPERATORS[name]
    needed = [has[kind] for kind in operator.reads]
    return any(needed) if operator.optional else all(needed)


def _without(sources: Iterable[int], read: set[int]) -> tuple[int, ...]:
    return tuple(source for source in sources if source not in read)


def _reads(block: Block) -> list[tuple[str, int]]:
    found = [("dense", source) for source in block.dense_inputs] + [
        ("sparse", source) for source in block.sparse_inputs
    ]
    if block.left is not None and block.right is not None:
        left, right = ("operand",) * 2 if _symmetric(block) else ("left", "right")
        found += [(left, block.left), (right, block.right)]
    return found


def _label(block: Block) -> str:
    """All of a block but what it reads; nothing for a block without operators."""
    if not block.operators:
        return ""
    return repr(replace(block, dense_inputs=(), sparse_inputs=(), left=None, right=None))


def _symmetric(block: Block) -> bool:
    return all(OPERATORS[name].symmetric for name in block.operators)


def _renumbered(block: Block, places: dict[int, int]) -> Block:
    left, right = (None if source is None else places[source] for source in (block.left, block.right))
    if left is not None and right is not None and _symmetric(block):
        left, right = sorted((left, right))
    return replace(
        block,
        dense_inputs=tuple(sorted(places[source] for source in block.dense_inputs)),
        sparse_inputs=tuple(sorted(places[source] for source in block.sparse_inputs)),
        left=left,
        right=right,
    )
