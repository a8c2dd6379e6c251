"""Loops over the rows of embedding tables: lookups with pooling, and updates of the rows that a batch looked up.

All tables of a group lie one after another in flat float32 arrays: table t has `rows[t]` rows of `dims[t]` weights from
element `starts[t]` on, and its states of a row, one a row, from `first_rows[t]` on. Bags are `ids` parted by `offsets
[tables · B + 1]`, table by table; outputs and gradients are `[B, Σ dims]`, table by table from column `columns[t]` on.

Where rows decay, a row's weights are those of its last update, and `rates_then` is the sum of the learning rates of
all steps before that. What is read of it is exp(-λ · (rates - rates_then) / (√v + eps)) of that, where v is its second
moment; see `EmbeddingOptimizer`. Decay is stored when a row is updated; reading changes nothing.
"""

from __future__ import annotations

import numpy as np

from recnas.nn.compiled import LOG_2, Array, exp2, jit, prefetch

AHEAD = 16
"""How many rows before it is used a row is asked for."""
LINE = 16
"""float32 elements of a cache line."""
ROWWISE_ADAGRAD, ADAGRAD, ROWWISE_ADAM, ADAM = range(4)
"""The optimisers: odd ones have a second moment an element, those from 2 on a first moment too."""
BETA_1, BETA_2 = 0.9, 0.999
_BITS = np.float32(1 / LOG_2)
_ZERO, _ONE = np.float32(0), np.float32(1)
# Beyond them a correction rounds to 1.
_CORRECTIONS = 1 << 15


def corrections() -> tuple[Array, Array]:
    """1 / (1 - β^k) of both moments by the number of updates k of a row; all later ones are like the last."""
    counts = np.arange(1, _CORRECTIONS, dtype=np.float64)
    first, second = (np.concatenate([[1.0], -1 / np.expm1(counts * np.log(beta))]) for beta in (BETA_1, BETA_2))
    return first.astype(np.float32), second.astype(np.float32)


@jit
def lookup(
    ids: Array,
    offsets: Array,
    weights: Array,
    starts: Array,
    rows: Array,
    dims: Array,
    columns: Array,
    mean: bool,
    penalties: Array,
    rates: float,
    kind: int,
    eps: float,
    second: Array,
    first_rows: Array,
    counts: Array,
    rates_then: Array,
    second_corrections: Array,
    result: Array,
) -> int:
    """Looks up and pools rows, with their decay, into `result`; gives -1, or the first place in `ids` of no row."""
    bags = result.shape[0]
    eps = np.float32(eps)
    for t in range(len(starts)):
        dim, column, start, first_row = dims[t], columns[t], starts[t], first_rows[t]
        table = weights[start : start + rows[t] * dim].reshape((rows[t], dim))
        decays = penalties[t] > 0
        elementwise = kind % 2 == 1
        # Where there is one of a row, each row of this has one column.
        width = dim if elementwise else 1
        second_start = start if elementwise else first_row
        moments = second[second_start : second_start + rows[t] * width].reshape((rows[t], width)) if decays else table
        end = offsets[(t + 1) * bags]
        for bag in range(bags):
            first, stop = offsets[t * bags + bag], offsets[t * bags + bag + 1]
            pooled = result[bag, column : column + dim]
            for i in range(dim):
                pooled[i] = _ZERO
            for j in range(first, stop):
                if j + AHEAD < end:
                    row = ids[j + AHEAD]
                    for i in range(0, dim, LINE):
                        prefetch(weights, start + row * dim + i)
                    if decays:
                        prefetch(rates_then, first_row + row)
                        for i in range(0, width, LINE):
                            prefetch(second, second_start + row * width + i)
                        if kind >= ROWWISE_ADAM:
                            prefetch(counts, first_row + row)
                row = ids[j]
                if row < 0 or row >= rows[t]:
                    return j
                weight = table[np.uint64(row)]
                if decays:
                    amount = np.float32(penalties[t] * (rates - rates_then[first_row + row]) / LOG_2)
                    if amount > _ZERO:
                        moment = moments[np.uint64(row)]
                        scale = _ONE
                        if kind >= ROWWISE_ADAM:
                            count = min(np.int64(counts[first_row + row]), len(second_corrections) - 1)
                            scale = second_corrections[count]
                        if elementwise:
                            for i in range(dim):
                                pooled[i] += weight[i] * _kept(amount, moment[i], scale, eps)
                        else:
                            kept = _kept(amount, moment[0], scale, eps)
                            for i in range(dim):
                                pooled[i] += kept * weight[i]
                        continue
                for i in range(dim):
                    pooled[i] += weight[i]
            if mean and stop - first > 1:
                share = _ONE / np.float32(stop - first)
                for i in range(dim):
                    pooled[i] *= share
    return -1


