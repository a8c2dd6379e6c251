"""Loops over the rows of embedding tables: lookups with pooling, and updates of the rows that a batch looked up.

All tables of a group lie one after another in flat float32 arrays: table t has `rows[t]` rows of `dims[t]` weights,
from element `starts[t]` on; what there is one a row of lies from element `first_rows[t]` on. Bags are `ids` parted by
`offsets [tables · B + 1]`, table by table. Results and gradients are `[B, Σ dims]`, those of a table from column
`columns[t]` on.

Where rows decay, a row's weights are those of its last update, and `rates_then` is the sum of the learning rates of
all steps before that. What is read of it is exp(-λ · (rates - rates_then) / (√v + eps)) of that, where v is its second
moment; see `EmbeddingOptimizer`. Decay is stored when a row is updated; reading changes nothing.

Numbers that count elements are unsigned: that spares the look whether an index counts from the end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from recnas.nn.compiled import LOG_2, Array, exp2, jit, prefetch

AHEAD = np.uint64(16)
"""How many rows before it is used a row is asked for, at least."""
LINE = np.uint64(16)
"""float32 elements of a cache line."""
BETA_2 = 0.999
"""Adam's, of the second moment."""
NO_MORE = np.float32(1 << 15)
"""Updates of a row beyond which a bias correction rounds to 1."""
_0, _1 = np.uint64(0), np.uint64(1)
_ZERO, _ALL = np.float32(0), np.float32(1)


def corrections(beta: float) -> Array:
    """1 / (1 - β^k) by the number k of a row's updates, up to `NO_MORE`; at 0, where there is no moment yet, 1."""
    counts = np.arange(1, int(NO_MORE) + 1, dtype=np.float64)
    return np.concatenate([[1.0], 1 / (1 - beta**counts)]).astype(np.float32)


@jit
def _of(corrected: Array, count: float) -> float:
    """The bias correction after so many updates."""
    return corrected[np.uint64(min(count, NO_MORE))]


@jit
def _kept(amount: float, moment: float, correction: float, eps: float) -> float:
    """What decay leaves of a weight of this second moment; all of it, where it has never had a gradient.

    `amount` is λ · (rates - rates_then), in bits.
    """
    # A choice between numbers, unlike one between ways, is made for several columns at once.
    bits = -amount / (np.sqrt(moment * correction) + eps)
    return exp2(_ZERO if moment == _ZERO else bits)


class Kernels(NamedTuple):
    """The loops of one optimiser.

    Attributes:
        lookup: Writes pooled rows of some bags into `result`; gives -1, or the first place in `ids` of what is no row.
        update: Updates each row of some tables that was looked up once, by the sum of its gradients, added in the order
            of `ids`.
        settle: Stores the decay of all rows of a table `[rows, dim]` with second moments `[rows, dim or 1]`.
    """

    lookup: Callable[..., int]
    update: Callable[..., None]
    settle: Callable[..., None]


