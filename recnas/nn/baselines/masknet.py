"""MaskNet (Wang et al. 2021): blocks whose inputs are multiplied by a mask, a function of the embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn.baselines.layers import MLP, Hidden, side_by_side
from recnas.nn.baselines.registry import baseline
from recnas.nn.linear import Linear


class MaskBlock(nn.Module):
    """ReLU(norm(W (mask(v) ∘ h))), where the mask is an MLP of one hidden layer.

    Args:
        inputs: Columns of v.
        masked: Columns of h.
        columns: Columns given.
        reduction: Columns of the mask's hidden layer, as a multiple of `masked`.
        dropout: See `layers.Hidden`.
        norm: See `layers.Hidden`.
    """

    def __init__(self, inputs: int, masked: int, columns: int, reduction: float, dropout: float, norm: str) -> None:
        super().__init__()
        between = max(1, int(masked * reduction))
        self.mask = nn.Sequential(MLP(inputs, (between,)), Linear(between, masked))
        self.hidden = Hidden(masked, columns, dropout, norm, bias=False)

    def forward(self, v: Tensor, h: Tensor) -> Tensor:
        """v `[B, inputs]` and h `[B, masked]` → `[B, columns]`."""
        return self.hidden(self.mask(v) * h)


class FieldNorm(nn.Module):
    """Layer norm of each field by itself, with weights of its own; `[B, m, E]` → `[B, m, E]`.

    Args:
        fields: Number of fields, m.
        dim: Columns of a field, E.
    """

    def __init__(self, fields: int, dim: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(fields, dim)), nn.Parameter(torch.zeros(fields, dim))

    def forward(self, fields: Tensor) -> Tensor:
        return torch.addcmul(self.bias, F.layer_norm(fields, fields.shape[-1:]), self.weight)


@baseline("masknet")
class MaskNet(nn.Module):
    """Mask blocks one after the other, or side by side below an MLP; a linear layer gives the logit.

    Args:
        num_dense: d₀; 0 where there is no column. Columns are beside the fields in masks and in what they mask.
        num_fields: Number of fields, m.
        dim: Columns of an embedding, E.
        dropout: The share of dropout after each hidden layer, but for those of masks.
        structure: `serial` or `parallel`.
        hidden: Columns of the serial blocks, or of the MLP above the parallel ones.
        blocks: Number of parallel blocks.
        block_dim: Columns of each of these.
        reduction: See `MaskBlock`.
        norm: In the blocks; see `layers.NORMS`.
        field_norm: Whether fields are normalised where they are masked: `layer` or `none`.

    Example:
        >>> network = MaskNet(13, 26, 16, structure="parallel", hidden=(64,), blocks=2, block_dim=32, reduction=1.0,
        ...                   norm="layer", field_norm="layer")
        >>> network(torch.randn(4, 13), torch.randn(4, 26, 16)).shape
        torch.Size([4])
    """

    def __init__(
        self,
        num_dense: int,
        num_fields: int,
        dim: int,
        dropout: float = 0.0,
        *,
        structure: str,
        hidden: Sequence[int],
        blocks: int,
        block_dim: int,
        reduction: float,
        norm: str,
        field_norm: str,
    ) -> None:
        super().__init__()
        self.num_dense, inputs = num_dense, num_fields * dim + num_dense
        self.field_norm = FieldNorm(num_fields, dim) if field_norm == "layer" else nn.Identity()
        self.is_serial = structure == "serial"
        shapes = pairwise((inputs, *hidden)) if self.is_serial else [(inputs, block_dim)] * blocks
        self.blocks = nn.ModuleList(
            MaskBlock(inputs, masked, columns, reduction, dropout, norm) for masked, columns in shapes
        )
        self.deep = nn.Identity() if self.is_serial else MLP(blocks * block_dim, hidden, dropout)
        self.last = nn.Linear(hidden[-1], 1)

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and fields `[B, m, E]` → logits `[B]`."""
        v = side_by_side(dense, fields, self.num_dense)
        h = side_by_side(dense, self.field_norm(fields), self.num_dense)
        if self.is_serial:
            for block in self.blocks:
                h = block(v, h)
        else:
            h = self.deep(torch.cat([block(v, h) for block in self.blocks], dim=1))
        return self.last(h).squeeze(-1)