@jit
def _kept(amount: float, moment: float, scale: float, eps: float) -> float:
    """What decay leaves of a weight whose second moment has this bias correction; all, where it has not learned."""
    if moment == _ZERO:
        return _ONE
    return exp2(-amount / (np.sqrt(moment * scale) + eps))


@jit
def update(
    ids: Array,
    offsets: Array,
    weights: Array,
    starts: Array,
    rows: Array,
    dims: Array,
    columns: Array,
    mean: bool,
    penalties: Array,
    rates: float,
    kind: int,
    eps: float,
    second: Array,
    first_rows: Array,
    counts: Array,
    rates_then: Array,
    second_corrections: Array,
    first_moments: Array,
    first_corrections: Array,
    rate: float,
    gradient: Array,
) -> None:
    """Updates each row that was looked up once, by the sum of its gradients, which are added in the order of `ids`."""
    bags = gradient.shape[0]
    eps, rate = np.float32(eps), np.float32(rate)
    most, widest = 0, 0
    for t in range(len(starts)):
        most = max(most, offsets[(t + 1) * bags] - offsets[t * bags])
        widest = max(widest, dims[t])
    size = 2
    while size < 2 * most:
        size *= 2
    places, found, flat = np.empty(size, np.int32), np.empty(most, np.int64), np.empty(most * widest, np.float32)
    for t in range(len(starts)):
        dim, column, start, first_row = dims[t], columns[t], starts[t], first_rows[t]
        table = weights[start : start + rows[t] * dim].reshape((rows[t], dim))
        elementwise, adam = kind % 2 == 1, kind >= ROWWISE_ADAM
        width = dim if elementwise else 1
        second_start = start if elementwise else first_row
        moments = second[second_start : second_start + rows[t] * width].reshape((rows[t], width))
        averages = first_moments[start : start + rows[t] * dim].reshape((rows[t], dim)) if adam else table
        sums = flat[: most * dim].reshape((most, dim))
        number = _summed(ids, offsets, t * bags, gradient[:, column : column + dim], mean, rows[t], places, found, sums)
        decays = penalties[t] > 0
        for u in range(number):
            if u + AHEAD < number:
                row = found[u + AHEAD]
                for i in range(0, dim, LINE):
                    prefetch(weights, start + row * dim + i)
                for i in range(0, width, LINE):
                    prefetch(second, second_start + row * width + i)
                if adam:
                    for i in range(0, dim, LINE):
                        prefetch(first_moments, start + row * dim + i)
                    prefetch(counts, first_row + row)
                if decays:
                    prefetch(rates_then, first_row + row)
            row = np.uint64(found[u])
            at = first_row + found[u]
            weight, moment, change = table[row], moments[row], sums[u]
            count = min(np.int64(counts[at]), len(second_corrections) - 2) if adam else 0
            if decays:
                amount = np.float32(penalties[t] * (rates - rates_then[at]) / LOG_2)
                rates_then[at] = rates
                if amount > _ZERO:
                    scale = second_corrections[count] if adam else _ONE
                    if elementwise:
                        for i in range(dim):
                            weight[i] *= _kept(amount, moment[i], scale, eps)
                    else:
                        kept = _kept(amount, moment[0], scale, eps)
                        for i in range(dim):
                            weight[i] *= kept
            if not elementwise:
                squares = _ZERO
                for i in range(dim):
                    squares += change[i] * change[i]
                squares /= np.float32(dim)
            if adam:
                counts[at] += _ONE
                average = averages[row]
                step = rate * first_corrections[count + 1]
                scale = second_corrections[count + 1]
                if elementwise:
                    for i in range(dim):
                        first = np.float32(BETA_1) * average[i] + np.float32(1 - BETA_1) * change[i]
                        both = np.float32(BETA_2) * moment[i] + np.float32(1 - BETA_2) * (change[i] * change[i])
                        average[i] = first
                        moment[i] = both
                        weight[i] -= step * first / (np.sqrt(both * scale) + eps)
                else:
                    both = np.float32(BETA_2) * moment[0] + np.float32(1 - BETA_2) * squares
                    moment[0] = both
                    step /= np.sqrt(both * scale) + eps
                    for i in range(dim):
                        first = np.float32(BETA_1) * average[i] + np.float32(1 - BETA_1) * change[i]
                        average[i] = first
                        weight[i] -= step * first
            elif elementwise:
                for i in range(dim):
                    total = moment[i] + change[i] * change[i]
                    moment[i] = total
                    weight[i] -= rate * change[i] / (np.sqrt(total) + eps)
            else:
                moment[0] += squares
                step = rate / (np.sqrt(moment[0]) + eps)
                for i in range(dim):
                    weight[i] -= step * change[i]


