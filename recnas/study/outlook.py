"""How long a whole study will go on; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping

from recnas.proxies.expression import Expression
from recnas.runs.outlook import Outlook, Work, look_rows
from recnas.study.folder import TRAINING, scoring_stage, stages, warmup_stage
from recnas.study.settings import StudySettings
from recnas.train.amount import Amount

DEAREST = ("zico", "one_shot", "short_training")
"""Of all proxies, those that take gradients or train something."""


def study_outlook(settings: StudySettings, rows: Mapping[str, int]) -> Outlook:
    """The outlook of a study before it has done anything.

    Args:
        settings: The study's.
        rows: Of each split.
    """
    ranked = [name for item in settings.rankings for name in Expression.parse(item).names]
    names = {*(settings.proxies or DEAREST), *ranked}
    works = {TRAINING: Work(settings.candidates * settings.seeds, settings.final.epochs * rows["train"])}
    for amount in settings.warmups:
        whole = Amount(amount)
        works[warmup_stage(amount)] = Work(whole.rows(rows["train"]) * whole.epochs, settings.warmup.paths)
        # What no warm-up changes is measured after the first alone.
        seen = names if amount == settings.warmups[0] else names - {"short_training"}
        works[scoring_stage(amount)] = Work(settings.candidates, look_rows(settings, seen), trains=False)
    return Outlook({name: works[name] for name in stages(settings)})
