"""FM."""

from __future__ import annotations

from torch import Tensor, nn

from recnas.nn.elastic import PLAIN, WeightSlices
from recnas.nn.operators.inputs import Read, Shapes
from recnas.nn.operators.vectors import Vectors, all_columns, columns_over


class FM(nn.Module):
    """w · x + b over all columns x, and Σ_{i<j} ⟨vᵢ, vⱼ⟩ over the vectors v (Rendle 2010, lemma 3.1)."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.linear = columns_over(shapes.dense, shapes.sparse, 1, shapes.dim)
        self.vectors = Vectors(shapes)

    def forward(self, read: Read, width: int, slices: WeightSlices | None = None) -> Tensor:
        """Dense and sparse inputs, of at least one kind → `[B, 1]`, whatever the width."""
        first_order = self.linear(all_columns(read), 1, slices)
        pairs = (slices or PLAIN).interactions(self.vectors(read, slices)).sum(1, keepdim=True) / 2
        return first_order + pairs
