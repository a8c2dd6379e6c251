"""Mask."""

from __future__ import annotations

from torch import Tensor, nn

from recnas.nn.elastic import PLAIN, ElasticLinear, ElasticNorm, InputSegment, WeightSlices
from recnas.nn.operators.inputs import Read, Shapes
from recnas.space.operators.mask import hidden_of


class Mask(nn.Module):
    """ReLU(LN(W (mask(left) ∘ right))), where the mask is an MLP of one hidden layer."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        left, right = shapes.left, shapes.right
        hidden = hidden_of(right.widest)
        self.hidden = ElasticLinear(left.sources, hidden, left.widest, bias=True)
        self.mask = ElasticLinear({"hidden": hidden}, right.widest, hidden, bias=True)
        self.linear = ElasticLinear(right.sources, shapes.width, right.widest)
        self.norm = ElasticNorm(shapes.width)

    def forward(self, read: Read, width: int, slices: WeightSlices | None = None) -> Tensor:
        """Operands `[B, l]` and `[B, r]` → `[B, width]`."""
        right = read.right
        columns = right.x.shape[-1]
        hidden = (slices or PLAIN).relu(self.hidden([read.left], hidden_of(columns), slices))
        mask = self.mask([InputSegment.of("hidden", hidden)], columns, slices)
        return self.norm(self.linear([InputSegment(mask * right.x, right.parts)], width, slices), slices, relu=True)
