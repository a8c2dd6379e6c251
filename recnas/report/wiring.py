"""What a drawing of an architecture has to show: which block reads which output, and which of it reaches the logit."""

from __future__ import annotations

from dataclasses import dataclass

from recnas.space import Architecture, Block
from recnas.space.architecture import UNREAD
from recnas.space.operators import SPARSE_INPUTS, read_by
from recnas.space.unread import what_there_is

DENSE, SPARSE = "dense", "sparse"
INPUT, LEFT, RIGHT = "input", "left", "right"


@dataclass(frozen=True)
class Connection:
    """One reading of an earlier output.

    Attributes:
        source: The number of the block whose output is read; 0 is the stem.
        reader: The row that reads it: a block, a branch (`branch_rows`) or the logit (`logit_row`).
        kind: The kind of the output, `DENSE` or `SPARSE`.
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

    A branch reads the stem; what it gives to the logit is no output that others could read.
    """
    found: list[Connection] = []
    # Of what the logit reads where nobody else does, some may not be there.
    present = what_there_is(arch.blocks) if arch.logit == UNREAD else arch.blocks
    for index, (block, live) in enumerate(zip(arch.blocks, arch.live(), strict=True), start=1):
        if block.reads_dense_inputs:
            there = present[index - 1].dense_inputs
            found += [
                Connection(source, index, DENSE, INPUT, live.dense_operators and source in there)
                for source in block.dense_inputs
            ]
        if block.reads_operands:
            found.append(Connection(block.left, index, DENSE, LEFT, live.dense_operators))
            found.append(Connection(block.right, index, DENSE, RIGHT, live.dense_operators))
        if block.reads_sparse_inputs:
            read = live.sparse_operators or (live.dense_operators and takes_products(block))
            there = present[index - 1].sparse_inputs
            found += [
                Connection(source, index, SPARSE, INPUT, read and source in there) for source in block.sparse_inputs
            ]
    found += [Connection(0, row, kind, INPUT, True) for row in branch_rows(arch) for kind in (DENSE, SPARSE)]
    for kind, sources in zip((DENSE, SPARSE), arch.logit_inputs(), strict=True):
        found += [Connection(source, logit_row(arch), kind, INPUT, True) for source in sources]
    return tuple(found)


def branch_rows(arch: Architecture) -> dict[int, str]:
    """The rows after the blocks, of branches: their names."""
    return dict(enumerate((name for name, _ in arch.branches), start=len(arch.blocks) + 1))


def logit_row(arch: Architecture) -> int:
    """The last row."""
    return len(arch.blocks) + len(arch.branches) + 1


def takes_products(block: Block) -> bool:
    """Whether the block's dense output reads sparse inputs too."""
    return SPARSE_INPUTS in read_by(block.dense_operators)
