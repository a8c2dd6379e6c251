"""What a drawing of an architecture has to show: which block reads which output, and which of it reaches the logit."""

from __future__ import annotations

from dataclasses import dataclass

from recnas.space import Architecture, Block
from recnas.space.architecture import DOT_PRODUCT

DENSE, SPARSE = "dense", "sparse"
INPUT, LEFT, RIGHT = "input", "left", "right"


@dataclass(frozen=True)
class Connection:
    """One reading of an earlier output.

    Attributes:
        source: The output that is read; 0 is the stem.
        reader: The block that reads it; one more than the number of blocks is the logit.
        kind: `DENSE` or `SPARSE`.
        role: `INPUT`, or `LEFT` or `RIGHT` for the operands of Gating and Sum.
        live: Whether what is read here can change the logit.
    """

    source: int
    reader: int
    kind: str
    role: str
    live: bool


def connections(arch: Architecture) -> tuple[Connection, ...]:
    """All readings in order of the reader, the logit last. Inputs that no operator of a block reads are left out.

    A cross network is drawn as part of the logit, which reads the stem through it.
    """
    found: list[Connection] = []
    for index, (block, live) in enumerate(zip(arch.blocks, arch.live(), strict=True), start=1):
        if block.reads_dense_inputs:
            found += [Connection(source, index, DENSE, INPUT, live.dense_operators) for source in block.dense_inputs]
        if block.reads_operands:
            found.append(Connection(block.left, index, DENSE, LEFT, live.dense_operators))
            found.append(Connection(block.right, index, DENSE, RIGHT, live.dense_operators))
        if block.reads_sparse_inputs:
            read = live.sparse_operators or (live.dense_operators and takes_products(block))
            found += [Connection(source, index, SPARSE, INPUT, read) for source in block.sparse_inputs]
    last = len(arch.blocks)
    read = (0, last) if arch.cross_layers else (last,)
    found += [Connection(source, last + 1, kind, INPUT, True) for kind in (DENSE, SPARSE) for source in read]
    return tuple(found)


def takes_products(block: Block) -> bool:
    """Whether the block's dense output reads sparse inputs too."""
    return DOT_PRODUCT in block.dense_operators
