"""The cross network of low-rank matrices."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recnas.nn.elastic import WeightSlices
from recnas.nn.operators.stem import StemNetwork, applied, stem_linear
from recnas.space.operators.cross_lowrank import rank_of


class LowRankCrossNetwork(StemNetwork):
    """Cross layers with W = U Vᵀ: x_{l+1} = x₀ ∘ (U (Vᵀ x_l) + b) + x_l (DCN-V2, Wang et al. 2021, equation 3).

    Args:
        columns: Number of columns of the features, d₀ + n₀ · E.
        layers: The largest number of layers of a candidate.
    """

    def __init__(self, columns: int, layers: int) -> None:
        rank = rank_of(columns)
        super().__init__(
            nn.ModuleDict({"down": stem_linear(columns, rank), "up": stem_linear(rank, columns, bias=True)})
            for _ in range(layers)
        )

    def step(self, layer: nn.Module, base: Tensor, x: Tensor, slices: WeightSlices | None) -> Tensor:
        return torch.addcmul(x, base, applied(layer["up"], applied(layer["down"], x, slices), slices))
