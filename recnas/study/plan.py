"""What a study has to do: its stages, from its settings and from what its proxies declare."""

from __future__ import annotations

from collections.abc import Mapping

from recnas.proxies.declaration import Declaration
from recnas.runs.plan import Plan, PlannedStage
from recnas.search.plan import plan_warmup, rows_of_scoring
from recnas.study.folder import TRAINING, scoring_stage, warmup_stage
from recnas.study.settings import StudySettings


def plan_study(settings: StudySettings, rows: Mapping[str, int], declarations: Mapping[str, Declaration]) -> Plan:
    """The plan of a study.

    Args:
        settings: The study's.
        rows: Of each split.
        declarations: Of its proxies.
    """
    stages = []
    inherited = [declaration for declaration in declarations.values() if declaration.inherits]
    for amount in settings.warmups:
        if inherited:
            stages.append(plan_warmup(warmup_stage(amount), settings, amount, rows["train"]))
        # What no warm-up changes is measured after the first alone.
        measured = list(declarations.values()) if amount == settings.warmups[0] else inherited
        work = rows_of_scoring(settings.proxy, measured)
        stages.append(PlannedStage(scoring_stage(amount), settings.candidates, "candidates", work, trains=False))
    trainings = settings.candidates * settings.seeds
    return Plan((*stages, PlannedStage(TRAINING, trainings, "trainings", settings.final.epochs * rows["train"])))