@cache
def kernels(elementwise: bool, adam: bool, momentum: bool, decays: bool) -> Kernels:
    """The loops for rows that have a second moment an element or one; of Adam, with or without a first moment; or of
    Adagrad, whose second moment is a sum. With or without decay."""

    @jit
    def lookup(
        ids: Array,
        offsets: Array,
        weights: Array,
        starts: Array,
        rows: Array,
        first_rows: Array,
        dims: Array,
        columns: Array,
        mean: bool,
        second: Array,
        counts: Array,
        rates_then: Array,
        penalties: Array,
        rates: float,
        eps: float,
        second_corrections: Array,
        result: Array,
        first_bag: int,
        last_bag: int,
    ) -> int:
        # Bag by bag: results that are written one after another cost half as much as table by table.
        flat, tables, bags, width = result.reshape(-1), len(starts), np.uint64(len(result)), np.uint64(result.shape[1])
        eps, ahead = np.float32(eps), _1 + AHEAD // np.uint64(tables)
        for bag in range(np.uint64(first_bag), np.uint64(last_bag)):
            for t in range(tables):
                dim, start, first_row, number = dims[t], starts[t], first_rows[t], rows[t]
                place = np.uint64(t) * bags + bag
                if bag + ahead < bags:
                    for j in range(np.uint64(offsets[place + ahead]), np.uint64(offsets[place + ahead + _1])):
                        row = np.uint64(ids[j])
                        for i in range(_0, dim, LINE):
                            prefetch(weights, start + row * dim + i)
                            if decays and elementwise:
                                prefetch(second, start + row * dim + i)
                        if decays:
                            prefetch(rates_then, first_row + row)
                            if not elementwise:
                                prefetch(second, first_row + row)
                            if adam:
                                prefetch(counts, first_row + row)
                first, stop, to = np.uint64(offsets[place]), np.uint64(offsets[place + _1]), bag * width + columns[t]
                if first == stop:
                    for i in range(dim):
                        flat[to + i] = _ZERO
                # The first row is not added to zeros, which would have to be written before.
                for j in range(first, stop):
                    row = np.uint64(ids[j])
                    if row >= number:
                        return np.int64(j)
                    element, row = start + row * dim, first_row + row
                    amount = _ZERO
                    if decays:
                        amount = np.float32(penalties[t] * (rates - rates_then[row]) / LOG_2)
                    if amount > _ZERO:
                        correction = _of(second_corrections, counts[row]) if adam else _ALL
                        kept = _ALL if elementwise else _kept(amount, second[row], correction, eps)
                        for i in range(dim):
                            if elementwise:
                                kept = _kept(amount, second[element + i], correction, eps)
                            weight = kept * weights[element + i]
                            flat[to + i] = weight if j == first else flat[to + i] + weight
                    elif j == first:
                        for i in range(dim):
                            flat[to + i] = weights[element + i]
                    else:
                        for i in range(dim):
                            flat[to + i] += weights[element + i]
                if mean and stop > first + _1:
                    share = _ALL / np.float32(stop - first)
                    for i in range(dim):
                        flat[to + i] *= share
        return -1

    @jit
    def update(
        ids: Array,
        offsets: Array,
        weights: Array,
        starts: Array,
        rows: Array,
        first_rows: Array,
        dims: Array,
        columns: Array,
        mean: bool,
        second: Array,
        counts: Array,
        rates_then: Array,
        penalties: Array,
        rates: float,
        eps: float,
        second_corrections: Array,
        first_moments: Array,
        first_corrections: Array,
        beta_1: float,
        rate: float,
        gradient: Array,
        first_table: int,
        last_table: int,
    ) -> None:
        bags, eps, rate = len(gradient), np.float32(eps), np.float32(rate)
        new_1, beta_1 = np.float32(1 - beta_1), np.float32(beta_1)
        new_2, beta_2 = np.float32(1 - BETA_2), np.float32(BETA_2)
        most, widest = 0, 0
        for t in range(first_table, last_table):
            most = max(most, offsets[(t + 1) * bags] - offsets[t * bags])
            widest = max(widest, np.int64(dims[t]))
        found, flat = np.empty(most, np.uint64), np.empty(most * widest, np.float32)
        places = np.empty(_size(most), np.int32)
        for t in range(first_table, last_table):
            dim, start, first_row, penalty = dims[t], starts[t], first_rows[t], penalties[t]
            sums = flat[: most * np.int64(dim)].reshape((most, np.int64(dim)))
            pooled = gradient[:, np.int64(columns[t]) : np.int64(columns[t] + dim)]
            number = _summed(ids, offsets[t * bags : (t + 1) * bags + 1], pooled, mean, rows[t], places, found, sums)
            for u in range(number):
                if u + AHEAD < number:
                    row = found[u + AHEAD]
                    for i in range(_0, dim, LINE):
                        prefetch(weights, start + row * dim + i)
                        if elementwise:
                            prefetch(second, start + row * dim + i)
                        if momentum:
                            prefetch(first_moments, start + row * dim + i)
                    if not elementwise:
                        prefetch(second, first_row + row)
                    if adam:
                        prefetch(counts, first_row + row)
                    if decays:
                        prefetch(rates_then, first_row + row)
                element, row, total = start + found[u] * dim, first_row + found[u], u * dim
                if decays:
                    amount = np.float32(penalty * (rates - rates_then[row]) / LOG_2)
                    rates_then[row] = rates
                    if amount > _ZERO:
                        correction = _of(second_corrections, counts[row]) if adam else _ALL
                        kept = _ALL if elementwise else _kept(amount, second[row], correction, eps)
                        for i in range(dim):
                            if elementwise:
                                kept = _kept(amount, second[element + i], correction, eps)
                            weights[element + i] *= kept
                step, correction = rate, _ALL
                if adam:
                    counts[row] += _ALL
                    correction = _of(second_corrections, counts[row])
                    if momentum:
                        step *= _of(first_corrections, counts[row])
                if not elementwise:
                    squares = _ZERO
                    for i in range(dim):
                        squares += flat[total + i] * flat[total + i]
                    squares /= np.float32(dim)
                    moment = beta_2 * second[row] + new_2 * squares if adam else second[row] + squares
                    second[row] = moment
                    step /= np.sqrt(moment * correction) + eps
                for i in range(dim):
                    change = flat[total + i]
                    if elementwise:
                        square = change * change
                        moment = beta_2 * second[element + i] + new_2 * square if adam else second[element + i] + square
                        second[element + i] = moment
                    if momentum:
                        change = beta_1 * first_moments[element + i] + new_1 * change
                        first_moments[element + i] = change
                    if elementwise:
                        change /= np.sqrt(moment * correction) + eps
                    weights[element + i] -= step * change

    @jit
    def settle(
        table: Array,
        second: Array,
        counts: Array,
        rates_then: Array,
        penalty: float,
        rates: float,
        eps: float,
        second_corrections: Array,
    ) -> None:
        eps, (rows, dim) = np.float32(eps), table.shape
        for row in range(rows):
            amount = np.float32(penalty * (rates - rates_then[row]) / LOG_2)
            if amount > _ZERO:
                rates_then[row] = rates
                correction = _of(second_corrections, counts[row]) if adam else _ALL
                for i in range(dim):
                    table[row, i] *= _kept(amount, second[row, i if elementwise else 0], correction, eps)

    return Kernels(lookup, update, settle)


