"""A candidate's gradient, batch by batch, from one backward pass over several batches.

No layer of the spaces mixes rows, so batches may share a pass: a batch's gradient is a sum over its own rows. That of
a matrix is δᵀx, with x the layer's input and δ the gradient at its output; it is taken apart by batch, and for a wide
matrix never stored: its two factors are smaller, and statistics are taken a few rows of it at a time, in cache.

On a CPU, what torch does in many passes over memory (norms, attention with heads of width 2) is done in one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from recnas.nn import kernels
from recnas.nn.elastic import NORM_EPS, WeightSlices, linear

CACHED_ELEMENTS = 1_048_576
"""Elements whose gradients are held at a time, of all batches together: few enough to stay in a cache."""

ALIGNED = 16
"""Elements from one row of a wide result to the next are a multiple of it: written to rows of 1,035 elements, a product
takes a third longer than to rows of 1,040."""

VECTOR = 8
"""Elements of a vector register."""
NARROW = 64
"""What is narrower is slow to multiply where its width is no multiple of `ALIGNED`."""
WIDE = 256
"""Narrower results have no gaps between their rows."""

Factors = tuple[Tensor, Tensor]


class WeightGradient:
    """The gradients of one weight, one for each batch.

    Attributes:
        weight: The slice of it that the candidate uses, `[out, in]`; a vector is `[1, width]`.
        passes: A list for each pass: gradients `[batches of a pass, out, in]`, or their factors
            `[batches of a pass, rows, out]` and `[batches of a pass, rows, in]`.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.passes: list[Tensor | Factors] = []

    def tiles(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Gradients of some rows of the weight `[batches, rows, in]`, to be used before the next are drawn, and those
        rows of the weight."""
        if not isinstance(self.passes[0], Tensor):
            yield from self._products(self.passes)
        elif len(self.passes) == 1:
            yield self.passes[0], self.weight
        else:
            yield torch.cat(self.passes), self.weight

    def _products(self, passes: Sequence[Factors]) -> Iterator[tuple[Tensor, Tensor]]:
        batches = sum(len(x) for x, _ in passes)
        out, width = self.weight.shape
        # Tiles of one height, up to a multiple of what a product computes at once.
        tiles = math.ceil(out * batches * width / CACHED_ELEMENTS)
        height = math.ceil(out / tiles / ALIGNED) * ALIGNED
        buffer = aligned((batches * min(out, height), width), self.weight)
        for start in range(0, out, height):
            rows = min(height, out - start)
            tile = buffer[: batches * rows].unflatten(0, (batches, rows))
            done = 0
            for delta, x in passes:
                torch.bmm(delta[:, :, start : start + rows].transpose(1, 2), x, out=tile[done : done + len(x)])
                done += len(x)
            yield tile, self.weight[start : start + rows]


class Recorder(WeightSlices):
    """Hands out slices that need no gradient, and keeps what the gradients of several batches are made of.

    Usage: for every pass, `begin`, a forward and a backward pass; inputs must require grad.

    Attributes:
        batches: Of the present pass.
        layers: For every layer that the candidate uses, the gradients of its weights.
    """

    dtype: torch.dtype | None = None
    """What inputs are rounded to; None: they are left as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: dict[nn.Module, list[WeightGradient]] = {}
        self.batches = 0
        self._slices: dict[nn.Parameter, Tensor] = {}

    def begin(self, batches: int) -> None:
        """Starts a pass over so many batches of equal size, one after the other."""
        self.batches = batches

    def take(self, layer: nn.Module, parameter: nn.Parameter, sizes: tuple[int, ...]) -> Tensor:
        # No gradient is wanted at the slices; later passes find them here.
        if (known := self._slices.get(parameter)) is None or tuple(known.shape) != sizes:
            known = self._slices[parameter] = super().take(layer, parameter, sizes).detach()
        return known

    def linear(
        self, layer: nn.Module, inputs: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor | None
    ) -> Tensor:
        return _Linear.apply(self, layer, weights, bias, *inputs)

    def norm(self, layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
        if kernels.take(x):
            return _CPUNorm.apply(self, layer, x, weight, bias, relu)
        normed = _Norm.apply(self, layer, x, weight, bias)
        return torch.relu(normed) if relu else normed

    def products(self, vectors: Tensor) -> Tensor:
        return _CPUProducts.apply(vectors) if kernels.take(vectors) else super().products(vectors)

    def interactions(self, fields: Tensor) -> Tensor:
        return _CPUInteractions.apply(fields) if kernels.take(fields) else super().interactions(fields)

    def by_batch(self, tensor: Tensor) -> Tensor:
        """`[rows of all batches, …]` as `[batches, rows, …]`."""
        return tensor.detach().unflatten(0, (self.batches, -1))

    def record(self, layer: nn.Module, weights: Sequence[Tensor], gradients: Sequence[Tensor | Factors]) -> None:
        """Keeps the gradients of a layer's weights of a pass."""
        if layer not in self.layers:
            self.layers[layer] = [WeightGradient(weight) for weight in weights]
        for kept, gradient in zip(self.layers[layer], gradients, strict=True):
            kept.passes.append(gradient)


class _Linear(torch.autograd.Function):
    """`linear`, recorded."""

    @staticmethod
    def forward(ctx, recorder: Recorder, layer: nn.Module, weights, bias, *inputs: Tensor) -> Tensor:
        ctx.recorder, ctx.layer, ctx.weights, ctx.bias = recorder, layer, weights, bias
        ctx.save_for_backward(*inputs)
        out = len(weights[0])
        if bias is None and out < NARROW and (missing := -out % VECTOR):
            # Some columns more take less time: a third of it at 11, three quarters at 45.
            padded = [functional.pad(weight, (0, 0, 0, missing)) for weight in weights]
            return linear(inputs, padded, None, in_place=True)[:, :out]
        return linear(inputs, weights, bias, in_place=True)

    @staticmethod
    def backward(ctx, delta: Tensor):
        by_batch = ctx.recorder.by_batch
        deltas = by_batch(delta)
        weights, gradients = list(ctx.weights), []
        for x in ctx.saved_tensors:
            rows, out, width = deltas.shape[1], delta.shape[1], x.shape[1]
            if rows * (out + width) < out * width:
                gradients.append((deltas, by_batch(x)))
            else:
                gradients.append(_weight_gradient(by_batch(x), deltas))
        if ctx.bias is not None:
            gradient, mask = deltas.sum(1, keepdim=True), getattr(ctx.layer, "bias_mask", None)
            weights.append(ctx.bias.unsqueeze(0))
            gradients.append(gradient if mask is None else gradient * mask[: gradient.shape[-1]])
        ctx.recorder.record(ctx.layer, weights, gradients)
        return None, None, None, None, *(_product(delta, weight) for weight in ctx.weights)


def aligned(shape: tuple[int, int], like: Tensor) -> Tensor:
    """An empty matrix whose rows begin `ALIGNED`; the elements between two rows are its own too."""
    rows, width = shape
    return like.new_empty(rows, math.ceil(width / ALIGNED) * ALIGNED)[:, :width]


def whole_rows(x: Tensor) -> Tensor:
    """Tensor `[…, n]` of an `aligned` matrix, or of the leading columns of any, with all that is in its rows: without
    gaps, as Numba's loops want it."""
    assert x.stride(-1) == 1 or x.shape[-1] == 1, "rows have gaps"
    # Of a single row any stride is right.
    stride = max(x.stride(-2), x.shape[-1])
    return x.as_strided((*x.shape[:-1], stride), (*x.stride()[:-2], stride, 1))


def _weight_gradient(x: Tensor, delta: Tensor) -> Tensor:
    """δᵀx of each batch, `[batches, out, in]`, from x `[batches, rows, in]` and δ `[batches, rows, out]`.

    As the transpose of xᵀδ where x is narrow and the columns of δ fill vector registers better than those of x.
    """
    inputs, out = x.shape[2], delta.shape[2]
    if inputs < NARROW and ((inputs % ALIGNED and not out % ALIGNED) or (inputs < NARROW / 2 and inputs < out)):
        return torch.bmm(x.transpose(1, 2), delta).transpose(1, 2).contiguous()
    return torch.bmm(delta.transpose(1, 2), x)


def _product(x: Tensor, y: Tensor) -> Tensor:
    # The copies that narrow results with gaps lead to are not worth it.
    if y.shape[1] <= WIDE:
        return torch.mm(x, y)
    return torch.mm(x, y, out=aligned((len(x), y.shape[1]), x))


class _Norm(torch.autograd.Function):
    """Layer norm, recorded, on any device."""

    @staticmethod
    def forward(ctx, recorder: Recorder, layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        result, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], weight, bias, NORM_EPS)
        ctx.recorder, ctx.layer = recorder, layer
        ctx.save_for_backward(x, mean, rstd, weight, bias)
        return result

    @staticmethod
    def backward(ctx, delta: Tensor):
        x, mean, rstd, weight, bias = ctx.saved_tensors
        gradients = [
            torch.ops.aten.native_layer_norm_backward(
                *of_batch[:2], x.shape[-1:], *of_batch[2:], weight, bias, [True, True, True]
            )
            for of_batch in zip(*(ctx.recorder.by_batch(item) for item in (delta, x, mean, rstd)), strict=True)
        ]
        at_input, *vectors = zip(*gradients, strict=True)
        ctx.recorder.record(
            ctx.layer,
            [weight.unsqueeze(0), bias.unsqueeze(0)],
            [torch.stack(items).unsqueeze(1) for items in vectors],
        )
        return None, None, at_input[0] if len(at_input) == 1 else torch.cat(at_input), None, None


class _CPUNorm(torch.autograd.Function):
    """Layer norm, and ReLU if wanted, recorded."""

    @staticmethod
    def forward(ctx, recorder: Recorder, layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor, relu: bool):
        x = x.contiguous()
        result, mean, rstd = torch.empty_like(x), *x.new_empty((2, x.shape[:-1].numel()), dtype=weight.dtype)
        arrays = (_rows(x), weight.numpy(), bias.numpy(), NORM_EPS, relu, _rows(result), mean.numpy(), rstd.numpy())
        kernels.norm(*arrays)
        ctx.recorder, ctx.layer, ctx.relu = recorder, layer, relu
        ctx.save_for_backward(x, result, mean, rstd, weight, bias)
        return result

    @staticmethod
    def backward(ctx, delta: Tensor):
        x, result, mean, rstd, weight, bias = ctx.saved_tensors
        at_x, at_weight, at_bias = (
            torch.empty_like(x),
            *x.new_empty((2, ctx.recorder.batches, 1, x.shape[-1]), dtype=weight.dtype),
        )
        kernels.norm_backward(
            _rows(delta.contiguous()),
            _rows(x),
            _rows(result),
            weight.numpy(),
            mean.numpy(),
            rstd.numpy(),
            ctx.relu,
            _rows(at_x),
            _rows(at_weight),
            _rows(at_bias),
        )
        ctx.recorder.record(ctx.layer, [weight.unsqueeze(0), bias.unsqueeze(0)], [at_weight, at_bias])
        return None, None, at_x, None, None, None


class _CPUProducts(torch.autograd.Function):
    """All products of two different vectors."""

    @staticmethod
    def forward(ctx, vectors: Tensor) -> Tensor:
        ctx.save_for_backward(vectors)
        gram, count = torch.bmm(vectors.transpose(1, 2), vectors), vectors.shape[-1]
        products = aligned((len(vectors), count * (count - 1) // 2), vectors)
        kernels.lower_triangle(kernels.array(gram), kernels.array(whole_rows(products)))
        return products

    @staticmethod
    def backward(ctx, delta: Tensor) -> Tensor:
        (vectors,) = ctx.saved_tensors
        square = vectors.new_empty((len(vectors), vectors.shape[-1], vectors.shape[-1]))
        kernels.symmetric(kernels.array(delta.contiguous()), kernels.array(square))
        return torch.bmm(vectors, square)


class _CPUInteractions(torch.autograd.Function):
    """(Σ_f s_f)² - Σ_f s_f² over the last axis."""

    @staticmethod
    def forward(ctx, fields: Tensor) -> Tensor:
        fields = fields.contiguous()
        result = fields.new_empty(fields.shape[:-1])
        kernels.interactions(_rows(fields), kernels.array(result.view(-1)))
        ctx.save_for_backward(fields)
        return result

    @staticmethod
    def backward(ctx, delta: Tensor) -> Tensor:
        (fields,) = ctx.saved_tensors
        at_fields = torch.empty_like(fields)
        kernels.interactions_backward(kernels.array(delta.contiguous().view(-1)), _rows(fields), _rows(at_fields))
        return at_fields


def _rows(tensor: Tensor) -> kernels.Array:
    """A contiguous `[…, n]` as an array `[rows, n]` of the same memory."""
    return kernels.array(tensor.view(-1, tensor.shape[-1]))
