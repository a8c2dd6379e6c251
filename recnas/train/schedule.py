"""Learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recnas.candidates.recipe import Optimization

CUT = 0.1
"""What `plateau` multiplies the rate by after a measurement that is no better than the best before it."""


def cosine_with_warmup(step: int, steps: int, peak: float, warmup_share: float = 0.1) -> float:
    """Linear from 0 to `peak` over a share of the steps, then a half cosine to 0, as NASRec trains.

    Args:
        step: The number of the update, from 0.
        steps: Number of updates of the whole schedule.
        peak: The largest learning rate.
        warmup_share: That share.
    """
    warmup = max(1, round(warmup_share * steps))
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2


def learning_rate(optimization: Optimization, step: int, steps: int, measured: Sequence[float] = ()) -> float:
    """The learning rate of an update.

    Args:
        optimization: The schedule, its peak and the share of its warm-up.
        step: The number of the update, from 0.
        steps: Number of updates of the whole schedule.
        measured: Validation log losses of the measurements so far, for `plateau`.
    """
    peak, share = optimization.learning_rate, optimization.lr_warmup_share
    if optimization.schedule == "cosine":
        return cosine_with_warmup(step, steps, peak, share)
    warmup = round(share * steps)
    rise = min(1.0, (step + 1) / max(1, warmup))
    if optimization.schedule == "linear":
        return peak * rise * (1 - max(0, step - warmup) / max(1, steps - warmup))
    if optimization.schedule == "plateau":
        return peak * rise * CUT ** (len(measured) - len(improvements(measured)))
    return peak * rise


def improvements(measured: Sequence[float]) -> list[int]:
    """The places of those that are lower than all before them; the first is one."""
    found: list[int] = []
    for place, loss in enumerate(measured):
        if not found or loss < measured[found[-1]]:
            found.append(place)
    return found


def is_exhausted(measured: Sequence[float], patience: int | None) -> bool:
    """Whether so many measurements in succession have been no better than the best before them; None: never."""
    if patience is None or not measured:
        return False
    return len(measured) - 1 - improvements(measured)[-1] >= patience
