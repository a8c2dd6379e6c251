"""FiBiNET (Huang et al. 2019): fields weighted by their importance, and bilinear products of all pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recnas.nn.baselines.layers import MLP, FirstOrder, side_by_side
from recnas.nn.baselines.registry import baseline
from recnas.nn.linear import Linear


class FieldWeights(nn.Module):
    """SENET: each field times its weight, an MLP of all fields' means; `[B, m, E]` → `[B, m, E]`.

    Args:
        fields: Number of fields, m.
        reduction: Fields for each column of the MLP's hidden layer.
    """

    def __init__(self, fields: int, reduction: int) -> None:
        super().__init__()
        between = max(1, fields // reduction)
        self.excitation = nn.Sequential(
            Linear(fields, between, bias=False), nn.ReLU(), Linear(between, fields, bias=False), nn.ReLU()
        )

    def forward(self, fields: Tensor) -> Tensor:
        return fields * self.excitation(fields.mean(2)).unsqueeze(-1)


class BilinearProducts(nn.Module):
    """v_i W ∘ v_j for all pairs i < j of fields; `[B, m, E]` → `[B, m (m - 1) / 2, E]`.

    Args:
        fields: Number of fields, m.
        dim: Columns of a field, E.
        matrices: How many W there are: one for `all`, one for `each` first field, or one a pair for `pairs`.
    """

    def __init__(self, fields: int, dim: int, matrices: str) -> None:
        super().__init__()
        self.matrices = matrices
        first, second = torch.triu_indices(fields, fields, offset=1)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)
        count = {"all": 1, "each": fields, "pairs": len(first)}[matrices]
        bound = (3 / dim) ** 0.5
        self.weight = nn.Parameter(torch.empty(count, dim, dim).uniform_(-bound, bound))

    def forward(self, fields: Tensor) -> Tensor:
        if self.matrices == "pairs":
            mapped = self._mapped(fields.index_select(1, self.first))
        else:
            mapped = self._mapped(fields).index_select(1, self.first)
        return mapped * fields.index_select(1, self.second)

    def _mapped(self, fields: Tensor) -> Tensor:
        if len(self.weight) == 1:
            return fields @ self.weight[0]
        return torch.bmm(fields.transpose(0, 1), self.weight).transpose(0, 1)


@baseline("fibinet", first_order=True)
class FiBiNET(nn.Module):
    """logit = linear + deep(bilinear products of the fields, and of the weighted fields).

    Args:
        num_dense: d₀; 0 where there is no column. Columns are in the linear and the deep part.
        num_fields: Number of fields, m.
        dim: Columns of an embedding, E.
        dropout: The share of dropout after each hidden layer.
        bilinear: See `BilinearProducts`.
        reduction: See `FieldWeights`.
        hidden: Columns of the deep part's layers.
        norm: Before each ReLU of the deep part; see `layers.NORMS`.

    Example:
        >>> network = FiBiNET(13, 26, 16, bilinear="all", reduction=3, hidden=(64,), norm="none")
        >>> network(torch.randn(4, 13), torch.randn(4, 26, 17)).shape
        torch.Size([4])
    """

    def __init__(
        self,
        num_dense: int,
        num_fields: int,
        dim: int,
        dropout: float = 0.0,
        *,
        bilinear: str,
        reduction: int,
        hidden: Sequence[int],
        norm: str,
    ) -> None:
        super().__init__()
        self.num_dense = num_dense
        self.linear = FirstOrder(num_dense)
        self.weights = FieldWeights(num_fields, reduction)
        self.products, self.weighted_products = (BilinearProducts(num_fields, dim, bilinear) for _ in range(2))
        self.deep = MLP(num_fields * (num_fields - 1) * dim + num_dense, hidden, dropout, norm)
        # The linear part has the bias.
        self.last = nn.Linear(hidden[-1], 1, bias=False)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and fields with first-order weights `[B, m, E + 1]` → logits `[B]`."""
        vectors = fields[..., :-1]
        pairs = torch.cat([self.products(vectors), self.weighted_products(self.weights(vectors))], dim=1)
        deep = self.last(self.deep(side_by_side(dense, pairs, self.num_dense))).squeeze(-1)
        return self.linear(dense, fields[..., -1].sum(1)) + deep
