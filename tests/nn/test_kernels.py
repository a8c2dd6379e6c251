"""The compiled loops against what torch computes from the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numba import njit
from torch import Tensor
from torch.nn import functional as F

from recnas.nn import kernels
from recnas.nn.attention import attention
from recnas.nn.compiled import put
from recnas.nn.elastic import PLAIN

PRECISIONS = [(torch.float32, 2e-5), (torch.float64, 1e-12)]
by_precision = pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)


BFLOAT16 = 2**-8
"""Two numbers next to one another in bfloat16 differ by this share of them at most."""


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * expected.abs().max().item())


@by_precision
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("width", [6, 16, 45, 512])
def test_norm(dtype: torch.dtype, tolerance: float, relu: bool, width: int) -> None:
    torch.manual_seed(width)
    x, at_result = torch.randn(2, 12, width, dtype=dtype)
    weight, bias = torch.randn(2, width, dtype=dtype)
    result, mean, rstd = torch.empty_like(x), torch.empty(12, dtype=dtype), torch.empty(12, dtype=dtype)
    arrays = [tensor.numpy() for tensor in (x, weight, bias, result, mean, rstd)]
    kernels.norm(*arrays[:3], 1e-5, relu, *arrays[3:])
    at_x = torch.empty_like(x)
    at_weight, at_bias = torch.empty(2, 3, width, dtype=dtype)
    kernels.norm_backward(
        at_result.numpy(), *(arrays[index] for index in (0, 3, 1, 4, 5)), relu, at_x.numpy(), at_weight.numpy(),
        at_bias.numpy(),
    )  # fmt: skip

    leaves = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
    normed = F.layer_norm(leaves[0], (width,), *leaves[1:], 1e-5)
    expected = normed.relu() if relu else normed
    close(result, expected.detach(), tolerance)
    close(at_x, torch.autograd.grad(expected, leaves[0], at_result, retain_graph=True)[0], tolerance)
    for group in range(3):
        rows = slice(4 * group, 4 * group + 4)
        for found, leaf in ((at_weight, leaves[1]), (at_bias, leaves[2])):
            (gradient,) = torch.autograd.grad(expected[rows], leaf, at_result[rows], retain_graph=True)
            close(found[group], gradient, 10 * tolerance)


@by_precision
def test_interactions(dtype: torch.dtype, tolerance: float) -> None:
    fields = torch.randn(7, 19, dtype=dtype, requires_grad=True)
    expected = PLAIN.interactions(fields)
    found, gradient = torch.empty(7, dtype=dtype), torch.randn(7, dtype=dtype)
    kernels.interactions(fields.detach().numpy(), found.numpy())
    close(found, expected.detach(), tolerance)
    at_fields = torch.empty_like(fields, requires_grad=False)
    kernels.interactions_backward(gradient.numpy(), fields.detach().numpy(), at_fields.numpy())
    close(at_fields, torch.autograd.grad(expected, fields, gradient)[0], tolerance)


@by_precision
def test_triangles(dtype: torch.dtype, tolerance: float) -> None:
    vectors = torch.randn(3, 4, 7, dtype=dtype)
    gram = torch.bmm(vectors.transpose(1, 2), vectors)
    wide, square = torch.empty(3, 32, dtype=dtype), torch.empty(3, 7, 7, dtype=dtype)
    kernels.lower_triangle(gram.numpy(), wide.numpy())
    products = wide[:, :21].contiguous()
    close(products, PLAIN.products(vectors), tolerance)
    kernels.symmetric(products.numpy(), square.numpy())
    assert torch.equal(square, square.transpose(1, 2))
    close(square, gram - torch.diag_embed(gram.diagonal(dim1=1, dim2=2)), tolerance)


@by_precision
@pytest.mark.parametrize(("heads", "tokens", "scale"), [(8, 16, 1.0), (8, 48, 1.0), (3, 5, 1.0), (8, 16, 30.0)])
def test_attention(dtype: torch.dtype, tolerance: float, heads: int, tokens: int, scale: float) -> None:
    """Large scores too: then almost all of a query's weight is on one key."""
    torch.manual_seed(0)
    packed = (scale * torch.randn(4, tokens, 6 * heads, dtype=dtype)).requires_grad_()
    expected = PLAIN.attention(packed, heads)
    forward, backward = kernels.attention(heads, tokens)
    result = torch.empty_like(expected, requires_grad=False)
    tops, shares = torch.empty(2, 4, heads, tokens, dtype=dtype)
    forward(packed.detach().numpy(), result.numpy(), tops.numpy(), shares.numpy())
    # A score in single precision is off by its size times the precision, and so is the logarithm of its weight.
    tolerance *= max(1.0, scale**2 / 10)
    close(result, expected.detach(), tolerance)
    gradient, at_packed = torch.randn_like(result), torch.empty_like(packed, requires_grad=False)
    arrays = (tensor.numpy() for tensor in (gradient, packed.detach(), result, tops, shares, at_packed))
    backward(*arrays)
    close(at_packed, torch.autograd.grad(expected, packed, gradient)[0], 10 * tolerance)


