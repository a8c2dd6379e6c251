"""Layers that several baselines are made of.

Shapes: B rows, d₀ columns of numbers, m fields, E columns of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from recnas.nn.batch_norm import BatchNorm
from recnas.nn.dropout import relu_dropout
from recnas.nn.linear import Linear

NORMS = {"none": nn.Identity, "batch": BatchNorm, "layer": nn.LayerNorm}
"""What stands between a linear layer and its activation, by the names of the choice `norm`."""


def side_by_side(dense: Tensor, fields: Tensor, num_dense: int) -> Tensor:
    """All that a deep part reads: fields `[B, m, E]` and columns `[B, d₀]` → `[B, m · E + d₀]`.

    With `num_dense` 0 the column of zeros in the columns' place is not read.
    """
    return torch.cat([fields.flatten(1), dense], dim=1) if num_dense else fields.flatten(1)


class FirstOrder(nn.Module):
    """The linear part: the first-order weights of all fields, one weight a column, one bias.

    Args:
        num_dense: Number of columns, d₀.
    """

    def __init__(self, num_dense: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_dense, 1)) if num_dense else None
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, dense: Tensor, of_fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and sums of first-order weights `[B]` → `[B]`."""
        logit = of_fields + self.bias
        return logit if self.weight is None else logit + (dense @ self.weight).squeeze(-1)


class Hidden(nn.Module):
    """Linear, norm, ReLU, dropout; `[…, inputs]` → `[…, columns]`.

    Args:
        inputs: Columns read.
        columns: Columns given.
        dropout: Chance that an output is set to zero in training.
        norm: Of `NORMS`.
        bias: Whether the linear layer has a bias.
    """

    def __init__(self, inputs: int, columns: int, dropout: float = 0.0, norm: str = "none", bias: bool = True) -> None:
        super().__init__()
        self.linear = Linear(inputs, columns, bias=bias)
        self.norm = NORMS[norm](columns)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        return relu_dropout(self.norm(self.linear(x)), self.dropout, self.training)


class MLP(nn.Sequential):
    """Hidden layers, one after the other; `[B, inputs]` → `[B, hidden[-1]]`.

    Args:
        inputs: Columns read.
        hidden: Columns of each layer.
        dropout: See `Hidden`.
        norm: See `Hidden`.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], dropout: float = 0.0, norm: str = "none") -> None:
        super().__init__(*(Hidden(before, after, dropout, norm) for before, after in pairwise((inputs, *hidden))))
