"""AutoInt+ (Song et al. 2019): self-attention over the fields, and a deep network beside it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.baselines.layers import MLP, side_by_side
from recnas.nn.baselines.registry import baseline
from recnas.nn.linear import Linear


class InteractingLayer(nn.Module):
    """Each field attends to all: ReLU(concat of heads (softmax(q kᵀ) v) + W x) (equations 5 to 8).

    Args:
        inputs: Number of columns of an input field.
        heads: Number of heads.
        head_dim: Number of columns of each head.
    """

    def __init__(self, inputs: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.residual = (
            Linear(inputs, heads * head_dim, bias=False) for _ in range(4)
        )

    def forward(self, fields: Tensor) -> Tensor:
        """`[B, m, inputs]` → `[B, m, heads · head_dim]`."""
        query, key, value = (
            part(fields).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        # The paper does not divide the scores by the root of their length.
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0).transpose(1, 2).flatten(2)
        return F.relu(attended + self.residual(fields))


@baseline("autoint+")
class AutoIntPlus(nn.Module):
    """logit = w ᵀ concat(interacting layers, deep) + b (section 5.5).

    Args:
        num_dense: d₀; 0 where there is no column. Columns are in the deep part.
        num_fields: Number of fields, m.
        dim: Columns of an embedding, E.
        dropout: The share of dropout after each hidden layer of the deep part.
        layers: Number of interacting layers.
        heads: Number of heads of each layer.
        head_dim: Number of columns of each head.
        hidden: Columns of the deep part's layers.
        norm: Before each ReLU of the deep part; see `layers.NORMS`.

    Example:
        >>> network = AutoIntPlus(13, 26, 16, layers=2, heads=2, head_dim=8, hidden=(64,), norm="none")
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
        heads: int,
        head_dim: int,
        hidden: Sequence[int],
        norm: str,
    ) -> None:
        super().__init__()
        self.num_dense, width = num_dense, heads * head_dim
        self.attention = nn.Sequential(
            *[InteractingLayer(width if place else dim, heads, head_dim) for place in range(layers)]
        )
        self.deep = MLP(num_fields * dim + num_dense, hidden, dropout, norm)
        self.last = nn.Linear(num_fields * width + hidden[-1], 1)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and fields `[B, m, E]` → logits `[B]`."""
        deep = self.deep(side_by_side(dense, fields, self.num_dense))
        return self.last(torch.cat([self.attention(fields).flatten(1), deep], dim=1)).squeeze(-1)