@jit
def _size(ids: int) -> int:
    """The places of a hash table of so many ids, a power of two of which at least half stay free."""
    size = 2
    while size < 2 * ids:
        size *= 2
    return size


@jit
def _summed(
    ids: Array, offsets: Array, gradient: Array, mean: bool, rows: int, places: Array, found: Array, sums: Array
) -> int:
    """The sums of the gradients of equal ids of a table into `sums`, their ids into `found`; gives their number.

    `places` is an open hash table: where it is not 0, one more than the place of an id in `found`.
    """
    bags, dim = gradient.shape
    size = _size(offsets[bags] - offsets[0])
    places[:size] = 0
    mask, number = np.uint64(size - 1), _0
    for bag in range(bags):
        first, stop = np.uint64(offsets[bag]), np.uint64(offsets[bag + 1])
        share = _ALL / np.float32(stop - first) if mean and stop > first + _1 else _ALL
        for j in range(first, stop):
            # Small tables have a place for each row.
            row = np.uint64(ids[j])
            key = row & mask if rows <= size else (row * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32) & mask
            while True:
                place = np.uint64(places[key])
                if place == _0:
                    found[number] = row
                    for i in range(dim):
                        sums[number, i] = share * gradient[bag, i]
                    number += _1
                    places[key] = number
                    break
                if found[place - _1] == row:
                    for i in range(dim):
                        sums[place - _1, i] += share * gradient[bag, i]
                    break
                key = (key + _1) & mask
    return number
