"""Gating."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.elastic import ElasticLinear, ElasticNorm, InputSegment, WeightSlices
from recnas.nn.operators.inputs import Read, Shapes


class Gating(nn.Module):
    """Gating: sigmoid(Linear(left)) · right → Linear → LN(dd), both operands zero-padded to the wider one's width m.

    The weights are those of the padded matrices; their products with the padding's zeros are not computed.
    """

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        left, right, widths, width = shapes.left, shapes.right, shapes.widths, shapes.width
        padded = max(left.widest, right.widest)
        exact = left.narrowest == left.widest and right.narrowest == right.widest
        # In a finished network the gate's matrix is the padded square; in a supernet each source keeps its own columns.
        gate_sources = {name: padded if exact else size for name, size in left.sources.items()}
        self.gate = ElasticLinear(gate_sources, padded, padded, bias=True)
        self.linear = None
        if not (exact and len(set(widths)) == 1 and padded == width):
            out_sources = {name: padded if exact else size for name, size in right.sources.items()}
            self.linear = ElasticLinear(out_sources, width, padded, bias=True)
        self.norm = ElasticNorm(width)

    def forward(self, read: Read, width: int, slices: WeightSlices | None = None) -> Tensor:
        """Operands `[B, l]` and `[B, r]` → `[B, width]`."""
        left, right = read.left, read.right
        padded = max(left.x.shape[-1], right.x.shape[-1])
        gated = torch.sigmoid(self.gate([left], right.x.shape[-1], slices)) * right.x
        if padded == width:
            gated = F.pad(gated, (0, padded - gated.shape[-1]))
        else:
            gated = self.linear([InputSegment(gated, right.parts)], width, slices)
        return self.norm(gated, slices)
