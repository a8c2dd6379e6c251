"""When finalists are compared, and how much work that leaves; needs no torch."""

from __future__ import annotations

import math

from recnas.runs.final_settings import FinalSettings
from recnas.strategies.halving import LEAST_LEFT, num_left


def rungs(final: FinalSettings, finalists: int, rows: int) -> list[int]:
    """When finalists are compared.

    With `full`, at the end only. With `halving`, after `first_share` of the training, after twice as much, and so on,
    until so few are left that none can be dropped: the successive halving of Jamieson and Talwalkar (2016).

    Args:
        final: How they are trained.
        finalists: How many there are.
        rows: Training rows in a pass.

    Returns:
        Training rows that each of them has seen by then, rounded up to whole batches; the whole training is last.
    """
    total = final.epochs * rows
    result: list[int] = []
    share = final.first_share if final.strategy == "halving" else 1.0
    while share < 1 and finalists > LEAST_LEFT:
        seen = rows_after(share, final, rows)
        # Of a few batches, several shares may be the same.
        if seen < total and seen not in result:
            result.append(seen)
            finalists = num_left(finalists)
        share *= 2
    return [*result, total]


def rows_after(share: float, final: FinalSettings, rows: int) -> int:
    """Training rows that a share of a training has seen, rounded up to whole batches of its pass.

    Args:
        share: Of the whole training.
        final: How models are trained.
        rows: Training rows in a pass.
    """
    return final.recipe.in_whole_batches(math.ceil(share * (final.epochs * rows)), rows)


def planned_rows(final: FinalSettings, finalists: int, baseline_epochs: int, rows: int) -> int:
    """Training rows that all models of the final training see together, if none diverges or ends early.

    Args:
        final: How they are trained.
        finalists: How many there are; 0 without a search.
        baseline_epochs: Passes that all trainings of baselines make together.
        rows: Training rows in a pass.
    """
    stops = rungs(final, finalists, rows)
    leader = len(other_learning_rates(final)) if finalists else 0
    count, before = stops[-1] * leader + rows * baseline_epochs, 0
    for stop in stops:
        count += finalists * (stop - before)
        finalists, before = num_left(finalists), stop
    return count


def other_learning_rates(final: FinalSettings) -> list[float]:
    """Those that the best finalist and baselines are trained with after the first, each once."""
    return [rate for rate in dict.fromkeys(final.other_learning_rates) if rate != final.optimization.learning_rate]
