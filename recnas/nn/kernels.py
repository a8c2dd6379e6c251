"""Loops that torch has no fast operator for, compiled by Numba for one CPU thread. They hold no lock while they run.

Arrays are C-contiguous, of float32 or float64, or of bfloat16 as the uint16 of its bits: `array` gives them. Kernels
compute with bfloat16 in float32. What a kernel writes to is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from recnas.nn.compiled import LOG_2, Array, exp2, jit, number, put

HEAD_WIDTH = 2
"""Of the attention that there is a kernel for."""


def take(tensor: Tensor) -> bool:
    """Whether the kernels take this tensor; torch's operators take every one."""
    return tensor.is_cpu and tensor.dtype in (torch.float32, torch.float64, torch.bfloat16)


def array(tensor: Tensor) -> Array:
    """A tensor's memory as the kernels take it."""
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def computed_in(tensor: Tensor) -> torch.dtype:
    """The type of number that kernels compute with, given this tensor."""
    return torch.float32 if tensor.dtype == torch.bfloat16 else tensor.dtype


@jit
def norm(x: Array, weight: Array, bias: Array, eps: float, relu: bool, y: Array, mean: Array, rstd: Array) -> None:
    """Layer norm of each row of `x [rows, n]`, then ReLU if wanted, into `y`; each row's mean and 1/σ as well."""
    rows, n = x.shape
    count, floor, zero = weight.dtype.type(1.0 / n), weight.dtype.type(eps), weight.dtype.type(0)
    # Arrays of the kernel's own: what it writes cannot be what it reads.
    weights, biases, values = weight.copy(), bias.copy(), np.empty(n, weight.dtype)
    for row in range(rows):
        total = zero
        for i in range(n):
            total += number(x[row, i])
        center = total * count
        square = zero
        for i in range(n):
            square += (number(x[row, i]) - center) * (number(x[row, i]) - center)
        scale = weight.dtype.type(1) / np.sqrt(square * count + floor)
        mean[row], rstd[row] = center, scale
        if relu:
            for i in range(n):
                value = (number(x[row, i]) - center) * scale * weights[i] + biases[i]
                values[i] = zero if value < zero else value
        else:
            for i in range(n):
                values[i] = (number(x[row, i]) - center) * scale * weights[i] + biases[i]
        for i in range(n):
            put(y, (row, i), values[i])


@jit
def norm_backward(
    gradient: Array,
    x: Array,
    y: Array,
    weight: Array,
    mean: Array,
    rstd: Array,
    relu: bool,
    at_x: Array,
    at_weight: Array,
    at_bias: Array,
) -> None:
    """The gradient at `x`, and for each of as many equal groups of rows at weight and bias `[batches, n]`."""
    rows, n = x.shape
    batches = at_weight.shape[0]
    each = rows // batches
    count, zero = weight.dtype.type(1.0 / n), weight.dtype.type(0)
    # Arrays of the kernel's own: what it writes cannot be what it reads.
    passed, normed = np.empty(n, weight.dtype), np.empty(n, weight.dtype)
    weights, weight_sum, bias_sum = weight.copy(), np.empty(n, weight.dtype), np.empty(n, weight.dtype)
    for batch in range(batches):
        weight_sum[:] = zero
        bias_sum[:] = zero
        for row in range(batch * each, (batch + 1) * each):
            center, scale = mean[row], rstd[row]
            first, second = zero, zero
            for i in range(n):
                at_result = number(gradient[row, i]) if number(y[row, i]) > zero or not relu else zero
                normed[i] = (number(x[row, i]) - center) * scale
                weight_sum[i] += at_result * normed[i]
                bias_sum[i] += at_result
                passed[i] = at_result * weights[i]
                first += passed[i]
                second += passed[i] * normed[i]
            first *= count
            second *= count
            for i in range(n):
                put(at_x, (row, i), scale * (passed[i] - first - normed[i] * second))
        at_weight[batch] = weight_sum
        at_bias[batch] = bias_sum


