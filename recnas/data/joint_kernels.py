"""Loops of the search for joint ids, compiled: rows are told apart by their values, and what a model misses is summed.

Sizes: N rows, K folds, C cells (different values), L penalties.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recnas.util.compiled import compiled

Array = np.ndarray[Any, Any]

MOST_STEP = 2.0
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
def sum_up(cells: Array, folds: Array, slopes: Array, curves: Array, sums: Array) -> None:
    """Adds up by cell and fold what the model of that fold misses.

    Args:
        cells: `[N]` int32.
        folds: `[N]` int8, the fold of which a row is held out.
        slopes, curves: `[N, K]` float32 residuals y - p and weights p (1 - p) of each fold's model.
        sums: `[C, K, 4]` float32 of zeros, to be filled: slopes and curves of the rows that the fold's model is fitted
            to, and of those that are held out of it.
    """
    for row in range(len(cells)):
        cell = cells[row]
        for fold in range(slopes.shape[1]):
            place = 2 if folds[row] == fold else 0
            sums[cell, fold, place] += slopes[row, fold]
            sums[cell, fold, place + 1] += curves[row, fold]


@compiled
def gains(sums: Array, effects: Array, penalties: Array, found: Array) -> None:
    """What effects fitted anew would win on the rows that are held out, for each penalty.

    Args:
        sums: See `sum_up`.
        effects: `[C, K]` float32 present effects.
        penalties: `[L]` float64 ridge penalties.
        found: `[2, L]` float64 of zeros, to be filled: the log loss won, summed over rows, and the variance of
            this if there was nothing to win.
    """
    for cell in range(len(sums)):
        for fold in range(sums.shape[1]):
            slope, curve, held_slope, held_curve = sums[cell, fold]
            if held_curve > 0 and (curve > 0 or effects[cell, fold] != 0):
                for place in range(len(penalties)):
                    step = np.float64(_step(slope, curve, effects[cell, fold], penalties[place]))
                    found[0, place] += held_slope * step - held_curve * step * step / 2
                    found[1, place] += held_curve * step * step


@compiled
def apply_steps(
    sums: Array,
    penalty: float,
    effects: Array,
    cells: Array,
    labels: Array,
    scores: Array,
    slopes: Array,
    curves: Array,
) -> None:
    """Fits effects anew, by one Newton step, and brings the models' scores, slopes and curves up to date.

    Args:
        sums: See `sum_up`.
        penalty: The ridge penalty.
        effects: `[C, K]` float32, changed.
        cells: `[N]` int32.
        labels: `[N]` float32.
        scores, slopes, curves: `[N, K]` float32, changed.
    """
    steps = np.empty_like(effects)
    for cell in range(len(sums)):
        for fold in range(sums.shape[1]):
            steps[cell, fold] = _step(sums[cell, fold, 0], sums[cell, fold, 1], effects[cell, fold], penalty)
            effects[cell, fold] += steps[cell, fold]
    for row in range(len(cells)):
        for fold in range(slopes.shape[1]):
            scores[row, fold] += steps[cells[row], fold]
            probability = np.float32(1) / (np.float32(1) + np.exp(-scores[row, fold]))
            slopes[row, fold] = labels[row] - probability
            curves[row, fold] = probability * (np.float32(1) - probability)


@compiled
def _step(slope: float, curve: float, effect: float, penalty: float) -> float:
    """From a present effect towards the one that is best under the penalty."""
    step = (slope - penalty * effect) / (curve + penalty)
    return min(max(step, -MOST_STEP), MOST_STEP)
