"""DNN: a deep network on all that it is given side by side, the deep part of most other baselines."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from recnas.nn.baselines.layers import MLP, side_by_side
from recnas.nn.baselines.registry import baseline


@baseline("dnn")
class DNN(nn.Module):
    """logit = wᵀ MLP(x) + b, as the deep parts of Wide & Deep (Cheng et al. 2016) and of FuxiCTR's DNN.

    Args:
        num_dense: d₀; 0 where there is no column.
        num_fields: Number of fields, m.
        dim: Columns of an embedding, E.
        dropout: The share of dropout after each hidden layer.
        hidden: Columns of the layers.
        norm: Before each ReLU; see `layers.NORMS`.

    Example:
        >>> DNN(13, 26, 16, hidden=(64,), norm="none")(torch.randn(4, 13), torch.randn(4, 26, 16)).shape
        torch.Size([4])
    """

    def __init__(
        self,
        num_dense: int,
        num_fields: int,
        dim: int,
        dropout: float = 0.0,
        *,
        hidden: Sequence[int],
        norm: str,
    ) -> None:
        super().__init__()
        self.num_dense = num_dense
        self.deep = MLP(num_fields * dim + num_dense, hidden, dropout, norm)
        self.last = nn.Linear(hidden[-1], 1)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and fields `[B, m, E]` → logits `[B]`."""
        return self.last(self.deep(side_by_side(dense, fields, self.num_dense))).squeeze(-1)
