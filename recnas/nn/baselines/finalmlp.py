"""FinalMLP (Mao et al. 2023): two MLPs, each with a gate on its inputs, and a bilinear form of what they give."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recnas.nn.baselines.layers import MLP, side_by_side
from recnas.nn.baselines.registry import baseline
from recnas.nn.linear import Linear


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
        self.gate = nn.Sequential(MLP(dim, (hidden,)), Linear(hidden, inputs), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """`[B, inputs]` → `[B, inputs]`."""
        return 2 * self.gate(self.context) * x


class BilinearFusion(nn.Module):
    """wᵀ x + vᵀ y + b + Σ over heads xₕᵀ Wₕ yₕ, where a head has its share of the columns (section 3.2).

    Args:
        width_x: Columns of x.
        width_y: Columns of y.
        heads: Number of heads; it divides both.
    """

    def __init__(self, width_x: int, width_y: int, heads: int) -> None:
        super().__init__()
        self.linear_x, self.linear_y = nn.Linear(width_x, 1), nn.Linear(width_y, 1, bias=False)
        self.bilinear = nn.Parameter(torch.empty(heads, width_x // heads, width_y // heads))
        # Each logit sums all of a matrix' elements.
        nn.init.normal_(self.bilinear, std=(2 / (self.bilinear[0].numel() + 1)) ** 0.5)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """`[B, width_x]` and `[B, width_y]` → `[B]`."""
        heads_x, heads_y = (item.unflatten(1, (len(self.bilinear), -1)) for item in (x, y))
        products = torch.bmm(heads_x.transpose(0, 1), self.bilinear).transpose(0, 1) * heads_y
        return (self.linear_x(x) + self.linear_y(y)).squeeze(-1) + products.sum((1, 2))


@baseline("finalmlp")
class FinalMLP(nn.Module):
    """logit = fusion(MLP₁(gate₁(x)), MLP₂(gate₂(x))) of all that it is given side by side, x.

    Args:
        num_dense: d₀; 0 where there is no column.
        num_fields: Number of fields, m.
        dim: Columns of an embedding, E.
        dropout: The share of dropout after each hidden layer of the streams.
        hidden: Columns of the first stream's layers.
        second: Columns of the second stream's layers.
        gate_hidden: Columns of each gate's hidden layer.
        heads: Number of heads of the fusion; it divides the last of `hidden` and of `second`.
        norm: Before each ReLU of the streams; see `layers.NORMS`.

    Example:
        >>> network = FinalMLP(13, 26, 16, hidden=(64, 64), second=(32,), gate_hidden=8, heads=2, norm="none")
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
        hidden: Sequence[int],
        second: Sequence[int],
        gate_hidden: int,
        heads: int,
        norm: str,
    ) -> None:
        super().__init__()
        self.num_dense, inputs = num_dense, num_fields * dim + num_dense
        self.stream_1, self.stream_2 = (
            nn.Sequential(FeatureGate(inputs, dim, gate_hidden), MLP(inputs, layers, dropout, norm))
            for layers in (hidden, second)
        )
        self.fusion = BilinearFusion(hidden[-1], second[-1], heads)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and fields `[B, m, E]` → logits `[B]`."""
        x = side_by_side(dense, fields, self.num_dense)
        return self.fusion(self.stream_1(x), self.stream_2(x))
