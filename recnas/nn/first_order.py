"""Fields with first-order weights: put together, and read by a factorisation machine, in one pass over them each.

On a CPU in training the passes are compiled loops; torch's copies of rows of a few numbers take ten times as long. All
else, and what is to be exported, is computed by torch. Sizes: B rows, m fields, E columns of an embedding, d₀ columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recnas.nn.compiled import Array, jit, readable
from recnas.nn.linear import aligned


def with_weights(values: Tensor, num_fields: int, copies: int) -> Tensor:
    """Embeddings, and after them each field's weight in equal copies, `[B, m · E + m · copies]` → `[B, m, E + 1]`.

    The last column is the mean of a field's copies.
    """
    if _in_loops(values):
        return _WithWeights.apply(values, num_fields, copies)
    embedded, weights = values.tensor_split([values.shape[1] - num_fields * copies], dim=1)
    mean = weights.unflatten(1, (num_fields, copies)).mean(-1, keepdim=True)
    return torch.cat([embedded.unflatten(1, (num_fields, -1)), mean], dim=-1) if embedded.shape[1] else mean


def factorization_machine(fields: Tensor, dense: Tensor | None) -> tuple[Tensor, Tensor]:
    """What a deep part reads beside a factorisation machine, and the machine.

    Args:
        fields: With first-order weights, `[B, m, E + 1]`.
        dense: Columns `[B, d₀]`; None where there are none.

    Returns:
        Fields and columns side by side `[B, m · E + d₀]`, where a loop made them with the zeros that `Linear` would
        add; and the sum of first-order weights and of the inner products of all pairs of two fields `[B]`.
    """
    if _in_loops(fields) and (dense is None or (readable(dense) and not dense.requires_grad)):
        return _Machine.apply(fields, fields.new_zeros(len(fields), 0) if dense is None else dense)
    vectors, weights = fields[..., :-1], fields[..., -1]
    flat = vectors.flatten(1) if dense is None else torch.cat([vectors.flatten(1), dense], dim=1)
    return flat, weights.sum(1) + pair_products(vectors)


def pair_products(fields: Tensor) -> Tensor:
    """Σ of the inner products of all pairs of two fields: `[B, m, E]` → `[B]` (Rendle 2010, lemma 3.1)."""
    return 0.5 * (fields.sum(1).square() - fields.square().sum(1)).sum(1)


def _in_loops(x: Tensor) -> bool:
    return torch.is_grad_enabled() and x.requires_grad and readable(x)


def _array(x: Tensor) -> Array:
    return x.detach().contiguous().numpy()


class _WithWeights(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, num_fields: int, copies: int) -> Tensor:
        ctx.copies = copies
        result = torch.empty(len(values), num_fields, (values.shape[1] // num_fields) - copies + 1)
        _join(_array(values), copies, result.numpy())
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        rows, fields, columns = gradient.shape
        result = torch.empty(rows, fields * (columns - 1 + ctx.copies))
        _part(_array(gradient), ctx.copies, result.numpy())
        return result, None, None


@jit
def _join(values: Array, copies: int, result: Array) -> None:
    rows, fields, columns = result.shape
    dim, share = columns - 1, np.float32(1 / copies)
    for row in range(rows):
        for field in range(fields):
            for i in range(dim):
                result[row, field, i] = values[row, field * dim + i]
            total, first = np.float32(0), fields * dim + field * copies
            for i in range(first, first + copies):
                total += values[row, i]
            result[row, field, dim] = total * share


@jit
def _part(gradient: Array, copies: int, result: Array) -> None:
    rows, fields, columns = gradient.shape
    dim, share = columns - 1, np.float32(1 / copies)
    for row in range(rows):
        for field in range(fields):
            for i in range(dim):
                result[row, field * dim + i] = gradient[row, field, i]
            first = fields * dim + field * copies
            for i in range(first, first + copies):
                result[row, i] = gradient[row, field, dim] * share


class _Machine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, fields: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        rows, ctx.fields, columns = fields.shape
        width = aligned(ctx.fields * (columns - 1) + dense.shape[1])
        flat, logit, sums = torch.empty(rows, width), torch.empty(rows), torch.empty(rows, columns - 1)
        _read(_array(fields), _array(dense), flat.numpy(), sums.numpy(), logit.numpy())
        ctx.save_for_backward(flat, sums)
        return flat, logit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_flat: Tensor, of_logit: Tensor) -> tuple[Tensor, None]:
        flat, sums = ctx.saved_tensors
        rows, dim = sums.shape
        result = torch.empty(rows, ctx.fields, dim + 1)
        _read_back(_array(flat), _array(sums), _array(of_flat), _array(of_logit), result.numpy())
        return result, None


@jit
def _read(fields: Array, dense: Array, flat: Array, sums: Array, logit: Array) -> None:
    """Fields and columns side by side into `flat`, the sum of a row's fields into `sums`."""
    rows, number, columns = fields.shape
    dim, numbers, half = columns - 1, dense.shape[1], np.float32(0.5)
    for row in range(rows):
        first_order, squares, of_sums = np.float32(0), np.float32(0), np.float32(0)
        for i in range(dim):
            sums[row, i] = np.float32(0)
        for field in range(number):
            for i in range(dim):
                value = fields[row, field, i]
                flat[row, field * dim + i] = value
                sums[row, i] += value
                squares += value * value
            first_order += fields[row, field, dim]
        for i in range(dim):
            of_sums += sums[row, i] * sums[row, i]
        logit[row] = first_order + half * (of_sums - squares)
        for i in range(numbers):
            flat[row, number * dim + i] = dense[row, i]
        for i in range(number * dim + numbers, flat.shape[1]):
            flat[row, i] = np.float32(0)


@jit
def _read_back(flat: Array, sums: Array, of_flat: Array, of_logit: Array, result: Array) -> None:
    """The gradient at the fields: of a pair's inner product, each of the two has the other."""
    rows, number, columns = result.shape
    dim = columns - 1
    for row in range(rows):
        of_row = of_logit[row]
        for field in range(number):
            for i in range(dim):
                place = field * dim + i
                result[row, field, i] = of_flat[row, place] + of_row * (sums[row, i] - flat[row, place])
            result[row, field, dim] = of_row
