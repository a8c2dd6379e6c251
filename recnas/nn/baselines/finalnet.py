"""FinalNet (Zhu et al. 2023, SIGIR, "FINAL"): blocks of factorised interactions that learn from one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.baselines.layers import NORMS, side_by_side
from recnas.nn.baselines.registry import baseline
from recnas.nn.dropout import dropout
from recnas.nn.linear import Linear


class FactorizedInteraction(nn.Module):
    """ReLU(norm([h₂ ; h₁ ∘ h₂])) with (h₂, h₁) = W x + b, then dropout; `[B, inputs]` → `[B, columns]`.

    Args:
        inputs: Columns read.
        columns: Columns given, an even number.
        dropout: Chance that an output is set to zero in training.
        norm: Of `layers.NORMS`.
    """

    def __init__(self, inputs: int, columns: int, dropout: float, norm: str) -> None:
        super().__init__()
        self.linear, self.norm, self.dropout = Linear(inputs, columns), NORMS[norm](columns), dropout

    def forward(self, x: Tensor) -> Tensor:
        second, first = self.linear(x).chunk(2, dim=1)
        outputs = F.relu(self.norm(torch.cat([second, first * second], dim=1)))
        return dropout(outputs, self.dropout, self.training)


class FieldGates(nn.Module):
    """The fields, and beside them the fields times gates, a linear function of the others in each column.

    Args:
        fields: Number of fields, m.
    """

    def __init__(self, fields: int) -> None:
        super().__init__()
        self.linear = Linear(fields, fields)

    def forward(self, fields: Tensor) -> Tensor:
        """`[B, m, E]` → `[B, 2 m, E]`."""
        gates = self.linear(fields.transpose(1, 2)).transpose(1, 2)
        return torch.cat([fields, fields * gates], dim=1)


@baseline("finalnet")
class FinalNet(nn.Module):
    """logit = the mean of one or two blocks' logits.

    With two, each learns the mean's prediction besides: they are each other's teachers.

    Args:
        num_dense: d₀; 0 where there is no column.
        num_fields: Number of fields, m.
        dim: Columns of an embedding, E.
        dropout: The share of dropout after each layer.
        hidden: Columns of the first block's layers.
        second: Columns of the second block's layers.
        blocks: Number of blocks, 1 or 2.
        gates: What the first block reads: `fields`, themselves and times their gates; `none`, only themselves.
        norm: Before each ReLU; see `layers.NORMS`.

    Example:
        >>> network = FinalNet(13, 26, 16, hidden=(64, 64), second=(64,), blocks=2, gates="fields", norm="batch")
        >>> network.eval()(torch.randn(4, 13), torch.randn(4, 26, 16)).shape
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
        second: Sequence[int],
        blocks: int,
        gates: str,
        norm: str,
    ) -> None:
        super().__init__()
        self.num_dense = num_dense
        self.gates = FieldGates(num_fields) if gates == "fields" else nn.Identity()
        inputs = (num_fields * dim * (1 + (gates == "fields")) + num_dense, num_fields * dim + num_dense)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(FactorizedInteraction(before, after, dropout, norm) for before, after in pairwise((first, *layers))),
                nn.Linear(layers[-1], 1),
            )
            for first, layers in list(zip(inputs, (hidden, second), strict=True))[:blocks]
        )

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and fields `[B, m, E]` → logits `[B]`; in training the blocks', `[blocks, B]`."""
        read = (self.gates(fields), fields)
        logits = torch.stack(
            [
                block(side_by_side(dense, x, self.num_dense)).squeeze(-1)
                for block, x in zip(self.blocks, read, strict=False)
            ]
        )
        return logits if self.training else logits.mean(0)

    def training_loss(self, logits: Tensor, label: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
        """The log loss of the blocks' mean, and those of the blocks on its prediction."""
        together = logits.mean(0)
        loss = F.binary_cross_entropy_with_logits(together, label, reduction="none")
        if len(logits) > 1:
            taught = torch.sigmoid(together.detach()).expand_as(logits)
            loss = loss + F.binary_cross_entropy_with_logits(logits, taught, reduction="none").sum(0)
        return mean(loss)
