"""xDeepFM (Lian et al. 2018): a compressed interaction network, a deep network and a linear part."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from recnas.nn.baselines.layers import MLP, FirstOrder, side_by_side
from recnas.nn.baselines.registry import baseline
from recnas.nn.linear import Linear


class CompressedInteractionLayer(nn.Module):
    """xᵏ_h = Σ_ij W_hij (x⁰_i ∘ xᵏ⁻¹_j) + b_h (equation 6; the bias is the implementations').

    Args:
        fields: Number of fields, m.
        before: Number of feature maps of the layer before.
        after: Number of feature maps of this layer.
    """

    def __init__(self, fields: int, before: int, after: int) -> None:
        super().__init__()
        self.fields = fields
        self.linear = Linear(fields * before, after)

    def forward(self, base: Tensor, x: Tensor) -> Tensor:
        """x⁰ `[B, E, m]` and xᵏ⁻¹ `[B, E, before]` → xᵏ `[B, E, after]`."""
        # A field at a time: their products with all maps at once would be m times as large.
        weights = self.linear.weight.unflatten(1, (self.fields, -1)).unbind(1)
        result = self.linear.bias
        for field, weight in zip(base.split(1, dim=-1), weights, strict=True):
            result = result + field * (x @ weight.t())
        return result


class CompressedInteractionNetwork(nn.Module):
    """CIN with the identity as its activation: fields `[B, m, E]` → the sums of all feature maps `[B, Σ maps]`.

    Args:
        fields: Number of fields, m.
        feature_maps: Number of feature maps of each layer.
    """

    def __init__(self, fields: int, feature_maps: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            CompressedInteractionLayer(fields, before, after) for before, after in pairwise((fields, *feature_maps))
        )

    def forward(self, fields: Tensor) -> Tensor:
        x = base = fields.transpose(1, 2)
        pooled = []
        for layer in self.layers:
            x = layer(base, x)
            pooled.append(x.sum(1))
        return torch.cat(pooled, dim=1)


@baseline("xdeepfm", first_order=True)
class XDeepFM(nn.Module):
    """logit = linear + wᵀ CIN + wᵀ deep (equation 9).

    Args:
        num_dense: d₀; 0 where there is no column. Columns are in the linear and the deep part.
        num_fields: Number of fields, m.
        dim: Columns of an embedding, E.
        dropout: The share of dropout after each hidden layer of the deep part.
        feature_maps: Number of feature maps of each of the CIN's layers.
        hidden: Columns of the deep part's layers.
        norm: Before each ReLU of the deep part; see `layers.NORMS`.

    Example:
        >>> network = XDeepFM(13, 26, 16, feature_maps=(32, 32), hidden=(64,), norm="none")
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
        feature_maps: Sequence[int],
        hidden: Sequence[int],
        norm: str,
    ) -> None:
        super().__init__()
        self.num_dense = num_dense
        self.linear = FirstOrder(num_dense)
        self.interactions = CompressedInteractionNetwork(num_fields, feature_maps)
        self.last_interactions = nn.Linear(sum(feature_maps), 1, bias=False)
        self.deep = MLP(num_fields * dim + num_dense, hidden, dropout, norm)
        # The linear part has the bias.
        self.last_deep = nn.Linear(hidden[-1], 1, bias=False)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and fields with first-order weights `[B, m, E + 1]` → logits `[B]`."""
        vectors = fields[..., :-1]
        explicit = self.last_interactions(self.interactions(vectors))
        implicit = self.last_deep(self.deep(side_by_side(dense, vectors, self.num_dense)))
        return self.linear(dense, fields[..., -1].sum(1)) + (explicit + implicit).squeeze(-1)
