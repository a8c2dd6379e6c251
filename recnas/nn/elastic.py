"""Elastic layers: layers whose weights hold every width of a search space, and which compute with a leading slice.

A layer keeps one weight per *source* it may read, so a column means the same thing in every candidate, whichever
sources and widths are in use. The widths come with the call (those of its inputs, and `out`); a layer has no state
that says which candidate it is. A finished network is made of the same layers, holding exactly one width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recnas.nn import attention

NORM_EPS = 1e-5


@dataclass(frozen=True)
class WeightSlice:
    """A slice of a parameter that a candidate computes with, as a leaf of its own of the autograd graph."""

    layer: nn.Module
    parameter: nn.Parameter
    leaf: Tensor

    def view_of(self, like_parameter: Tensor) -> Tensor:
        """The same slice of a tensor that has the parameter's shape, such as its optimiser state."""
        return _leading(like_parameter, tuple(self.leaf.shape))


class Primitives:
    """How layers compute, from inputs and weights. A subclass may compute the same in another way, or take notes.

    `layer` says whose weights these are.
    """

    def linear(
        self, layer: nn.Module, inputs: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor | None
    ) -> Tensor:
        """Σₛ xₛ Wₛᵀ (+ b) of inputs `[rows, wₛ]` and weights `[out, wₛ]`: `[rows, out]`."""
        return linear(inputs, weights, bias)

    def norm(self, layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
        """Layer norm over the last axis, then ReLU if wanted."""
        normed = F.layer_norm(x, x.shape[-1:], weight, bias, NORM_EPS)
        return self.relu(normed) if relu else normed

    def relu(self, x: Tensor) -> Tensor:
        """max(x, 0)."""
        return F.relu(x)

    def attention(self, packed: Tensor, heads: int) -> Tensor:
        """Self-attention; queries, keys and values side by side `[B, tokens, 3E]` → `[B, tokens, E]`."""
        if attention.takes(packed, heads):
            return attention.attention(packed, heads)
        query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in packed.chunk(3, dim=-1))
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)

    def products(self, vectors: Tensor) -> Tensor:
        """All products of two different of n vectors: `[B, E, n]` → `[B, n · (n - 1) / 2]`.

        They are the Gram matrix below its diagonal, row by row: (1,0), (2,0), (2,1), (3,0) …
        """
        gram, count = torch.bmm(vectors.transpose(1, 2), vectors), vectors.shape[-1]
        rows, columns = torch.tril_indices(count, count, offset=-1, device=vectors.device)
        return gram.flatten(1).index_select(1, rows * count + columns)

    def interactions(self, fields: Tensor) -> Tensor:
        """(Σ_f s_f)² - Σ_f s_f² over the last axis."""
        return fields.sum(-1).square() - fields.square().sum(-1)


PLAIN = Primitives()


class WeightSlices(Primitives):
    """Hands out the slices that one candidate uses, each as a detached view made a leaf, and remembers them.

    Slicing a parameter under autograd would fill a full-size zero tensor in every backward; the gradient of a leaf has
    the slice's own size. A leaf shares its memory with the parameter, so an update of one is an update of both. The
    same `WeightSlices` may serve several batches of one candidate.
    """

    def __init__(self) -> None:
        self._taken: dict[int, WeightSlice] = {}

    def take(self, layer: nn.Module, parameter: nn.Parameter, sizes: tuple[int, ...]) -> Tensor:
        """The leading `sizes` of a layer's parameter as a leaf that requires grad."""
        taken = self._taken.get(id(parameter))
        if taken is None:
            leaf = self.leaf(_leading(parameter.detach(), sizes)).requires_grad_()
            taken = self._taken[id(parameter)] = WeightSlice(layer, parameter, leaf)
        elif tuple(taken.leaf.shape) != sizes:
            raise ValueError(f"one candidate takes a parameter at {tuple(taken.leaf.shape)} and at {sizes}")
        return taken.leaf

    def leaf(self, weights: Tensor) -> Tensor:
        """The tensor that is computed with in the place of a parameter's slice: the slice itself, here."""
        return weights

    @property
    def taken(self) -> list[WeightSlice]:
        """Every slice taken so far, in the order of first use."""
        return list(self._taken.values())


