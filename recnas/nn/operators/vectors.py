"""Inputs as vectors of E columns, and as columns side by side; shared by the operators of AutoCTR."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recnas.nn.elastic import ElasticLinear, InputSegment, WeightSlices
from recnas.nn.operators.inputs import Inputs, Read, Shapes, concat, total


class Vectors(nn.Module):
    """Fields as they are and, last, the dense inputs as one vector: Linear with bias → E unless they are E wide."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        dense, self.dim = shapes.dense, shapes.dim
        self.dense_linear = None
        if dense.widest and not dense.always(self.dim):
            self.dense_linear = ElasticLinear(dense.sources, self.dim, dense.widest, bias=True)

    def forward(self, read: Read, slices: WeightSlices | None = None) -> Tensor:
        """Dense and sparse inputs, of at least one kind → `[B, E, fields + 1]`, or one less without dense inputs."""
        vectors = [piece.x for piece in read.sparse]
        if read.dense:
            reduced = total(read.dense) != self.dim
            x = self.dense_linear(read.dense, self.dim, slices) if reduced else concat(read.dense)
            vectors.append(x.unsqueeze(-1))
        return vectors[0] if len(vectors) == 1 else torch.cat(vectors, dim=-1)


def all_columns(read: Read) -> list[InputSegment]:
    """The dense inputs `[B, ·]`, and the fields of each source side by side, `[B, fields · E]`."""
    return [*read.dense, *_flattened(read.sparse)]


def columns_over(dense: Inputs, sparse: Inputs, out: int, dim: int) -> ElasticLinear:
    """A linear layer with bias over `all_columns`, of at most `out` outputs."""
    sources = dict(dense.sources) | {_flat_name(name): width * dim for name, width in sparse.sources.items()}
    return ElasticLinear(sources, out, dense.widest + sparse.widest * dim, bias=True)


def _flattened(sparse: Sequence[InputSegment]) -> list[InputSegment]:
    # Field by field, so that fewer fields are the first columns of more.
    return [
        InputSegment.of(_flat_name(name), x.transpose(1, 2).flatten(1))
        for piece in sparse
        for (name, _), x in zip(piece.parts, piece.x.split([width for _, width in piece.parts], dim=-1), strict=True)
    ]


def _flat_name(source: str) -> str:
    return f"fields_{source}"
