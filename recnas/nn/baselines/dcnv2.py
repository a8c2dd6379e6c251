"""DCN-V2 (Wang et al. 2021): cross layers with full or low-rank matrices, and a deep network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recnas.nn.baselines.layers import MLP, side_by_side
from recnas.nn.baselines.registry import baseline
from recnas.nn.linear import Linear


class CrossNetwork(nn.Module):
    """x_{l+1} = x₀ ∘ (W x_l + b) + x_l (equation 1); `[B, inputs]` → `[B, inputs]`.

    Args:
        inputs: Number of columns.
        layers: Number of layers.
        rank: Of the matrices, W = U Vᵀ; 0 for full ones.
    """

    def __init__(self, inputs: int, layers: int, rank: int = 0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_linear(inputs, rank) for _ in range(layers))

    def forward(self, base: Tensor) -> Tensor:
        x = base
        for layer in self.layers:
            x = torch.addcmul(x, base, layer(x))
        return x


def _linear(inputs: int, rank: int) -> nn.Module:
    if not rank:
        return Linear(inputs, inputs)
    return nn.Sequential(Linear(inputs, rank, bias=False), Linear(rank, inputs))


@baseline("dcnv2")
class DCNV2(nn.Module):
    """logit = wᵀ concat(cross, deep) + b where these are parallel, wᵀ deep(cross) + b where stacked (section 3.3).

    Args:
        num_dense: d₀; 0 where there is no column.
        num_fields: Number of fields, m.
        dim: Columns of an embedding, E.
        dropout: The share of dropout after each hidden layer of the deep part.
        structure: `parallel` or `stacked`.
        layers: Number of cross layers.
        rank: Of their matrices; 0 for full ones.
        hidden: Columns of the deep part's layers.
        norm: Before each ReLU of the deep part; see `layers.NORMS`.

    Example:
        >>> network = DCNV2(13, 26, 16, structure="parallel", layers=2, rank=0, hidden=(64,), norm="none")
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
        structure: str,
        layers: int,
        rank: int,
        hidden: Sequence[int],
        norm: str,
    ) -> None:
        super().__init__()
        self.num_dense, inputs = num_dense, num_fields * dim + num_dense
        self.is_parallel = structure == "parallel"
        self.cross = CrossNetwork(inputs, layers, rank)
        self.deep = MLP(inputs, hidden, dropout, norm)
        self.last = nn.Linear(hidden[-1] + inputs * self.is_parallel, 1)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and fields `[B, m, E]` → logits `[B]`."""
        x = side_by_side(dense, fields, self.num_dense)
        crossed = self.cross(x)
        outputs = torch.cat([crossed, self.deep(x)], dim=1) if self.is_parallel else self.deep(crossed)
        return self.last(outputs).squeeze(-1)