def linear(inputs: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor | None, in_place: bool = False) -> Tensor:
    """Σₛ xₛ Wₛᵀ (+ b) of inputs `[rows, wₛ]` and weights `[out, wₛ]`: `[rows, out]`.

    In place, sums are written over; torch's FLOP counter does not see these.
    """
    first, *others = zip(inputs, weights, strict=True)
    x, weight = first
    result = torch.mm(x, weight.t()) if bias is None else torch.addmm(bias, x, weight.t())
    for x, weight in others:
        result = result.addmm_(x, weight.t()) if in_place else torch.addmm(result, x, weight.t())
    return result


def _leading(tensor: Tensor, sizes: tuple[int, ...]) -> Tensor:
    if tuple(tensor.shape) == sizes:
        return tensor
    return tensor[tuple(slice(size) for size in sizes)]


def take(layer: nn.Module, parameter: nn.Parameter, sizes: tuple[int, ...], slices: WeightSlices | None) -> Tensor:
    """The leading slice of a parameter: from `slices` if given, else an ordinary view under autograd."""
    return _leading(parameter, sizes) if slices is None else slices.take(layer, parameter, sizes)


class InputSegment(NamedTuple):
    """One tensor that a layer reads, whose last axis the layer mixes, and the sources that its columns come from.

    Attributes:
        x: The values, `[…, w]`.
        parts: Each source's name and how many of the w columns are its own, in their order.
    """

    x: Tensor
    parts: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, source: str, x: Tensor) -> InputSegment:
        """All columns of `x` come from one source."""
        return cls(x, ((source, x.shape[-1]),))


class ElasticLinear(nn.Module):
    """`concat(inputs) @ W[:out]ᵀ (+ b[:out])` without the concat, over the last axis.

    Args:
        sources: The widest last axis of every source that may be read.
        out: The widest output.
        fan_in: The widest concatenated input of any one candidate; with `out` it sets Xavier-uniform's bound.
        bias: Whether to add a bias, which starts at zero.
        bias_mask: `[out]` of 1 and 0: which elements of the bias are added at all.
    """

    def __init__(
        self,
        sources: Mapping[str, int],
        out: int,
        fan_in: int,
        bias: bool = False,
        bias_mask: Tensor | None = None,
    ) -> None:
        super().__init__()
        bound = (6 / (fan_in + out)) ** 0.5
        self.weight = nn.ParameterDict(
            {name: nn.Parameter(torch.empty(out, width).uniform_(-bound, bound)) for name, width in sources.items()}
        )
        self.bias = nn.Parameter(torch.zeros(out)) if bias else None
        self.register_buffer("bias_mask", bias_mask, persistent=False)

    def forward(self, inputs: Sequence[InputSegment], out: int, slices: WeightSlices | None = None) -> Tensor:
        """Maps pieces `[…, wₛ]` with equal leading axes to `[…, out]`."""
        flat, joined = [], []
        for x, parts in inputs:
            weights = [take(self, self.weight[name], (out, width), slices) for name, width in parts]
            # Joining two slices of a layer over fields is cheap; a product of its own for eight columns is not.
            joined.append(weights[0] if len(weights) == 1 else torch.cat(weights, dim=1))
            flat.append(x.reshape(-1, x.shape[-1]))
        bias = None
        if self.bias is not None:
            bias = take(self, self.bias, (out,), slices)
            if self.bias_mask is not None:
                bias = bias * self.bias_mask[:out]
        result = (slices or PLAIN).linear(self, flat, joined, bias)
        return result.view(*inputs[0].x.shape[:-1], out)


class ElasticNorm(nn.Module):
    """Layer norm over the last axis, at any width up to `width`.

    Args:
        width: The widest input.
        start: The weight's start value.
    """

    def __init__(self, width: int, start: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), start))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, slices: WeightSlices | None = None, relu: bool = False) -> Tensor:
        """Normalises `[…, w]`, and applies ReLU if wanted."""
        sizes = (x.shape[-1],)
        weight, bias = take(self, self.weight, sizes, slices), take(self, self.bias, sizes, slices)
        return (slices or PLAIN).norm(self, x, weight, bias, relu)
