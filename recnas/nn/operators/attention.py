"""Attention: the operator's module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recnas.nn.elastic import PLAIN, ElasticLinear, ElasticNorm, InputSegment, WeightSlices
from recnas.nn.operators.inputs import Read, Shapes
from recnas.space.operators.attention import HEADS, NORM_START


class Attention(nn.Module):
    """Attention: Linear over fields, LN; self-attention over the ds fields, add, LN(E); feed-forward, add, LN(E)."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        sparse, width, dim = shapes.sparse, shapes.width, shapes.dim
        self.linear = ElasticLinear(sparse.sources, width, sparse.widest)
        self.norm = ElasticNorm(width)
        here = {"fields": dim}
        # A key's bias shifts all scores of a query alike, which softmax does not see: its gradient is zero, and would
        # be rounding noise if it were computed.
        seen = torch.ones(3, dim)
        seen[1] = 0
        self.in_projection = ElasticLinear(here, 3 * dim, dim, bias=True, bias_mask=seen.flatten())
        self.out_projection = ElasticLinear(here, dim, dim, bias=True)
        self.attention_norm = ElasticNorm(dim, NORM_START)
        self.feed_forward_in = ElasticLinear(here, dim, dim, bias=True)
        self.feed_forward_out = ElasticLinear(here, dim, dim, bias=True)
        self.feed_forward_norm = ElasticNorm(dim, NORM_START)
        self.dim = dim

    def forward(self, read: Read, width: int, slices: WeightSlices | None = None) -> Tensor:
        """Sparse inputs → `[B, E, width]`."""

        def over_columns(layer: ElasticLinear, x: Tensor, out: int = self.dim) -> Tensor:
            return layer([InputSegment.of("fields", x)], out, slices)

        x = self.norm(self.linear(read.sparse, width, slices), slices).transpose(1, 2)
        packed = over_columns(self.in_projection, x, 3 * self.dim)
        attended = (slices or PLAIN).attention(packed, HEADS)
        x = self.attention_norm(x + over_columns(self.out_projection, attended), slices)
        hidden = (slices or PLAIN).relu(over_columns(self.feed_forward_in, x))
        x = self.feed_forward_norm(x + over_columns(self.feed_forward_out, hidden), slices)
        return x.transpose(1, 2)
