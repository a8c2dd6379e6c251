"""The cross network of mixtures of low-rank experts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recnas.nn.elastic import WeightSlices
from recnas.nn.operators.stem import StemNetwork, applied, stem_linear
from recnas.space.operators.cross_mixture import EXPERTS, rank_of


class CrossMixture(StemNetwork):
    """Cross layers of experts: x_{l+1} = x₀ ∘ (Σᵢ Gᵢ(x_l) Uᵢ tanh(Cᵢ tanh(Vᵢᵀ x_l)) + b) + x_l, G = softmax(W_G x_l)
    (DCN-V2, Wang et al. 2021, equations 4 and 5).

    The gates sum to 1, so all experts may share b, and their Uᵢ are one matrix over what they give side by side.

    Args:
        columns: Number of columns of the features, d₀ + n₀ · E.
        layers: The largest number of layers of a candidate.
    """

    def __init__(self, columns: int, layers: int) -> None:
        rank = rank_of(columns)
        super().__init__(
            nn.ModuleDict(
                {
                    "down": stem_linear(columns, EXPERTS * rank),
                    "within": nn.ModuleList(stem_linear(rank, rank) for _ in range(EXPERTS)),
                    "up": stem_linear(EXPERTS * rank, columns, bias=True),
                    "gate": stem_linear(columns, EXPERTS),
                }
            )
            for _ in range(layers)
        )

    def step(self, layer: nn.Module, base: Tensor, x: Tensor, slices: WeightSlices | None) -> Tensor:
        gates = torch.softmax(applied(layer["gate"], x, slices), dim=1)
        low = torch.tanh(applied(layer["down"], x, slices)).chunk(EXPERTS, dim=1)
        experts = [
            torch.tanh(applied(within, part.contiguous(), slices)) * gates[:, [place]]
            for place, (within, part) in enumerate(zip(layer["within"], low, strict=True))
        ]
        return torch.addcmul(x, base, applied(layer["up"], torch.cat(experts, dim=1), slices))
