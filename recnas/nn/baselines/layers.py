"""Layers that several baselines are made of.

Shapes: B rows, d₀ dense and n₀ sparse features, m = d₀ + n₀ fields, E columns of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class AllFields(nn.Module):
    """Dense features join the fields: each has a vector of its own, which is multiplied by its value.

    So Rendle (2010) feeds real numbers to factorisation machines, Song et al. (2019, section 4.2) to AutoInt, and
    FuxiCTR to all its models.

    Args:
        num_dense: d₀; 0 where a data set has no dense feature, and the constant column in its place is not read.
        dim: Columns of an embedding, E.
    """

    def __init__(self, num_dense: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(num_dense, dim))) if num_dense else None

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Dense features `[B, d₀]` and fields `[B, n₀, E]` → `[B, m, E]`, dense features first."""
        return fields if self.weight is None else torch.cat([dense.unsqueeze(-1) * self.weight, fields], dim=1)


class FirstOrder(nn.Module):
    """The linear part: the weights of the table rows that were looked up, one weight a dense feature, one bias.

    Args:
        num_dense: Number of dense features, d₀.
    """

    def __init__(self, num_dense: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_dense, 1)) if num_dense else None
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, dense: Tensor, weights: Tensor) -> Tensor:
        """Dense features `[B, d₀]` and first-order weights `[B, n₀]` → `[B]`."""
        logit = weights.sum(1) + self.bias
        return logit if self.weight is None else logit + (dense @ self.weight).squeeze(-1)


class MLP(nn.Sequential):
    """Linear layers with ReLU, and dropout if wanted, after each; `[B, inputs]` → `[B, hidden[-1]]`.

    Args:
        inputs: Columns read.
        hidden: Columns of each layer.
        dropout: Chance that an output is set to zero in training.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], dropout: float = 0.0) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise((inputs, *hidden)):
            layers += [nn.Linear(before, after), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        super().__init__(*layers)


def products(widths: Sequence[int]) -> int:
    """Multiply–accumulates a row of linear layers that lead from each width to the next."""
    return sum(before * after for before, after in pairwise(widths))
