"""AutoInt+ (Song et al. 2019): self-attention over the fields, and a deep network beside it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.baselines.layers import MLP, AllFields, products
from recnas.nn.baselines.registry import baseline

LAYERS, HEADS, HEAD_DIM = 3, 2, 32
"""Section 5.1 of the paper."""
HIDDEN = (400, 400)
"""The paper says two layers; their width is that of the other models' deep parts."""


def macs(num_dense: int, num_sparse: int, dim: int) -> int:
    """Multiply–accumulates a row of the published network; arguments as in `AutoIntPlus`."""
    fields, width = num_dense + num_sparse, HEADS * HEAD_DIM
    inputs = (dim, *[width] * (LAYERS - 1))
    attention = sum(fields * before * 4 * width + 2 * fields**2 * width for before in inputs)
    return attention + fields * width + products((fields * dim, *HIDDEN, 1))


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
            nn.Linear(inputs, heads * head_dim, bias=False) for _ in range(4)
        )

    def forward(self, fields: Tensor) -> Tensor:
        """`[B, m, inputs]` → `[B, m, heads · head_dim]`."""
        query, key, value = (
            part(fields).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        # The paper does not divide the scores by the root of their length.
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0).transpose(1, 2).flatten(2)
        return F.relu(attended + self.residual(fields))


@baseline("autoint+", macs=macs)
class AutoIntPlus(nn.Module):
    """logit = w ᵀ concat(interacting layers, deep) + b (section 5.5).

    Args:
        num_dense: d₀; 0 where a data set has no dense feature.
        num_sparse: Number of sparse features, n₀.
        dim: Columns of an embedding, E.
        layers: Number of interacting layers.
        heads: Number of heads of each layer.
        head_dim: Number of columns of each head.
        hidden: Columns of the deep part's layers.

    Example:
        >>> AutoIntPlus(13, 26, 16)(torch.randn(4, 13), torch.randn(4, 26, 16)).shape
        torch.Size([4])
    """

    def __init__(
        self,
        num_dense: int,
        num_sparse: int,
        dim: int,
        layers: int = LAYERS,
        heads: int = HEADS,
        head_dim: int = HEAD_DIM,
        hidden: Sequence[int] = HIDDEN,
    ) -> None:
        super().__init__()
        fields, width = num_dense + num_sparse, heads * head_dim
        self.all_fields = AllFields(num_dense, dim)
        self.attention = nn.Sequential(
            *[InteractingLayer(width if place else dim, heads, head_dim) for place in range(layers)]
        )
        self.deep = MLP(fields * dim, hidden)
        self.last = nn.Linear(fields * width + hidden[-1], 1)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Dense features `[B, d₀]` and fields `[B, n₀, E]` → logits `[B]`."""
        vectors = self.all_fields(dense, fields)
        both = [self.attention(vectors).flatten(1), self.deep(vectors.flatten(1))]
        return self.last(torch.cat(both, dim=1)).squeeze(-1)
