"""QNN-α (Li et al. 2025, arXiv 2505.17999): layers of quadratic neurons."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.baselines.layers import Hidden, side_by_side
from recnas.nn.baselines.registry import baseline
from recnas.nn.crossing import quadratic
from recnas.nn.dropout import dropout

DROPOUT = 0.1
"""Of the authors' settings."""


class QuadraticLayer(nn.Module):
    """x + Σ_r x ∘ ReLU(norm(W_r x + b_r)), then dropout; `[B, inputs]` → `[B, inputs]`.

    Args:
        inputs: Number of columns.
        rows: Number of factors r that are summed.
        dropout: Chance that a factor's output, and one of the layer, is set to zero in training.
        norm: Of `layers.NORMS`.
    """

    def __init__(self, inputs: int, rows: int, dropout: float, norm: str) -> None:
        super().__init__()
        self.factors, self.dropout = Hidden(inputs, rows * inputs, dropout, norm), dropout

    def forward(self, x: Tensor) -> Tensor:
        return dropout(quadratic(x, self.factors(x)), self.dropout, self.training)


@baseline("qnn")
class QNN(nn.Module):
    """logit = wᵀ (quadratic layers of all that it is given side by side) + b.

    With dropout, training passes a batch twice: the mean of both predictions learns the labels, and each of them the
    mean.

    Args:
        num_dense: d₀; 0 where there is no column.
        num_fields: Number of fields, m.
        dim: Columns of an embedding, E.
        dropout: The share of dropout in and after each layer.
        layers: Number of layers.
        rows: Factors that each layer sums.
        norm: Before each ReLU; see `layers.NORMS`.

    Example:
        >>> network = QNN(13, 26, 16, layers=2, rows=2, norm="batch")
        >>> network.eval()(torch.randn(4, 13), torch.randn(4, 26, 16)).shape
        torch.Size([4])
    """

    def __init__(
        self,
        num_dense: int,
        num_fields: int,
        dim: int,
        dropout: float = DROPOUT,
        *,
        layers: int,
        rows: int,
        norm: str,
    ) -> None:
        super().__init__()
        self.num_dense, inputs = num_dense, num_fields * dim + num_dense
        self.passes = 2 if dropout else 1
        self.layers = nn.Sequential(*(QuadraticLayer(inputs, rows, dropout, norm) for _ in range(layers)))
        self.last = nn.Linear(inputs, 1)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and fields `[B, m, E]` → logits `[B]`; in training those of each pass, `[passes, B]`."""
        x = side_by_side(dense, fields, self.num_dense)
        if not self.training:
            return self._logits(x)
        return torch.stack([self._logits(x) for _ in range(self.passes)])

    def _logits(self, x: Tensor) -> Tensor:
        return self.last(self.layers(x)).squeeze(-1)

    def training_loss(self, logits: Tensor, label: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
        """The log loss of the passes' mean probability, and those of the passes on it."""
        # The logarithms of the mean probabilities of a click and of none.
        count = torch.tensor(float(len(logits)), device=logits.device).log()
        click, none = (F.logsigmoid(sign * logits).logsumexp(0) - count for sign in (1, -1))
        loss = -(label * click + (1 - label) * none)
        if len(logits) > 1:
            taught = click.detach().exp().expand_as(logits)
            loss = loss + F.binary_cross_entropy_with_logits(logits, taught, reduction="none").sum(0)
        return mean(loss)
