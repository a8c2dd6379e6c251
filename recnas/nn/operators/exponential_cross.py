"""The exponential cross network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recnas.nn.crossing import in_halves, masked_cross
from recnas.nn.elastic import ElasticLinear, ElasticNorm, WeightSlices
from recnas.nn.operators.stem import StemNetwork, applied, stem_linear
from recnas.space.operators.exponential_cross import ONE, half_of


class ExponentialCrossNetwork(StemNetwork):
    """x_{l+1} = x_l ∘ ([h ; h ∘ ReLU(LN(h))] + b) + x_l with h = W x_l, which has half the columns (ECN of FCN, Li et
    al. 2024): the degree doubles with each layer.

    Args:
        columns: Number of columns of the features, d₀ + n₀ · E.
        layers: The largest number of layers of a candidate.
    """

    def __init__(self, columns: int, layers: int) -> None:
        super().__init__(_layer(columns) for _ in range(layers))

    def stem(self, dense: Tensor, fields: Tensor) -> Tensor:
        return torch.cat([dense, in_halves(fields)], dim=1)

    def step(self, layer: nn.Module, base: Tensor, x: Tensor, slices: WeightSlices | None) -> Tensor:
        h = applied(layer["linear"], x, slices)
        mask = layer["norm"](h, slices, relu=True)
        # Ones that gradients pass through: what records them follows them from layer to layer.
        ones = x[:, :1] * 0 + 1
        return masked_cross(x, x, h, mask, applied(layer["bias"], ones, slices))


def _layer(columns: int) -> nn.ModuleDict:
    half = half_of(columns)
    # Proxies see what linear layers and norms compute, so a bias alone is a layer over a column of ones.
    bias = ElasticLinear({ONE: 1}, columns, 1)
    nn.init.zeros_(bias.weight[ONE])
    return nn.ModuleDict({"linear": stem_linear(columns, half), "norm": ElasticNorm(half), "bias": bias})
