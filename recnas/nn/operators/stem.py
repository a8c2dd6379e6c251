"""Branches: layers over the stem's columns, of which a candidate takes the first."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from recnas.nn.elastic import ElasticLinear, InputSegment, WeightSlices
from recnas.space.operators.stem import STEM


class StemNetwork(nn.Module):
    """x₀ = concat(D₀, flatten S₀), then x_{l+1} = step(layer, x₀, x_l).

    Args:
        layers: As many as the deepest candidate has.
    """

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, dense: Tensor, fields: Tensor, layers: int, slices: WeightSlices | None = None) -> Tensor:
        """Dense features `[B, d₀]` and fields `[B, n₀, E]` through the first layers: `[B, columns]`.

        Raises:
            ValueError: There are fewer layers.
        """
        if layers > len(self.layers):
            raise ValueError(f"{layers} cross layers are asked for where there are {len(self.layers)}")
        base = x = self.stem(dense, fields)
        for layer in self.layers[:layers]:
            x = self.step(layer, base, x, slices)
        return x

    def stem(self, dense: Tensor, fields: Tensor) -> Tensor:
        """x₀ `[B, columns]`."""
        return torch.cat([dense, fields.flatten(1)], dim=1)

    @abstractmethod
    def step(self, layer: nn.Module, base: Tensor, x: Tensor, slices: WeightSlices | None) -> Tensor:
        """x₀ and x_l, both `[B, columns]` → x_{l+1}."""


def stem_linear(inputs: int, columns: int, bias: bool = False) -> ElasticLinear:
    """A linear layer that starts as torch's: Xavier's start is √3 times as wide and overfits rare ids."""
    layer = ElasticLinear({STEM: inputs}, columns, inputs, bias=bias)
    nn.init.uniform_(layer.weight[STEM], -(inputs**-0.5), inputs**-0.5)
    return layer


def applied(layer: ElasticLinear, x: Tensor, slices: WeightSlices | None) -> Tensor:
    """All columns of x `[B, inputs]` through a layer of one source: `[B, columns]`."""
    ((source, weight),) = layer.weight.items()
    return layer([InputSegment.of(source, x)], len(weight), slices)