@jit
def _summed(
    ids: Array,
    offsets: Array,
    first_bag: int,
    gradient: Array,
    mean: bool,
    rows: int,
    places: Array,
    found: Array,
    sums: Array,
) -> int:
    """The sums of the gradients of equal ids of a table into `sums`, their ids into `found`; gives their number.

    `places` is an open hash table: where it is not 0, one more than the place of an id in `found`.
    """
    bags = gradient.shape[0]
    size = 2
    while size < 2 * (offsets[first_bag + bags] - offsets[first_bag]):
        size *= 2
    places[:size] = 0
    mask, number = np.uint64(size - 1), np.uint64(0)
    one = np.uint64(1)
    for bag in range(bags):
        first, stop = offsets[first_bag + bag], offsets[first_bag + bag + 1]
        pooled = gradient[bag]
        share = _ONE / np.float32(stop - first) if mean and stop - first > 1 else _ONE
        for j in range(first, stop):
            row = ids[j]
            # Small tables have a place for each row.
            key = np.uint64(row)
            if rows > size:
                key = (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
            key &= mask
            while True:
                place = np.uint64(places[key])
                if place == 0:
                    found[number] = row
                    each = sums[number]
                    number += one
                    places[key] = number
                    for i in range(len(pooled)):
                        each[i] = share * pooled[i]
                    break
                if found[place - one] == row:
                    each = sums[place - one]
                    for i in range(len(pooled)):
                        each[i] += share * pooled[i]
                    break
                key = (key + one) & mask
    return np.int64(number)


@jit
def settle(
    table: Array,
    moments: Array,
    penalty: float,
    rates: float,
    adam: bool,
    eps: float,
    counts: Array,
    rates_then: Array,
    second_corrections: Array,
) -> None:
    """Applies and stores the decay of all rows of a table `[rows, dim]` with second moments `[rows, dim or 1]`."""
    eps = np.float32(eps)
    for row in range(len(table)):
        amount = np.float32(penalty * (rates - rates_then[row]) / LOG_2)
        rates_then[row] = rates
        if amount > _ZERO:
            scale = second_corrections[min(np.int64(counts[row]), len(second_corrections) - 1)] if adam else _ONE
            weight, moment = table[row], moments[row]
            if len(moment) == len(weight):
                for i in range(len(weight)):
                    weight[i] *= _kept(amount, moment[i], scale, eps)
            else:
                kept = _kept(amount, moment[0], scale, eps)
                for i in range(len(weight)):
                    weight[i] *= kept
