"""GDCN (Wang et al. 2023, CIKM): cross layers whose outputs pass a gate, and a deep network beside them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recnas.nn.baselines.layers import MLP, side_by_side
from recnas.nn.baselines.registry import baseline
from recnas.nn.crossing import gated_cross
from recnas.nn.linear import Linear


class GatedCrossLayer(nn.Module):
    """x_{l+1} = x₀ ∘ (W x_l + b) ∘ sigmoid(W_g x_l) + x_l.

    Args:
        inputs: Number of columns.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.cross, self.gate = Linear(inputs, inputs), Linear(inputs, inputs, bias=False)

    def forward(self, base: Tensor, x: Tensor) -> Tensor:
        """x₀ and x_l, both `[B, inputs]` → x_{l+1}."""
        return gated_cross(base, x, self.cross(x), self.gate(x))


@baseline("gdcn")
class GDCN(nn.Module):
    """The parallel structure: logit = wᵀ concat(gated cross, deep) + b.

    Args:
        num_dense: d₀; 0 where there is no column.
        num_fields: Number of fields, m.
        dim: Columns of an embedding, E.
        dropout: The share of dropout after each hidden layer of the deep part.
        layers: Number of gated cross layers.
        hidden: Columns of the deep part's layers.
        norm: Before each ReLU of the deep part; see `layers.NORMS`.

    Example:
        >>> network = GDCN(13, 26, 16, layers=2, hidden=(64,), norm="none")
        >>> network(torch.randn(4, 13), torch.randn(4, 26, 16)).shape
        torch.Size([4])
    """

    def __init__(
        self,
        num_dense: int,
        num_fields: int,
        dim: int,
        dropout: float = 0.0,
        *,
        layers: int,
        hidden: Sequence[int],
        norm: str,
    ) -> None:
        super().__init__()
        self.num_dense, inputs = num_dense, num_fields * dim + num_dense
        self.cross = nn.ModuleList(GatedCrossLayer(inputs) for _ in range(layers))
        self.deep = MLP(inputs, hidden, dropout, norm)
        self.last = nn.Linear(inputs + hidden[-1], 1)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and fields `[B, m, E]` → logits `[B]`."""
        base = crossed = side_by_side(dense, fields, self.num_dense)
        for layer in self.cross:
            crossed = layer(base, crossed)
        return self.last(torch.cat([crossed, self.deep(base)], dim=1)).squeeze(-1)
