"""The two mergers of a block: from its dense output to its sparse one, and back."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from recnas.nn.elastic import PLAIN, ElasticLinear, ElasticNorm, InputSegment, WeightSlices
from recnas.space.architecture import MERGED_FIELDS


class DenseToSparse(nn.Module):
    """The dense→sparse merger: the dense output as eight more fields; Linear → LN(8E) unless already 8E wide."""

    def __init__(self, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        self.columns = MERGED_FIELDS * dim
        self.linear = self.norm = None
        if set(widths) != {self.columns}:
            self.linear = ElasticLinear({"dense": max(widths)}, self.columns, max(widths))
            self.norm = ElasticNorm(self.columns)

    def forward(self, dense: Tensor, slices: WeightSlices | None = None) -> Tensor:
        """`[B, dd]` → `[B, E, 8]`."""
        if dense.shape[-1] != self.columns:
            dense = self.norm(self.linear([InputSegment.of("dense", dense)], self.columns, slices), slices)
        return dense.unflatten(-1, (MERGED_FIELDS, -1)).transpose(1, 2)


class FactorizationMachine(nn.Module):
    """The FM merger: (Σ_f s_f)² - Σ_f s_f² over fields; Linear → LN(dd) unless dd is E."""

    def __init__(self, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.linear = self.norm = None
        if set(widths) != {dim}:
            self.linear = ElasticLinear({"fm": dim}, max(widths), dim)
            self.norm = ElasticNorm(max(widths))

    def forward(self, fields: Tensor, width: int, slices: WeightSlices | None = None) -> Tensor:
        """`[B, E, ds]` → `[B, width]`."""
        interactions = (slices or PLAIN).interactions(fields)
        if width == self.dim:
            return interactions
        return self.norm(self.linear([InputSegment.of("fm", interactions)], width, slices), slices)
