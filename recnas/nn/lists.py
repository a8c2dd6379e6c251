"""Lists of ids one behind the other, in operators that ONNX has too."""

from __future__ import annotations

import torch
from torch import Tensor


def rows_of(offsets: Tensor, rows: int, ids: int) -> Tensor:
    """The row that each id belongs to, `[T]` int64.

    Args:
        offsets: `[B + 1]`: row b's ids are those from `offsets[b]` up to `offsets[b + 1]`.
        rows: B.
        ids: T.
    """
    starts = offsets[:rows]
    begun = torch.zeros(ids + 1, dtype=torch.int64).index_add(0, starts, torch.ones_like(starts))
    return begun.cumsum(0)[:-1] - 1
