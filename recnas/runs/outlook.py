"""How long a whole run will go on, from what its stages have to do and how fast it has been so far; needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from recnas.proxies.expression import UNTRAINED
from recnas.runs.folder import FINAL_TRAINING, SEARCH, SHORTLIST, TEST, WARM_UP, stages
from recnas.runs.settings import Settings
from recnas.strategies.halving import planned_rows
from recnas.train.amount import Amount

FORWARD_ALONE = 1 / 3
"""What a row costs that is only predicted, as a share of one that is learned from."""
RECENT_CANDIDATES = 100
"""How many of the last ones a rate is taken from."""
IN_LARGE_BATCHES = 0.4
"""What a row of the batches costs whose gradient is only taken, 1,024 at once, as a share of one that is learned from
in small batches, with the optimizer's step. Two runs of `zico | short_training` on 8,000 synthetic rows, on two busy
cores, gave 0.30 and 0.56; this is between. Rows that `jacov` looks at, 128 at once, cost about as much as in
training: 0.46, 0.76 and 1.19 in three runs of the usual search there."""
LOOKED_AT = 128
"""Rows that proxies of single rows look at: `recnas.proxies.rows.ROWS`, which needs torch."""
COUNTED = {"parameters", "macs"}
"""Proxies that look at no rows."""
GRADIENTS = {"zico", "zico_mean", "fr", "mean_abs_gradient", "gradient_std", "l2_norm", "plain", "grad_norm", "snip"}
"""Proxies that take one pass forward and backward over all rows of the batches; `loss` comes with them."""


@dataclass(frozen=True)
class Work:
    """What a stage has to do.

    Attributes:
        total: In the unit that its progress is counted in.
        rows: Training rows that one of these takes as long as, as far as can be said beforehand.
        trains: Whether most of the stage is training, so that its rate says how fast training is.
        looks: Where it only takes gradients of rows, what one of these costs as a share of a row that is learned from:
            its rate stands for training's until something was trained. 0 where it says nothing of training.
    """

    total: float
    rows: float = 1.0
    trains: bool = True
    looks: float = 0.0


class Outlook:
    """Guesses the time that is left of a whole run.

    A stage that has not begun takes what its training rows take at the rate of the last training that was measured: a
    short training's, the warm-up's or the final one's. Before anything was trained it is the rate of a look at
    gradients, which go forward and backward through a candidate as training does. Models differ, so that is a rough
    guess; there is none where neither was measured.

    Args:
        works: What each stage has to do, in their order.
    """

    def __init__(self, works: Mapping[str, Work]) -> None:
        self.works = dict(works)
        self._rows_per_second: float | None = None
        self._trained = False

    def measured(self, stage: str, rate: float) -> None:
        """So much of a stage, in its unit, was done a second."""
        if (work := self.works.get(stage)) is None or rate <= 0:
            return
        if work.trains or (work.looks and not self._trained):
            share = 1.0 if work.trains else work.looks
            self._rows_per_second, self._trained = rate * work.rows * share, work.trains

    def left(self, stage: str, seconds: float) -> float | None:
        """Seconds left of the whole run; None when nothing is known.

        Args:
            stage: The one that it is in.
            seconds: What is left of that.
        """
        if stage not in self.works:
            return None
        names = list(self.works)
        later = [self.works[name] for name in names[names.index(stage) + 1 :]]
        if not later:
            return seconds
        if self._rows_per_second is None:
            return None
        return seconds + sum(work.total * work.rows for work in later) / self._rows_per_second


def outlook_of(settings: Settings, rows: Mapping[str, int]) -> Outlook:
    """The outlook of a run before it has done anything.

    Args:
        settings: The run's.
        rows: Of each split.
    """
    final, ranking = settings.final, settings.ranking
    candidates = settings.evolution.candidates
    finalists = min(final.top_k, candidates)
    baselines = len(set(final.baselines))
    works = {
        FINAL_TRAINING: Work(planned_rows(final, finalists, baselines, rows["train"])),
        TEST: Work(finalists + baselines, rows["test"] * FORWARD_ALONE, trains=False),
    }
    if settings.searches:
        amount = Amount(settings.warmup_amount)
        works[WARM_UP] = Work(amount.rows(rows["train"]) * amount.epochs, settings.warmup.paths)
        works[SEARCH] = look_work(settings, ranking.first.names, candidates)
        if ranking.second is not None:
            works[SHORTLIST] = look_work(settings, ranking.second.names, min(settings.proxy.shortlist, candidates))
    return Outlook({name: works[name] for name in stages(settings)})


def look_work(settings: Settings, names: Collection[str], candidates: int) -> Work:
    """What measuring so many candidates by some proxies is."""
    looked = set(names) - COUNTED - {"loss"}
    told = bool(looked) and looked <= GRADIENTS | UNTRAINED
    looks = told * (IN_LARGE_BATCHES if looked & GRADIENTS else 1.0)
    return Work(candidates, look_rows(settings, names), trains="short_training" in looked, looks=looks)


def look_rows(settings: Settings, names: Collection[str]) -> float:
    """Training rows that measuring a candidate takes as long as: those that it learns from, or that have gradients."""
    proxy = settings.proxy
    rows = proxy.short_training_rows * ("short_training" in names) + proxy.tune_steps * proxy.tune_batch_size * (
        "one_shot" in names
    )
    batches, looked = proxy.batches * proxy.batch_size, set(names) - COUNTED - {"short_training", "one_shot"}
    if looked and looked <= UNTRAINED:
        return rows + min(LOOKED_AT, batches)
    return rows + batches * bool(looked)