@jit
def interactions(fields: Array, result: Array) -> None:
    """(Σ_f s_f)² - Σ_f s_f² of each row of `fields [rows, f]` into `result [rows]`."""
    rows, n = fields.shape
    for row in range(rows):
        total, squares = number(fields.dtype.type(0)), number(fields.dtype.type(0))
        for i in range(n):
            total += number(fields[row, i])
            squares += number(fields[row, i]) * number(fields[row, i])
        put(result, row, total * total - squares)


@jit
def interactions_backward(gradient: Array, fields: Array, at_fields: Array) -> None:
    """The gradient at `fields [rows, f]` from that at the result `[rows]`."""
    rows, n = fields.shape
    for row in range(rows):
        total = number(fields.dtype.type(0))
        for i in range(n):
            total += number(fields[row, i])
        twice = number(gradient[row]) + number(gradient[row])
        for i in range(n):
            put(at_fields, (row, i), twice * (total - number(fields[row, i])))


@jit
def lower_triangle(square: Array, products: Array) -> None:
    """Copies what is below the diagonals of `square [B, n, n]` by row into `products [B, n · (n - 1) / 2 or more]`."""
    for row in range(len(square)):
        place = 0
        for i in range(1, square.shape[1]):
            for j in range(i):
                products[row, place + j] = square[row, i, j]
            place += i


@jit
def symmetric(products: Array, square: Array) -> None:
    """Symmetric `square [B, n, n]` with zero diagonals from what is below them, `products [B, n · (n - 1) / 2]`."""
    for row in range(len(square)):
        place = 0
        for i in range(square.shape[1]):
            square[row, i, i] = 0
            for j in range(i):
                square[row, i, j] = products[row, place + j]
                square[row, j, i] = products[row, place + j]
            place += i


@cache
def statistics(batches: int) -> Callable[[Array, Array, int, Array, Array], None]:
    """The kernel that takes so many batches' gradients of some rows of a matrix.

    It uses the first `n` columns of gradients `[batches, rows, n or more]` and of the weights `[rows, n or more]`, adds
    each batch's θᵀg to `projections [batches]`, and to `sums [6]`, over all elements:

    (Σ|g|) / √(Σ(g - ḡ)²) over the batches, 0 where the gradient does not vary; Σ|g|; √(Σ(g - ḡ)²); ḡ²; |θḡ|; θ².

    Both are in double precision. Gradients may be in bfloat16, as the integers `[…] uint16` of their bits.
    """

    @jit
    def kernel(gradients: Array, weights: Array, n: int, projections: Array, sums: Array) -> None:
        rows = gradients.shape[1]
        zero, share = weights.dtype.type(0), weights.dtype.type(1.0 / batches)
        for row in range(rows):
            for batch in range(batches):
                dot = zero
                for i in range(n):
                    dot += number(gradients[batch, row, i]) * weights[row, i]
                projections[batch] += dot
            ratios, magnitudes, deviations, means, products, norms = zero, zero, zero, zero, zero, zero
            for i in range(n):
                mean, magnitude, squares = zero, zero, zero
                for batch in range(batches):
                    mean += number(gradients[batch, row, i])
                    magnitude += abs(number(gradients[batch, row, i]))
                mean *= share
                for batch in range(batches):
                    squares += (number(gradients[batch, row, i]) - mean) * (number(gradients[batch, row, i]) - mean)
                deviation = np.sqrt(squares)
                ratios += zero if squares == zero else magnitude / deviation
                magnitudes += magnitude
                deviations += deviation
                means += mean * mean
                products += abs(weights[row, i] * mean)
                norms += weights[row, i] * weights[row, i]
            sums[0] += ratios
            sums[1] += magnitudes
            sums[2] += deviations
            sums[3] += means
            sums[4] += products
            sums[5] += norms

    return kernel


