"""DeepFM (Guo et al. 2017): a factorisation machine and a deep network on the same embeddings."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from recnas.nn.baselines.layers import MLP, AllFields, FirstOrder, products
from recnas.nn.baselines.registry import baseline

HIDDEN = (400, 400, 400)
DROPOUT = 0.5
"""Section 3.1 of the paper, for Criteo."""


def macs(num_dense: int, num_sparse: int, dim: int) -> int:
    """Multiply–accumulates a row of the published network; arguments as in `DeepFM`."""
    return num_dense + products(((num_dense + num_sparse) * dim, *HIDDEN, 1))


@baseline("deepfm", first_order=True, macs=macs)
class DeepFM(nn.Module):
    """logit = linear + FM + deep (equations 1 to 4).

    Args:
        num_dense: d₀; 0 where a data set has no dense feature.
        num_sparse: Number of sparse features, n₀.
        dim: Columns of an embedding, E.
        hidden: Columns of the deep part's layers.
        dropout: The share of dropout after each of these layers.

    Example:
        >>> DeepFM(13, 26, 16)(torch.randn(4, 13), torch.randn(4, 26, 17)).shape
        torch.Size([4])
    """

    def __init__(
        self, num_dense: int, num_sparse: int, dim: int, hidden: Sequence[int] = HIDDEN, dropout: float = DROPOUT
    ) -> None:
        super().__init__()
        self.linear = FirstOrder(num_dense)
        self.all_fields = AllFields(num_dense, dim)
        self.deep = MLP((num_dense + num_sparse) * dim, hidden, dropout)
        # The linear part has the bias.
        self.last = nn.Linear(hidden[-1], 1, bias=False)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Dense features `[B, d₀]` and fields with first-order weights `[B, n₀, E + 1]` → logits `[B]`."""
        vectors = self.all_fields(dense, fields[..., :-1])
        deep = self.last(self.deep(vectors.flatten(1))).squeeze(-1)
        return self.linear(dense, fields[..., -1]) + pair_products(vectors) + deep


def pair_products(fields: Tensor) -> Tensor:
    """Σ of the inner products of all pairs of two fields: `[B, m, E]` → `[B]` (Rendle 2010, lemma 3.1)."""
    return 0.5 * (fields.sum(1).square() - fields.square().sum(1)).sum(1)
