"""Sum."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.elastic import ElasticLinear, ElasticNorm, InputSegment, WeightSlices
from recnas.nn.operators.inputs import Read, Shapes


class Sum(nn.Module):
    """Sum: left + right → Linear → LN(dd), both operands zero-padded to the wider one's width m.

    Both operands go through one matrix, so its columns belong to positions, not to sources.
    """

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        left, right, widths, width = shapes.left, shapes.right, shapes.widths, shapes.width
        padded = max(left.widest, right.widest)
        narrowest = max(left.narrowest, right.narrowest)
        self.linear = None
        if not (narrowest == padded and len(set(widths)) == 1 and padded == width):
            self.linear = ElasticLinear({"sum": padded}, width, padded)
        self.norm = ElasticNorm(width)

    def forward(self, read: Read, width: int, slices: WeightSlices | None = None) -> Tensor:
        """Operands `[B, l]` and `[B, r]` → `[B, width]`."""
        left, right = read.left, read.right
        padded = max(left.x.shape[-1], right.x.shape[-1])
        added = sum(F.pad(operand.x, (0, padded - operand.x.shape[-1])) for operand in (left, right))
        if padded != width:
            added = self.linear([InputSegment.of("sum", added)], width, slices)
        return self.norm(added, slices)
