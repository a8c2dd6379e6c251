"""Logistic regression, the linear model that every other has to beat (Richardson et al. 2007)."""

from __future__ import annotations

from torch import Tensor, nn

from recnas.nn.baselines.layers import FirstOrder
from recnas.nn.baselines.registry import baseline


def macs(num_dense: int, num_sparse: int, dim: int) -> int:
    """Multiply–accumulates a row; arguments as in `LogisticRegression`. The looked-up weights are only added."""
    return num_dense


@baseline("lr", dim=0, first_order=True, macs=macs)
class LogisticRegression(nn.Module):
    """logit = Σ w + wᵀ dense + b: one weight a table row, one a dense feature, one bias.

    Args:
        num_dense: d₀; 0 where a data set has no dense feature.
        num_sparse: Number of sparse features, n₀.
        dim: 0, as it reads no embeddings.

    Example:
        >>> LogisticRegression(13, 26, 0)(torch.randn(4, 13), torch.randn(4, 26, 1)).shape
        torch.Size([4])
    """

    def __init__(self, num_dense: int, num_sparse: int, dim: int = 0) -> None:
        super().__init__()
        self.linear = FirstOrder(num_dense)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Dense features `[B, d₀]` and first-order weights `[B, n₀, 1]` → logits `[B]`."""
        return self.linear(dense, fields[..., 0])
