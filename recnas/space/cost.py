"""What an architecture costs, counted from the value alone: dense parameters and multiply–accumulates per row.

Only parts that reach the logit are counted. Embedding tables are not: they depend on the data, not the architecture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from recnas.space.architecture import MERGED_FIELDS, Architecture
from recnas.space.block import Block
from recnas.space.operators import BRANCHES, OPERATORS, Layer, Sizes, linear, norm


def parameters(arch: Architecture, dense: int, fields: int, embedding_dim: int) -> int:
    """Dense parameters that reach the logit.

    Args:
        arch: The architecture; dead parts are left out.
        dense: d₀, the number of dense features (1 where a data set has none).
        fields: n₀, the number of sparse features.
        embedding_dim: E, the width of an embedding.
    """
    return sum(layer.parameters for layer in _layers(arch.canonical(), dense, fields, embedding_dim))


def macs(arch: Architecture, dense: int, fields: int, embedding_dim: int) -> int:
    """Multiply–accumulates per row of all matrix products that reach the logit; arguments as in `parameters`.

    PyTorch's FLOP counter counts a multiply–accumulate as two operations, so it gives twice this number.
    """
    return sum(layer.macs for layer in _layers(arch.canonical(), dense, fields, embedding_dim))


COUNTS = {"macs": macs, "parameters": parameters}
"""What is counted of an architecture, by the names of the limits on it."""


def output_widths(arch: Architecture, dense: int, fields: int) -> tuple[list[int], list[int]]:
    """Columns of every dense output and fields of every sparse output (merger included), stem first."""
    dense_widths, sparse_widths = [dense], [fields]
    for block in arch.blocks:
        # No width depends on E.
        dense_widths.append(dense_width(block, sizes_of(block, dense_widths, sparse_widths, dim=0)))
        sparse_widths.append(block.sparse_width + (MERGED_FIELDS if block.dense_to_sparse else 0))
    return dense_widths, sparse_widths


def sizes_of(block: Block, dense_widths: Sequence[int], sparse_widths: Sequence[int], dim: int) -> Sizes:
    """What a block's dense operators meet, given the widths of all earlier outputs."""
    left, right = (0 if source is None else dense_widths[source] for source in (block.left, block.right))
    return Sizes(
        sum(dense_widths[source] for source in block.dense_inputs),
        sum(sparse_widths[source] for source in block.sparse_inputs),
        left,
        right,
        block.dense_width,
        dim,
    )


def dense_width(block: Block, sizes: Sizes) -> int:
    """Columns of a block's dense output: what is chosen, or what its operator makes of such sizes."""
    return max((OPERATORS[name].output_width(sizes) for name in block.dense_operators), default=0)


def _layers(arch: Architecture, dense: int, fields: int, dim: int) -> Iterator[Layer]:
    dense_widths, sparse_widths = output_widths(arch, dense, fields)
    for block, width in zip(arch.blocks, dense_widths[1:], strict=True):
        sizes = sizes_of(block, dense_widths, sparse_widths, dim)
        for name in block.dense_operators:
            yield from OPERATORS[name].layers(sizes)
        for name in block.sparse_operators:
            yield from OPERATORS[name].layers(replace(sizes, width=block.sparse_width))
        if block.dense_to_sparse and width != MERGED_FIELDS * dim:
            yield linear(width, MERGED_FIELDS * dim)
            yield norm(MERGED_FIELDS * dim)
        if block.fm and width != dim:
            yield linear(dim, width)
            yield norm(width)
    stem = dense + fields * dim
    for name, depth in arch.branches:
        yield from BRANCHES[name].layers(stem, depth)
    columns, in_fields = arch.logit_inputs()
    read = sum(dense_widths[source] for source in columns) + sum(sparse_widths[source] for source in in_fields) * dim
    yield linear(read + stem * len(arch.branches), 1, bias=True)
