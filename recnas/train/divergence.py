"""A training whose loss is no number any more, and what may be the matter: an input far out of scale, or the rate."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from recnas.data import Batch
from recnas.features.schema import Schema
from recnas.nn.processes import Processes
from recnas.util.errors import RunError

FAR_OUT = 1e4
"""A dense input of this size is what made a training diverge, if one was there: no learning rate copes with it."""
SHOWN = 3
"""Features that are named."""


class Diverged(RunError):
    """A loss is no longer a finite number."""


def explain(what: str, batches: Sequence[Batch], schema: Schema, processes: Processes, rate_flag: str) -> Diverged:
    """The error to raise when a training diverged: what happened, why as far as the rows show it, and what to do.

    Args:
        what: Such as `the training loss is nan at step 1`.
        batches: The last ones that this process has learned from.
        schema: The schema of the batches' features.
        processes: The processes that train together; all of them call this at the same time.
        rate_flag: The flag that sets this training's learning rate.
    """
    largest = [0.0] * len(schema.dense)
    # Of the last step a process may have no rows; without dense features there is a column of zeros.
    if schema.dense and (rows := [batch.dense.detach().abs() for batch in batches if len(batch)]):
        # Not a number stays what it is.
        largest = torch.cat(rows).amax(0).cpu().tolist()
    if not processes.alone:
        largest = [max(values, key=_size) for values in zip(*processes.exchange(largest), strict=True)]
    far = [pair for pair in zip(schema.dense, largest, strict=True) if _size(pair[1]) >= FAR_OUT]
    if not far:
        return Diverged(f"{what}; try a smaller {rate_flag}")
    worst = sorted(far, key=lambda pair: _size(pair[1]), reverse=True)[:SHOWN]
    sizes = ", ".join(f"{feature.name} (up to {value:.3g})" for feature, value in worst)
    plain = [feature.name for feature, _ in worst if feature.transform["name"] == "none"]
    remedy = (
        f"prepare the data with another transform, --dense {' '.join(f'{name}:standardize' for name in plain)}"
        if plain
        else "set such rows aside or bound the values in the log, and prepare the data anew"
    )
    return Diverged(f"{what}, as inputs are far out of scale: {sizes}; {remedy}")


def _size(value: float) -> float:
    """Not a number is as far out as can be."""
    return value if value == value else float("inf")
