"""The cross network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recnas.nn.elastic import ElasticLinear, InputSegment, WeightSlices
from recnas.space.operators.cross import STEM


class CrossNetwork(nn.Module):
    """Cross layers over the stem's columns: x₀ = concat(D₀, flatten S₀), then xₗ₊₁ = x₀ ∘ (W xₗ + b) + xₗ (DCN-V2,
    Wang et al. 2021, equation 1).

    Args:
        columns: Number of columns of the features, d₀ + n₀ · E.
        layers: The largest number of layers of a candidate.
    """

    def __init__(self, columns: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ElasticLinear({STEM: columns}, columns, columns, bias=True) for _ in range(layers))
        for layer in self.layers:
            # As the matrix of torch's Linear starts, and with it the baseline DCN-V2. Xavier's √3 times as much
            # overfits rare ids.
            nn.init.uniform_(layer.weight[STEM], -(columns**-0.5), columns**-0.5)

    def forward(self, dense: Tensor, fields: Tensor, layers: int, slices: WeightSlices | None = None) -> Tensor:
        """Dense features `[B, d₀]` and fields `[B, n₀, E]` through the first layers: `[B, columns]`.

        Raises:
            ValueError: There are fewer layers.
        """
        if layers > len(self.layers):
            raise ValueError(f"{layers} cross layers are asked for where there are {len(self.layers)}")
        stem = x = torch.cat([dense, fields.flatten(1)], dim=1)
        for layer in self.layers[:layers]:
            x = stem * layer([InputSegment.of(STEM, x)], stem.shape[1], slices) + x
        return x
