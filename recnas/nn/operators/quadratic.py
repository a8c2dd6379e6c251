"""The quadratic network."""

from __future__ import annotations

from torch import Tensor, nn

from recnas.nn.crossing import quadratic
from recnas.nn.elastic import ElasticNorm, WeightSlices
from recnas.nn.operators.stem import StemNetwork, applied, stem_linear
from recnas.space.operators.quadratic import FACTORS


class QuadraticNetwork(StemNetwork):
    """x_{l+1} = x_l + Σ_r x_l ∘ ReLU(LN(W_r x_l + b_r)) (QNN-α, Li et al. 2025).

    The norm is over all factors together. Without one the degree doubles with each layer, and a number far out makes
    logits of thousands.

    Args:
        columns: Number of columns of the features, d₀ + n₀ · E.
        layers: The largest number of layers of a candidate.
    """

    def __init__(self, columns: int, layers: int) -> None:
        width = FACTORS * columns
        super().__init__(
            nn.ModuleDict({"linear": stem_linear(columns, width, bias=True), "norm": ElasticNorm(width)})
            for _ in range(layers)
        )

    def step(self, layer: nn.Module, base: Tensor, x: Tensor, slices: WeightSlices | None) -> Tensor:
        return quadratic(x, layer["norm"](applied(layer["linear"], x, slices), slices, relu=True))
