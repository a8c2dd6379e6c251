"""Logistic regression, the linear model that every other has to beat (Richardson et al. 2007)."""

from __future__ import annotations

from torch import Tensor, nn

from recnas.nn.baselines.layers import FirstOrder
from recnas.nn.baselines.registry import baseline


@baseline("lr", dim=0, first_order=True)
class LogisticRegression(nn.Module):
    """logit = Σ w + wᵀ dense + b: one weight a field's value, one a column, one bias.

    Args:
        num_dense: d₀; 0 where there is no column.
        num_fields: Number of fields, m.
        dim: 0, as it reads no embeddings.

    Example:
        >>> LogisticRegression(13, 26, 0)(torch.randn(4, 13), torch.randn(4, 26, 1)).shape
        torch.Size([4])
    """

    def __init__(self, num_dense: int, num_fields: int, dim: int = 0) -> None:
        super().__init__()
        self.linear = FirstOrder(num_dense)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and first-order weights `[B, m, 1]` → logits `[B]`."""
        return self.linear(dense, fields[..., 0].sum(1))
