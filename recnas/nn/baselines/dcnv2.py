"""DCN-V2 (Wang et al. 2021): cross layers with full matrices, and a deep network beside them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recnas.nn.baselines.layers import MLP, AllFields, products
from recnas.nn.baselines.registry import baseline

CROSS_LAYERS = 3
HIDDEN = (768, 768)
"""Of the depths and widths that the paper searches, per data set; see docs/baselines.md."""


def macs(num_dense: int, num_sparse: int, dim: int) -> int:
    """Multiply–accumulates a row of the network with these settings; arguments as in `DCNV2`."""
    inputs = (num_dense + num_sparse) * dim
    return CROSS_LAYERS * inputs**2 + inputs + products((inputs, *HIDDEN, 1))


class CrossNetwork(nn.Module):
    """x_{l+1} = x₀ ∘ (W x_l + b) + x_l (equation 1); `[B, inputs]` → `[B, inputs]`.

    Args:
        inputs: Number of columns.
        layers: Number of layers.
    """

    def __init__(self, inputs: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(inputs, inputs) for _ in range(layers))

    def forward(self, base: Tensor) -> Tensor:
        x = base
        for layer in self.layers:
            x = base * layer(x) + x
        return x


@baseline("dcnv2", macs=macs)
class DCNV2(nn.Module):
    """The parallel structure: logit = wᵀ concat(cross, deep) + b (section 3.3).

    Args:
        num_dense: d₀; 0 where a data set has no dense feature.
        num_sparse: Number of sparse features, n₀.
        dim: Columns of an embedding, E.
        cross_layers: Number of cross layers.
        hidden: Columns of the deep part's layers.

    Example:
        >>> DCNV2(13, 26, 16)(torch.randn(4, 13), torch.randn(4, 26, 16)).shape
        torch.Size([4])
    """

    def __init__(
        self,
        num_dense: int,
        num_sparse: int,
        dim: int,
        cross_layers: int = CROSS_LAYERS,
        hidden: Sequence[int] = HIDDEN,
    ) -> None:
        super().__init__()
        inputs = (num_dense + num_sparse) * dim
        self.all_fields = AllFields(num_dense, dim)
        self.cross = CrossNetwork(inputs, cross_layers)
        self.deep = MLP(inputs, hidden)
        self.last = nn.Linear(inputs + hidden[-1], 1)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Dense features `[B, d₀]` and fields `[B, n₀, E]` → logits `[B]`."""
        x = self.all_fields(dense, fields).flatten(1)
        return self.last(torch.cat([self.cross(x), self.deep(x)], dim=1)).squeeze(-1)
