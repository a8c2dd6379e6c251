"""Learning-rate schedules."""

from __future__ import annotations

import math

WARMUP_SHARE = 0.1


def cosine_with_warmup(step: int, steps: int, peak: float) -> float:
    """Linear from 0 to `peak` over the first tenth of the steps, then a half cosine to 0, as NASRec trains.

    Args:
        step: The number of the update, from 0.
        steps: Number of updates of the whole schedule.
        peak: The largest learning rate.
    """
    warmup = max(1, round(WARMUP_SHARE * steps))
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2
