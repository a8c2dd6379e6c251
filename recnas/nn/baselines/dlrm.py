"""DLRM (Naumov et al. 2019): MLPs below and above the products of all pairs of fields."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchrec.models.dlrm import InteractionArch

from recnas.nn.baselines.layers import MLP
from recnas.nn.baselines.registry import baseline


@baseline("dlrm")
class DLRM(nn.Module):
    """A bottom MLP over columns, products of all pairs of its output and the fields, a top MLP to the logit.

    Args:
        num_dense: d₀; 0 where there is no column, and the bottom MLP reads the constant in their place.
        num_fields: Number of fields, m.
        dim: Columns of an embedding, E.
        dropout: The share of dropout after each hidden layer.
        bottom: Columns of the bottom MLP's layers before its last, which has E.
        top: Columns of the top MLP's layers.
        norm: Before each ReLU; see `layers.NORMS`.

    Example:
        >>> DLRM(13, 26, 16, bottom=(64,), top=(64,), norm="none")(torch.randn(4, 13), torch.randn(4, 26, 16)).shape
        torch.Size([4])
    """

    def __init__(
        self,
        num_dense: int,
        num_fields: int,
        dim: int,
        dropout: float = 0.0,
        *,
        bottom: Sequence[int],
        top: Sequence[int],
        norm: str,
    ) -> None:
        super().__init__()
        self.bottom = MLP(max(1, num_dense), (*bottom, dim), dropout, norm)
        self.interaction = InteractionArch(num_fields)
        self.top = MLP(dim + (num_fields + 1) * num_fields // 2, top, dropout, norm)
        self.last = nn.Linear(top[-1], 1)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and fields `[B, m, E]` → logits `[B]`."""
        return self.last(self.top(self.interaction(self.bottom(dense), fields))).squeeze(-1)
