"""How long a whole run will go on, from what its stages have to do and how fast it has been so far; needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from recnas.search.folder import FINAL_TRAINING, SEARCH, SHORTLIST, TEST, WARM_UP, stages
from recnas.search.halving import planned_rows
from recnas.search.settings import Settings
from recnas.train.settings import Amount

FORWARD_ALONE = 1 / 3
"""What a row costs that is only predicted, as a share of one that is learned from."""


@dataclass(frozen=True)
class Work:
    """What a stage has to do.

    Attributes:
        total: In the unit that its progress is counted in.
        rows: Training rows that one of these takes as long as, as far as can be said beforehand.
        trains: Whether most of the stage is training, so that its rate says how fast training is.
    """

    total: float
    rows: float = 1.0
    trains: bool = True


class Outlook:
    """Guesses the time that is left of a whole run.

    A stage that has not begun takes what its training rows take at the rate of the last training that was measured: a
    short training's, the warm-up's or the final one's. Models differ, so that is a rough guess; before anything was
    trained there is none.

    Args:
        works: What each stage has to do, in their order.
    """

    def __init__(self, works: Mapping[str, Work]) -> None:
        self.works = dict(works)
        self._rows_per_second: float | None = None

    def measured(self, stage: str, rate: float) -> None:
        """So much of a stage, in its unit, was done a second."""
        if (work := self.works.get(stage)) is not None and work.trains and rate > 0:
            self._rows_per_second = rate * work.rows

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
    proxy, final, ranking = settings.proxy, settings.final, settings.ranking
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
        looks = [look_rows(settings, names.names) for names in ranking.looks]
        works[SEARCH] = Work(candidates, looks[0], proxy_trains(ranking.looks[0].names))
        if ranking.second is not None:
            works[SHORTLIST] = Work(min(proxy.shortlist, candidates), looks[1], proxy_trains(ranking.second.names))
    return Outlook({name: works[name] for name in stages(settings)})


def look_rows(settings: Settings, names: Collection[str]) -> float:
    """Training rows that measuring a candidate takes as long as: those that it learns from, or that have gradients."""
    proxy = settings.proxy
    rows = proxy.brief_rows * ("brief" in names) + proxy.tune_steps * proxy.tune_batch_size * ("one_shot" in names)
    gradients = set(names) - {"brief", "one_shot", "parameters", "flops"}
    return rows + proxy.batches * proxy.batch_size * bool(gradients)


def proxy_trains(names: Collection[str]) -> bool:
    """Whether measuring a candidate is training it."""
    return "brief" in names
