"""FC."""

from __future__ import annotations

from torch import Tensor, nn

from recnas.nn.elastic import ElasticLinear, ElasticNorm, WeightSlices
from recnas.nn.operators.inputs import Read, Shapes


class FullyConnected(nn.Module):
    """FC: Linear → LN(dd) → ReLU over the concatenated dense inputs."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.linear = ElasticLinear(shapes.dense.sources, shapes.width, shapes.dense.widest)
        self.norm = ElasticNorm(shapes.width)

    def forward(self, read: Read, width: int, slices: WeightSlices | None = None) -> Tensor:
        """Dense inputs → `[B, width]`."""
        return self.norm(self.linear(read.dense, width, slices), slices, relu=True)
