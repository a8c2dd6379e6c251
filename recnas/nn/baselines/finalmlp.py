"""FinalMLP (Mao et al. 2023): two MLPs, each with a gate on its inputs, and a bilinear form of what they give."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recnas.nn.baselines.layers import MLP, AllFields, products
from recnas.nn.baselines.registry import baseline

HIDDEN = (400, 400, 400)
"""Of both streams, the widths that the paper begins from."""
GATE_HIDDEN, HEADS = 64, 1
"""The defaults of FuxiCTR, where the authors' model is; the paper tunes them for each data set."""


def macs(num_dense: int, num_sparse: int, dim: int) -> int:
    """Multiply–accumulates a row of the network with these settings; arguments as in `FinalMLP`.

    The gates read nothing of a row, so they are computed once a batch and not counted.
    """
    inputs, last = (num_dense + num_sparse) * dim, HIDDEN[-1]
    return 2 * products((inputs, *HIDDEN, 1)) + last**2 // HEADS


class FeatureGate(nn.Module):
    """2 · sigmoid of a small MLP of a learned vector: one factor a column of the inputs (section 3.1, no context).

    Args:
        inputs: Columns to be gated.
        dim: E, the length of the learned vector.
        hidden: Columns of the MLP's hidden layer.
    """

    def __init__(self, inputs: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.context = nn.Parameter(torch.zeros(1, dim))
        self.gate = nn.Sequential(MLP(dim, (hidden,)), nn.Linear(hidden, inputs), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """`[B, inputs]` → `[B, inputs]`."""
        return 2 * self.gate(self.context) * x


class BilinearFusion(nn.Module):
    """wᵀ x + vᵀ y + b + Σ over heads xₕᵀ Wₕ yₕ, where a head has its share of the columns (section 3.2).

    Args:
        width: Columns of x and of y.
        heads: Number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.linear_x, self.linear_y = nn.Linear(width, 1), nn.Linear(width, 1, bias=False)
        self.bilinear = nn.ModuleList(nn.Linear(width // heads, width // heads, bias=False) for _ in range(heads))
        for layer in self.bilinear:
            # Each logit sums all of a matrix' elements.
            nn.init.normal_(layer.weight, std=(2 / (layer.weight.numel() + 1)) ** 0.5)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Two times `[B, width]` → `[B]`."""
        parts = zip(x.chunk(len(self.bilinear), dim=1), y.chunk(len(self.bilinear), dim=1), self.bilinear, strict=True)
        products = sum((layer(x_head) * y_head).sum(1) for x_head, y_head, layer in parts)
        return (self.linear_x(x) + self.linear_y(y)).squeeze(-1) + products


@baseline("finalmlp", macs=macs)
class FinalMLP(nn.Module):
    """logit = fusion(MLP₁(gate₁(x)), MLP₂(gate₂(x))) of the flattened fields x.

    Args:
        num_dense: d₀; 0 where a data set has no dense feature.
        num_sparse: Number of sparse features, n₀.
        dim: Columns of an embedding, E.
        hidden: Columns of each stream's layers.
        gate_hidden: Columns of each gate's hidden layer.
        heads: Number of heads of the fusion; it divides the last of `hidden`.

    Example:
        >>> FinalMLP(13, 26, 16)(torch.randn(4, 13), torch.randn(4, 26, 16)).shape
        torch.Size([4])
    """

    def __init__(
        self,
        num_dense: int,
        num_sparse: int,
        dim: int,
        hidden: Sequence[int] = HIDDEN,
        gate_hidden: int = GATE_HIDDEN,
        heads: int = HEADS,
    ) -> None:
        super().__init__()
        inputs = (num_dense + num_sparse) * dim
        self.all_fields = AllFields(num_dense, dim)
        self.stream_1, self.stream_2 = (
            nn.Sequential(FeatureGate(inputs, dim, gate_hidden), MLP(inputs, hidden)) for _ in range(2)
        )
        self.fusion = BilinearFusion(hidden[-1], heads)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Dense features `[B, d₀]` and fields `[B, n₀, E]` → logits `[B]`."""
        x = self.all_fields(dense, fields).flatten(1)
        return self.fusion(self.stream_1(x), self.stream_2(x))
