"""Self-attention with heads of width 2, on a CPU.

torch's fused attention is made for wide heads: at width 2 nearly all of its time goes into products with two columns.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

from recnas.nn import kernels
from recnas.util.cores import available_cores


def takes(packed: Tensor, heads: int) -> bool:
    """Whether `attention` can be used.

    Where a network is exported, tensors are of other types, and torch's own operator is what is exported.
    """
    return type(packed) is Tensor and kernels.take(packed) and packed.shape[-1] == 3 * kernels.HEAD_WIDTH * heads


def attention(packed: Tensor, heads: int) -> Tensor:
    """Queries, keys and values side by side `[B, tokens, 3E]` → `[B, tokens, E]`; differentiable once.

    Uses as many threads as torch does; a row's result is the same to the last bit with any number.
    """
    return _Attention.apply(packed, heads)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, packed: Tensor, heads: int) -> Tensor:
        packed = packed.contiguous()
        rows, tokens, columns = packed.shape
        result = packed.new_empty((rows, tokens, columns // 3))
        tops, shares = packed.new_empty((2, rows, heads, tokens), dtype=kernels.computed_in(packed))
        forward, ctx.kernel = kernels.attention(heads, tokens)
        _over_rows(forward, packed, result, tops, shares)
        ctx.save_for_backward(packed, result, tops, shares)
        return result

    @staticmethod
    def backward(ctx, delta: Tensor):
        packed = ctx.saved_tensors[0]
        at_packed = torch.empty_like(packed)
        _over_rows(ctx.kernel, delta.contiguous(), *ctx.saved_tensors, at_packed)
        return at_packed, None


def _over_rows(kernel: Callable[..., None], *tensors: Tensor) -> None:
    """Runs a kernel that treats every row alone."""
    # Of no rows there is one part.
    threads = max(1, min(torch.get_num_threads(), len(tensors[0])))
    parts = [tensor.detach().tensor_split(threads) for tensor in tensors]
    calls = [[kernels.array(part) for part in parts] for parts in zip(*parts, strict=True)]
    if threads == 1:
        kernel(*calls[0])
    else:
        list(_pool().map(lambda arrays: kernel(*arrays), calls))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(available_cores(), "recnas-attention")