@cache
def attention(heads: int, tokens: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """Kernels of self-attention with heads of width 2, forward and backward.

    For `tokens` fields and E = 2 · heads columns: `packed [B, tokens, 3E]` holds queries, keys and values side by side.
    The first writes `result [B, tokens, E]` and, for the second, `tops` and `shares [B, heads, tokens]`: each query's
    largest score, in bits, and one over its sum of exponentials. The second writes the gradient at `packed`.

    Args:
        heads: Number of heads.
        tokens: Number of tokens.
    """
    dim = 2 * heads
    bits = 1 / (math.sqrt(2) * LOG_2)

    @jit
    def forward(packed: Array, result: Array, tops: Array, shares: Array) -> None:
        rows = packed.shape[0]
        kind = tops.dtype.type
        columns = np.empty((3 * dim, tokens), tops.dtype)
        total, left, right = (
            np.empty(tokens, tops.dtype),
            np.empty(tokens, tops.dtype),
            np.empty(tokens, tops.dtype),
        )
        top = np.empty(tokens, tops.dtype)
        a, b = np.empty(tokens, tops.dtype), np.empty(tokens, tops.dtype)
        for row in range(rows):
            for token in range(tokens):
                for column in range(3 * dim):
                    columns[column, token] = number(packed[row, token, column])
            for head in range(heads):
                first, second = 2 * head, 2 * head + 1
                for query in range(tokens):
                    a[query] = columns[first, query] * kind(bits)
                    b[query] = columns[second, query] * kind(bits)
                    total[query], left[query], right[query] = kind(0), kind(0), kind(0)
                    top[query] = kind(-np.inf)
                for key in range(tokens):
                    x, y = columns[dim + first, key], columns[dim + second, key]
                    for query in range(tokens):
                        score = a[query] * x + b[query] * y
                        top[query] = score if score > top[query] else top[query]
                for key in range(tokens):
                    x, y = columns[dim + first, key], columns[dim + second, key]
                    p, q = columns[2 * dim + first, key], columns[2 * dim + second, key]
                    for query in range(tokens):
                        weight = exp2(a[query] * x + b[query] * y - top[query])
                        total[query] += weight
                        left[query] += weight * p
                        right[query] += weight * q
                for query in range(tokens):
                    share = kind(1) / total[query]
                    shares[row, head, query] = share
                    tops[row, head, query] = top[query]
                    put(result, (row, query, first), left[query] * share)
                    put(result, (row, query, second), right[query] * share)

    @jit
    def backward(gradient: Array, packed: Array, result: Array, tops: Array, shares: Array, at_packed: Array) -> None:
        rows = packed.shape[0]
        kind = tops.dtype.type
        columns = np.empty((3 * dim, tokens), tops.dtype)
        sums = np.empty((3 * dim, tokens), tops.dtype)
        for row in range(rows):
            for token in range(tokens):
                for column in range(3 * dim):
                    columns[column, token] = number(packed[row, token, column])
            sums[:] = kind(0)
            for head in range(heads):
                first, second = 2 * head, 2 * head + 1
                for query in range(tokens):
                    a, b = columns[first, query] * kind(bits), columns[second, query] * kind(bits)
                    left, right = number(gradient[row, query, first]), number(gradient[row, query, second])
                    shared = left * number(result[row, query, first]) + right * number(result[row, query, second])
                    top, share = tops[row, head, query], shares[row, head, query]
                    at_left, at_right = kind(0), kind(0)
                    for key in range(tokens):
                        x, y = columns[dim + first, key], columns[dim + second, key]
                        p, q = columns[2 * dim + first, key], columns[2 * dim + second, key]
                        weight = exp2(a * x + b * y - top) * share
                        sums[2 * dim + first, key] += weight * left
                        sums[2 * dim + second, key] += weight * right
                        at_score = weight * (left * p + right * q - shared)
                        at_left += at_score * x
                        at_right += at_score * y
                        sums[dim + first, key] += at_score * columns[first, query]
                        sums[dim + second, key] += at_score * columns[second, query]
                    sums[first, query] = at_left
                    sums[second, query] = at_right
            for token in range(tokens):
                for column in range(2 * dim):
                    put(at_packed, (row, token, column), sums[column, token] * kind(math.sqrt(0.5)))
                for column in range(2 * dim, 3 * dim):
                    put(at_packed, (row, token, column), sums[column, token])

    return forward, backward
