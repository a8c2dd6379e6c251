"""Loops of the search for joint ids, compiled: rows are told apart by their values, and what a model misses is summed.

Sizes: N rows, K folds, C cells (different values), L penalties.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recnas.util.compiled import compiled

Array = np.ndarray[Any, Any]

FOLDS = 2
MOST_STEP = np.float32(2)
"""No effect changes by more at a time, in log-odds: further away its quadratic approximation says nothing."""


@compiled
def number_cells(first: Array, second: Array, second_size: int, cells: Array) -> int:
    """Numbers the different pairs of codes in the order in which they come, and gives their number.

    Args:
        first, second: `[N]` int32 codes from 0 on.
        second_size: All codes of `second` are below it.
        cells: `[N]` int32, to be filled.
    """
    bits = 1
    while (1 << bits) < 2 * len(first):
        bits += 1
    places = np.full(1 << bits, -1, dtype=np.int32)
    keys = np.empty(1 << bits, dtype=np.int64)
    shift, last = np.uint64(64 - bits), np.int64((1 << bits) - 1)
    found = 0
    for row in range(len(first)):
        key = np.int64(first[row]) * second_size + second[row]
        slot = np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> shift)
        while places[slot] >= 0 and keys[slot] != key:
            slot = (slot + 1) & last
        if places[slot] < 0:
            places[slot] = found
            keys[slot] = key
            found += 1
        cells[row] = places[slot]
    return found


@compiled
def sum_up(cells: Array, folds: Array, missed: Array, sums: Array) -> None:
    """Adds up by cell and fold what models miss.

    Args:
        cells: `[N]` int32.
        folds: `[N]` int8, the fold of each row.
        missed: `[N, 2K]` float32: for each model the residual y - p, and the weight p (1 - p).
        sums: `[C, K, 2K]` float32 of zeros, to be filled: of the cell's rows of each fold.
    """
    for row in range(len(cells)):
        cell, fold = cells[row], folds[row]
        # Of a number of columns that the compiler knows, so that it adds them up at once.
        for column in range(2 * FOLDS):
            sums[cell, fold, column] += missed[row, column]


@compiled
def gains(sums: Array, effects: Array, penalties: Array, found: Array) -> None:
    """What effects fitted anew would win on the rows that are held out, for each penalty.

    Args:
        sums: See `sum_up`.
        effects: `[C, K]` float32 present effects.
        penalties: `[L]` float32 ridge penalties.
        found: `[2, L]` float64 of zeros, to be filled: the log loss won, summed over rows, and the variance of
            this if there was nothing to win.
    """
    for cell in range(len(sums)):
        for fold in range(FOLDS):
            held_slope, held_curve = sums[cell, fold, 2 * fold], sums[cell, fold, 2 * fold + 1]
            slope, curve = _fitted(sums, cell, fold)
            effect = effects[cell, fold]
            if held_curve > 0 and (curve > 0 or effect != 0):
                for place in range(len(penalties)):
                    step = _step(slope, curve, effect, penalties[place])
                    found[0, place] += held_slope * step - held_curve * step * step / 2
                    found[1, place] += held_curve * step * step


@compiled
def apply_steps(
    sums: Array, penalty: float, effects: Array, cells: Array, labels: Array, scores: Array, missed: Array
) -> None:
    """Fits effects anew, by one Newton step, and brings the models' scores, and what they miss, up to date.

    Args:
        sums: See `sum_up`.
        penalty: The ridge penalty.
        effects: `[C, K]` float32, changed.
        cells: `[N]` int32.
        labels: `[N]` float32.
        scores: `[N, K]` float32, changed.
        missed: See `sum_up`; changed.
    """
    steps = np.empty_like(effects)
    for cell in range(len(sums)):
        for fold in range(FOLDS):
            slope, curve = _fitted(sums, cell, fold)
            steps[cell, fold] = _step(slope, curve, effects[cell, fold], penalty)
            effects[cell, fold] += steps[cell, fold]
    for row in range(len(cells)):
        for fold in range(FOLDS):
            scores[row, fold] += steps[cells[row], fold]
            probability = np.float32(1) / (np.float32(1) + np.exp(-scores[row, fold]))
            missed[row, 2 * fold] = labels[row] - probability
            missed[row, 2 * fold + 1] = probability * (np.float32(1) - probability)


@compiled
def _fitted(sums: Array, cell: int, fold: int) -> tuple[float, float]:
    """The sums of the rows that the model of a fold is fitted to: those of all others."""
    slope = curve = np.float32(0)
    for other in range(FOLDS):
        if other != fold:
            slope += sums[cell, other, 2 * fold]
            curve += sums[cell, other, 2 * fold + 1]
    return slope, curve


@compiled
def _step(slope: float, curve: float, effect: float, penalty: float) -> float:
    """From a present effect towards the one that is best under the penalty."""
    step = (slope - penalty * effect) / (curve + penalty)
    return min(max(step, -MOST_STEP), MOST_STEP)
