"""Factorised interaction."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.elastic import ElasticLinear, ElasticNorm, WeightSlices
from recnas.nn.operators.inputs import Read, Shapes


class FactorizedInteraction(nn.Module):
    """ReLU(LN([h₂ ; h₁ ∘ h₂])) with (h₂, h₁) = W x + b over the concatenated dense inputs.

    The columns of h₂ and h₁ ∘ h₂ take turns, so that the first columns of a wide output are those of a narrow one.
    """

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.linear = ElasticLinear(shapes.dense.sources, shapes.width, shapes.dense.widest, bias=True)
        self.norm = ElasticNorm(shapes.width)

    def forward(self, read: Read, width: int, slices: WeightSlices | None = None) -> Tensor:
        """Dense inputs → `[B, width]`."""
        columns = self.linear(read.dense, width, slices)
        # Of an odd number of columns the last has no partner.
        second, first = F.pad(columns, (0, width % 2)).unflatten(1, (-1, 2)).unbind(2)
        mixed = torch.stack((second, first * second), dim=2).flatten(1)[:, :width]
        return self.norm(mixed, slices, relu=True)
