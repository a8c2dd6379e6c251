"""What an architecture costs, counted from the value alone: dense parameters and multiply–accumulates per row.

Only parts that reach the logit are counted. Embedding tables are not: they depend on the data, not the architecture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from recnas.space.architecture import (
    ATTENTION,
    DOT_PRODUCT,
    FC,
    GATING,
    MERGED_FIELDS,
    SUM,
    Architecture,
    dot_product_fields,
)


@dataclass(frozen=True)
class _Layer:
    """Weights of one layer, and the multiply–accumulates of a row through them."""

    parameters: int
    macs: int


def parameters(arch: Architecture, dense: int, fields: int, embedding_dim: int) -> int:
    """Dense parameters that reach the logit.

    Args:
        arch: The architecture; dead parts are left out.
        dense: d₀, the number of dense features (1 where a data set has none).
        fields: n₀, the number of sparse features.
        embedding_dim: E, the width of an embedding.
    """
    return sum(layer.parameters for layer in _layers(arch.canonical(), dense, fields, embedding_dim))


def flops(arch: Architecture, dense: int, fields: int, embedding_dim: int) -> int:
    """Multiply–accumulates per row of all matrix products that reach the logit; arguments as in `parameters`.

    PyTorch's FLOP counter counts a multiply–accumulate as two operations, so it gives twice this number.
    """
    return sum(layer.macs for layer in _layers(arch.canonical(), dense, fields, embedding_dim))


COUNTS = {"flops": flops, "parameters": parameters}
"""What is counted of an architecture, by the names of the limits on it."""


def output_widths(arch: Architecture, dense: int, fields: int) -> tuple[list[int], list[int]]:
    """Columns of every dense output and fields of every sparse output (merger included), stem first."""
    dense_widths, sparse_widths = [dense], [fields]
    for block in arch.blocks:
        dense_widths.append(block.dense_width)
        sparse_widths.append(block.sparse_width + (MERGED_FIELDS if block.dense_to_sparse else 0))
    return dense_widths, sparse_widths


def _linear(inputs: int, outputs: int, repeats: int = 1, bias: bool = False) -> _Layer:
    return _Layer(inputs * outputs + (outputs if bias else 0), inputs * outputs * repeats)


def _norm(width: int) -> _Layer:
    return _Layer(2 * width, 0)


def _layers(arch: Architecture, dense: int, fields: int, dim: int) -> Iterator[_Layer]:
    dense_widths, sparse_widths = output_widths(arch, dense, fields)
    for block in arch.blocks:
        width, columns = block.dense_width, sum(dense_widths[source] for source in block.dense_inputs)
        in_fields = sum(sparse_widths[source] for source in block.sparse_inputs)
        operands = [0 if source is None else dense_widths[source] for source in (block.left, block.right)]
        for operator in block.dense_operators:
            yield from _dense_operator(operator, columns, in_fields, operands, width, dim)
        for operator in block.sparse_operators:
            yield from _sparse_operator(operator, in_fields, block.sparse_width, dim)
        if block.dense_to_sparse and width != MERGED_FIELDS * dim:
            yield _linear(width, MERGED_FIELDS * dim)
            yield _norm(MERGED_FIELDS * dim)
        if block.fm and width != dim:
            yield _linear(dim, width)
            yield _norm(width)
    stem = dense + fields * dim
    for _ in range(arch.cross_layers):
        yield _linear(stem, stem, bias=True)
    yield _linear(dense_widths[-1] + sparse_widths[-1] * dim + (stem if arch.cross_layers else 0), 1, bias=True)


def _dense_operator(
    operator: str, columns: int, fields: int, operands: list[int], width: int, dim: int
) -> Iterator[_Layer]:
    left, right = operands
    padded = max(operands)
    if operator == FC:
        yield _linear(columns, width)
    elif operator == DOT_PRODUCT:
        reduced = dot_product_fields(width)
        if columns != dim:
            yield _linear(columns, dim)
            yield _norm(dim)
        if fields != reduced:
            yield _linear(fields, reduced, repeats=dim)
            yield _norm(reduced)
        yield _Layer(0, (reduced + 1) ** 2 * dim)
        if (products := reduced * (reduced + 1) // 2) != width:
            yield _linear(products, width)
    elif operator == GATING:
        # The weights are those of the padded matrices; products with the padding's zeros are not computed.
        yield _Layer(padded * padded + padded, left * right)
        if padded != width:
            yield _Layer(padded * width + width, right * width)
    elif operator == SUM and padded != width:
        yield _linear(padded, width)
    yield _norm(width)


def _sparse_operator(operator: str, fields: int, width: int, dim: int) -> Iterator[_Layer]:
    yield _linear(fields, width, repeats=dim)
    yield _norm(width)
    if operator == ATTENTION:
        yield _linear(dim, 3 * dim, repeats=width, bias=True)
        yield _Layer(0, 2 * width * width * dim)
        yield _linear(dim, dim, repeats=width, bias=True)
        yield _norm(dim)
        for _ in range(2):
            yield _linear(dim, dim, repeats=width, bias=True)
        yield _norm(dim)
