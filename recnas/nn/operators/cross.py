"""The cross network."""

from __future__ import annotations

from torch import Tensor, nn

from recnas.nn.elastic import ElasticLinear, WeightSlices
from recnas.nn.operators.stem import StemNetwork, applied
from recnas.space.operators.stem import STEM


class CrossNetwork(StemNetwork):
    """Cross layers over the stem's columns: x₀ = concat(D₀, flatten S₀), then xₗ₊₁ = x₀ ∘ (W xₗ + b) + xₗ (DCN-V2,
    Wang et al. 2021, equation 1).

    Args:
        columns: Number of columns of the features, d₀ + n₀ · E.
        layers: The largest number of layers of a candidate.
    """

    def __init__(self, columns: int, layers: int) -> None:
        super().__init__(ElasticLinear({STEM: columns}, columns, columns, bias=True) for _ in range(layers))
        for layer in self.layers:
            # As the matrix of torch's Linear starts, and with it the baseline DCN-V2. Xavier's √3 times as much
            # overfits rare ids.
            nn.init.uniform_(layer.weight[STEM], -(columns**-0.5), columns**-0.5)

    def step(self, layer: nn.Module, base: Tensor, x: Tensor, slices: WeightSlices | None) -> Tensor:
        return base * applied(layer, x, slices) + x
