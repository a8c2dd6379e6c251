"""What stages have to do, from settings and from what proxies declare."""

from __future__ import annotations

from collections.abc import Collection

from recnas.proxies.declaration import Declaration
from recnas.proxies.expression import Expression
from recnas.proxies.row_statistics import ROWS
from recnas.runs.plan import PlannedStage
from recnas.runs.settings import ProxySettings, Settings
from recnas.train.amount import Amount

IN_LARGE_BATCHES = 0.4
"""What a row of the batches costs whose gradient is only taken, 1,024 at once, as a share of one that is learned from
in small batches, with the optimizer's step. Two runs of `zico | short_training` on 8,000 synthetic rows, on two busy
cores, gave 0.30 and 0.56; this is between. Rows that `jacov` looks at, 128 at once, cost about as much as in
training: 0.46, 0.76 and 1.19 in three runs of the usual search there."""


def plan_warmup(name: str, settings: Settings, amount: float, rows: int) -> PlannedStage:
    """The plan of a supernet's training on an amount (see `WarmupSettings`) of so many training rows."""
    whole = Amount(amount)
    return PlannedStage(name, whole.rows(rows) * whole.epochs, "rows", settings.warmup.paths)


def plan_scoring(name: str, settings: ProxySettings, expression: Expression, candidates: int) -> PlannedStage:
    """The plan of a stage in which so many candidates are scored by an expression."""
    declarations = [proxy.declaration for proxy in expression.proxies.values()]
    reads = {declaration.reads for declaration in declarations} - {"arch", "losses"}
    # Only what goes forward and backward as training does tells how fast training is.
    told = bool(reads) and reads <= {"gradients", "rows"}
    return PlannedStage(
        name,
        candidates,
        "candidates",
        rows_of_scoring(settings, declarations),
        trains="training" in reads,
        gradient_cost=told * (IN_LARGE_BATCHES if "gradients" in reads else 1.0),
    )


def rows_of_scoring(settings: ProxySettings, declarations: Collection[Declaration]) -> float:
    """Training rows that scoring a candidate takes as long as: those that it learns from, or that have gradients.

    Args:
        settings: How candidates are scored.
        declarations: Of the proxies that they are scored by.
    """
    reads = {declaration.reads for declaration in declarations}
    rows = settings.short_training_rows * ("training" in reads)
    rows += settings.tune_steps * settings.tune_batch_size * ("tuning" in reads)
    # What proxies read of the batches they share, however many they are.
    batches, of_batches = settings.batches * settings.batch_size, reads - {"arch", "training", "tuning"}
    if of_batches == {"rows"}:
        return rows + min(ROWS, batches)
    return rows + batches * bool(of_batches)
