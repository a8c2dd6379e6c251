"""EFC."""

from __future__ import annotations

from torch import Tensor, nn

from recnas.nn.elastic import ElasticLinear, ElasticNorm, WeightSlices
from recnas.nn.operators.inputs import Read, Shapes


class EmbeddingFullyConnected(nn.Module):
    """EFC: Linear over the field axis → LN over the ds fields → ReLU."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.linear = ElasticLinear(shapes.sparse.sources, shapes.width, shapes.sparse.widest)
        self.norm = ElasticNorm(shapes.width)

    def forward(self, read: Read, width: int, slices: WeightSlices | None = None) -> Tensor:
        """Sparse inputs → `[B, E, width]`."""
        return self.norm(self.linear(read.sparse, width, slices), slices, relu=True)
