"""The shapes that operators are made for, and the inputs that they are called with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recnas.nn.elastic import InputSegment


@dataclass(frozen=True)
class Inputs:
    """What a layer may read, over all candidates of a space.

    Attributes:
        sources: The widest output of every source, by name.
        narrowest: The smallest concatenated width that a candidate can give the layer.
        widest: The largest width.
    """

    sources: Mapping[str, int]
    narrowest: int
    widest: int

    def always(self, width: int) -> bool:
        """Whether every candidate gives exactly this width."""
        return self.narrowest == self.widest == width


def total(inputs: Sequence[InputSegment]) -> int:
    """The concatenated width of pieces."""
    return sum(piece.x.shape[-1] for piece in inputs)


def concat(inputs: Sequence[InputSegment]) -> Tensor:
    """Pieces side by side, along the last axis."""
    return inputs[0].x if len(inputs) == 1 else torch.cat([piece.x for piece in inputs], dim=-1)


@dataclass(frozen=True)
class Shapes:
    """What an operator may meet, over all candidates of a space.

    Attributes:
        dense: The dense inputs that it may have.
        sparse: The sparse inputs that it may have.
        left: The left operands that it may have.
        right: The right operands that it may have.
        widths: Columns, or of a sparse operator fields, that its output may have.
        dim: Columns of an embedding, E.
    """

    dense: Inputs
    sparse: Inputs
    left: Inputs
    right: Inputs
    widths: tuple[int, ...]
    dim: int

    @property
    def width(self) -> int:
        """The largest that the output may be."""
        return max(self.widths)


@dataclass(frozen=True)
class Read:
    """What one candidate's operator reads.

    Attributes:
        dense: The dense inputs, segments `[B, ·]`.
        sparse: The sparse inputs, segments `[B, E, ·]`.
        left: The left operand `[B, ·]`; None where the block has none.
        right: The right operand.
    """

    dense: Sequence[InputSegment]
    sparse: Sequence[InputSegment]
    left: InputSegment | None
    right: InputSegment | None
