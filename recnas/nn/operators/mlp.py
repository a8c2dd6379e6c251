"""MLP."""

from __future__ import annotations

from torch import Tensor, nn

from recnas.nn.elastic import PLAIN, WeightSlices
from recnas.nn.operators.inputs import Read, Shapes
from recnas.nn.operators.vectors import all_columns, columns_over


class MLP(nn.Module):
    """MLP: Linear with bias → ReLU over dense inputs and flattened fields side by side."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.linear = columns_over(shapes.dense, shapes.sparse, shapes.width, shapes.dim)

    def forward(self, read: Read, width: int, slices: WeightSlices | None = None) -> Tensor:
        """Dense and sparse inputs, of at least one kind → `[B, width]`."""
        return (slices or PLAIN).relu(self.linear(all_columns(read), width, slices))
