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
        reader: The row that reads it: a block, the cross network (`cross_row`) or the logit (`logit_row`).
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

    A cross network reads the stem; what it gives to the logit is no output that others could read.
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
    ends = [] if cross_row(arch) is None else [(0, cross_row(arch))]
    ends.append((len(arch.blocks), logit_row(arch)))
    found += [Connection(source, reader, kind, INPUT, True) for source, reader in ends for kind in (DENSE, SPARSE)]
    return tuple(found)


def cross_row(arch: Architecture) -> int | None:
    """The row after the blocks, where there is a cross network."""
    return len(arch.blocks) + 1 if arch.cross_layers else None


def logit_row(arch: Architecture) -> int:
    """The last row."""
    return len(arch.blocks) + (2 if arch.cross_layers else 1)


def takes_products(block: Block) -> bool:
    """Whether the block's dense output reads sparse inputs too."""
    return DOT_PRODUCT in block.dense_operators
