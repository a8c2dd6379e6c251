"""Inner products."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recnas.nn.elastic import WeightSlices
from recnas.nn.operators.inputs import Read, Shapes
from recnas.nn.operators.vectors import Vectors


class InnerProducts(nn.Module):
    """⟨vᵢ, vⱼ⟩ for all j ≤ i of the vectors, row by row.

    Fields come first and the dense inputs' vector last, so that without it what is left are the first columns. Of the
    dense inputs alone there is one number, in the first column.
    """

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.vectors = Vectors(shapes)

    def forward(self, read: Read, width: int, slices: WeightSlices | None = None) -> Tensor:
        """Dense and sparse inputs, of at least one kind → `[B, k · (k + 1) / 2]` of k vectors, whatever the width."""
        vectors = self.vectors(read, slices)
        gram, count = torch.bmm(vectors.transpose(1, 2), vectors), vectors.shape[-1]
        rows, columns = torch.tril_indices(count, count, device=vectors.device)
        return gram.flatten(1).index_select(1, rows * count + columns)
