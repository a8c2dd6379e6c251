"""Dropout (Srivastava et al. 2014) whose draws cost next to nothing on a CPU, where torch's cost more than a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recnas.nn.compiled import Array, jit

_BITS = 32


def dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """Sets each element to zero by chance, and divides the others by the chance that they had to stay.

    What falls out hangs on the state of torch's generator alone, not on the number of threads. On a CPU in single
    precision it is not what `torch.nn.functional.dropout` would draw: two seeds are, and an element's fate is a hash
    of these and of its place, which the backward pass computes again.

    Args:
        x: Of any shape.
        share: The chance of an element to be set to zero, from 0 to below 1.
        training: Otherwise nothing is.
    """
    if not training or not share:
        return x
    # Tensors without numbers, by which torch follows shapes, are of other types.
    if type(x) is Tensor and x.device.type == "cpu" and x.dtype == torch.float32:
        return _Dropout.apply(x, share, *torch.randint(1 << _BITS, (2,)).tolist())
    return F.dropout(x, share)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float, first: int, second: int) -> Tensor:
        ctx.drawn = share, first, second
        result = torch.empty_like(x, memory_format=torch.contiguous_format)
        _drop(
            x.contiguous().view(-1).numpy(),
            np.uint32(first),
            np.uint32(second),
            np.uint32(min(round(share * (1 << _BITS)), (1 << _BITS) - 1)),
            np.float32(1 / (1 - share)),
            result.view(-1).numpy(),
        )
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Dropout.apply(gradient, *ctx.drawn), None, None, None


@jit
def _drop(x: Array, first: int, second: int, bar: int, scale: float, result: Array) -> None:
    """Zero where the hash of a place is below `bar`, elsewhere x times `scale`; in steps that vectorise."""
    for place in range(len(x)):
        # Two rounds of a multiplicative hash, a seed in each. Numba would widen the products.
        drawn = np.uint32(np.uint32(place) * np.uint32(0x9E3779B9) + first)
        drawn = np.uint32((drawn ^ (drawn >> np.uint32(16))) * np.uint32(0x7FEB352D))
        drawn = np.uint32((drawn ^ (drawn >> np.uint32(15)) ^ second) * np.uint32(0x846CA68B))
        drawn = np.uint32(drawn ^ (drawn >> np.uint32(16)))
        # A number that is none stays none.
        result[place] = x[place] * (scale if drawn >= bar else np.float32(0))
