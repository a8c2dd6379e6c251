"""PROFIT (Gao et al. 2021): the interactions of two and more fields that a search found, and a linear part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations, islice

import torch
from torch import Tensor, nn

from recnas.nn.baselines.layers import FirstOrder
from recnas.nn.baselines.registry import baseline
from recnas.nn.dropout import dropout

START, SPREAD = 0.5, 1e-3
"""Mean and standard deviation of what factors begin with, of the authors' code."""
MOST_ENTRIES = 2**21
"""Entries of a tensor that are looked at; of more fields those that weigh most are."""

Entries = Mapping[int, tuple[Tensor, Tensor]]
"""By order k the fields of each interaction `[kept, k]`, and its weight `[kept]`."""


class Interactions(nn.Module):
    """Σ over the kept sets of k fields of a · Σ_E ∏ e: fields `[B, m, E]` → each set's term `[B, kept]`.

    Args:
        num_fields: m.
        order: k.
        kept: How many sets; all that there are, if these are fewer.
    """

    def __init__(self, num_fields: int, order: int, kept: int) -> None:
        super().__init__()
        self.num_fields, kept = num_fields, min(kept, math.comb(num_fields, order))
        # A file of weights holds float32 alone. Before a search, the first sets there are.
        first = list(islice(combinations(range(num_fields), order), kept))
        self.register_buffer("sets", torch.tensor(first, dtype=torch.float32))
        self.weight = nn.Parameter(torch.ones(kept))

    def forward(self, fields: Tensor) -> Tensor:
        # Of a damaged file nothing outside of the fields is read.
        sets = self.sets.long().clamp(0, self.num_fields - 1)
        product = fields.index_select(1, sets[:, 0])
        for place in range(1, sets.shape[1]):
            product = product * fields.index_select(1, sets[:, place])
        return product.sum(2) * self.weight

    @torch.no_grad()
    def take(self, sets: Tensor, weights: Tensor) -> None:
        """Computes with other sets `[kept, k]`, whose weights begin as these `[kept]`."""
        self.sets.copy_(sets)
        self.weight.copy_(weights)


class InteractionTensors:
    """Weights of all sets of k fields as a symmetric tensor of rank R, A = Σ_r β_r ⊗ … ⊗ β_r, while they are searched.

    Attributes:
        factors: By order, β `[R, m]`.
    """

    def __init__(self) -> None:
        self.factors: dict[int, Tensor] = {}

    def terms(self, fields: Tensor) -> Tensor:
        """Σ_k Σ_r Σ over sets of k of ⟨β_r e, …⟩: fields `[B, m, E]` → `[B]`."""
        total = fields.new_zeros(len(fields))
        for order, factors in self.factors.items():
            scaled = factors[:, :, None] * fields[:, None]
            total = total + elementary_symmetric(scaled, order).sum((1, 2))
        return total

    @torch.no_grad()
    def largest(self, order: int, kept: int) -> tuple[Tensor, Tensor]:
        """The sets of k fields with the largest entries in size, and these: `[kept, k]` and `[kept]`."""
        factors = self.factors[order]
        number = factors.shape[1]
        while math.comb(number, order) > MOST_ENTRIES:
            number -= 1
        fields = factors.abs().amax(0).topk(number).indices.sort().values
        sets = torch.combinations(fields, order)
        entries = entries_of(factors, sets)
        best = entries.abs().sort(descending=True, stable=True).indices[:kept]
        return sets[best], entries[best]


@baseline("profit", first_order=True)
class Profit(nn.Module):
    """logit = linear + Σ_k Σ over kept sets of k fields of a · ⟨e_1, …, e_k⟩, ⟨⟩ the sum of the elementwise product.

    Which sets are kept is searched before the training (`recnas.train.interactions`): as published, entries of a
    symmetric tensor of low rank are learned order after order, the largest are kept, and the model is trained anew. As
    published in the authors' code, nothing deep is beside them. The kept weights a begin as the entries and learn on,
    where the authors' stay; the products of a field with itself, which the authors' tensor has, are left out of it.

    Args:
        num_dense: d₀; 0 where there is no column. Columns are in the linear part.
        num_fields: Number of fields, m.
        dim: Columns of an embedding, E.
        dropout: The share of dropout of the kept interactions.
        order: The most fields of an interaction.
        rank: R of the tensor of each order.
        kept: Interactions of each order, at most.

    Example:
        >>> network = Profit(13, 26, 16, order=3, rank=1, kept=8)
        >>> network(torch.randn(4, 13), torch.randn(4, 26, 17)).shape
        torch.Size([4])
    """

    def __init__(
        self, num_dense: int, num_fields: int, dim: int, dropout: float = 0.0, *, order: int, rank: int, kept: int
    ) -> None:
        super().__init__()
        self.num_fields, self.rank, self.dropout = num_fields, rank, dropout
        self.orders = tuple(range(2, min(order, num_fields) + 1))
        self.linear = FirstOrder(num_dense)
        self.interactions = nn.ModuleDict({str(k): Interactions(num_fields, k, kept) for k in self.orders})
        self.tensors: InteractionTensors | None = None
        """What is computed with in the place of the kept interactions, while these are searched."""

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Columns `[B, d₀]` and fields with first-order weights `[B, m, E + 1]` → logits `[B]`."""
        vectors = fields[..., :-1]
        logit = self.linear(dense, fields[..., -1].sum(1))
        if self.tensors is not None:
            return logit + self.tensors.terms(vectors)
        if not self.orders:
            return logit
        terms = torch.cat([part(vectors) for part in self.interactions.values()], dim=1)
        return logit + dropout(terms, self.dropout, self.training).sum(1)

    def begin_search(self) -> InteractionTensors:
        """Computes with tensors from now on, without an order as yet."""
        self.tensors = InteractionTensors()
        return self.tensors

    def begin_order(self, order: int) -> Tensor:
        """Adds the interactions of k fields to the search; gives their factors β `[R, m]`, which are to be learned."""
        weight = self.linear.bias
        factors = START + SPREAD * torch.randn(self.rank, self.num_fields).to(weight)
        self.tensors.factors[order] = factors.requires_grad_()
        return factors

    def found(self) -> Entries:
        """The largest entries of each order."""
        return {k: self.tensors.largest(k, len(self.interactions[str(k)].weight)) for k in self.orders}

    def take(self, entries: Entries) -> None:
        """Computes with interactions that were found."""
        for order, (sets, weights) in entries.items():
            self.interactions[str(order)].take(sets, weights)


def elementary_symmetric(x: Tensor, order: int) -> Tensor:
    """Σ over all sets of k of the m places of the product: `[B, R, m, E]` → `[B, R, E]`.

    By Newton's identities, k e_k = Σ_i (-1)^(i-1) e_(k-i) p_i with the sums of powers p_i.
    """
    powers = [(x**exponent).sum(2) for exponent in range(1, order + 1)]
    found = [torch.ones_like(powers[0])]
    for k in range(1, order + 1):
        found.append(sum((-1) ** (i - 1) * found[k - i] * powers[i - 1] for i in range(1, k + 1)) / k)
    return found[order]


def entries_of(factors: Tensor, sets: Tensor) -> Tensor:
    """Σ_r ∏ β of each set: β `[R, m]` and sets `[sets, k]` → `[sets]`."""
    return factors[:, sets].prod(2).sum(0)
