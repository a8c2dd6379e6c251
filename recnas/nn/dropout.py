"""Dropout (Srivastava et al. 2014) whose draws cost next to nothing on a CPU, where torch's cost more than a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recnas.nn.compiled import Array, jit, readable

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
    return _Dropout.apply(x, share, *_seeds()) if readable(x) else F.dropout(x, share)


def relu_dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """`dropout` of the positive part of `x`, in one pass over it, and one over the gradient; arguments as there."""
    if training and share and readable(x):
        return _ReLUDropout.apply(x, share, *_seeds())
    return dropout(F.relu(x), share, training)


def _seeds() -> list[int]:
    return torch.randint(1 << _BITS, (2,)).tolist()


def _dropped(x: Tensor, share: float, first: int, second: int, rectified: bool) -> Tensor:
    result = torch.empty_like(x, memory_format=torch.contiguous_format)
    _drop(
        x.contiguous().view(-1).numpy(),
        np.uint32(first),
        np.uint32(second),
        np.uint32(min(round(share * (1 << _BITS)), (1 << _BITS) - 1)),
        _scale(share),
        rectified,
        result.view(-1).numpy(),
    )
    return result


def _scale(share: float) -> np.float32:
    return np.float32(1 / (1 - share))


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float, first: int, second: int) -> Tensor:
        ctx.drawn = share, first, second
        return _dropped(x, share, first, second, rectified=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Dropout.apply(gradient, *ctx.drawn), None, None, None


class _ReLUDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float, first: int, second: int) -> Tensor:
        ctx.share = share
        result = _dropped(x, share, first, second, rectified=True)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Passed.apply(gradient, ctx.saved_tensors[0].detach(), ctx.share), None, None, None


class _Passed(torch.autograd.Function):
    """The gradient of what was kept and is positive, by the result."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, kept: Tensor, share: float) -> Tensor:
        ctx.kept, ctx.share = kept, share
        result = torch.empty_like(kept)
        flat = (tensor.contiguous().view(-1).numpy() for tensor in (gradient, kept))
        _pass(*flat, _scale(share), result.view(-1).numpy())
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Passed.apply(gradient, ctx.kept, ctx.share), None, None


@jit
def _pass(gradient: Array, kept: Array, scale: float, result: Array) -> None:
    for place in range(len(kept)):
        result[place] = np.float32(0) if kept[place] <= np.float32(0) else gradient[place] * scale


@jit
def _drop(x: Array, first: int, second: int, bar: int, scale: float, rectified: bool, result: Array) -> None:
    """Zero where the hash of a place is below `bar`, elsewhere x, or its positive part, times `scale`; in steps that
    vectorise."""
    least = np.float32(0) if rectified else -np.float32(np.inf)
    for place in range(len(x)):
        # Two rounds of a multiplicative hash, a seed in each. Numba would widen the products.
        drawn = np.uint32(np.uint32(place) * np.uint32(0x9E3779B9) + first)
        drawn = np.uint32((drawn ^ (drawn >> np.uint32(16))) * np.uint32(0x7FEB352D))
        drawn = np.uint32((drawn ^ (drawn >> np.uint32(15)) ^ second) * np.uint32(0x846CA68B))
        drawn = np.uint32(drawn ^ (drawn >> np.uint32(16)))
        # A number that is none stays none.
        value = least if x[place] < least else x[place]
        result[place] = value * (scale if drawn >= bar else np.float32(0))
