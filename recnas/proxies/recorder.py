"""A candidate's gradient, batch by batch, from one backward pass over several batches.

No layer of the spaces mixes rows, so batches may share a pass: a batch's gradient is a sum over its own rows. That of
a matrix is δᵀx, with x the layer's input and δ the gradient at its output; it is taken apart by batch, and for a wide
matrix never stored: its two factors are smaller, and statistics are taken a few rows of it at a time, in cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recnas.nn.elastic import NORM_EPS, Slices, linear

CACHED_ELEMENTS = 262_144
"""Elements whose gradients are held at a time, of all batches together: few enough to stay in a core's cache."""


class LayerGradient:
    """The gradients of one layer's parameters, one for each batch.

    Attributes:
        vectors: Gradients of its vectors, `[batches of a pass, width]` each, a list for each pass.
        matrices: Gradients of its matrices likewise: `[batches of a pass, out, in]`, or factors of it
            `[batches of a pass, rows, out]` and `[batches of a pass, rows, in]`.
    """

    def __init__(self) -> None:
        self.vectors: list[list[Tensor]] = []
        self.matrices: list[list[tuple[Tensor, Tensor] | Tensor]] = []

    def tiles(self) -> Iterator[Tensor]:
        """All elements, some at a time: `[batches, elements]`, to be used or overwritten before the next is drawn."""
        for of_passes in zip(*self.vectors, strict=True):
            yield torch.cat(of_passes)
        for of_passes in zip(*self.matrices, strict=True):
            if isinstance(of_passes[0], Tensor):
                width = CACHED_ELEMENTS // sum(len(gradient) for gradient in of_passes)
                for part in zip(*(gradient.flatten(1).split(width, dim=1) for gradient in of_passes), strict=True):
                    yield torch.cat(part)
            else:
                yield from _product_tiles(of_passes)


def _product_tiles(of_passes: Sequence[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
    batches = sum(len(x) for x, _ in of_passes)
    _, first = of_passes[0]
    out, width = of_passes[0][0].shape[2], first.shape[2]
    height = max(1, CACHED_ELEMENTS // (batches * width))
    buffer = first.new_empty(batches * min(height, out) * width)
    for start in range(0, out, height):
        rows = min(height, out - start)
        tile = buffer[: batches * rows * width].view(batches, rows, width)
        done = 0
        for delta, x in of_passes:
            torch.bmm(delta[:, :, start : start + rows].transpose(1, 2), x, out=tile[done : done + len(x)])
            done += len(x)
        yield tile.view(batches, -1)


class Recorder(Slices):
    """Hands out slices that need no gradient, and keeps what the gradients of several batches are made of.

    Usage: for every pass, `begin`, a forward and a backward pass; inputs must require grad.

    Attributes:
        projections: Of every pass, θᵀg of its batches `[batches]` in double precision, without the tables' share.
    """

    def __init__(self) -> None:
        super().__init__()
        self._layers: dict[int, LayerGradient] = {}
        self.projections: list[Tensor] = []
        self._batches = 0

    @property
    def layers(self) -> list[LayerGradient]:
        """The gradients of every layer that the candidate uses."""
        return list(self._layers.values())

    def begin(self, batches: int, device: torch.device) -> None:
        """Starts a pass over so many batches of equal size, one after the other."""
        self._batches = batches
        self.projections.append(torch.zeros(batches, dtype=torch.float64, device=device))

    def take(self, layer: nn.Module, parameter: nn.Parameter, sizes: tuple[int, ...]) -> Tensor:
        # The leaf, for its check of the sizes; no gradient is wanted at it.
        return super().take(layer, parameter, sizes).detach()

    def linear(
        self, layer: nn.Module, inputs: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor | None
    ) -> Tensor:
        return _Linear.apply(self, layer, weights, bias, *inputs)

    def norm(self, layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return _Norm.apply(self, layer, x, weight, bias)

    def by_batch(self, tensor: Tensor) -> Tensor:
        """`[rows of all batches, …]` as `[batches, rows, …]`."""
        return tensor.detach().unflatten(0, (self._batches, -1))

    def record(
        self, layer: nn.Module, output: Tensor, delta: Tensor, vectors: list[Tensor], matrices: list[Any]
    ) -> None:
        """Keeps a layer's gradients of a pass.

        A layer's output is linear in its parameters, so their share of θᵀg is the product of its output with δ.
        """
        of_layer = self._layers.setdefault(id(layer), LayerGradient())
        of_layer.vectors.append(vectors)
        of_layer.matrices.append(matrices)
        output, delta = (tensor.reshape(self._batches, -1) for tensor in (output, delta))
        self.projections[-1] += torch.linalg.vecdot(output, delta)


class _Linear(torch.autograd.Function):
    """`linear`, recorded."""

    @staticmethod
    def forward(ctx, recorder: Recorder, layer: nn.Module, weights, bias, *inputs: Tensor) -> Tensor:
        result = linear(inputs, weights, bias)
        ctx.recorder, ctx.layer, ctx.weights, ctx.bias = recorder, layer, weights, bias
        ctx.save_for_backward(result, *inputs)
        return result

    @staticmethod
    def backward(ctx, delta: Tensor):
        result, *inputs = ctx.saved_tensors
        by_batch = ctx.recorder.by_batch
        deltas = by_batch(delta)
        vectors, matrices = [], []
        if ctx.bias is not None:
            gradient, mask = deltas.sum(1), getattr(ctx.layer, "bias_mask", None)
            vectors.append(gradient if mask is None else gradient * mask[: gradient.shape[1]])
        for x in inputs:
            rows, out, width = deltas.shape[1], delta.shape[1], x.shape[1]
            if rows * (out + width) < out * width:
                matrices.append((deltas, by_batch(x)))
            else:
                matrices.append(torch.bmm(deltas.transpose(1, 2), by_batch(x)))
        ctx.recorder.record(ctx.layer, result, delta, vectors, matrices)
        return None, None, None, None, *(torch.mm(delta, weight) for weight in ctx.weights)


class _Norm(torch.autograd.Function):
    """`norm`, recorded."""

    @staticmethod
    def forward(ctx, recorder: Recorder, layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        result, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], weight, bias, NORM_EPS)
        ctx.recorder, ctx.layer = recorder, layer
        ctx.save_for_backward(result, x, mean, rstd, weight, bias)
        return result

    @staticmethod
    def backward(ctx, delta: Tensor):
        result, x, mean, rstd, weight, bias = ctx.saved_tensors
        gradients = [
            torch.ops.aten.native_layer_norm_backward(
                *of_batch[:2], x.shape[-1:], *of_batch[2:], weight, bias, [True, True, True]
            )
            for of_batch in zip(*(ctx.recorder.by_batch(item) for item in (delta, x, mean, rstd)), strict=True)
        ]
        at_input, *vectors = zip(*gradients, strict=True)
        ctx.recorder.record(ctx.layer, result, delta, [torch.stack(items) for items in vectors], [])
        return None, None, at_input[0] if len(at_input) == 1 else torch.cat(at_input), None, None
