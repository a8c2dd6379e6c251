"""Dot-Product."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recnas.nn.elastic import PLAIN, ElasticLinear, ElasticNorm, InputSegment, WeightSlices
from recnas.nn.operators.inputs import Read, Shapes, concat, total
from recnas.space.operators.dot_product import reduced_fields


class DotProduct(nn.Module):
    """Dot-Product: all products of two different vectors of {x, y₁ … y_k} → Linear → LN(dd).

    x is the dense input brought to E columns, y the sparse input brought to k = round(√(2·dd)) fields. The triangle of
    products is taken row by row, so a smaller k's products are the first of a larger k's and the weights can be shared.
    """

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        dense, sparse, widths, dim = shapes.dense, shapes.sparse, shapes.widths, shapes.dim
        width, reduced, smallest = max(widths), reduced_fields(max(widths)), reduced_fields(min(widths))
        products = reduced * (reduced + 1) // 2
        self.dim = dim
        self.dense_linear = self.dense_norm = self.sparse_linear = self.sparse_norm = self.linear = None
        if not dense.always(dim):
            self.dense_linear = ElasticLinear(dense.sources, dim, dense.widest)
            self.dense_norm = ElasticNorm(dim)
        if not (smallest == reduced and sparse.always(reduced)):
            self.sparse_linear = ElasticLinear(sparse.sources, reduced, sparse.widest)
            self.sparse_norm = ElasticNorm(reduced)
        if not (len(set(widths)) == 1 and products == width):
            self.linear = ElasticLinear({"products": products}, width, products)
        self.norm = ElasticNorm(width)

    def forward(self, read: Read, width: int, slices: WeightSlices | None = None) -> Tensor:
        """Dense and sparse inputs → `[B, width]`."""
        dense, sparse, reduced = read.dense, read.sparse, reduced_fields(width)
        if total(dense) == self.dim:
            x = concat(dense)
        else:
            x = self.dense_norm(self.dense_linear(dense, self.dim, slices), slices)
        if total(sparse) == reduced:
            y = concat(sparse)
        else:
            y = self.sparse_norm(self.sparse_linear(sparse, reduced, slices), slices)
        vectors = torch.cat((x.unsqueeze(-1), y), dim=-1)
        pairs = (slices or PLAIN).products(vectors)
        if pairs.shape[-1] != width:
            pairs = self.linear([InputSegment.of("products", pairs)], width, slices)
        return self.norm(pairs, slices)
