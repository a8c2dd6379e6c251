"""The quadratic network."""

from __future__ import annotations

from torch import Tensor, nn

from recnas.nn.crossing import quadratic
from recnas.nn.elastic import PLAIN, WeightSlices
from recnas.nn.operators.stem import StemNetwork, applied, stem_linear
from recnas.space.operators.quadratic import FACTORS


class QuadraticNetwork(StemNetwork):
    """x_{l+1} = x_l + Σ_r x_l ∘ ReLU(W_r x_l + b_r) (QNN-α, Li et al. 2025): the degree doubles with each layer.

    Args:
        columns: Number of columns of the features, d₀ + n₀ · E.
        layers: The largest number of layers of a candidate.
    """

    def __init__(self, columns: int, layers: int) -> None:
        super().__init__(stem_linear(columns, FACTORS * columns, bias=True) for _ in range(layers))

    def step(self, layer: nn.Module, base: Tensor, x: Tensor, slices: WeightSlices | None) -> Tensor:
        return quadratic(x, (slices or PLAIN).relu(applied(layer, x, slices)))
