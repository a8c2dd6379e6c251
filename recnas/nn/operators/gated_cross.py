"""The gated cross network."""

from __future__ import annotations

from torch import Tensor, nn

from recnas.nn.crossing import gated_cross
from recnas.nn.elastic import WeightSlices
from recnas.nn.operators.stem import StemNetwork, applied, stem_linear


class GatedCrossNetwork(StemNetwork):
    """x_{l+1} = x₀ ∘ (W x_l + b) ∘ sigmoid(W_g x_l) + x_l (GDCN, Wang et al. 2023).

    Args:
        columns: Number of columns of the features, d₀ + n₀ · E.
        layers: The largest number of layers of a candidate.
    """

    def __init__(self, columns: int, layers: int) -> None:
        super().__init__(
            nn.ModuleDict({"cross": stem_linear(columns, columns, bias=True), "gate": stem_linear(columns, columns)})
            for _ in range(layers)
        )

    def step(self, layer: nn.Module, base: Tensor, x: Tensor, slices: WeightSlices | None) -> Tensor:
        return gated_cross(base, x, applied(layer["cross"], x, slices), applied(layer["gate"], x, slices))