@by_precision
@pytest.mark.parametrize("batches", [2, 4, 5])
def test_statistics(dtype: torch.dtype, tolerance: float, batches: int) -> None:
    torch.manual_seed(batches)
    gradients, weights = torch.randn(batches, 3, 48, dtype=dtype), torch.randn(3, 50, dtype=dtype)
    gradients[:, 1, 5] = 0.25  # Does not vary: left out.
    gradients[:, 2, 6] *= 1e-18
    projections, sums = np.ones(batches), np.ones(6)
    kernels.statistics(batches)(gradients.numpy(), weights.numpy(), 37, projections, sums)
    doubles, used = gradients[:, :, :37].double(), weights[:, :37].double()
    mean, magnitude = doubles.mean(0), doubles.abs().sum(0)
    deviation = (doubles - mean).square().sum(0).sqrt()
    ratios = torch.where(deviation == 0, 0, magnitude / deviation)
    expected = [ratios, magnitude, deviation, mean.square(), (used * mean).abs(), used.square()]
    assert sums == pytest.approx(1 + np.array([item.sum().item() for item in expected]), rel=tolerance)
    expected = 1 + (doubles * used).sum((1, 2))
    assert projections == pytest.approx(expected.numpy(), rel=100 * tolerance)


def test_what_is_no_number_stays_so() -> None:
    gradients = torch.randn(4, 2, 33)
    gradients[2, 1, 32] = math.nan
    sums = np.zeros(6)
    kernels.statistics(4)(gradients.numpy(), torch.ones(2, 33).numpy(), 33, np.zeros(4), sums)
    assert np.isnan(sums[:5]).all()
    packed = torch.randn(1, 16, 48)
    packed[0, 3, 20] = math.nan
    forward, _ = kernels.attention(8, 16)
    result, tops, shares = torch.empty(1, 16, 16), *torch.empty(2, 1, 8, 16)
    forward(packed.numpy(), result.numpy(), tops.numpy(), shares.numpy())
    assert result.isnan().any()
    x, y = torch.tensor([[1.0, math.inf]]), torch.empty(1, 2)
    arrays = (np.ones(2, np.float32), np.zeros(2, np.float32))
    kernels.norm(x.numpy(), *arrays, 1e-5, True, y.numpy(), *np.empty((2, 1), np.float32))
    assert y.isnan().any()


def test_attention_is_the_same_to_the_bit_with_any_number_of_threads() -> None:
    packed, delta = torch.randn(5, 16, 48), torch.randn(5, 16, 16)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            leaf = packed.clone().requires_grad_()
            result = attention(leaf, 8)
            found.append((result.detach(), *torch.autograd.grad(result, leaf, delta)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("width", [6, 45, 512])
def test_of_bfloat16_kernels_compute_what_they_do_of_the_same_numbers_in_single_precision(width: int) -> None:
    torch.manual_seed(width)
    rounded = torch.randn(4, 12, width).bfloat16()
    weight, bias = torch.randn(2, width).numpy()
    found: dict[torch.dtype, list[Tensor]] = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, gradient, y, at_x = rounded.to(dtype, copy=True)
        per_row, at_vectors, sums = np.empty((2, 12), np.float32), np.empty((2, 3, width), np.float32), np.zeros(6)
        kernels.norm(kernels.array(x), weight, bias, 1e-5, True, kernels.array(y), *per_row)
        # What follows must read the same numbers.
        y = y.bfloat16().to(dtype)
        arrays = [kernels.array(tensor) for tensor in (gradient, x, y)]
        kernels.norm_backward(*arrays, weight, *per_row, True, kernels.array(at_x), *at_vectors)
        at_fields, products, square = torch.empty_like(x), x.new_empty(12), torch.empty(1, 12, 12, dtype=dtype)
        kernels.interactions(kernels.array(x), kernels.array(products))
        kernels.interactions_backward(kernels.array(gradient[:, 0].contiguous()), arrays[1], kernels.array(at_fields))
        kernels.symmetric(kernels.array(gradient.flatten()[None, :66].contiguous()), kernels.array(square))
        projections = np.zeros(4)
        kernels.statistics(4)(kernels.array(rounded.to(dtype)), rounded[0].float().numpy(), width, projections, sums)
        tensors = [y, at_x, at_fields, products, square]
        found[dtype] = [*(tensor.float() for tensor in tensors), *map(torch.tensor, (at_vectors, projections, sums))]
    for one, other in zip(found[torch.bfloat16][:5], found[torch.float32][:5], strict=True):
        close(one, other, BFLOAT16)
    for one, other in zip(found[torch.bfloat16][5:], found[torch.float32][5:], strict=True):
        close(one, other, 1e-5)


def test_attention_of_bfloat16_is_that_of_the_same_numbers_in_single_precision() -> None:
    torch.manual_seed(0)
    packed, gradient = torch.randn(5, 24, 48).bfloat16(), torch.randn(5, 24, 16).bfloat16()
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        leaf = packed.to(dtype, copy=True).requires_grad_()
        result = attention(leaf, 8)
        found.append((result, *torch.autograd.grad(result, leaf, gradient.to(dtype))))
    for one, other in zip(found[1], found[0], strict=True):
        assert one.dtype == torch.bfloat16
        torch.testing.assert_close(one.float(), other, rtol=2 * BFLOAT16, atol=0.02)


@njit
def _stored(source: np.ndarray, target: np.ndarray) -> None:
    for place in range(len(source)):
        put(target, place, source[place])


def test_what_is_stored_as_bfloat16_is_rounded_as_torch_rounds_it() -> None:
    torch.manual_seed(0)
    values = torch.cat([torch.randn(1000) * 10.0**power for power in range(-30, 30, 5)])
    values = torch.cat([values, torch.tensor([0.0, torch.inf, -torch.inf, torch.nan, 1 + 2**-8, 1 + 3 * 2**-8])])
    found = torch.empty_like(values, dtype=torch.bfloat16)
    _stored(values.numpy(), kernels.array(found))
    torch.testing.assert_close(found, values.bfloat16(), rtol=0, atol=0, equal_nan=True)
