"""FCN, also DCNv3 (Li et al. 2024, arXiv 2407.13349): cross networks of exponential and of linear degree."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.baselines.layers import NORMS, side_by_side
from recnas.nn.baselines.registry import baseline
from recnas.nn.crossing import in_halves, masked_cross
from recnas.nn.dropout import dropout
from recnas.nn.linear import Linear

DROPOUT = 0.1
"""Of the authors' settings for Criteo, where the linear network has 0.2."""


class CrossLayer(nn.Module):
    """x ∘ ([h ; h ∘ ReLU(norm(h))] + b) + x_l with h = W x_l, which has half the columns.

    Args:
        inputs: Number of columns.
        dropout: Chance that an output is set to zero in training.
        norm: Of `layers.NORMS`.
    """

    def __init__(self, inputs: int, dropout: float, norm: str) -> None:
        super().__init__()
        half = (inputs + 1) // 2
        self.linear, self.norm, self.dropout = Linear(inputs, half, bias=False), NORMS[norm](half), dropout
        self.bias = nn.Parameter(torch.zeros(inputs))

    def forward(self, base: Tensor, x: Tensor) -> Tensor:
        """What the crossing multiplies by and x_l, both `[B, inputs]` → x_{l+1}."""
        h = self.linear(x)
        crossed = masked_cross(base, x, h, F.relu(self.norm(h)), self.bias)
        return dropout(crossed, self.dropout, self.training)


@baseline("fcn")
class FCN(nn.Module):
    """logit = the mean of two: of layers that multiply x_l by itself, and of layers that multiply it by x₀.

    Training minimises L + Σ max(0, L_i - L) · L_i, with the log losses L of the mean and L_i of the two ("Tri-BCE").

    Args:
        num_dense: d₀; 0 where there is no column.
        num_fields: Number of fields, m.
        dim: Columns of an embedding, E.
        dropout: The share of dropout after each layer.
        layers: Number of layers of the exponential network; its degree doubles with each.
        linear_layers: Number of layers of the linear network.
        norm: In the layers; see `layers.NORMS`.

    Example:
        >>> network = FCN(13, 26, 16, layers=2, linear_layers=3, norm="layer")
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
        linear_layers: int,
        norm: str,
    ) -> None:
        super().__init__()
        self.num_dense, inputs = num_dense, num_fields * dim + num_dense
        self.exponential, self.linear = (
            nn.ModuleList(CrossLayer(inputs, dropout, norm) for _ in range(count)) for count in (layers, linear_layers)
        )
        self.last_exponential, self.last_linear = nn.Linear(inputs, 1), nn.Linear(inputs, 1)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and fields `[B, m, E]` → logits `[B]`; in training those of both networks, `[2, B]`."""
        base = exponential = linear = side_by_side(dense, in_halves(fields), self.num_dense)
        for layer in self.exponential:
            exponential = layer(exponential, exponential)
        for layer in self.linear:
            linear = layer(base, linear)
        logits = torch.stack([self.last_exponential(exponential), self.last_linear(linear)]).squeeze(-1)
        return logits if self.training else logits.mean(0)

    def training_loss(self, logits: Tensor, label: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
        """The mean's log loss, and those of the two that are above it, each weighted by how far."""
        three = torch.cat([logits.mean(0, keepdim=True), logits])
        loss, *single = mean(F.binary_cross_entropy_with_logits(three, label.expand_as(three), reduction="none"))
        return loss + sum(F.relu(item - loss) * item for item in single)
