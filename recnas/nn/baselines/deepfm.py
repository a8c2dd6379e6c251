"""DeepFM (Guo et al. 2017): a factorisation machine and a deep network on the same embeddings."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from recnas.nn.baselines.layers import MLP, FirstOrder
from recnas.nn.baselines.registry import baseline
from recnas.nn.first_order import factorization_machine

DROPOUT = 0.5
"""Section 3.1 of the paper, for Criteo."""


@baseline("deepfm", first_order=True)
class DeepFM(nn.Module):
    """logit = linear + FM + deep (equations 1 to 4).

    Args:
        num_dense: d₀; 0 where there is no column. Columns are in the linear and the deep part.
        num_fields: Number of fields, m.
        dim: Columns of an embedding, E.
        dropout: The share of dropout after each hidden layer.
        hidden: Columns of the deep part's layers.
        norm: Before each ReLU; see `layers.NORMS`.

    Example:
        >>> DeepFM(13, 26, 16, hidden=(64,), norm="none")(torch.randn(4, 13), torch.randn(4, 26, 17)).shape
        torch.Size([4])
    """

    def __init__(
        self,
        num_dense: int,
        num_fields: int,
        dim: int,
        dropout: float = DROPOUT,
        *,
        hidden: Sequence[int],
        norm: str,
    ) -> None:
        super().__init__()
        self.num_dense = num_dense
        self.linear = FirstOrder(num_dense)
        self.deep = MLP(num_fields * dim + num_dense, hidden, dropout, norm)
        # The linear part has the bias.
        self.last = nn.Linear(hidden[-1], 1, bias=False)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and fields with first-order weights `[B, m, E + 1]` → logits `[B]`."""
        flat, machine = factorization_machine(fields, dense if self.num_dense else None)
        return self.linear(dense, machine) + self.last(self.deep(flat)).squeeze(-1)
